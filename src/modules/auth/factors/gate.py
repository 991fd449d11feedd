"""How often second factors may be tried: as passwords, see `modules.auth.limits` and `lockout`.

Six digits are guessed in a million tries, so wrong ones are counted per user
from everywhere and per user and address; and every request per address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.auth.events import SignInFailed, SignInRefused
from monohull.kernel.errors import RateLimited
from monohull.kernel.ratelimit import Limit, RateLimits

if TYPE_CHECKING:
    from uuid import UUID

    from modules.auth.lockout import Lockout
    from modules.auth.origin import Origin
    from modules.auth.settings import AuthSettings
    from monohull.kernel.counted import CountedEvents

BURST: Final = 30
FAILURES_SECONDS: Final = 900
METHOD: Final = "second_factor"
"""What the audit log calls it."""


class FactorGate:
    """The limits of second factors.

    Args:
        limits: Per address.
        lockout: Per user.
        settings: How many.
        counted: Told of answers that were wrong or refused.
    """

    def __init__(
        self, limits: RateLimits, lockout: Lockout, settings: AuthSettings, counted: CountedEvents
    ) -> None:
        self._counted = counted
        per_minute = settings.mfa_rate_limit_challenge_and_verify
        failures = settings.rate_limit_factor_failures
        self._limits = limits
        self._lockout = lockout
        self._requests = Limit("auth.factors", max(BURST, int(per_minute)), per_minute / 60)
        self._failures = Limit("auth.factor_failures", max(1, int(failures)), failures / FAILURES_SECONDS)

    async def request(self, origin: Origin) -> None:
        """Count a challenge or an answer.

        Raises:
            RateLimited: 429.
            RedisUnavailable: 503, as all of these.
        """
        await self._limits.enforce(self._requests, origin.network)

    async def admit(self, user_id: UUID, origin: Origin) -> bool:
        """Count an answer as wrong until it is known to be right; say whether the user knows the address.

        Raises:
            RateLimited: 429, too many were wrong.
        """
        key = _key(user_id, origin)
        try:
            if (await self._limits.take(self._failures, key, cost=0)).remaining < 1:
                await self._limits.enforce(self._failures, key)
            return await self._lockout.attempt(f"factors {user_id}", origin.network)
        except RateLimited:
            self._counted.count(SignInRefused(user_id=str(user_id), method=METHOD))
            raise

    async def failed(self, user_id: UUID, origin: Origin) -> None:
        """Note a wrong answer."""
        self._counted.count(SignInFailed(user_id=str(user_id), method=METHOD))
        await self._limits.take(self._failures, _key(user_id, origin))

    async def held(self, user_id: UUID, origin: Origin, *, was_known: bool) -> None:
        """Note a right answer."""
        await self._lockout.succeed(f"factors {user_id}", origin.network, was_known=was_known)


def _key(user_id: UUID, origin: Origin) -> str:
    return f"{user_id} {origin.network}"
