"""What a worker does for streams all the time: carry events to the sinks that it leads for."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from modules.streams.assembly import build_envelopes, build_vault
from modules.streams.claims import SinkClaims
from modules.streams.looks import sink_metrics
from modules.streams.settings import StreamsSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.runtime import Runtime


@asynccontextmanager
async def in_worker(runtime: Runtime) -> AsyncIterator[None]:
    """Carry events in this worker for as long as the block runs."""
    runtime.observer.add_reader(sink_metrics(runtime.metrics))
    claims = SinkClaims(
        runtime.database,
        build_vault(runtime),
        build_envelopes(runtime),
        runtime.settings.of(StreamsSettings),
        runtime.observer,
        runtime.tracing,
    )
    async with claims.running():
        yield
