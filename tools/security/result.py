"""What became of a check."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final, NamedTuple

from tools.security.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TOOLS: Final = ROOT / ".venv-deploy" / "bin"


class Result(NamedTuple):
    """What was found, and what could not be said.

    Attributes:
        found: A line for each weakness.
        said: What was looked at, in a few words.
        undecided: Why the check could not be made; empty when it was.
    """

    found: Sequence[str] = ()
    said: str = ""
    undecided: str = ""

    @property
    def state(self) -> str:
        """One word for the table."""
        if self.found:
            return "FOUND"
        return "UNDECIDED" if self.undecided else "ok"


def undecided(why: str) -> Result:
    """Say that nobody knows."""
    return Result(said=f"not checked: {why}", undecided=why)


def run(
    program: str | Path, *arguments: str | Path, folder: Path = ROOT, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a tool of ``make install-deploy``, or a program by its path.

    Raises:
        FileNotFoundError: It is not installed.
    """
    path = TOOLS / program if isinstance(program, str) else program
    return subprocess.run(
        [path, *arguments], cwd=folder, env=environ, capture_output=True, text=True, timeout=1800, check=False
    )
