"""Run bandit over what is installed or run on servers; places with a reason are in ``exceptions.toml``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from tools.security.places import ROOT, SOURCE, Place, exceptions, unexcused
from tools.security.result import Result, run, undecided

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FOLDERS: Final = (SOURCE, ROOT / "migrations", ROOT / "deploy" / "docker")

LEFT_TO_OTHERS: Final = {
    "B101": "asserts are for invariants; `asserted-access` finds those that decide",
    "B105": "words such as token are our trade; detect-secrets looks at values",
    "B106": "the same",
    "B311": "`guessable` finds what must not be guessed",
    "B404": "an import does nothing; B602 and the like look at calls",
    "B603": "the same",
    "B608": "ruff's S608 wants a reason in each line, and `sql-text` looks after the rest",
}


def check(folders: Sequence[Path] = FOLDERS) -> Result:
    """Return what bandit finds and nobody has excused."""
    try:
        ran = run(
            "bandit", "--quiet", "--recursive", "--format=json", "--skip", ",".join(LEFT_TO_OTHERS), *folders
        )
    except FileNotFoundError:
        return undecided("bandit is not installed: make install-deploy")
    report = json.loads(ran.stdout)
    places = [
        Place(
            path=one["filename"].replace(f"{SOURCE}/", ""),
            line=one["line_number"],
            rule=one["test_id"],
            found=" ".join(one["issue_text"].split()[:2]),
            message=one["issue_text"],
        )
        for one in report["results"]
    ]
    found = [str(place) for place in unexcused(places, exceptions())]
    found += [f"{one['filename']}: {one['reason']}" for one in report["errors"]]
    return Result(
        found, f"{len(report['metrics']) - 1} files, {len(places) - len(found)} places have a reason"
    )
