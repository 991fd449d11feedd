"""The tutorial and the block that `monohull up` prints do what they say, pasted into a shell."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
TUTORIAL: Final = ROOT / "docs/tutorials/first-backend.md"
READY_SECONDS: Final = 60


class Running(Struct, frozen=True):
    """A started example: where it lives and what it printed."""

    folder: Path
    printed: str


def shell(script: str, folder: Path) -> str:
    """Paste ``script`` into bash and return what it printed."""
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment of somebody who has set nothing."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MONOHULL_", "COV_"))}
    return {**kept, "MONOHULL_PORT": "0", **extra}


@pytest.fixture(scope="module", params=["storefront", "flights"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / ".venv").symlink_to(sys.prefix)
    yield from start(request.param, folder)


def start(example: str, folder: Path) -> Iterator[Running]:
    output = folder / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "monohull", "up", "--example", example],
            cwd=folder,
            env=clean_environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_ready(process, folder, output)
        yield Running(folder, output.read_text(encoding="utf-8"))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert process.returncode == 0, output.read_text(encoding="utf-8")


def wait_until_ready(process: subprocess.Popen[bytes], folder: Path, output: Path) -> None:
    """Wait for the block, which is printed once everything answers."""
    last = (ROOT / "examples" / folder.name.rstrip("0123456789") / "after_start.txt").read_text("utf-8")
    mark = last.splitlines()[-2][:40]
    deadline = time.monotonic() + READY_SECONDS
    while mark not in output.read_text(encoding="utf-8"):
        assert process.poll() is None, output.read_text(encoding="utf-8")
        assert time.monotonic() < deadline, output.read_text(encoding="utf-8")
        time.sleep(0.1)
    time.sleep(0.2)


def pasted(running: Running) -> list[Any]:
    """Run the printed lines in one shell and return each answer."""
    lines = [
        line for line in running.printed.splitlines() if re.match(r"(curl|TOKEN=\$\(curl) ", line.strip())
    ]
    assert len(lines) == 3
    return documents(shell("\n".join(lines), running.folder))


def documents(text: str) -> list[Any]:
    """Take the JSON documents that follow each other in ``text``."""
    found: list[Any] = []
    while text := text.strip():
        document, end = json.JSONDecoder().raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


@pytest.mark.slow
def test_the_printed_lines_work_as_pasted(running: Running) -> None:
    answers = pasted(running)
    if running.folder.name.startswith("flights"):
        delays, honolulu, plane = answers
        assert [row["dep_delay"] for row in delays] == [1301, 1137, 1126]
        assert delays[0]["airlines"] == {"name": "Hawaiian Airlines Inc."}
        assert all(row["arr_delay"] > 60 for row in honolulu)
        assert plane[0]["manufacturer"] == "BOEING"
    else:
        products, orders = answers
        assert len(products) == 3
        assert products[0].keys() == {"name", "price"}
        assert len(orders) == 3
        assert orders == sorted(orders, key=lambda order: order["placed_at"], reverse=True)


def blocks() -> list[str]:
    """The tutorial's blocks that are meant to be pasted."""
    return re.findall(
        r"^```sh\n(.*?)^```$", TUTORIAL.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(running: Running) -> None:
    if running.folder.name.startswith("flights"):
        pytest.skip("the tutorial is about the storefront")
    products, nothing, own, staff = documents(shell("\n".join(blocks()), running.folder))
    assert len(products) == 3
    assert nothing == []
    assert len(own) == 3
    assert [order["id"] for order in staff] == [1, 2, 3]
    assert len({order["customer_id"] for order in staff}) > 1


def test_the_tutorial_quotes_the_example() -> None:
    quoted = re.findall(
        r"^```sql\n(.*?)^```$", TUTORIAL.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    policies = (ROOT / "examples/storefront/migrations/0002_policies.sql").read_text(encoding="utf-8")
    assert quoted
    assert all(part in policies for part in quoted)
