"""Refuse source files without a ceiling: past 400 lines a file asks to be split, past 600 it fails.

Split by what the client does, not by kind of code.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

ASKS_LINES: Final = 400
FAILS_LINES: Final = 600


def measure(folders: Iterable[Path]) -> list[tuple[int, Path]]:
    """Return every Python file below ``folders`` that is past the first ceiling, longest first."""
    files = (path for folder in folders for path in folder.rglob("*.py"))
    lengths = ((len(path.read_bytes().splitlines()), path) for path in files)
    return sorted((found for found in lengths if found[0] > ASKS_LINES), reverse=True)


def main() -> int:
    """Print the long files and return the exit code."""
    long = measure([Path(__file__).parent.parent / "src"])
    for lines, path in long:
        verdict = "must be split" if lines > FAILS_LINES else "asks to be split"
        print(f"{path.relative_to(Path(__file__).parent.parent)}: {lines} lines, {verdict}")
    return int(any(lines > FAILS_LINES for lines, _ in long))


if __name__ == "__main__":
    sys.exit(main())
