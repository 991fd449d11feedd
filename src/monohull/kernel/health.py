"""Health: whether this process lives, has started, and may get traffic.

*live* asks nothing of anybody: a process that answers is alive, and restarting
it because the database is away would help nobody. *ready* runs every check at
once, each under its own time limit, and names the ones that fail. *startup* is
true once the resources of the process stand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias

from msgspec import Struct

from monohull.kernel.clock import monotonic_seconds

Probe: TypeAlias = Callable[[], Awaitable[str | None]]


class Check(Struct, frozen=True):
    """One thing a process needs to be of use.

    Attributes:
        name: Key in the answer of ``/health/ready``.
        probe: Returns None when all is well, else one sentence that says what is wrong.
        timeout_seconds: When the probe counts as failed.
    """

    name: str
    probe: Probe
    timeout_seconds: float = 1.0


class CheckResult(Struct, frozen=True, omit_defaults=True):
    """How one check went; ``message`` is None when it holds."""

    ok: bool
    duration_ms: float
    message: str | None = None


class Health:
    """The checks of one process."""

    def __init__(self, checks: Iterable[Check] = ()) -> None:
        self._checks = list(checks)

    def add(self, check: Check) -> None:
        self._checks.append(check)

    async def run(self) -> Mapping[str, CheckResult]:
        """Run every check at the same time and return the results by name."""
        results = await asyncio.gather(*(_run(check) for check in self._checks))
        return {check.name: result for check, result in zip(self._checks, results, strict=True)}


async def _run(check: Check) -> CheckResult:
    started = monotonic_seconds()
    try:
        async with asyncio.timeout(check.timeout_seconds):
            message = await check.probe()
    except TimeoutError:
        message = f"no answer within {check.timeout_seconds:g} s"
    except Exception as error:  # noqa: BLE001 the boundary: a probe that raises is a failed check
        message = str(error) or type(error).__name__
    return CheckResult(message is None, round((monotonic_seconds() - started) * 1000, 3), message)
