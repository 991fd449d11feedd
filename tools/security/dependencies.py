"""Ask the advisories about every dependency that the image installs.

pip-audit leaves with 0 when it could ask about nothing, as behind a mirror that
knows no advisories. Here that is a state of its own, and so is a part that
could not be asked about.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tools.security.places import ROOT
from tools.security.result import Result, run, undecided

if TYPE_CHECKING:
    from pathlib import Path

LOCK: Final = ROOT / "deploy" / "docker" / "requirements.lock"
SERVICES: Final = ("osv", "pypi")
LAST_WORDS: Final = 160


def check(lock: Path = LOCK) -> Result:
    """Ask one service, and the other when that one cannot be asked."""
    answer = undecided("pip-audit is not installed: make install-deploy")
    for service in SERVICES:
        answer = ask(service, lock)
        if not answer.undecided:
            return answer
    return answer


def ask(service: str, lock: Path) -> Result:
    """Return what a service knows of the dependencies of ``lock``."""
    try:
        ran = run(
            "pip-audit", "--progress-spinner=off", "--disable-pip", "--require-hashes", "--timeout=20",
            "--vulnerability-service", service, "--format=json", "--requirement", lock,
        )  # fmt: skip
    except FileNotFoundError:
        return undecided("pip-audit is not installed: make install-deploy")
    return read(ran.stdout, (ran.stderr.strip().splitlines() or ["no answer"])[-1])


def read(report: str, complaint: str) -> Result:
    """Return what pip-audit's report says; ``complaint`` is its last word when there is no report."""
    try:
        dependencies: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return undecided(f"no advisories were reached: {complaint[-LAST_WORDS:]}")
    found = [
        f"{one['name']} {one['version']}: {advisory['id']}, mended in "
        f"{', '.join(advisory.get('fix_versions') or ['no version'])}"
        for one in dependencies
        for advisory in one.get("vulns", ())
    ]
    skipped = [one["name"] for one in dependencies if "skip_reason" in one]
    known = len(dependencies) - len(skipped)
    if skipped or not dependencies:
        why = f"advisories are known of {known} of {len(dependencies)} dependencies"
        return Result(found, f"not checked: {why}", why)
    return Result(found, f"{known} dependencies asked about")
