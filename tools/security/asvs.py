"""Count what of OWASP's ASVS holds, see that the tests named for it exist, and write the page of it.

    python -m tools.security.asvs            count, and look for every test; exit 1 when one is missing
    python -m tools.security.asvs --write    write docs/security/asvs.md
    python -m tools.security.asvs --check    exit 1 when that page is not current

The source is ``docs/security/asvs.toml``. Something that is met, or partly met,
names a test; something that is not says why.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections import Counter
from typing import TYPE_CHECKING, Final

from msgspec import Struct, convert

from tools.security.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SOURCE: Final = ROOT / "docs" / "security" / "asvs.toml"
PAGE: Final = ROOT / "docs" / "security" / "asvs.md"
STATES: Final = ("met", "partly", "not met", "not applicable")
PROVEN: Final = ("met", "partly")
LEVELS: Final = (1, 2, 3)
CHAPTERS: Final = {
    1: "Encoding and injection",
    2: "Validation and business logic",
    3: "Web front-ends",
    4: "API and web service",
    5: "Files",
    6: "Authentication",
    7: "Sessions",
    8: "Authorization",
    9: "Self-contained tokens",
    10: "OAuth and OpenID Connect",
    11: "Cryptography",
    12: "Secure communication",
    13: "Configuration",
    14: "Data protection",
    15: "Secure coding and architecture",
    16: "Logging and errors",
}


class Item(Struct, frozen=True, forbid_unknown_fields=True):
    """One requirement.

    Attributes:
        id: As the standard numbers it, ``6.2.1``.
        level: 1 to 3.
        state: One of `STATES`.
        what: It, in our words.
        why: How it is met, or why not.
        tests: Node ids of pytest, without parameters.
    """

    id: str
    level: int
    state: str
    what: str
    why: str = ""
    tests: tuple[str, ...] = ()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The id, to sort by."""
        return tuple(map(int, self.id.split(".")))


def read(path: Path = SOURCE) -> list[Item]:
    """Return the items in order."""
    items = convert(tomllib.loads(path.read_text(encoding="utf-8"))["item"], list[Item])
    return sorted(items, key=lambda item: item.numbers)


def faults(items: Iterable[Item]) -> list[str]:
    """Return what is wrong with the table itself."""
    found: list[str] = []
    seen: Counter[str] = Counter(item.id for item in items)
    found += [f"{id_} stands {times} times" for id_, times in seen.items() if times > 1]
    for item in items:
        if item.state not in STATES:
            found.append(f"{item.id}: {item.state!r} is no state; there are {', '.join(STATES)}")
        if item.level not in LEVELS or item.numbers[0] not in CHAPTERS:
            found.append(f"{item.id}: there is no such level or chapter")
        if item.state in PROVEN and not item.tests:
            found.append(f"{item.id}: it is {item.state} and names no test")
        if item.state != "met" and not item.why:
            found.append(f"{item.id}: it is {item.state} and does not say why")
    return found


def collected(files: Iterable[str]) -> set[str]:
    """Return the tests that pytest finds in ``files``, without parameters.

    Raises:
        RuntimeError: A file cannot be collected.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise RuntimeError("\n".join((ran.stdout + ran.stderr).splitlines()[-10:]))
    return {line.partition("[")[0] for line in ran.stdout.splitlines() if "::" in line}


def missing(items: Iterable[Item]) -> list[str]:
    """Return the tests that are named and do not exist."""
    named = {(item.id, test) for item in items for test in item.tests}
    files = {test.partition("::")[0] for _, test in named}
    there = {file for file in files if (ROOT / file).is_file()}
    known = collected(sorted(there)) if there else set()
    return [f"{id_}: there is no test {test}" for id_, test in sorted(named) if test not in known]


def count(items: Iterable[Item]) -> dict[tuple[int, str], int]:
    """Return how many there are by level and state."""
    return Counter((item.level, item.state) for item in items)


def table(items: Sequence[Item]) -> list[str]:
    """Return the counts as lines of Markdown."""
    counts = count(items)
    lines = [f"| level | {' | '.join(STATES)} |", f"|---|{'---|' * len(STATES)}"]
    lines += [
        f"| {level} | {' | '.join(str(counts.get((level, state), 0)) for state in STATES)} |"
        for level in LEVELS
    ]
    return lines


def page(items: Sequence[Item]) -> str:
    """Return the page."""
    lines = [
        "# OWASP ASVS 5.0.0",
        "",
        "<!-- Written by `make docs` from asvs.toml; change it there. -->",
        "",
        "The requirements of the Application Security Verification Standard that we show tests for, in",
        "our own words; numbers and levels are the standard's. `make asvs` counts them and fails when a",
        "test that is named here does not exist. What is not listed is not claimed. `not applicable` is",
        "what there is no feature for yet; with the feature it is `not met` until there is a test.",
        "",
        *table(items),
    ]
    for chapter, title in CHAPTERS.items():
        own = [item for item in items if item.numbers[0] == chapter]
        if not own:
            continue
        lines += [
            "",
            f"## V{chapter} {title}",
            "",
            "| id | level | requirement | state | how, or why not | tests |",
        ]
        lines += ["|---|---|---|---|---|---|"]
        lines += [
            f"| {item.id} | {item.level} | {item.what} | {item.state} | {item.why} | "
            f"{'<br>'.join(f'`{test}`' for test in item.tests)} |"
            for item in own
        ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Do as the arguments say; return the exit code."""
    items = read()
    if "--write" in arguments:
        PAGE.write_text(page(items), encoding="utf-8")
        return 0
    if "--check" in arguments:
        if is_old := not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page(items):
            print(f"{PAGE.relative_to(ROOT)} is not current; run `make docs`")
        return int(is_old)
    wrong = faults(items) or missing(items)
    print("\n".join([*wrong, *table(items)]))
    named = len({test for item in items for test in item.tests})
    print(f"{len(items)} requirements, {named} tests named, {len(wrong)} faults")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
