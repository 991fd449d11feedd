"""What a signed-in user does with its own account: read it, change it, end sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from msgspec import Struct

from modules.auth.errors import (
    BadJwt,
    BannedBearer,
    CurrentPasswordInvalid,
    EndedSession,
    MailUnavailable,
    MalformedSubject,
    NoSuchSession,
    NotAdmin,
    PhoneProviderDisabled,
    SamePassword,
    UnknownBearer,
    ValidationFailed,
)
from modules.auth.events import UserSignedOut, UserUpdated
from modules.auth.repositories import IdentityRepository, SessionRepository, UserRepository
from modules.auth.rules import check_password, check_storable, normal_email
from modules.auth.services.registration import refusals
from modules.auth.services.sessions import session_of
from modules.auth.views import view_device, view_user
from monohull.kernel import outbox
from monohull.kernel.principal import Principal, PrincipalKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import DeviceView, UpdateBody, UserView
    from modules.auth.models import User
    from modules.auth.passwords import Passwords
    from modules.auth.settings import AuthSettings
    from monohull.kernel.database.engine import Database

SCOPES: Final = ("global", "local", "others")


class Bearer(Struct, frozen=True):
    """The user and the session that an access token belongs to, both alive."""

    user: User
    session_id: UUID | None


class Account:
    """One's own account. Every call checks that user and session still exist."""

    def __init__(self, database: Database, passwords: Passwords, settings: AuthSettings) -> None:
        self._database = database
        self._passwords = passwords
        self._settings = settings

    async def show(self, principal: Principal) -> UserView:
        """Return the caller.

        Raises:
            AuthProblem: 401 or 403, what `bearer_of` refuses, as all calls here do.
        """
        async with self._database.unit_of_work() as work:
            return await _view(work, (await bearer_of(work, principal)).user)

    async def update(self, principal: Principal, body: UpdateBody) -> UserView:
        """Change the caller's metadata or password; a new password ends the other sessions.

        Raises:
            ValidationFailed: 400.
            NotAdmin: 403, ``app_metadata`` is not the user's to change.
            WeakPassword, SamePassword, MailUnavailable: 422.
        """
        async with self._database.unit_of_work() as work:
            bearer = await bearer_of(work, principal)
        self._admit(body, bearer.user, principal)
        hashed = await self._new_password(body, bearer.user) if body.password is not None else None
        with refusals():
            async with self._database.unit_of_work() as work:
                user = await UserRepository(work).lock(bearer.user.id)
                if user is None:
                    raise UnknownBearer
                changed = await self._apply(work, user, bearer, body.data, hashed)
                if changed:
                    await outbox.publish(
                        work, UserUpdated(user_id=str(user.id), changed=changed), key=str(user.id)
                    )
                await work.flush()
                return await _view(work, user)

    async def sign_out(self, principal: Principal, scope: str) -> None:
        """End sessions of the caller: ``global`` all, ``local`` this one, ``others`` all but this one.

        Raises:
            ValidationFailed: 400, another scope.
        """
        if scope not in SCOPES:
            raise ValidationFailed(f"Unsupported logout scope {scope[:40]!r}")
        async with self._database.unit_of_work() as work:
            bearer = await bearer_of(work, principal)
            sessions = SessionRepository(work)
            if scope == "global" or bearer.session_id is None:
                ended = await sessions.end(bearer.user.id)
            elif scope == "local":
                ended = await sessions.end(bearer.user.id, only=bearer.session_id)
            else:
                ended = await sessions.end(bearer.user.id, but=bearer.session_id)
            await _signed_out(work, bearer.user.id, scope, ended)

    async def devices(self, principal: Principal) -> Sequence[DeviceView]:
        """Return the caller's sessions, newest first."""
        async with self._database.unit_of_work() as work:
            bearer = await bearer_of(work, principal)
            sessions = await SessionRepository(work).list_of(bearer.user.id)
        return [view_device(session, is_current=session.id == bearer.session_id) for session in sessions]

    async def end_device(self, principal: Principal, session_id: UUID) -> None:
        """End one of the caller's sessions.

        Raises:
            NoSuchSession: 404, also when it is somebody else's.
        """
        async with self._database.unit_of_work() as work:
            bearer = await bearer_of(work, principal)
            ended = await SessionRepository(work).end(bearer.user.id, only=session_id)
            if not ended:
                raise NoSuchSession
            await _signed_out(work, bearer.user.id, "session", ended)

    def _admit(self, body: UpdateBody, user: User, principal: Principal) -> None:
        if body.app_metadata is not None and principal.kind is not PrincipalKind.SERVICE:
            raise NotAdmin
        if body.email and normal_email(body.email) != (user.email or "").lower():
            raise MailUnavailable("Changing the address takes a mail, and this version cannot send one yet")
        if body.phone and body.phone.strip().lstrip("+") != (user.phone or ""):
            raise PhoneProviderDisabled("Phone numbers cannot be confirmed here")
        check_storable(body.data)

    async def _new_password(self, body: UpdateBody, user: User) -> str:
        assert body.password is not None
        check_password(body.password, self._settings)
        stored = user.encrypted_password or None
        if body.current_password is not None and not await self._passwords.verify(
            body.current_password, stored
        ):
            raise CurrentPasswordInvalid
        if stored is not None and await self._passwords.verify(body.password, stored):
            raise SamePassword
        return await self._passwords.hash(body.password)

    async def _apply(
        self,
        work: AsyncSession,
        user: User,
        bearer: Bearer,
        data: dict[str, Any] | None,
        hashed: str | None,
    ) -> tuple[str, ...]:
        changed: list[str] = []
        if data:
            merged = {**(user.raw_user_meta_data or {}), **data}
            user.raw_user_meta_data = {name: value for name, value in merged.items() if value is not None}
            changed.append("user_metadata")
        if hashed is not None:
            user.encrypted_password = hashed
            await SessionRepository(work).end(user.id, but=bearer.session_id)
            changed.append("password")
        return tuple(changed)


async def bearer_of(work: AsyncSession, principal: Principal) -> Bearer:
    """Find who ``principal`` is.

    Raises:
        BadJwt: 403, the token names no user. MalformedSubject: 400, or something that is no user's id.
        UnknownBearer, EndedSession, BannedBearer: 403, what it names is gone or shut out.
    """
    if principal.subject is None:
        raise BadJwt("invalid claim: missing sub claim")
    try:
        user_id = UUID(principal.subject)
    except ValueError:
        raise MalformedSubject from None
    if (user := await UserRepository(work).find_alive(user_id)) is None:
        raise UnknownBearer
    if user.is_banned:
        raise BannedBearer
    session_id = session_of(principal.claims)
    if principal.claims.get("session_id"):
        session = await SessionRepository(work).find_by_id(session_id) if session_id else None
        if session is None or session.user_id != user.id:
            raise EndedSession
    return Bearer(user, session_id)


async def _view(work: AsyncSession, user: User) -> UserView:
    return view_user(user, await IdentityRepository(work).list_of(user.id))


async def _signed_out(work: AsyncSession, user_id: UUID, scope: str, ended: int) -> None:
    if ended:
        await outbox.publish(
            work, UserSignedOut(user_id=str(user_id), scope=scope, sessions=ended), key=str(user_id)
        )
