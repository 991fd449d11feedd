"""What a signed-in user does with its own account: read it, end sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from msgspec import Struct

from modules.auth.errors import (
    BadJwt,
    BannedBearer,
    EndedSession,
    MalformedSubject,
    NoSuchSession,
    UnknownBearer,
    ValidationFailed,
)
from modules.auth.events import UserSignedOut
from modules.auth.repositories import SessionRepository, UserRepository
from modules.auth.services.new_users import view_of
from modules.auth.services.sessions import session_of
from modules.auth.views import view_device
from monohull.kernel import outbox
from monohull.kernel.principal import PrincipalKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import DeviceView, UserView
    from modules.auth.models import User
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal

SCOPES: Final = ("global", "local", "others")


class Bearer(Struct, frozen=True):
    """The user and the session that an access token belongs to, both alive.

    ``aal`` is the session's by now, which may be less than the token says.
    """

    user: User
    session_id: UUID | None
    aal: str = "aal1"


class Account:
    """One's own account. Every call checks that user and session still exist."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def show(self, principal: Principal) -> UserView:
        """Return the caller.

        Raises:
            AuthProblem: 401 or 403, what `bearer_of` refuses, as all calls here do.
        """
        async with self._database.unit_of_work() as work:
            return await view_of(work, (await bearer_of(work, principal)).user)

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
            if "client_id" in principal.claims:  # an application ends its own session, and no other
                ended = await sessions.end(bearer.user.id, only=bearer.session_id)
            elif scope == "global" or bearer.session_id is None:
                ended = await sessions.end(bearer.user.id)
            elif scope == "local":
                ended = await sessions.end(bearer.user.id, only=bearer.session_id)
            else:
                ended = await sessions.end(bearer.user.id, but=bearer.session_id)
            await signed_out(work, bearer.user.id, scope, ended)

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
            await signed_out(work, bearer.user.id, "session", ended)


async def bearer_of(work: AsyncSession, principal: Principal) -> Bearer:
    """Find who ``principal`` is.

    Raises:
        BadJwt: 403, the token names no user. MalformedSubject: 400, or something that is no user's id.
        UnknownBearer, EndedSession, BannedBearer: 403, what it names is gone or shut out.
    """
    if principal.subject is None:
        raise BadJwt("invalid claim: missing sub claim")
    if principal.kind is PrincipalKind.KEY:
        raise BadJwt("an API key acts for its owner on data alone")
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
        return Bearer(user, session.id, session.aal)
    return Bearer(user, None)


async def signed_out(work: AsyncSession, user_id: UUID, scope: str, ended: int) -> None:
    """Tell that ``ended`` sessions of a user are over, if there were any."""
    if ended:
        await outbox.publish(
            work, UserSignedOut(user_id=str(user_id), scope=scope, sessions=ended), key=str(user_id)
        )
