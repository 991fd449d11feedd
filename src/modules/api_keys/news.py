"""That a key was changed, told to every process: here at once, elsewhere by the broker.

What a broker loses, `authenticator.CACHE_SECONDS` makes up for.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from monohull.kernel.broker import Message, SubscriberTooSlow
from monohull.kernel.errors import RedisUnavailable
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    from monohull.kernel.broker import Broker

CHANNEL: Final = "api_keys.changed"
RETRY_SECONDS: Final = 1.0


class News:
    """Tells and hears of changed keys.

    Args:
        broker: Reaches the other processes.
        hear: Called with the id of a key that changed, and with None when any may have.
    """

    def __init__(self, broker: Broker, hear: Callable[[str | None], None] | None = None) -> None:
        self._broker = broker
        self._hear = hear

    async def tell(self, key_id: UUID) -> None:
        """Say that a key changed, once that is committed. Without Redis the others find out by themselves."""
        if self._hear is not None:
            self._hear(str(key_id))
        with suppress(RedisUnavailable):
            await self._broker.publish(CHANNEL, str(key_id).encode())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen while the block runs."""
        async with beside(self._listen_for_ever(), name="api key news"):
            yield

    async def _listen_for_ever(self) -> None:
        while True:
            with suppress(RedisUnavailable, SubscriberTooSlow):
                await self._listen()
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        assert self._hear is not None
        async with self._broker.subscribe(CHANNEL) as notices:
            self._hear(None)  # what happened before nobody told
            async for notice in notices:
                self._hear(notice.payload.decode() if isinstance(notice, Message) else None)
