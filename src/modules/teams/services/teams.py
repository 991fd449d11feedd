"""Make teams, call them otherwise, give them away and delete them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from modules.rbac import Team, demand_held, get_role
from modules.teams.dtos import TeamView
from modules.teams.errors import OwnSessionNeeded, TooManyTeams
from modules.teams.events import TeamCreated, TeamDeleted, TeamMemberJoined, TeamTransferred, TeamUpdated
from modules.teams.permissions import CREATE_TEAMS, DELETE_TEAMS, READ_TEAMS, WRITE_TEAMS
from modules.teams.repositories import TeamRepository
from modules.teams.services.seats import changing, demand_columns, give, take
from modules.teams.services.standing import (
    ABSENT,
    ADMIN,
    EVERYTHING,
    NOT_A_MEMBER,
    OWNER,
    demand_here,
    demand_own_session,
    find,
    person_of,
)
from monohull.kernel import clock, outbox
from monohull.kernel.errors import NotFound
from monohull.kernel.guards import demand
from monohull.kernel.ids import uuid7
from monohull.kernel.permissions import grants

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.teams.dtos import CreateTeam, TeamPatch
    from modules.teams.settings import TeamsSettings
    from monohull.kernel.database.engine import Database
    from monohull.kernel.pagination import Page
    from monohull.kernel.principal import Principal


class Teams:
    """The teams of this instance, as far as whoever asks may know of them."""

    def __init__(self, database: Database, settings: TeamsSettings) -> None:
        self._database = database
        self._settings = settings

    async def page(self, page: Page, by: Principal, *, all_: bool = False) -> tuple[Sequence[TeamView], int]:
        """Return a page of teams by name, and how many there are: those that ``by`` is in, or all.

        Raises:
            Forbidden: 403, all are asked for, and ``by`` may not see them.
        """
        user_id = person_of(by)
        if all_ or user_id is None:
            demand(by, READ_TEAMS.name)
        async with self._database.unit_of_work() as work:
            if all_ or user_id is None:
                every, total = await TeamRepository(work).page(page)
                return [view(team, ()) for team in every], total
            found, total = await TeamRepository(work).page_of(user_id, page)
            return [view(team, roles) for team, roles in found], total

    async def get(self, team_id: UUID, by: Principal) -> TeamView:
        """Return a team.

        Raises:
            NotFound: 404, there is none, or ``by`` is not in it.
        """
        async with self._database.unit_of_work() as work:
            team, held = await find(work, team_id, by)
            return view(team, held.roles)

    async def create(self, wanted: CreateTeam, by: Principal) -> TeamView:
        """Make a team whose owner is ``by``, or somebody whom staff names.

        Raises:
            OwnSessionNeeded: 403. Forbidden: 403. NotFound: 404, no such owner.
            SlugTaken: 409. TooManyTeams: 409.
        """
        is_staff = grants(by.permissions, CREATE_TEAMS.name)
        user_id = wanted.owner_id or demand_own_session(by)
        if user_id != person_of(by) or self._settings.creation == "staff":
            demand(by, CREATE_TEAMS.name)
        now = clock.now()
        team = Team(id=uuid7(), name=wanted.name, slug=wanted.slug, created_at=now, updated_at=now)
        async with changing(self._database) as work:
            teams = TeamRepository(work)
            person = await teams.find_person(user_id)
            if person is None:
                raise NotFound("No user has this id.")
            if person.is_anonymous:
                raise OwnSessionNeeded("An anonymous user owns no team.")
            if not is_staff and await teams.count_owned(user_id) >= self._settings.max_owned:
                raise TooManyTeams(f"A user owns {self._settings.max_owned} teams at most.")
            await teams.add(team)
            created = TeamCreated(team_id=str(team.id), slug=team.slug, owner_id=str(user_id))
            await outbox.publish(work, created, key=created.team_id)
            await give(work, team.id, user_id, await get_role(work, OWNER), by)
            joined = TeamMemberJoined(team_id=str(team.id), user_id=str(user_id), role=OWNER)
            await outbox.publish(work, joined, key=joined.team_id)
        return view(team, (OWNER,) if user_id == person_of(by) else ())

    async def change(self, team_id: UUID, wanted: TeamPatch, by: Principal) -> TeamView:
        """Call a team otherwise.

        Raises:
            NotFound: 404. Forbidden: 403. SlugTaken: 409.
        """
        async with changing(self._database) as work:
            team, held = await find(work, team_id, by)
            demand_here(by, held, WRITE_TEAMS)
            await _lock(work, team)
            before = (team.name, team.slug)
            if wanted.name is not UNSET:
                team.name = wanted.name
            if wanted.slug is not UNSET:
                team.slug = wanted.slug
            if (team.name, team.slug) != before:
                team.updated_at = clock.now()
                await work.flush()
                updated = TeamUpdated(
                    team_id=str(team.id),
                    team_name=team.name,
                    slug=team.slug,
                    previous_name=before[0],
                    previous_slug=before[1],
                )
                await outbox.publish(work, updated, key=updated.team_id)
            return view(team, held.roles)

    async def delete(self, team_id: UUID, by: Principal) -> None:
        """Delete a team with every membership and invitation: its owners may, and staff.

        With it go the roles that were given in it. Where one of them limits columns, staff alone may, for
        that lifts the limit.

        Raises:
            NotFound: 404. BeyondOwnRoles: 403. TeamInUse: 409.
        """
        async with changing(self._database) as work:
            team, held = await find(work, team_id, by)
            if not grants(by.permissions, DELETE_TEAMS.name):
                demand_held(["*"], held.permissions)
            await _lock(work, team)
            for role_id in await TeamRepository(work).roles_given_in(team_id):
                await demand_columns(work, role_id, by, DELETE_TEAMS)
            members = await TeamRepository(work).count_members(team_id)
            gone = TeamDeleted(team_id=str(team.id), slug=team.slug, members=members)
            await outbox.publish(work, gone, key=gone.team_id)
            await work.delete(team)
            await work.flush()

    async def transfer(self, team_id: UUID, user_id: UUID, by: Principal) -> None:
        """Make another member owner; ``by``, who was, is admin from now on.

        Raises:
            NotFound: 404, no such team or member. BeyondOwnRoles: 403, ``by`` is not its owner.
        """
        async with changing(self._database) as work:
            teams = TeamRepository(work)
            await find(work, team_id, by)
            giver = demand_own_session(by)
            people = [await teams.find_person(each) for each in sorted({giver, user_id})]
            if not await teams.lock(team_id):
                raise NotFound(ABSENT)
            own = await teams.own_roles(team_id, giver)
            demand_held(
                ["*"], frozenset(held for had in own if had.name == OWNER for held in had.permissions)
            )
            before = await teams.own_roles(team_id, user_id)
            if user_id == giver or not before or None in people:
                raise NotFound(NOT_A_MEMBER)
            if OWNER not in {had.name for had in before}:
                await give(work, team_id, user_id, await get_role(work, OWNER), by)
            await take(work, team_id, user_id, [had for had in before if had.name != OWNER], EVERYTHING)
            if ADMIN not in {had.name for had in own}:
                await give(work, team_id, giver, await get_role(work, ADMIN), by)
            await take(work, team_id, giver, [had for had in own if had.name == OWNER], EVERYTHING)
            told = TeamTransferred(team_id=str(team_id), from_user=str(giver), to_user=str(user_id))
            await outbox.publish(work, told, key=told.team_id)


async def _lock(work: AsyncSession, team: Team) -> None:
    """Have other changes wait, and see the team as those before this one left it.

    Raises:
        NotFound: 404, one of them deleted it.
    """
    if not await TeamRepository(work).lock(team.id):
        raise NotFound(ABSENT)
    await work.refresh(team)


def view(team: Team, roles: tuple[str, ...]) -> TeamView:
    """Show a team, with the roles of whoever looks."""
    return TeamView(
        id=team.id,
        name=team.name,
        slug=team.slug,
        roles=roles,
        created_at=team.created_at,
        updated_at=team.updated_at,
    )
