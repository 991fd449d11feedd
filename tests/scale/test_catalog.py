"""The catalog of a large database is read quickly, in little memory, and without anybody waiting for it.

The last is measured as a comparison within one run, for the speed of a machine
that others use too says little: windows without and with a reload take turns,
under the same steady load, and the slowest request of each window with a reload
is held against the 99th percentile of those without.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import asyncpg
import pytest
from msgspec import Struct

from monohull.kernel.clock import monotonic_seconds
from tests.application import anon_key
from tests.integration.cli.serving import serve
from tests.scale.large import COLUMNS, FOREIGN_KEYS, TABLES, build

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from monohull.kernel.home import Connections

    Record = Callable[[str, object], None]

pytestmark = pytest.mark.slow

HERE: Final = Path(__file__).parent
MOST_SECONDS: Final = 2.0
MOST_MIB: Final = 60.0
LONGEST_TURN_SECONDS: Final = 0.01
"""Processor time of one turn of the event loop."""

RATE: Final = 200
"""Requests a second."""
WARM_SECONDS: Final = 3.0
WINDOW_SECONDS: Final = 3.0
WINDOWS: Final = 6
"""Of each kind."""
FACTOR: Final = 3.0
FLOOR_SECONDS: Final = 0.01
"""Faster than this is no stall, whatever it is compared with."""
BAD_LUCK: Final = 2
"""So many windows more may have a request that is slow for another reason."""


@pytest.fixture
async def large(connections: Connections) -> Connections:
    database = await asyncpg.connect(connections.owner_url)
    try:
        await build(database)
    finally:
        await database.close()
    return connections


async def test_two_thousand_tables_are_read_quickly(large: Connections, record_property: Record) -> None:
    found: dict[str, Any] = json.loads(await run("read_catalog.py", large.owner_url))
    for name, figure in found.items():
        record_property(name, figure)
    assert (found["tables"], found["columns"], found["ways"]) == (TABLES, TABLES * COLUMNS, 2 * FOREIGN_KEYS)
    assert statistics.median(found["seconds"]) < MOST_SECONDS, found
    assert found["peak_mib"] < MOST_MIB, found
    assert statistics.median(found["longest_turns"]) < LONGEST_TURN_SECONDS, found


async def test_a_reload_under_load_fails_and_delays_nobody(
    large: Connections, tmp_path: Path, record_property: Record
) -> None:
    with serve(large, tmp_path, log_level="info", log_format="json") as url:
        load = asyncio.create_task(ask_all_the_time(url))
        await asyncio.sleep(WARM_SECONDS)
        spans = await take_turns(large.owner_url)
        samples = await load
    log = (tmp_path / "serve.log").read_text().splitlines()
    loads = [json.loads(line) for line in log if '"catalog.loaded"' in line]
    assert sum(load["is_changed"] for load in loads) == 1 + WINDOWS
    assert max(load["duration_seconds"] for load in loads) < WINDOW_SECONDS
    assert [status for _, _, status in samples if status != 200] == []
    verdict = judge(samples, spans)
    for name in verdict.__struct_fields__:
        record_property(name, getattr(verdict, name))
    assert verdict.typical_slowest_seconds <= verdict.limit_seconds, verdict
    assert verdict.slow_reloads <= verdict.slow_calms + BAD_LUCK, verdict


async def ask_all_the_time(url: str) -> list[tuple[float, float, int]]:
    """Ask for rows of many tables, alone and embedded, so that statements have to be compiled anew."""
    tables = range(1, 41)
    order = {
        "port": urlsplit(url).port,
        "token": anon_key(),
        "rate": RATE,
        "seconds": WARM_SECONDS + 2 * WINDOWS * WINDOW_SECONDS,
        "paths": [f"/rest/v1/big_{n}?select=id&limit=1" for n in tables]
        + [f"/rest/v1/big_{n}?select=id,column_1,big_{n * 7 + 1}(id)&limit=1" for n in tables],
    }
    found: list[tuple[float, float, int]] = json.loads(await run("open_loop.py", given=json.dumps(order)))
    return found


async def run(script: str, *arguments: str, given: str = "") -> bytes:
    """Run ``script``, which lies beside this file, in a process of its own, and return what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, HERE / script, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    said, _ = await process.communicate(given.encode())
    assert process.returncode == 0
    return said


class Span(Struct, frozen=True):
    """A window: whether the catalog is read in it, and when it was."""

    has_reload: bool
    begins: float
    ends: float


async def take_turns(url: str) -> list[Span]:
    """Do nothing for a while, change the database's structure and say so, and so on."""
    spans: list[Span] = []
    connection = await asyncpg.connect(url)
    try:
        for number in range(2 * WINDOWS):
            has_reload = number % 2 == 1
            begins = monotonic_seconds()
            if has_reload:
                await connection.execute(
                    f"create table added_{number} (id int primary key, big_id int references big_{number}); "
                    "notify pgrst, 'reload schema'"
                )
            await asyncio.sleep(WINDOW_SECONDS)
            spans.append(Span(has_reload, begins, monotonic_seconds()))
    finally:
        await connection.close()
    return spans


class Verdict(Struct, frozen=True):
    """How requests did in windows with a reload, beside those without.

    Attributes:
        calm_p99_seconds: Of all requests in windows without a reload.
        limit_seconds: `FACTOR` times that.
        typical_slowest_seconds: Median of the slowest requests of the windows with a reload.
        calm_slowest_seconds: The same of those without, to compare.
        slow_reloads, slow_calms: Windows of either kind with a request over the limit.
    """

    calm_p99_seconds: float
    limit_seconds: float
    typical_slowest_seconds: float
    calm_slowest_seconds: float
    slow_reloads: int
    slow_calms: int


def judge(samples: Sequence[tuple[float, float, int]], spans: Sequence[Span]) -> Verdict:
    """Compare the windows."""
    took = {
        span: [seconds for due, seconds, _ in samples if span.begins <= due < span.ends] for span in spans
    }
    assert all(len(times) > RATE * WINDOW_SECONDS / 2 for times in took.values())
    calm_p99 = statistics.quantiles(
        [t for s, times in took.items() if not s.has_reload for t in times], n=100
    )[98]
    limit = max(FACTOR * calm_p99, FLOOR_SECONDS)
    reloads = [max(times) for span, times in took.items() if span.has_reload]
    calms = [max(times) for span, times in took.items() if not span.has_reload]
    return Verdict(
        calm_p99,
        limit,
        statistics.median(reloads),
        statistics.median(calms),
        sum(slowest > limit for slowest in reloads),
        sum(slowest > limit for slowest in calms),
    )


@pytest.mark.parametrize(("stall", "is_seen"), [(0.0, False), (0.02, True)])
def test_the_verdict_sees_a_stall_and_no_noise(stall: float, *, is_seen: bool) -> None:
    """Requests of 1 to 5 ms, and now and then one of 40; in windows with a reload one waits for ``stall``."""
    spans = [Span(number % 2 == 1, number * 3.0, number * 3.0 + 3.0) for number in range(2 * WINDOWS)]
    noise = {100, 700, 2500, 3100}
    samples = [
        (n / RATE, 0.04 if n in noise else 0.001 + n % 5 / 1000, 200) for n in range(RATE * 6 * WINDOWS)
    ]
    samples += [(span.begins + 1.0, 0.005 + stall, 200) for span in spans if span.has_reload]
    verdict = judge(samples, spans)
    assert (verdict.typical_slowest_seconds > verdict.limit_seconds) == is_seen
    assert (verdict.slow_reloads > verdict.slow_calms + BAD_LUCK) == is_seen
