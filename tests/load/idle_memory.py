"""Idle memory of supervisor, API and worker together: proportional set size, summed over their processes.

    python -m tests.load.idle_memory --home .monohull [--limit-mib 240]

Asks the home's state which processes run and exits with 1 above the limit.
Shared pages are counted once in all (that is what *proportional* means), so the
figure is what the machine would get back if all were stopped. The supervisor
belongs to them: API and worker are its forks, and it holds what they share.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from monohull.kernel.home import Home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monohull.kernel.home import State

LIMIT_MIB: Final = 240.0
MIB: Final = 1024 * 1024


def measured(state: State) -> Iterator[tuple[str, psutil.Process, float]]:
    """Yield role, process and MiB of each of our processes."""
    assert state.api is not None
    assert state.worker is not None
    supervisor = psutil.Process(state.supervisor.pid)
    yield "supervisor", supervisor, supervisor.memory_full_info().pss / MIB
    for role, leader in (("api", state.api), ("worker", state.worker)):
        root = psutil.Process(leader.pid)
        for process in (root, *root.children(recursive=True)):
            yield role, process, process.memory_full_info().pss / MIB


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(".monohull"))
    parser.add_argument("--limit-mib", type=float, default=LIMIT_MIB)
    arguments = parser.parse_args()
    state = Home(arguments.home).read_state()
    if state is None:
        sys.exit(f"nothing runs for the home {arguments.home}")
    total = 0.0
    for role, process, mib in measured(state):
        total += mib
        print(f"{role:10} {process.pid:8} {mib:8.1f} MiB  {' '.join(process.cmdline())[:60]}")
    verdict = "within" if total <= arguments.limit_mib else "ABOVE"
    print(f"together {total:.1f} MiB, {verdict} the limit of {arguments.limit_mib:g} MiB")
    return 0 if total <= arguments.limit_mib else 1


if __name__ == "__main__":
    sys.exit(main())
