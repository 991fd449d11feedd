"""What an import did."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from typing import BinaryIO

    from modules.auth.intake.records import Rejection

SHOWN: Final = 1000
"""Refusals that the report itself holds; all of them go to the file that was asked for."""


class Refused(Struct, frozen=True, kw_only=True):
    """Somebody who was not taken. ``user`` is its address, number or id, as far as it is known."""

    where: str
    user: str
    reason: str
    message: str


class Report(Struct, kw_only=True):
    """Counts, and the first refusals.

    Attributes:
        source: Which kind.
        dry_run: Whether everything was rolled back.
        read: Users found.
        created: Users that are new.
        kept: Users that were there before and were not touched.
        refused: Users that were not taken.
        reasons: How often by reason.
        notes: What was left behind of users that were taken, and how often.
        refusals: The first `SHOWN`.
        seconds: All of it.
    """

    source: str
    dry_run: bool
    read: int = 0
    created: int = 0
    kept: int = 0
    refused: int = 0
    reasons: dict[str, int] = {}
    notes: dict[str, int] = {}
    refusals: list[Refused] = []
    seconds: float = 0.0


class Tally:
    """Counts while an import runs.

    Args:
        source: Which kind.
        dry_run: Whether everything is rolled back.
        details: Gets every refusal as a JSON line.
    """

    def __init__(self, source: str, *, dry_run: bool, details: BinaryIO | None = None) -> None:
        self.report = Report(source=source, dry_run=dry_run)
        self._details = details
        self._reasons: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()

    def refuse(self, where: str, user: str, rejection: Rejection) -> None:
        """Note somebody who is not taken."""
        refused = Refused(where=where, user=user, reason=rejection.reason, message=rejection.message)
        self.report.refused += 1
        self._reasons[rejection.reason] += 1
        if len(self.report.refusals) < SHOWN:
            self.report.refusals.append(refused)
        if self._details is not None:
            self._details.write(msgspec.json.encode(refused) + b"\n")

    def note(self, notes: tuple[str, ...]) -> None:
        """Note what was left behind of somebody who is taken."""
        self._notes.update(notes)

    def finish(self, seconds: float) -> Report:
        """Return the whole."""
        self.report.reasons = dict(self._reasons.most_common())
        self.report.notes = dict(self._notes.most_common())
        self.report.seconds = round(seconds, 3)
        return self.report


def lines(report: Report) -> list[str]:
    """Return the report for people."""
    verb = "would be created" if report.dry_run else "created"
    whole = f"{report.created} {verb}, {report.kept} were there already, {report.refused} refused"
    text = [f"{report.read} users read in {report.seconds:.1f} s: {whole}"]
    text += [f"  refused  {count:>7}  {reason}" for reason, count in report.reasons.items()]
    text += [f"  note     {count:>7}  {note}" for note, count in report.notes.items()]
    text += [
        f"  {entry.where}: {entry.user or '(no name)'}: {entry.message}" for entry in report.refusals[:20]
    ]
    if report.refused > 20:  # noqa: PLR2004 what fits on a screen
        text.append(f"  … and {report.refused - 20} more; --refused FILE writes all of them")
    return text


def plain(report: Report) -> dict[str, Any]:
    """Return the report for programs."""
    found: dict[str, Any] = msgspec.to_builtins(report)
    return found
