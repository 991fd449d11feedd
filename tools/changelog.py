"""Collect the fragments in ``changes/`` into ``CHANGELOG.md``, or print what a version changed.

    python -m tools.changelog collect    write the section of this version and delete its fragments
    python -m tools.changelog notes      print that section; before it is written, what it would be

The version is that of the product. A fragment is named by its issue and its
kind, as ``changes/README.md`` says.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from monohull import __version__
from monohull.kernel.clock import now

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parent.parent
KINDS: Final = {
    "feature": "New",
    "fix": "Mended",
    "security": "Security",
    "removal": "Gone",
    "docs": "Documents",
}
FRAGMENT: Final = re.compile(r"([0-9]+)\.([a-z]+)\.md")
BEFORE: Final = "## Unreleased"


class WrongFragment(Exception):
    """A file in ``changes/`` is no fragment."""


def fragments(folder: Path) -> list[tuple[str, int, Path]]:
    """Return kind, issue and path of every fragment, in the order in which they are told.

    Raises:
        WrongFragment: A file is named otherwise.
    """
    found = []
    for path in folder.glob("*.md"):
        if path.name == "README.md":
            continue
        match = FRAGMENT.fullmatch(path.name)
        if match is None or match[2] not in KINDS:
            raise WrongFragment(f"{path.name} is no ISSUE.KIND.md with a kind of {', '.join(KINDS)}")
        found.append((match[2], int(match[1]), path))
    return sorted(found, key=lambda one: (list(KINDS).index(one[0]), one[1]))


def section(folder: Path) -> str:
    """Return what the fragments say, under a heading for each kind."""
    parts: list[str] = []
    last = ""
    for kind, _, path in fragments(folder):
        if kind != last:
            parts.append(f"### {KINDS[kind]}")
            last = kind
        # links in a fragment start from its own folder
        parts.append(path.read_text(encoding="utf-8").strip().replace("](../", "]("))
    return "\n\n".join(parts)


def written(changelog: str, version: str) -> str | None:
    """Return the section of ``version``, or None when there is none yet."""
    found = re.search(rf"^## {re.escape(version)} .*?\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else None


def collect(root: Path, version: str) -> None:
    """Write the section of ``version`` and delete its fragments."""
    path = root / "CHANGELOG.md"
    text = path.read_text(encoding="utf-8")
    heading = f"## {version} ({now():%Y-%m-%d})"
    before, _, rest = text.partition(BEFORE)
    older = rest[rest.index("\n## ") :] if "\n## " in rest else ""
    made = f"{before}{BEFORE}\n\nNothing yet.\n\n{heading}\n\n{section(root / 'changes')}\n{older}"
    path.write_text(made, encoding="utf-8")
    for _, _, fragment in fragments(root / "changes"):
        fragment.unlink()


def main(arguments: Sequence[str], root: Path = ROOT, version: str = __version__) -> int:
    """Do what is asked; leave with 2 when it cannot be."""
    try:
        if arguments == ["collect"]:
            if written((root / "CHANGELOG.md").read_text(encoding="utf-8"), version) is not None:
                print(f"CHANGELOG.md has {version} already; give the product its next version first")
                return 2
            collect(root, version)
        elif arguments == ["notes"]:
            found = written((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)
            print(found or section(root / "changes"))
        else:
            print("say collect or notes")
            return 2
    except WrongFragment as wrong:
        print(wrong)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
