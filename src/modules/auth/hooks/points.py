"""`Hooks`: where a project may have its say, one method a point. Without a hook each lets everything pass."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from modules.auth.hooks.callers import build_caller
from modules.auth.hooks.errors import HookFailed, HookRejected, HookTimeout
from modules.auth.hooks.rehearsal import Question, TooManyQuestions, current, rehearse
from monohull.kernel import clock
from monohull.kernel.errors import Unavailable
from monohull.kernel.ids import uuid7
from monohull.kernel.observation import SILENT, Level, Observation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.hook_settings import HookSettings
    from modules.auth.hooks.callers import Caller
    from modules.auth.origin import Origin
    from monohull.kernel.database.engine import Database
    from monohull.kernel.observation import Observer
    from monohull.kernel.outbound import Outbound

T = TypeVar("T")

POINTS: Final = (
    "custom_access_token",
    "before_user_created",
    "password_verification_attempt",
    "mfa_verification_attempt",
    "send_email",
    "send_sms",
)
WITHIN_UNITS: Final = ("custom_access_token", "before_user_created")
"""Points that a unit of work comes to in its middle."""

GRACE_SECONDS: Final = 0.5
"""Beyond the time that a hook has, for whoever calls it to say so itself."""

REQUIRED_CLAIMS: Final = (
    "iss",
    "aud",
    "exp",
    "iat",
    "sub",
    "email",
    "phone",
    "role",
    "aal",
    "session_id",
    "is_anonymous",
)
"""What an access token must still say when a hook has changed its claims."""

FIXED_CLAIMS: Final = ("iss", "sub", "iat", "session_id")
"""What no hook may change: whose token it is, and what ends it."""


class HookNotAnswered(Observation, frozen=True):
    """A hook failed, or took too long."""

    event: ClassVar[str] = "auth.hook_not_answered"
    level: ClassVar[Level] = "error"

    hook: str
    error: str


class Hooks:
    """The hooks of this process.

    Args:
        callers: By the name of the point; a point without one lets everything pass.
        observer: Told of hooks that do not answer.
    """

    def __init__(self, callers: Mapping[str, Caller] | None = None, observer: Observer = SILENT) -> None:
        self._callers = dict(callers or {})
        self._has_slow = any(
            point in self._callers and not self._callers[point].joins for point in WITHIN_UNITS
        )
        self._observer = observer

    def has(self, point: str) -> bool:
        """Say whether somebody is asked at ``point``, one of `POINTS`."""
        return point in self._callers

    async def transact(self, database: Database, body: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """Run ``body`` in a unit of work that waits for no hook.

        ``body`` runs again from its beginning when a hook was asked; outside of the database it may
        change nothing before it comes to one.

        Raises:
            HookRejected, HookTimeout, HookFailed: Nothing was done.
        """
        if not self._has_slow:
            async with database.unit_of_work() as work:
                return await body(work)
        try:
            return await rehearse(database, body, self._answer)
        except TooManyQuestions as error:
            raise self._failed(str(error), "what it is asked about changes all the time") from error

    async def _answer(self, question: Question) -> Mapping[str, Any]:
        return await self._call(question.point, self._callers[question.point], question.payload, None)

    async def custom_access_token(
        self, claims: dict[str, Any], method: str, work: AsyncSession | None = None
    ) -> dict[str, Any]:
        """Return the claims as the hook wants them.

        Raises:
            HookRejected, HookTimeout, HookFailed: No token is signed.
        """
        payload = {"user_id": claims["sub"], "claims": claims, "authentication_method": method}
        # the hook need not be asked again because a second went by
        methods = [claim.get("method") for claim in claims.get("amr", ())]
        gist = {**claims, "exp": None, "amr": methods}
        answer = await self._ask("custom_access_token", payload, work, gist)
        if answer is None:
            return claims
        changed = answer.get("claims")
        if not isinstance(changed, dict):
            raise self._failed("custom_access_token", "the answer has no claims")
        missing = [name for name in REQUIRED_CLAIMS if name not in changed]
        altered = [name for name in FIXED_CLAIMS if changed.get(name) != claims.get(name)]
        if missing or altered:
            raise self._failed("custom_access_token", f"claims are missing {missing} or changed {altered}")
        return changed

    async def before_user_created(
        self, user: Mapping[str, Any], origin: Origin, work: AsyncSession | None = None
    ) -> None:
        """Let the hook refuse a new user.

        Raises:
            HookRejected, HookTimeout, HookFailed: No user is made.
        """
        metadata = {
            "uuid": str(uuid7()),
            "time": clock.now().isoformat(),
            "name": "before-user-created",
            "ip_address": origin.address,
        }
        gist = {name: value for name, value in user.items() if not name.endswith("_at")}
        await self._ask("before_user_created", {"metadata": metadata, "user": user}, work, gist)

    async def password_verification_attempt(self, user_id: str, *, valid: bool) -> None:
        """Let the hook refuse a password.

        Raises:
            HookRejected, HookTimeout, HookFailed: Nobody signs in.
        """
        await self._decide("password_verification_attempt", {"user_id": user_id, "valid": valid})

    async def mfa_verification_attempt(
        self, user_id: str, factor_id: str, factor_type: str, *, valid: bool
    ) -> None:
        """Let the hook refuse a second factor.

        Raises:
            HookRejected, HookTimeout, HookFailed: The session stays as it is.
        """
        payload = {
            "user_id": user_id,
            "factor_id": factor_id,
            "factor_type": factor_type,
            "valid": valid,
        }
        await self._decide("mfa_verification_attempt", payload)

    async def send_email(self, user: Mapping[str, Any], email_data: Mapping[str, Any]) -> bool:
        """Have a mail sent; False when there is no hook and it is ours to send.

        Raises:
            HookRejected, HookTimeout, HookFailed: It was not sent.
        """
        return await self._ask("send_email", {"user": user, "email_data": email_data}) is not None

    async def send_sms(self, user: Mapping[str, Any], sms: Mapping[str, Any]) -> bool:
        """Have a text message sent; False when there is no hook and it is ours to send.

        Raises:
            HookRejected, HookTimeout, HookFailed: It was not sent.
        """
        return await self._ask("send_sms", {"user": user, "sms": sms}) is not None

    async def _decide(self, point: str, payload: Mapping[str, Any]) -> None:
        answer = await self._ask(point, payload)
        if answer is None or answer.get("decision") == "continue":
            return
        if answer.get("decision") == "reject":
            raise HookRejected(str(answer.get("message") or "This sign-in was refused.")[:500])
        raise self._failed(point, "the decision is neither continue nor reject")

    async def _ask(
        self,
        point: str,
        payload: Mapping[str, Any],
        work: AsyncSession | None = None,
        gist: Any = None,
    ) -> Mapping[str, Any] | None:
        """Return the hook's answer, None when there is no hook."""
        caller = self._callers.get(point)
        if caller is None:
            return None
        if work is not None and not caller.joins and (rehearsal := current()) is not None:
            return rehearsal.answer(Question(point, payload, gist))
        return await self._call(point, caller, payload, work)

    async def _call(
        self, point: str, caller: Caller, payload: Mapping[str, Any], work: AsyncSession | None
    ) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(caller.seconds + GRACE_SECONDS):
                answer = await caller.call(payload, work)
        except TimeoutError as error:
            self._failed(point, f"no answer in {caller.seconds:g} s")
            raise HookTimeout(point, caller.seconds) from error
        except Unavailable:
            raise
        except Exception as error:  # the boundary: what is behind it is the project's own code
            raise self._failed(point, f"{type(error).__name__}: {error}".partition("\n")[0]) from error
        problem = answer.get("error")
        if isinstance(problem, dict):
            raise HookRejected(str(problem.get("message") or "Refused.")[:500], problem.get("http_code"))
        return answer

    def _failed(self, point: str, reason: str) -> HookFailed:
        self._observer.observe(HookNotAnswered(hook=point, error=reason))
        return HookFailed(point)


def build_hooks(settings: HookSettings, database: Database, outbound: Outbound, observer: Observer) -> Hooks:
    """Return the hooks that the settings name.

    Raises:
        ValueError: One cannot be called; begins with the name of its setting.
    """
    callers = {}
    for point in POINTS:
        if (uri := getattr(settings, f"hook_{point}_uri")) is None:
            continue
        try:
            callers[point] = build_caller(uri, getattr(settings, f"hook_{point}_secrets"), database, outbound)
        except ValueError as error:
            raise ValueError(f"hook_{point}_uri: {error}") from error
    return Hooks(callers, observer)
