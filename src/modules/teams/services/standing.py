"""Who asks, and what they hold in a team.

A team that somebody is not in answers as one that does not exist: nobody learns
which teams there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from modules.teams.errors import OwnSessionNeeded
from modules.teams.permissions import READ_TEAMS
from modules.teams.repositories import Held, TeamRepository
from monohull.kernel.errors import NotFound
from monohull.kernel.grants import is_lent
from monohull.kernel.guards import demand
from monohull.kernel.permissions import Permission, grants

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.rbac import Team
    from monohull.kernel.principal import Principal

OWNER: Final = "owner"
ADMIN: Final = "admin"
EVERYTHING: Final = frozenset({"*"})

ABSENT: Final = "No team has this id, or you are not in it."
NOT_A_MEMBER: Final = "This user is not in the team."
_NOBODY: Final = Held((), frozenset())


def person_of(by: Principal) -> UUID | None:
    """Return the user who asks in person; None for keys and for applications of a user."""
    if by.key_id is not None or is_lent(by):
        return None
    try:
        return UUID(by.subject or "")
    except ValueError:  # tokens of other issuers name their users as they like
        return None


def demand_own_session(by: Principal) -> UUID:
    """Return the user who asks in person.

    Raises:
        OwnSessionNeeded: 403.
    """
    if (user_id := person_of(by)) is None:
        raise OwnSessionNeeded("This needs a session of the user's own.")
    return user_id


async def find(work: AsyncSession, team_id: UUID, by: Principal) -> tuple[Team, Held]:
    """Return a team that ``by`` may know of, and what ``by`` holds in it.

    Raises:
        NotFound: 404, there is none, or ``by`` is not in it.
    """
    teams = TeamRepository(work)
    user_id = person_of(by)
    held = _NOBODY if user_id is None else await teams.held_in(team_id, user_id)
    if not held.roles and not grants(by.permissions, READ_TEAMS.name):
        raise NotFound(ABSENT)
    if (team := await teams.find_by_id(team_id)) is None:
        raise NotFound(ABSENT)
    return team, held


def demand_here(by: Principal, held: Held, permission: Permission) -> frozenset[str]:
    """Let ``by`` pass who holds ``permission`` for the instance or in the team; return all that ``by`` holds.

    Raises:
        Forbidden: 403.
    """
    if not grants(held.permissions, permission.name):
        demand(by, permission.name)
    return by.permissions | held.permissions
