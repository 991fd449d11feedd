"""The team that a session works in: in its tokens from the next refresh on, in policies at once."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from modules.teams.errors import OwnSessionNeeded
from modules.teams.events import ActiveTeamChanged
from modules.teams.repositories import TeamRepository
from modules.teams.services.standing import ABSENT, demand_own_session
from modules.teams.services.teams import view
from monohull.kernel import outbox
from monohull.kernel.errors import NotFound

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.teams.dtos import TeamView
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal


class ActiveTeams:
    """Which team each session works in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, by: Principal) -> TeamView:
        """Return the team that the session of ``by`` works in.

        Raises:
            OwnSessionNeeded: 403. NotFound: 404, none.
        """
        user_id, session_id = _session(by)
        async with self._database.unit_of_work() as work:
            teams = TeamRepository(work)
            team_id = await teams.find_active(session_id, user_id)
            team = None if team_id is None else await teams.find_by_id(team_id)
            if team is None:
                raise NotFound("This session works in no team.")
            return view(team, (await teams.held_in(team.id, user_id)).roles)

    async def switch(self, team_id: UUID, by: Principal) -> TeamView:
        """Have the session of ``by`` work in another of the user's teams.

        Raises:
            OwnSessionNeeded: 403, ``by`` has no session that could. NotFound: 404, no such team.
        """
        user_id, session_id = _session(by)
        async with self._database.unit_of_work() as work:
            teams = TeamRepository(work)
            team = await teams.find_by_id(team_id) if await teams.keep(team_id) else None
            roles = (await teams.held_in(team_id, user_id)).roles
            if team is None or not roles:
                raise NotFound(ABSENT)
            await _note(work, session_id, user_id, team_id)
            return view(team, roles)

    async def leave(self, by: Principal) -> None:
        """Have the session of ``by`` work in no team.

        Raises:
            OwnSessionNeeded: 403.
        """
        user_id, session_id = _session(by)
        async with self._database.unit_of_work() as work:
            await _note(work, session_id, user_id, None)


async def _note(work: AsyncSession, session_id: UUID, user_id: UUID, team_id: UUID | None) -> None:
    if not await TeamRepository(work).switch(session_id, user_id, team_id):
        raise OwnSessionNeeded("The session of this token has ended.")
    told = ActiveTeamChanged(
        user_id=str(user_id),
        session_id=str(session_id),
        team_id=None if team_id is None else str(team_id),
    )
    await outbox.publish(work, told, key=told.user_id)


def _session(by: Principal) -> tuple[UUID, UUID]:
    """Return the user who asks in person, and the session of the token.

    Raises:
        OwnSessionNeeded: 403, a token of another issuer for example belongs to no session here.
    """
    user_id = demand_own_session(by)
    try:
        return user_id, UUID(by.session_id or "")
    except ValueError:
        raise OwnSessionNeeded("This token belongs to no session of this instance.") from None
