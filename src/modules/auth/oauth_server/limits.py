"""How often applications and browsers may ask. Shared by all processes, and closed while Redis is away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.auth.limits import WINDOW_SECONDS
from monohull.kernel.ratelimit import Limit, RateLimits

if TYPE_CHECKING:
    from modules.auth.origin import Origin
    from modules.auth.settings import AuthSettings


class OauthLimits:
    """The limits of the OAuth server."""

    def __init__(self, limits: RateLimits, settings: AuthSettings) -> None:
        self._limits = limits
        self._register = _limit("auth.oauth_register", settings.rate_limit_oauth_dynamic_client_register)
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


def _limit(name: str, per_window: float) -> Limit:
    return Limit(name, max(1, int(per_window)), per_window / WINDOW_SECONDS)
