"""Teams, who is in them and what they hold there; through a group counts as in person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import func, select, text

from modules.rbac import OWNER_ID, Team
from monohull.kernel.database.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from monohull.kernel.pagination import Page

_HELD: Final = """
    select a.role_id, a.team_id from monohull.role_assignments as a
    where a.user_id = :user_id and a.team_id is not null
    union all
    select a.role_id, a.team_id
    from monohull.group_members as m join monohull.role_assignments as a on a.group_id = m.group_id
    where m.user_id = :user_id and a.team_id is not null
"""
_ROLES_IN: Final = text(
    f"""
    select r.name, r.permissions from ({_HELD}) as h join monohull.roles as r on r.id = h.role_id
    where h.team_id = :team_id
    """  # noqa: S608 of our own text
)
_MINE: Final = text(
    f"""
    select t.id, t.name, t.slug, t.created_at, t.updated_at,
        array_agg(distinct r.name order by r.name) as roles
    from ({_HELD}) as h
    join monohull.teams as t on t.id = h.team_id join monohull.roles as r on r.id = h.role_id
    group by t.id order by t.name, t.id limit :limit offset :offset
    """  # noqa: S608 of our own text
)
_MINE_COUNT: Final = text(f"select count(distinct h.team_id) from ({_HELD}) as h")  # noqa: S608 our own text
_MEMBERS: Final = """
    select u.id as user_id, u.email, array_agg(distinct r.name order by r.name) as roles,
        min(greatest(a.created_at, m.created_at)) as since
    from monohull.role_assignments as a
    join monohull.roles as r on r.id = a.role_id
    left join monohull.group_members as m on m.group_id = a.group_id
    join auth.users as u on u.id = coalesce(a.user_id, m.user_id)
    where a.team_id = :team_id and u.deleted_at is null
    group by u.id
"""
_MEMBERS_PAGE: Final = text(f"{_MEMBERS} order by since, u.id limit :limit offset :offset")
_MEMBERS_COUNT: Final = text(f"select count(*) from ({_MEMBERS}) as members")  # noqa: S608 of our own text
_LOCK_VERSION: Final = text(
    "select version from monohull.access_version"
    " where exists (select from monohull.role_columns) for update of access_version"
)
_LOCK: Final = text("select id from monohull.teams where id = :team_id for no key update")
_KEEP: Final = text("select id from monohull.teams where id = :team_id for key share")
_OWN_ROLES: Final = text(
    """
    select a.id, r.id as role_id, r.name, r.permissions
    from monohull.role_assignments as a join monohull.roles as r on r.id = a.role_id
    where a.team_id = :team_id and a.user_id = :user_id order by a.id
    """
)
_OWNED: Final = text(
    "select count(*) from monohull.role_assignments where user_id = :user_id and role_id = :owner_id"
    " and team_id is not null"
)
_HAS_MEMBER: Final = text(f"select exists (select from ({_MEMBERS}) as m where lower(m.email) = :email)")  # noqa: S608 of our own text
_PERSON: Final = """
    select lower(email) as email, email_confirmed_at is not null as is_confirmed, is_anonymous
    from auth.users where id = :user_id and deleted_at is null
