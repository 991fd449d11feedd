"""``/health/live``, ``/ready`` and ``/startup`` of a worker, on ``MONOHULL_WORKER_HEALTH_PORT``.

The same paths, and the same meaning, as those of the API: *live* asks nobody,
*ready* runs every check, *startup* is over once the worker fetches jobs. A
worker gets no requests, so "not ready" moves nothing away from it; it tells a
rollout to wait, and somebody who looks what is wrong.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from monohull.kernel.side_port import NOT_FOUND, OK, listen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from monohull.kernel.health import Health
    from monohull.kernel.side_port import Answer

UNAVAILABLE: Final = b"503 Service Unavailable"


class WorkerHealth:
    """Knows how far a worker has come.

    Args:
        health: The checks of the process.
        is_stopping: Whether it fetches no more.
    """

    def __init__(self, health: Health, is_stopping: Callable[[], bool]) -> None:
        self._health = health
        self._is_stopping = is_stopping
        self.is_started = False

    @asynccontextmanager
    async def serving(self, host: str, port: int | None) -> AsyncIterator[None]:
        """Answer for as long as the block runs; do nothing when no port is configured.

        Raises:
            OSError: The port is taken. Each worker of a host has one of its own.
        """
        if port is None:
            yield
            return
        async with await listen(host, port, self.answer):
            yield

    async def answer(self, path: bytes) -> Answer:
        """Return the answer to a GET."""
        if path == b"/health/live":
            return _answer(is_ok=True)
        if path == b"/health/startup":
            return _answer(is_ok=self.is_started)
        if path == b"/health/ready":
            checks = await self._health.run()
            is_ok = self.is_started and not self._is_stopping() and all(one.ok for one in checks.values())
            return _answer(is_ok=is_ok, checks=checks)
        return NOT_FOUND


def _answer(*, is_ok: bool, **more: Any) -> Answer:
    body = msgspec.json.encode({"status": "ok" if is_ok else "unavailable", **more})
    return (OK if is_ok else UNAVAILABLE), "application/json", body
