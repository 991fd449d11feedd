"""``/verify``: somebody comes back with what was sent.

A token proves that whoever holds it reads the mail of an address, and not that
they set the password of an account that was never confirmed. So where an
address is confirmed by another way than the sign-up that set the password, the
password goes: otherwise one could sign up with a stranger's address and wait.

Source: supabase/auth, ``internal/api/verify.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlencode

from msgspec import Struct

from modules.auth import one_time
from modules.auth.dtos import Halfway, SessionView
from modules.auth.errors import AuthProblem, BannedBearer, ValidationFailed
from modules.auth.flow_errors import OtpExpired
from modules.auth.one_time import PKCE_PREFIX
from modules.auth.redirects import with_fragment, with_query
from modules.auth.repositories import OneTimeTokenRepository, UserRepository
from modules.auth.rules import normal_phone
from modules.auth.services.confirmation import (
    change_email,
    change_phone,
    confirm_email,
    confirm_phone,
)
from modules.auth.services.new_users import CHANGED, refusals
from modules.auth.services.pkce import end_flow
from monohull.kernel.ids import hash_token

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import VerifyBody
    from modules.auth.models import OneTimeToken, User
    from modules.auth.origin import Origin
    from modules.auth.services.sending import Sender
    from modules.auth.services.sessions import SessionIssuer
    from monohull.kernel.database.engine import Database

MAIL_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "signup": (one_time.CONFIRMATION, one_time.RECOVERY),
    "email": (one_time.CONFIRMATION, one_time.RECOVERY),
    "invite": (one_time.CONFIRMATION,),
    "magiclink": (one_time.RECOVERY,),
    "recovery": (one_time.RECOVERY,),
    "email_change": (one_time.EMAIL_CHANGE_CURRENT, one_time.EMAIL_CHANGE_NEW),
}
"""Which rows a ``type`` finds."""

PHONE_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "sms": (one_time.CONFIRMATION,),
    "phone_change": (one_time.PHONE_CHANGE,),
}
FLOW_METHODS: Final[Mapping[str, str]] = {
    "signup": "email/signup",
    "email": "email/signup",
    "invite": "invite",
    "magiclink": "magiclink",
    "recovery": "recovery",
    "email_change": "email_change",
}
LINK_TEXT: Final = "Email link is invalid or has expired"
HALFWAY: Final = "Confirmation link accepted. Please proceed to confirm link sent to the other email"
_ERRORS: Final[Mapping[int, str]] = {
    400: "invalid_request",
    401: "unauthorized_client",
    403: "access_denied",
    503: "temporarily_unavailable",
}


class Code(Struct, frozen=True):
    """A flow that ended with a code."""

    text: str


Outcome: TypeAlias = SessionView | Halfway | Code


class Verification:
    """Believes what holds."""

    def __init__(self, database: Database, issuer: SessionIssuer, sender: Sender) -> None:
        self._database = database
        self._issuer = issuer
        self._sender = sender

    async def by_link(self, token: str, kind: str, redirect_to: str, origin: Origin) -> str:
        """Follow a link; return where the browser goes, with a session, a code, or what was wrong."""
        is_pkce = token.startswith(PKCE_PREFIX)
        try:
            if not token or not kind:
                raise ValidationFailed("Verify requires a token and a type")
            outcome = await self._take_link(token, kind, origin, ends_with_code=is_pkce)
        except AuthProblem as problem:
            return arrive(redirect_to, _refusal(problem), in_query=is_pkce)
        if isinstance(outcome, Code):
            return with_query(redirect_to, {"code": outcome.text})
        if isinstance(outcome, Halfway):
            message = {"message": outcome.msg, "sb": ""}
            return with_query(redirect_to, message) if is_pkce else with_fragment(redirect_to, message)
        session = {
            "access_token": outcome.access_token,
            "expires_at": str(outcome.expires_at),
            "expires_in": str(outcome.expires_in),
            "refresh_token": outcome.refresh_token,
            "sb": "",
            "token_type": outcome.token_type,
            "type": kind,
        }
        return with_fragment(redirect_to, session)

    async def by_body(self, body: VerifyBody, origin: Origin) -> SessionView | Halfway:
        """Take a code with the address it was sent to, or the token of a link.

        Raises:
            ValidationFailed: 400. OtpExpired, BannedBearer: 403.
        """
        if not body.type:
            raise ValidationFailed("Verify requires a verification type")
        if bool(body.token) == bool(body.token_hash):
            raise ValidationFailed("Verify requires either a token or a token hash")
        if body.token_hash:
            if body.email or body.phone or body.redirect_to:
                raise ValidationFailed("Only the token_hash and type should be provided")
            outcome = await self._take_link(body.token_hash, body.type, origin, ends_with_code=False)
        else:
            outcome = await self._take_code(body, origin)
        assert not isinstance(outcome, Code)
        return outcome

    async def _take_link(self, token: str, kind: str, origin: Origin, *, ends_with_code: bool) -> Outcome:
        if (types := MAIL_TYPES.get(kind)) is None:
            raise ValidationFailed(f"Unsupported verification type {kind[:40]!r}")

        async def take(work: AsyncSession) -> Outcome:
            row = await OneTimeTokenRepository(work).take([hash_token(token)], types)
            if row is None or not self._sender.secrets.is_alive(row.relates_to, row.created_at):
                raise OtpExpired(LINK_TEXT)
            return await self._verify(work, row, kind, origin, ends_with_code=ends_with_code)

        with refusals(CHANGED):
            return await self._issuer.hooks.transact(self._database, take)

    async def _take_code(self, body: VerifyBody, origin: Origin) -> Outcome:
        kind, address = self._address(body)
        types = (PHONE_TYPES if body.phone else MAIL_TYPES)[kind]
        await self._sender.limits.admit_guess(address)

        async def take(work: AsyncSession) -> Outcome | None:
            row = await self._find_by_code(work, address, body.token or "", types)
            if row is None:
                return None
            return await self._verify(work, row, kind, origin, ends_with_code=False)

        with refusals(CHANGED):
            outcome = await self._issuer.hooks.transact(self._database, take)
        if outcome is None:
            await self._sender.limits.count_guess(address)
            raise OtpExpired
        return outcome

    @staticmethod
    def _address(body: VerifyBody) -> tuple[str, str]:
        kind = body.type or ""
        if bool(body.email) == bool(body.phone):
            raise ValidationFailed("Only an email address or phone number should be provided on verify")
        if body.phone:
            if kind not in PHONE_TYPES:
                raise ValidationFailed(f"Unsupported verification type {kind[:40]!r} for a phone number")
            return kind, normal_phone(body.phone)
        if kind not in MAIL_TYPES:
            raise ValidationFailed(f"Unsupported verification type {kind[:40]!r} for an email address")
        email = (body.email or "").strip().lower()
        if "@" not in email or "\0" in email:
            raise ValidationFailed("Invalid email format")
        return kind, email

    async def _find_by_code(
        self, work: AsyncSession, address: str, code: str, types: Sequence[str]
    ) -> OneTimeToken | None:
        """Find what was sent to ``address``; an address belongs to the code, so nobody else's is found."""
        hashes = self._sender.secrets.hashes(address, code)
        row = await OneTimeTokenRepository(work).take(hashes, types)
        if row is None or row.relates_to != address:
            return None
        return row if self._sender.secrets.is_alive(address, row.created_at) else None

    async def _verify(
        self, work: AsyncSession, row: OneTimeToken, kind: str, origin: Origin, *, ends_with_code: bool
    ) -> Outcome:
        user = await UserRepository(work).lock(row.user_id)
        if user is None:
            raise OtpExpired(LINK_TEXT)
        if user.is_banned:
            raise BannedBearer
        if not await self._apply(work, user, row):
            return Halfway(msg=HALFWAY)
        if ends_with_code:
            return Code(await end_flow(work, user.id, FLOW_METHODS[kind]))
        return await self._issuer.open(work, user, method="otp", origin=origin)

    async def _apply(self, work: AsyncSession, user: User, row: OneTimeToken) -> bool:
        """Do what ``row`` was sent for; return False when another address has to confirm it too."""
        if row.token_type in (one_time.EMAIL_CHANGE_CURRENT, one_time.EMAIL_CHANGE_NEW):
            return await change_email(self._sender, work, user, row)
        if row.token_type == one_time.PHONE_CHANGE:
            await change_phone(self._sender, work, user, row.relates_to)
        elif row.relates_to == user.phone:
            await confirm_phone(work, user)
        elif row.relates_to == (user.email or "").lower():
            await confirm_email(work, user, keeps_password=row.token_type == one_time.CONFIRMATION)
        else:  # the address was changed after this was sent
            raise OtpExpired(LINK_TEXT)
        return True


def arrive(redirect_to: str, values: Mapping[str, str], *, in_query: bool) -> str:
    """Return ``redirect_to`` with an error in its fragment, and in its query for PKCE clients."""
    url = with_query(redirect_to, values) if in_query else redirect_to
    return f"{url.partition('#')[0]}#{urlencode(values)}"


def _refusal(problem: AuthProblem) -> dict[str, Any]:
    return {
        "error": _ERRORS.get(problem.status, "access_denied"),
        "error_code": problem.code,
        "error_description": problem.message,
        "sb": "",
    }
