"""What a worker does for webhooks all the time: fan out, one worker at a time, and send, every worker."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from modules.webhooks.assembly import build_endpoints, build_vault
from modules.webhooks.dispatcher import Dispatcher
from modules.webhooks.fanout import READER, fan_out
from modules.webhooks.looks import webhook_metrics
from modules.webhooks.matching import WATCHER
from modules.webhooks.sending import Sender
from modules.webhooks.settings import WebhooksSettings
from monohull.kernel.feed_reader import EventsRead, FeedReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import asyncpg

    from monohull.kernel.events import Envelope
    from monohull.kernel.observation import Observation
    from monohull.kernel.runtime import Runtime


@asynccontextmanager
async def in_worker(runtime: Runtime) -> AsyncIterator[None]:
    """Deliver in this worker for as long as the block runs."""
    own = runtime.settings.of(WebhooksSettings)
    sender = Sender(runtime.outbound, build_vault(runtime), own, runtime.tracing)
    disable = build_endpoints(runtime).disable
    dispatcher = Dispatcher(runtime.database, sender, own, runtime.observer, disable)

    def read(observation: Observation) -> None:
        if isinstance(observation, EventsRead) and observation.reader == READER:
            dispatcher.wake()

    runtime.observer.add_reader(webhook_metrics(runtime.metrics))
    runtime.observer.add_reader(read)
    reader = FeedReader(
        runtime.database, runtime.observer, READER, _handle, from_beginning=True, watcher=WATCHER
    )
    async with reader.running(), dispatcher.running():
        yield


async def _handle(connection: asyncpg.Connection, events: Sequence[Envelope]) -> None:
    await fan_out(connection, events)
