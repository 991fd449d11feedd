"""``@supabase/postgrest-js`` as its users have it, against ``monohull serve``."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER: Final = Path(__file__).parent / "javascript"
NODE: Final = shutil.which("node")

pytestmark = [
    pytest.mark.skipif(NODE is None, reason="Node.js is not installed"),
    pytest.mark.skipif(
        not (FOLDER / "node_modules").is_dir(), reason="`make clients` brings @supabase/postgrest-js"
    ),
]


def test_suites(server: Mapping[str, str]) -> None:
    run(server, "reads", "writes", "functions", "pages")


def test_a_client_with_ceilings(guarded_server: Mapping[str, str]) -> None:
    run(guarded_server, "guard")


def run(environment: Mapping[str, str], *suites: str) -> None:
    assert NODE is not None
    for suite in suites:
        command = [NODE, f"{suite}.test.mjs"]
        done = subprocess.run(
            command, cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
