"""``postgrest`` of PyPI as its users have it, against ``monohull serve``."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER: Final = Path(__file__).parent / "python"
PYTHON: Final = FOLDER / ".venv" / "bin" / "python"

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="`make clients` brings postgrest from PyPI")


def test_suite(server: Mapping[str, str]) -> None:
    command = [str(PYTHON), "suite.py"]
    done = subprocess.run(
        command, cwd=FOLDER, env=server, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
