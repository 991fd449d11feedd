"""Read the catalog several times as an API process would, and print what it took, as JSON.

python read_catalog.py URL
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from modules.query.introspect import introspect
from monohull.kernel.heap import GC_THRESHOLDS

if TYPE_CHECKING:
    from modules.query import Catalog

TIMES: Final = 5


def peak_mib() -> float:
    """Return the most memory this program had. What ``getrusage`` says is inherited from who started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def size_mib(value: object) -> float:
    """Return what ``value`` and all it holds take, what is shared counted once."""
    seen: dict[int, object] = {}
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if id(one) not in seen:
            seen[id(one)] = one
            waiting += parts(one)
    return sum(sys.getsizeof(one) for one in seen.values()) / 2**20


def parts(value: Any) -> list[object]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, tuple | frozenset):
        return list(value)
    return [getattr(value, name) for name in getattr(value, "__struct_fields__", ())]


async def watch(turns: list[float]) -> None:
    """Note how much of the processor each turn of the loop takes."""
    last = time.thread_time()
    while True:
        await asyncio.sleep(0)
        now = time.thread_time()
        turns.append(now - last)
        last = now
        await asyncio.sleep(0.0005)


async def main(url: str) -> dict[str, object]:
    connection = await asyncpg.connect(url)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    before = peak_mib()
    catalog: Catalog | None = None
    turns: list[float] = []
    watching = asyncio.create_task(watch(turns))
    seconds, cpu, longest = [], [], []
    for number in range(TIMES):
        await connection.execute(f"comment on table big_{number} is E'Read {number} times.\\n@public'")
        turns.clear()
        started, used = time.perf_counter(), time.process_time()
        catalog = await introspect(connection, catalog)
        seconds.append(round(time.perf_counter() - started, 3))
        cpu.append(round(time.process_time() - used, 3))
        await asyncio.sleep(0.01)
        longest.append(round(max(turns), 5))
    watching.cancel()
    assert catalog is not None
    ours = [one for one in catalog.relations.values() if one.name.startswith("big_")]
    return {
        "tables": len(ours),
        "columns": sum(len(one.columns) for one in ours),
        "ways": sum(len(ways) for key, ways in catalog.relationships.items() if key[1].startswith("big_")),
        "seconds": seconds,
        "processor_seconds": cpu,
        "longest_turns": longest,
        "peak_mib": round(peak_mib() - before, 1),
        "size_mib": round(size_mib(catalog), 1),
    }


if __name__ == "__main__":
    json.dump(asyncio.run(main(sys.argv[1])), sys.stdout)
