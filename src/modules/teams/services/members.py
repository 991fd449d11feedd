"""Who is in a team, with which role; and how they leave it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.rbac import demand_held, demand_reach, get_role
from modules.teams.dtos import TeamMember
from modules.teams.events import TeamMemberJoined, TeamMemberLeft
from modules.teams.permissions import WRITE_MEMBERS
from modules.teams.repositories import TeamRepository
from modules.teams.services.seats import changing, demand_columns, give, take
from modules.teams.services.standing import (
    ABSENT,
    EVERYTHING,
    NOT_A_MEMBER,
    demand_here,
    find,
    person_of,
)
from monohull.kernel import outbox
from monohull.kernel.errors import NotFound
from monohull.kernel.permissions import grants

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from monohull.kernel.database.engine import Database
    from monohull.kernel.pagination import Page
    from monohull.kernel.principal import Principal


class Members:
    """The members of teams."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, team_id: UUID, page: Page, by: Principal) -> tuple[Sequence[TeamMember], int]:
        """Return a page of members, the first who came first, and how many there are.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            _, held = await find(work, team_id, by)
            shows = grants(by.permissions | held.permissions, WRITE_MEMBERS.name)
            found, total = await TeamRepository(work).members(team_id, page)
            return [
                TeamMember(
                    user_id=member.user_id,
                    email=member.email if shows else None,
                    roles=member.roles,
                    since=member.since,
                )
                for member in found
            ], total

    async def set_role(self, team_id: UUID, user_id: UUID, role: str, by: Principal) -> None:
        """Let a member have one role in place of those it had there in person.

        Nobody is put into a team unasked; only staff of the instance may.

        Raises:
            NotFound: 404, no such team, member or role. Forbidden: 403. LastTeamOwner: 409.
            BeyondOwnRoles: 403, the old or the new role bundles more than ``by`` holds.
        """
        async with changing(self._database) as work:
            teams = TeamRepository(work)
            _, standing = await find(work, team_id, by)
            held = demand_here(by, standing, WRITE_MEMBERS)
            absent = await teams.find_person(user_id) is None
            if not await teams.lock(team_id):
                raise NotFound(ABSENT)
            before = await teams.own_roles(team_id, user_id)
            if absent or not (before or grants(by.permissions, WRITE_MEMBERS.name)):
                raise NotFound(NOT_A_MEMBER)
            wanted = await get_role(work, role)
            demand_held(wanted.permissions, held)
            for role_id in {wanted.id, *(had.role_id for had in before)}:
                await demand_columns(work, role_id, by)
            if wanted.id not in {had.role_id for had in before}:
                await give(work, team_id, user_id, wanted, by)
            await take(work, team_id, user_id, [had for had in before if had.role_id != wanted.id], held)
            if not before:
                joined = TeamMemberJoined(team_id=str(team_id), user_id=str(user_id), role=wanted.name)
                await outbox.publish(work, joined, key=joined.team_id)

    async def remove(self, team_id: UUID, user_id: UUID, by: Principal) -> None:
        """Take a user out of a team; everybody may leave, but for the last owner.

        Raises:
            NotFound: 404, no such team or member. Forbidden: 403. BeyondOwnRoles: 403. LastTeamOwner: 409.
        """
        async with changing(self._database) as work:
            teams = TeamRepository(work)
            leaves = person_of(by) == user_id
            _, standing = await find(work, team_id, by)
            held = EVERYTHING if leaves else demand_here(by, standing, WRITE_MEMBERS)
            await teams.find_person(user_id)
            if not await teams.lock(team_id):
                raise NotFound(ABSENT)
            before = await teams.own_roles(team_id, user_id)
            if not before:
                raise NotFound(NOT_A_MEMBER)
            for had in before:
                if leaves:
                    await demand_reach(work, by, role_id=had.role_id)
                else:
                    await demand_columns(work, had.role_id, by)
            await take(work, team_id, user_id, before, held)
            left = TeamMemberLeft(team_id=str(team_id), user_id=str(user_id), was_removed=not leaves)
            await outbox.publish(work, left, key=left.team_id)
