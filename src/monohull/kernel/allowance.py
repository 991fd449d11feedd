"""A rate limit for paths that cannot wait for Redis: counted here, agreed on in the background.

A request takes a token of its caller's bucket in this process and waits for
nobody. Once a second what was taken is told to Redis, all callers in one round
trip, and what is left there is the most that is left here. So processes that
share a limit may together allow more than it says, for one interval: each as
much as its own bucket held. What was taken too much is owed, and paid back by
the refill before anything is allowed again.

Without Redis each process counts alone. Where every single request must be
counted at once (`RateLimits.enforce`), this is the wrong tool.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.errors import RateLimited
from monohull.kernel.ratelimit import decide, headers
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monohull.kernel.ratelimit import Decision, Limit, RateLimits

INTERVAL_SECONDS: Final = 1.0
MAX_CALLERS: Final = 10_000
"""About 4 MB. A caller whose bucket is pushed out finds in Redis what it left behind, an interval later."""


CALLERS_AT_ONCE: Final = 100
"""In one round trip. Requests are served between two, so that no agreement makes any of them wait long."""


class _Bucket:
    """What a caller has left here, and what Redis has not been told."""

    __slots__ = ("at", "tokens", "untold")

    def __init__(self, tokens: float, at: float) -> None:
        self.tokens = tokens
        self.at = at
        self.untold = 0


class Allowance:
    """One limit's buckets in this process.

    Args:
        limits: Where processes agree.
        limit: The rule.
        max_callers: How many buckets are kept; the least recently used goes.
    """

    def __init__(self, limits: RateLimits, limit: Limit, *, max_callers: int = MAX_CALLERS) -> None:
        self._limits = limits
        self._limit = limit
        self._max_callers = max_callers
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def has(self, caller: str) -> bool:
        """Take a token of the caller's bucket; say whether there was one."""
        now = monotonic_seconds()
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._add(caller, now)
        else:
            self._buckets.move_to_end(caller)
        tokens = bucket.tokens + (now - bucket.at) * self._limit.refill_per_second
        bucket.at = now
        tokens = min(tokens, self._limit.capacity)
        if tokens < 1:
            bucket.tokens = tokens
            return False
        bucket.tokens = tokens - 1
        bucket.untold += 1
        return True

    def enforce(self, caller: str) -> None:
        """Take a token or refuse the request.

        Raises:
            RateLimited: 429, with the headers of `ratelimit.headers`.
        """
        if not self.has(caller):
            raise self.refusal(caller)

    def refusal(self, caller: str) -> RateLimited:
        """Return what to refuse ``caller`` with."""
        decision = decide(self._limit, self._buckets[caller].tokens, 1, allowed=False)
        limit = self._limit
        self._limits.refused[limit.name] += 1
        return RateLimited(
            f"Too many requests: {limit.capacity} in {limit.window_seconds} s are allowed.",
            headers=headers(decision),
        )

    async def look(self, caller: str) -> Decision:
        """Return what a request of ``caller`` would be told now, by all processes; nothing is taken."""
        limit = self._limit
        tokens = float(limit.capacity)
        settled = await self._limits.settle(limit, {caller: 0})
        bucket = self._buckets.get(caller)
        if bucket is not None:
            gained = (monotonic_seconds() - bucket.at) * limit.refill_per_second
            tokens = min(tokens, bucket.tokens + gained)
        if caller in settled:
            tokens = min(tokens, settled[caller] - (0 if bucket is None else bucket.untold))
        return decide(limit, tokens, 1, allowed=tokens >= 1)

    def _add(self, caller: str, now: float) -> _Bucket:
        bucket = self._buckets[caller] = _Bucket(float(self._limit.capacity), now)
        if len(self._buckets) > self._max_callers:
            self._buckets.popitem(last=False)
        return bucket

    @asynccontextmanager
    async def agreeing(self) -> AsyncIterator[None]:
        """Agree with the other processes once an interval while the block runs, and once in the end."""
        try:
            async with beside(self._agree_for_ever(), name=f"allowance {self._limit.name}"):
                yield
        finally:
            await self.agree()

    async def _agree_for_ever(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self.agree()

    async def agree(self) -> None:
        """Tell what was taken, and take over what is left. Without Redis everything stays as it is."""
        callers = [caller for caller, bucket in self._buckets.items() if bucket.untold]
        for start in range(0, len(callers), CALLERS_AT_ONCE):
            await self._agree_on(callers[start : start + CALLERS_AT_ONCE])

    async def _agree_on(self, callers: Sequence[str]) -> None:
        told = {caller: bucket.untold for caller in callers if (bucket := self._buckets.get(caller))}
        left = await self._limits.settle(self._limit, told)
        for caller, tokens in left.items():
            if (bucket := self._buckets.get(caller)) is not None:
                bucket.untold -= told[caller]
                # what was taken while Redis was asked is not in its answer
                bucket.tokens = min(bucket.tokens, tokens - bucket.untold)
