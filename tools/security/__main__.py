"""Look for weaknesses, and say of each check what became of it.

    python -m tools.security [CHECK…] [--offline]

Checks are ``dependencies``, ``secrets``, ``bandit``, ``rules``, ``fuzz`` and ``scan``;
all of them when none is named. Exit codes: 0 nothing was found, 1 something
was, 3 nothing was found and a check could not be made, such as the audit of
dependencies where no database of advisories is reached. ``--offline`` says that
one knows: then a check that could not be made does not change the code.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

from tools.security import bandit, dependencies, fuzz, scan, secrets
from tools.security.places import SOURCE, exceptions, unexcused, unused
from tools.security.result import Result
from tools.security.rules import look_through

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FOUND: Final = 1
WRONG_USAGE: Final = 2
UNDECIDED: Final = 3


def rules() -> Result:
    """Judge the source by our own rules."""
    places = look_through([SOURCE])
    excused = exceptions()
    found = [str(place) for place in unexcused(places, excused)]
    gone = [entry for entry in unused(places, excused) if not entry[0].startswith("B")]
    found += [f"{path}: {rule}: {what} is excused and not there any more" for rule, path, what in gone]
    return Result(found, f"{len(places) - len(found)} places have a reason")


CHECKS: Final[Mapping[str, Callable[[], Result]]] = {
    "dependencies": dependencies.check,
    "secrets": secrets.check,
    "bandit": bandit.check,
    "rules": rules,
    "fuzz": fuzz.check,
    "scan": scan.check,
}


def code_of(results: Mapping[str, Result], *, offline: bool) -> int:
    """Return the exit code."""
    if any(result.found for result in results.values()):
        return FOUND
    if not offline and any(result.undecided for result in results.values()):
        return UNDECIDED
    return 0


def main(arguments: list[str]) -> int:
    """Make the checks and print a line for each."""
    names = [argument for argument in arguments if not argument.startswith("-")] or list(CHECKS)
    strange = {*names} - {*CHECKS} | {one for one in arguments if one.startswith("-")} - {"--offline"}
    if strange:
        print(f"there is no {min(strange)}; there are {', '.join(CHECKS)} and --offline")
        return WRONG_USAGE
    results: dict[str, Result] = {}
    for name in names:
        began = time.monotonic()
        result = results[name] = CHECKS[name]()
        for line in result.found:
            print(f"  {line}")
        print(f"{name:13} {result.state:9} {time.monotonic() - began:6.1f} s  {result.said}", flush=True)
    return code_of(results, offline="--offline" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
