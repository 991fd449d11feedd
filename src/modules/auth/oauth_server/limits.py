"""How often applications and browsers may ask. Shared by all processes, and closed while Redis is away.

An application that proves itself by a secret asks for all its users from one
address: what it does right is not counted.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from modules.auth.limits import WINDOW_SECONDS
from modules.auth.oauth_errors import OauthRefusal
from monohull.kernel.ratelimit import Limit, RateLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from modules.auth.origin import Origin
    from modules.auth.settings import AuthSettings


class OauthLimits:
    """The limits of the OAuth server."""

    def __init__(self, limits: RateLimits, settings: AuthSettings) -> None:
        self._limits = limits
        self._register = _limit("auth.oauth_register", settings.rate_limit_oauth_dynamic_client_register)
        self._token = _limit("auth.oauth_token", settings.rate_limit_token_refresh)
        self._authorize = _limit("auth.oauth_authorize", settings.rate_limit_token_refresh)

    async def register(self, origin: Origin) -> None:
        """Count an application that registers itself.

        Raises:
            RateLimited: 429. RedisUnavailable: 503, as all of these.
        """
        await self._limits.enforce(self._register, origin.network)

    async def authorize(self, origin: Origin) -> None:
        """Count a request for access, each of which is a row."""
        await self._limits.enforce(self._authorize, origin.network)

    @asynccontextmanager
    async def token(self, origin: Origin) -> AsyncIterator[None]:
        """Refuse whom too much was refused already, and count what is refused in the block."""
        if (await self._limits.take(self._token, origin.network, cost=0)).remaining < 1:
            await self._limits.enforce(self._token, origin.network)
        try:
            yield
        except OauthRefusal:
            await self.count_token(origin)
            raise

    async def count_token(self, origin: Origin) -> None:
        """Count what an application without a secret got."""
        await self._limits.take(self._token, origin.network)


def _limit(name: str, per_window: float) -> Limit:
    return Limit(name, max(1, int(per_window)), per_window / WINDOW_SECONDS)
