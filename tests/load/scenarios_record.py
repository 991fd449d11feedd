"""What a run of the scenarios gave, and whether that is good enough: for its goals, and beside the record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from tests.load.scenarios_described import FAILED_SHARE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BASELINE: Final = Path(__file__).parent / "scenarios.json"
TOLERANCE: Final = 2.0
"""How many times the 95th percentile on record is still noise."""


class Result(msgspec.Struct, frozen=True):
    """One scenario with one tool; ``load`` is the machine's load average beside."""

    tool: str
    scenario: str
    goal_per_second: int
    per_second: float
    p50_ms: float
    p95_ms: float
    goal_ms: float
    requests: int
    failed: int
    load: float

    @property
    def is_met(self) -> bool:
        return self.p95_ms < self.goal_ms and self.failed <= FAILED_SHARE * self.requests


def judge(results: Sequence[Result], known: Mapping[tuple[str, str], Result]) -> list[str]:
    """Return what misses its goal, or is far slower than on record while the machine was no busier."""
    complaints = []
    for one in results:
        before = known.get((one.tool, one.scenario))
        if not one.is_met:
            complaints.append(
                f"{one.scenario} ({one.tool}): p95 {one.p95_ms} ms of {one.goal_ms:.0f}, {one.failed} failed"
            )
        elif before is not None and one.load <= before.load and one.p95_ms > TOLERANCE * before.p95_ms:
            complaints.append(f"{one.scenario} ({one.tool}): p95 {one.p95_ms} ms, on record {before.p95_ms}")
    return complaints


def read_record() -> dict[tuple[str, str], Result]:
    """Return the results on record by tool and scenario."""
    if not BASELINE.exists():
        return {}
    found = msgspec.json.decode(BASELINE.read_bytes(), type=list[Result])
    return {(one.tool, one.scenario): one for one in found}