"""
_FIND_PERSON: Final = text(_PERSON)
_LOCK_PERSON: Final = text(f"{_PERSON} for no key update")
_GIVEN_IN: Final = text(
    "select distinct role_id from monohull.role_assignments where team_id = :team_id order by role_id"
)
_ACTIVE: Final = text("select team_id from auth.sessions where id = :session_id and user_id = :user_id")
_SWITCH: Final = text(
    "update auth.sessions set team_id = :team_id where id = :session_id and user_id = :user_id returning id"
)


class Held(Struct, frozen=True):
    """What somebody holds in a team."""

    roles: tuple[str, ...]
    permissions: frozenset[str]


class Member(Struct, frozen=True):
    """A row of the list of members."""

    user_id: UUID
    email: str | None
    roles: tuple[str, ...]
    since: datetime


class OwnRole(Struct, frozen=True):
    """A role that a user has in a team by an assignment of their own."""

    assignment_id: UUID
    role_id: UUID
    name: str
    permissions: tuple[str, ...]


class Person(Struct, frozen=True):
    """A user as far as teams care: the address counts once it is confirmed."""

    confirmed_email: str | None
    is_anonymous: bool


class TeamRepository(Repository[Team]):
    """Teams and who is in them."""

    model_type = Team

    async def held_in(self, team_id: UUID, user_id: UUID) -> Held:
        """Return what a user holds in a team."""
        rows = (await self.session.execute(_ROLES_IN, {"team_id": team_id, "user_id": user_id})).all()
        return Held(
            roles=tuple(sorted({row.name for row in rows})),
            permissions=frozenset(permission for row in rows for permission in row.permissions),
        )

    async def find_named(self, team: str) -> Team | None:
        """Return the team with this slug or id."""
        try:
            return await self.find_by_id(UUID(team))
        except ValueError:
            return None if "\0" in team else await self.find_by(slug=team)

    async def page_of(self, user_id: UUID, page: Page) -> tuple[Sequence[tuple[Team, tuple[str, ...]]], int]:
        """Return a page of a user's teams by name, with the user's roles in each, and how many there are."""
        given = {"user_id": user_id, "limit": page.limit, "offset": page.offset}
        rows = (await self.session.execute(_MINE, given)).all()
        total = await self.session.scalar(_MINE_COUNT, {"user_id": user_id})
        found = [
            Team(id=r.id, name=r.name, slug=r.slug, created_at=r.created_at, updated_at=r.updated_at)
            for r in rows
        ]
        return [(team, tuple(row.roles)) for team, row in zip(found, rows, strict=True)], total or 0

    async def page(self, page: Page) -> tuple[Sequence[Team], int]:
        """Return a page of all teams by name, and how many there are."""
        statement = select(Team).order_by(Team.name, Team.id).limit(page.limit).offset(page.offset)
        total = await self.session.scalar(select(func.count()).select_from(Team))
        return (await self.session.scalars(statement)).all(), total or 0

    async def members(self, team_id: UUID, page: Page) -> tuple[Sequence[Member], int]:
        """Return a page of members, the first who came first, and how many there are."""
        given = {"team_id": team_id, "limit": page.limit, "offset": page.offset}
        rows = (await self.session.execute(_MEMBERS_PAGE, given)).all()
        found = [Member(row.user_id, row.email, tuple(row.roles), row.since) for row in rows]
        return found, await self.count_members(team_id)

    async def count_members(self, team_id: UUID) -> int:
        return await self.session.scalar(_MEMBERS_COUNT, {"team_id": team_id}) or 0

    async def has_member(self, team_id: UUID, email: str) -> bool:
        """Say whether somebody with this address, in lower case, is in a team."""
        return bool(await self.session.scalar(_HAS_MEMBER, {"team_id": team_id, "email": email}))

    async def lock(self, team_id: UUID) -> bool:
        """Have other changes of the team's members wait; say whether there is such a team.

        People are locked before. Where roles limit columns, changes of access wait as well: who has such a
        role counts among them.
        """
        await self.session.execute(_LOCK_VERSION)
        return (await self.session.execute(_LOCK, {"team_id": team_id})).first() is not None

    async def keep(self, team_id: UUID) -> bool:
        """Keep a team from being deleted until the unit of work ends; say whether it is there."""
        return (await self.session.execute(_KEEP, {"team_id": team_id})).first() is not None

    async def own_roles(self, team_id: UUID, user_id: UUID) -> Sequence[OwnRole]:
        """Return the roles that a user has in a team by assignments of their own."""
        rows = (await self.session.execute(_OWN_ROLES, {"team_id": team_id, "user_id": user_id})).all()
        return [OwnRole(row.id, row.role_id, row.name, tuple(row.permissions)) for row in rows]

    async def roles_given_in(self, team_id: UUID) -> Sequence[UUID]:
        """Return the roles that somebody has in a team: users, groups or keys."""
        return list(await self.session.scalars(_GIVEN_IN, {"team_id": team_id}))

    async def count_owned(self, user_id: UUID) -> int:
        """Return how many teams a user owns in person."""
        return await self.session.scalar(_OWNED, {"user_id": user_id, "owner_id": OWNER_ID}) or 0

    async def find_person(self, user_id: UUID, *, locks: bool = True) -> Person | None:
        """Return a user; have other changes and the end of it wait until the unit of work ends.

        Of several the one with the lowest id comes first.
        """
        person = _LOCK_PERSON if locks else _FIND_PERSON
        row = (await self.session.execute(person, {"user_id": user_id})).first()
        if row is None:
            return None
        return Person(row.email if row.is_confirmed and row.email else None, row.is_anonymous)

    async def find_active(self, session_id: UUID, user_id: UUID) -> UUID | None:
        """Return the team that a session of a user works in."""
        found: UUID | None = await self.session.scalar(
            _ACTIVE, {"session_id": session_id, "user_id": user_id}
        )
        return found

    async def switch(self, session_id: UUID, user_id: UUID, team_id: UUID | None) -> bool:
        """Have a session of a user work in a team; False when there is no such session."""
        given = {"session_id": session_id, "user_id": user_id, "team_id": team_id}
        return (await self.session.execute(_SWITCH, given)).first() is not None
