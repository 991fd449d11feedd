"""``make contract``: the wire, case by case; the last line is ``N passed, N failed, N skipped``.

    python -m tools.contract [--cases FILE] [--pg MAJOR] [--record] [--specification] [arguments of pytest]

First PostgREST's specification, where its cases lie beside the repository or a
file of cases is named; see `tools.conformance`. The list of those that pass is
a ratchet: it is an error when one of them fails, and when another passes that
``--record`` has not put on it yet (on the embedded server). Then the project's own wire tables: every
test of requests and answers over the whole application, with a real PostgreSQL
and Redis behind it. They belong to the suite as well: ``--specification`` leaves them out where that has run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from msgspec import Struct

from tests.postgres_versions import EMBEDDED
from tools import conformance

ROOT: Final = Path(__file__).parent.parent
TABLES: Final = (
    "tests/contract",
    "tests/integration/rest",
    "tests/integration/auth",
    "tests/integration/api_keys",
    "tests/integration/teams",
)


class Tally(Struct, frozen=True):
    """How many cases went which way."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def read_report(path: Path) -> Tally:
    """Count the cases in a JUnit report; an error is a failure."""
    total = Tally()
    for suite in ET.parse(path).getroot().iter("testsuite"):  # noqa: S314  pytest wrote it just now
        cases, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        total += Tally(cases - failed - skipped, failed, skipped)
    return total


def run_wire_tables(arguments: list[str]) -> Tally:
    """Run the project's own tables.

    Raises:
        SystemExit: pytest could not run them at all.
    """
    folders = [name for name in TABLES if (ROOT / name).is_dir()]
    with tempfile.TemporaryDirectory(prefix="monohull-contract-") as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *folders, *arguments]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603  our own command line
        if not report.is_file():
            raise SystemExit(code)
        return read_report(report)


def judge(outcomes: list[conformance.Outcome], passing: set[str] | None) -> Tally:
    """Count the cases of the specification.

    Args:
        outcomes: What became of each.
        passing: Cases that passed before; another one that fails is skipped until it passes
            for the first time. None judges every case.
    """
    passed = sum(outcome.outcome == "passed" for outcome in outcomes)
    lost = [
        outcome.id
        for outcome in outcomes
        if outcome.outcome == "failed" and (passing is None or outcome.id in passing)
    ]
    for case in lost:
        print(f"this case {'failed' if passing is None else 'passed before'}: {case}")
    return Tally(passed, len(lost), len(outcomes) - passed - len(lost))


def unlisted(outcomes: list[conformance.Outcome], passing: set[str] | None) -> list[str]:
    """Return the cases that pass and are not among those that passed before, and say so."""
    new = [
        outcome.id
        for outcome in outcomes
        if passing is not None and outcome.outcome == "passed" and outcome.id not in passing
    ]
    for case in new:
        print(f"this case passes now, add it with --record: {case}")
    return new


def run_specification(cases: str | None, *, record: bool, major: int) -> tuple[Tally, bool]:
    """Run PostgREST's specification where it is at hand; return the count, and whether the list is whole.

    Cases that were named are all judged; those beside the repository are
    compared with the ones that passed before.
    """
    path = conformance.find(cases)
    if path is None:
        print("no cases of PostgREST's specification lie beside the repository; going on without them")
        return Tally(), True
    outcomes = conformance.run_groups(path, major=major)
    if record:
        conformance.record_passing(outcomes)
    passing = conformance.read_passing() if cases is None else None
    # another server has what the embedded one lacks; what passes there alone is told of, and no error
    is_whole = not unlisted(outcomes, passing) or major != EMBEDDED
    return judge(outcomes, passing), is_whole


def main(arguments: list[str]) -> int:
    """Run everything and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", help="file of cases to run in place of those beside the repository")
    parser.add_argument("--pg", type=int, default=EMBEDDED, help="major version of the PostgreSQL server")
    parser.add_argument("--record", action="store_true", help="remember the cases that pass")
    parser.add_argument("--specification", action="store_true", help="leave the project's own tables out")
    known, rest = parser.parse_known_args(arguments)
    specification, is_whole = run_specification(known.cases, record=known.record, major=known.pg)
    tally = specification if known.specification else specification + run_wire_tables(rest)
    print(tally)
    return int(tally.failed > 0 or not is_whole)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
