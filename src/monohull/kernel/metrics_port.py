"""``/metrics`` on a port of its own, away from the public, when ``MONOHULL_METRICS_PORT`` is set.

Several processes of one host share their numbers by files, so the first one
that gets the port answers for all; when it goes, another takes the port over.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from monohull.kernel.metrics import CONTENT_TYPE, Metrics
from monohull.kernel.side_port import NOT_FOUND, OK, listen
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.side_port import Answer

TAKE_OVER_SECONDS: Final = 2.0


@asynccontextmanager
async def serve_metrics(metrics: Metrics, host: str, port: int | None) -> AsyncIterator[None]:
    """Serve for as long as the block runs; do nothing when no port is configured."""
    if port is None:
        yield
        return
    tried = asyncio.Event()
    async with beside(_hold_port(metrics, host, port, tried), name="metrics port"):
        await tried.wait()
        yield


async def _hold_port(metrics: Metrics, host: str, port: int, tried: asyncio.Event) -> None:
    """Listen, or wait until whoever listens there is gone; set ``tried`` after the first attempt."""

    async def answer(path: bytes) -> Answer:
        return (OK, CONTENT_TYPE, await metrics.exposition()) if path == b"/metrics" else NOT_FOUND

    while True:
        try:
            server = await listen(host, port, answer)
        except OSError:
            tried.set()
            await asyncio.sleep(TAKE_OVER_SECONDS)
            continue
        tried.set()
        async with server:
            await server.serve_forever()
