"""A hundred thousand users are taken over in minutes, and the memory it takes does not grow with them."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import psutil
import pytest

from tests.integration.cli.test_commands import environment
from tests.unit.auth.test_password_hashes import HASHES

if TYPE_CHECKING:
    from pathlib import Path

    from monohull.kernel.home import Connections

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

FEW: Final = 2_000
MANY: Final = 100_000
MOST_MIB: Final = 40.0
MOST_SECONDS: Final = 300.0


def write_users(path: Path, number: int) -> None:
    with path.open("w") as lines:
        for at in range(number):
            user = {
                "id": str(uuid4()),
                "email": f"user{at}@example.com",
                "password_hash": HASHES["bcrypt 2b"],
                "email_confirmed_at": "2024-01-02T03:04:05Z",
                "user_metadata": {"name": f"User {at}", "about": "x" * 200},
                "identities": [{"provider": "google", "provider_id": str(at)}],
            }
            lines.write(json.dumps(user) + "\n")


def take_over(connections: Connections, source: Path) -> tuple[dict[str, Any], float]:
    """Run the command; return its report and the most memory it held, in MiB."""
    report = source.with_suffix(".report")
    with report.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "monohull", "auth", "import", "--from", "jsonl", str(source), "--json"],
            env=environment(database_url=connections.owner_url, redis_url=connections.redis_url),
            cwd=source.parent,
            stdout=output,
            stderr=subprocess.DEVNULL,
        )
        watched, most = psutil.Process(process.pid), 0
        while process.poll() is None:
            with suppress(psutil.Error):
                most = max(most, watched.memory_info().rss)
            time.sleep(0.05)
    assert process.returncode in (0, 1), report.read_text()
    return json.loads(report.read_text()), most / 2**20


def test_memory_does_not_grow_with_the_users(connections: Connections, tmp_path: Path) -> None:
    few, many = tmp_path / "few.jsonl", tmp_path / "many.jsonl"
    write_users(few, FEW)
    first, small = take_over(connections, few)
    assert first["created"] == FEW
    few.unlink()
    write_users(many, MANY)  # the addresses of the first are taken by other ids
    report, large = take_over(connections, many)
    again, _ = take_over(connections, many)
    figures = f"{report['seconds']} s, again {again['seconds']} s, {small:.0f} and {large:.0f} MiB"
    assert (report["created"], report["refused"]) == (MANY - FEW, FEW)
    assert (again["created"], again["kept"]) == (0, MANY - FEW)
    assert large - small < MOST_MIB, figures
    assert report["seconds"] < MOST_SECONDS, figures
    logging.getLogger(__name__).info("took over %d users: %s", MANY, figures)
