"""What a worker does for ingest all the time: take the messages of the sources that it leads for."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from modules.ingest.assembly import build_vault
from modules.ingest.claims import SourceClaims
from modules.ingest.looks import ingest_metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.runtime import Runtime


@asynccontextmanager
async def in_worker(runtime: Runtime) -> AsyncIterator[None]:
    """Take messages in this worker for as long as the block runs."""
    runtime.observer.add_reader(ingest_metrics(runtime.metrics))
    async with SourceClaims(runtime, build_vault(runtime)).running():
        yield
