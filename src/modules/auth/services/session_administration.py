"""Sessions of anybody, by who keeps the users. Ours; GoTrue ends them for a token of the user's alone."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from modules.auth.errors import MalformedSessionId, NoSuchSession
from modules.auth.repositories import SessionRepository
from modules.auth.services.account import signed_out
from modules.auth.services.administration import lock_user
from modules.auth.views import view_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.auth.dtos import DeviceView
    from monohull.kernel.database.engine import Database


class SessionAdministration:
    """Looks at sessions and ends them; tokens of an ended one are refused within a second."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def show_all(self, user_id: str) -> Sequence[DeviceView]:
        """Return a user's sessions, newest first; none of them is the one that asks.

        Raises:
            MalformedUserId, UserNotFound: 404, as all of these.
        """
        async with self._database.unit_of_work() as work:
            user = await lock_user(work, user_id)
            sessions = await SessionRepository(work).list_of(user.id)
        return [view_device(session, is_current=False) for session in sessions]

    async def end_all(self, user_id: str) -> None:
        """Sign a user out everywhere."""
        async with self._database.unit_of_work() as work:
            user = await lock_user(work, user_id)
            await signed_out(work, user.id, "global", await SessionRepository(work).end(user.id))

    async def end(self, user_id: str, session_id: str) -> None:
        """End one session of a user.

        Raises:
            MalformedSessionId, NoSuchSession: 404, also for a session of another user.
        """
        try:
            parsed = UUID(session_id)
        except ValueError:
            raise MalformedSessionId from None
        async with self._database.unit_of_work() as work:
            user = await lock_user(work, user_id)
            if not (ended := await SessionRepository(work).end(user.id, only=parsed)):
                raise NoSuchSession
            await signed_out(work, user.id, "session", ended)
