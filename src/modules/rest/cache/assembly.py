"""The response cache of one process, put together."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from modules.rest.cache.line import Line, has_marks
from modules.rest.cache.opening import open_keepers
from modules.rest.cache.serving import ResponseCache
from modules.rest.cache.shared import Shared
from modules.rest.cache.store import Store
from monohull.kernel.home import jwt_secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from modules.query import LiveCatalog
    from modules.rest.settings import RestSettings
    from monohull.kernel.runtime import Runtime


class RunningCache(ResponseCache):
    """A response cache with what it runs on; outside of an API process nothing of it runs."""

    second: Shared | None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen for as long as the block runs."""
        try:
            async with self.line.running():
                yield
        finally:
            self.clear()
            if self.second is not None:
                await self.second.close()


def build_cache(runtime: Runtime, settings: RestSettings, live: LiveCatalog) -> RunningCache:
    """Return the cache; it answers nothing before it runs, and nothing where no table is marked.

    Raises:
        SettingsError: What is said of the second level cannot be.
    """
    shared = None
    if runtime.process == "api" and (keepers := open_keepers(runtime, settings)):
        shared = Shared(keepers, jwt_secret(runtime.settings), runtime.observer)
    store = Store(settings.cache_memory_bytes, settings.cache_entry_bytes)
    cache = RunningCache(store, shared, settings.cache_bound_seconds, runtime.metrics)
    cache.second = shared

    cache.line = Line(
        runtime.connections.owner_url,
        partial(has_marks, runtime.database),
        settings.cache_bound_seconds,
        cache.clear,
        runtime.observer,
    )
    live.on_restructured(cache.line.look_again)
    return cache
