"""Where messages end in development and in tests: readable, with the link and the code."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 msgspec reads it
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec
from msgspec import Struct

from monohull.kernel.observation import Level, Observation
from monohull.kernel.redis_connection import redis_or_unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

KEY: Final = "mh:mailbox"
KEPT: Final = 200
KEPT_SECONDS: Final = 7 * 86_400


class Kept(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message that was not sent.

    Attributes:
        id: Of this copy.
        kind: ``mail`` or ``sms``.
        to: Address or number.
        template: Which mail; empty for text messages.
        subject: Of a mail.
        text: Plain text.
        html: The same for mail programs that show it.
        link: Where the button leads.
        code: What can be typed in its place.
        sent_at: When it would have been sent.
    """

    id: str
    kind: str
    to: str
    template: str = ""
    subject: str = ""
    text: str
    html: str = ""
    link: str = ""
    code: str = ""
    sent_at: datetime


class MessageKept(Observation, frozen=True, kw_only=True):
    """A message was put into the mailbox. Only where there is one, and that is never in production."""

    event: ClassVar[str] = "auth.message_kept"
    level: ClassVar[Level] = "info"

    kind: str
    to: str
    template: str
    link: str
    code: str


class Mailbox:
    """The last messages, newest first, in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def put(self, message: Kept) -> None:
        """Keep ``message``; the oldest goes when there are too many.

        Raises:
            RedisUnavailable: 503.
        """
        with redis_or_unavailable():
            pipeline = self._redis.pipeline(transaction=False)
            _ = pipeline.lpush(KEY, msgspec.json.encode(message))
            _ = pipeline.ltrim(KEY, 0, KEPT - 1)
            _ = pipeline.expire(KEY, KEPT_SECONDS)
            await pipeline.execute()

    async def read(self, to: str | None = None) -> Sequence[Kept]:
        """Return what is kept, all of it or what went ``to`` somebody.

        Raises:
            RedisUnavailable: 503.
        """
        with redis_or_unavailable():
            found = await self._redis.lrange(KEY, 0, -1)
        kept = [msgspec.json.decode(raw, type=Kept) for raw in found]
        return [message for message in kept if to is None or message.to == to.strip().lower().lstrip("+")]

    async def empty(self) -> None:
        """Throw everything away.

        Raises:
            RedisUnavailable: 503.
        """
        with redis_or_unavailable():
            await self._redis.delete(KEY)
