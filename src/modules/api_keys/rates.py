"""The rate limits of keys: one `Allowance` for all keys that have the same number."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from monohull.kernel.allowance import INTERVAL_SECONDS, Allowance
from monohull.kernel.ratelimit import per_minute
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.ratelimit import RateLimits

NAME: Final = "api-key"


class Rates:
    """The allowances of this process.

    Args:
        limits: Where processes agree.
    """

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits
        self._allowances: dict[int, Allowance] = {}

    def of(self, requests: int) -> Allowance:
        """Return the allowance of keys with so many requests a minute; all of them may come at once."""
        allowance = self._allowances.get(requests)
        if allowance is None:
            limit = per_minute(NAME, requests, fail="local")
            allowance = self._allowances[requests] = Allowance(self._limits, limit)
        return allowance

    async def settle(self) -> None:
        """Agree with the other processes."""
        for allowance in list(self._allowances.values()):
            await allowance.agree()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Agree once an interval while the block runs, and once in the end."""
        try:
            async with beside(self._settle_for_ever(), name="api key rates"):
                yield
        finally:
            await self.settle()

    async def _settle_for_ever(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self.settle()
