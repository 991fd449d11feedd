"""What a killed supervisor left behind: API and worker that are still on their way out.

The kernel asks them to end when their parent dies (on Linux), but they finish
their requests first and hold the port meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from monohull.kernel.embedded.process import ON_LINUX, PROC, end_all, identity, wait_gone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monohull.kernel.home import ProcessState, State

LADDER: Final = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


def end_leftovers(state: State | None) -> None:
    """End the processes that ``state`` names and what they had started."""
    for process in (state.api, state.worker) if state is not None else ():
        if process is None:
            continue
        if process.is_alive:
            end_all([process.pid], LADDER)
        rest = list(session_of(process))
        for pid in rest:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_gone(rest, 5.0)


def session_of(leader: ProcessState) -> Iterator[int]:
    """Find living Python processes of the session that ``leader`` opened (Linux; nothing elsewhere)."""
    if not ON_LINUX:
        return
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        with contextlib.suppress(OSError):
            own = entry.stat().st_uid == os.geteuid()
            if not own or os.getsid(pid) != leader.pid or not same_boot(pid, leader):
                continue
            if Path((entry / "exe").readlink()).name.startswith("python"):
                yield pid


def same_boot(pid: int, leader: ProcessState) -> bool:
    """Say whether ``pid`` lives and ``leader`` was recorded since the machine started."""
    found = identity(pid)
    return found is not None and found.partition(":")[0] == leader.identity.partition(":")[0]
