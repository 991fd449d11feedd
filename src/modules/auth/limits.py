"""How often one may try. Shared by all processes, and closed while Redis is away.

Per address, with the burst and the rate that GoTrue promises for the same
settings; and for wrong passwords per account *and* address, and per account
from everywhere, as `lockout` has it: nobody locks a victim out from elsewhere.
Right passwords cost nothing there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.auth.events import SignInFailed, SignInRefused
from monohull.kernel.errors import RateLimited
from monohull.kernel.ratelimit import Limit, RateLimits

if TYPE_CHECKING:
    from uuid import UUID

    from modules.auth.lockout import Lockout
    from modules.auth.origin import Origin
    from modules.auth.settings import AuthSettings
    from monohull.kernel.counted import CountedEvents

WINDOW_SECONDS = 300
BURST = 30


class Gate:
    """The limits of this module.

    Args:
        limits: Per address.
        lockout: Per account.
        settings: How many.
        counted: Told of sign-ins that failed or were refused.
    """

    def __init__(
        self, limits: RateLimits, lockout: Lockout, settings: AuthSettings, counted: CountedEvents
    ) -> None:
        self._counted = counted
        self._limits = limits
        self._lockout = lockout
        self._token = _limit("auth.token", settings.rate_limit_token_refresh)
        self._signup = _limit("auth.signup", settings.rate_limit_otp)
        self._external = _limit("auth.external", settings.rate_limit_external)
        self._failures = _limit("auth.password_failures", settings.rate_limit_password_failures)

    async def token(self, origin: Origin) -> None:
        """Count a request to /token.

        Raises:
            RateLimited: 429.
            RedisUnavailable: 503, as all of these.
        """
        await self._limits.enforce(self._token, origin.network)

    async def signup(self, origin: Origin) -> None:
        """Count a request to /signup."""
        await self._limits.enforce(self._signup, origin.network)

    async def external(self, origin: Origin) -> None:
        """Count a request to /authorize or /callback."""
        await self._limits.enforce(self._external, origin.network)

    async def admit_password(self, email: str, origin: Origin) -> bool:
        """Refuse when too many wrong passwords came for this account; say whether it knows the address."""
        key = _account(email, origin)
        try:
            left = await self._limits.take(self._failures, key, cost=0)
            if left.remaining < 1:
                await self._limits.enforce(self._failures, key)
            return await self._lockout.attempt(email, origin.network)
        except RateLimited:
            self._counted.count(SignInRefused(method="password"))
            raise

    async def password_held(self, email: str, origin: Origin, *, was_known: bool) -> None:
        """Note a right password: the attempt was no failure, and the account knows the address."""
        await self._lockout.succeed(email, origin.network, was_known=was_known)

    async def count_failure(self, email: str, origin: Origin, user_id: UUID | None) -> None:
        """Note a wrong password, for the account of ``user_id`` where there is one."""
        self._counted.count(
            SignInFailed(user_id=None if user_id is None else str(user_id), method="password")
        )
        await self._limits.take(self._failures, _account(email, origin))


def _account(email: str, origin: Origin) -> str:
    return f"{email} {origin.network}"


def _limit(name: str, per_window: float) -> Limit:
    """Allow ``per_window`` requests in five minutes; a burst of 30, more where the rate is above GoTrue's."""
    capacity = max(1, int(min(per_window, BURST) if per_window <= 150 else per_window / 5))  # noqa: PLR2004
    return Limit(name, capacity, per_window / WINDOW_SECONDS)
