"""How many requests a key made this day or month: counted here, agreed on in the background.

Like `monohull.kernel.allowance`, with a number that starts anew at a fixed time in
place of a bucket. A request counts in this process and waits for nobody; once a
second what was counted is added up in Redis, all keys in one round trip. So
processes that share a key may together pass its quota by what they let through
in one interval. A count that this process does not know is read before the
key's first request.

Without Redis each process goes by what it knows. Redis that lost its data begins
with what the processes tell it.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from modules.api_keys.errors import QuotaExceeded
from monohull.kernel import clock
from monohull.kernel.observation import SILENT
from monohull.kernel.ratelimit import Breaker
from monohull.kernel.redis_connection import UNREACHABLE, explain_redis_error
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from redis.asyncio import Redis

    from modules.api_keys.dtos import Quota
    from monohull.kernel.observation import Observer

PREFIX: Final = "mh:quota:"
INTERVAL_SECONDS: Final = 1.0
TIMEOUT_SECONDS: Final = 1.0
KEPT_SECONDS: Final = 86_400
"""How long a count outlives its period, for whoever wants to look at it."""

MAX_COUNTS: Final = 10_000
"""About 4 MB; one that is pushed out is read again."""


class Period:
    """A day or a month of UTC.

    Attributes:
        name: ``2026-11-26``, or ``2026-11``.
        seconds: How long it is.
        ends_at: Unix time.
    """

    __slots__ = ("ends_at", "name", "seconds")

    def __init__(self, kind: str, at: datetime) -> None:
        day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        begins = day if kind == "day" else day.replace(day=1)
        ends = begins + timedelta(days=1 if kind == "day" else 32)
        if kind != "day":
            ends = ends.replace(day=1)
        self.name = f"{begins:%Y-%m-%d}" if kind == "day" else f"{begins:%Y-%m}"
        self.seconds = int((ends - begins).total_seconds())
        self.ends_at = int(ends.timestamp())


class Count:
    """What one key used.

    Attributes:
        quota: The limit and its period.
        used: What all processes told Redis, as far as this one knows.
        untold: What was used here and Redis has not been told.
        is_known: Whether Redis was asked.
    """

    __slots__ = ("is_known", "key_id", "period", "quota", "untold", "used")

    def __init__(self, key_id: str, quota: Quota) -> None:
        self.key_id = key_id
        self.quota = quota
        self._begin()

    @property
    def redis_key(self) -> str:
        return f"{PREFIX}{self.key_id}:{self.period.name}"

    def take(self) -> None:
        """Count a request.

        Raises:
            QuotaExceeded: 429, it is one too many.
        """
        if clock.unix_seconds() >= self.period.ends_at:
            self._begin()
        if self.used + self.untold >= self.quota.limit:
            raise self._refusal()
        self.untold += 1

    def learn(self, used: int, told: int) -> None:
        """Take over what Redis has, once it was told of ``told`` requests."""
        self.untold -= told
        self.used = used
        self.is_known = True

    def _begin(self) -> None:
        self.period = Period(self.quota.period, clock.now())
        self.used = self.untold = 0
        self.is_known = False

    def _refusal(self) -> QuotaExceeded:
        limit, period = self.quota.limit, self.quota.period
        wait = max(1, math.ceil(self.period.ends_at - clock.unix_seconds()))
        return QuotaExceeded(
            f"This key has made the {limit} requests that it may make in a {period}.",
            headers={
                "RateLimit": f'"quota";r=0;t={wait}',
                "RateLimit-Policy": f'"quota";q={limit};w={self.period.seconds}',
                "Retry-After": str(wait),
            },
        )


class Quotas:
    """The counts of this process.

    Args:
        redis: Where processes agree.
        observer: Told when it is lost and when it is back.
    """

    def __init__(self, redis: Redis, observer: Observer = SILENT) -> None:
        self._redis = redis
        self._counts: OrderedDict[str, Count] = OrderedDict()
        self._breaker = Breaker("redis.quotas", observer)

    async def of(self, key_id: str, quota: Quota) -> Count:
        """Return the count of a key, as Redis has it where it was not known here."""
        count = self._counts.get(key_id)
        if count is None or count.quota.period != quota.period:
            count = self._counts[key_id] = Count(key_id, quota)
            if len(self._counts) > MAX_COUNTS:
                self._counts.popitem(last=False)
        count.quota = quota
        self._counts.move_to_end(key_id)
        if not count.is_known:
            await self._exchange([count])
        return count

    async def settle(self) -> None:
        """Tell what was used, and learn what others used. Without Redis everything stays as it is."""
        untold = [count for count in self._counts.values() if count.untold]
        if untold:
            await self._exchange(untold)

    async def used(self, key_id: str, quota: Quota) -> int | None:
        """Return how many requests a key made in the period at hand; None without Redis."""
        count = Count(key_id, quota)
        here = self._counts.get(key_id)
        await self._exchange([count])
        if not count.is_known:
            return None
        is_same = here is not None and here.redis_key == count.redis_key
        return count.used + (here.untold if here is not None and is_same else 0)

    async def _exchange(self, counts: Sequence[Count]) -> None:
        told = [(count, count.period, count.untold) for count in counts]
        answers = await self._increment(told)
        for (count, period, untold), used in zip(told, answers, strict=False):
            if count.period is period:  # else a new one began meanwhile
                count.learn(used, untold)

    async def _increment(self, told: Sequence[tuple[Count, Period, int]]) -> Sequence[int]:
        """Add up in one round trip; return the sums, nothing without Redis."""
        if not self._breaker.lets_pass():
            return ()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                pipeline = self._redis.pipeline(transaction=False)
                for count, period, untold in told:
                    _ = pipeline.incrby(count.redis_key, untold)
                    _ = pipeline.expireat(count.redis_key, period.ends_at + KEPT_SECONDS)
                answers: list[Any] = await pipeline.execute()
        except (*UNREACHABLE, RedisError) as error:
            self._breaker.failed(explain_redis_error(error))
            return ()
        except BaseException:
            self._breaker.abandoned()
            raise
        self._breaker.succeeded()
        return [int(sum_) for sum_ in answers[::2]]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Agree with the other processes once an interval while the block runs, and once in the end."""
        try:
            async with beside(self._settle_for_ever(), name="api key quotas"):
                yield
        finally:
            await self.settle()

    async def _settle_for_ever(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self.settle()
