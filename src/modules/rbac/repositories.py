"""Every query of rbac."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, delete, func, select, text

from modules.rbac.models import (
    DeclaredPermission,
    Group,
    GroupMember,
    Role,
    RoleAssignment,
    RoleColumns,
    RolePermission,
    Team,
)
from modules.rbac.permissions import including
from monohull.kernel.database.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from monohull.kernel.pagination import Page

LOCK_VERSION: Final = text("select version from monohull.access_version for update")
LOCK_USER: Final = text("select id from auth.users where id = :id and deleted_at is null for key share")
KEEP_USER: Final = text("select id from auth.users where id = :id for key share")
LOCK_TEAMS: Final = text(
    """
    select id from monohull.teams where id in (
        select team_id from monohull.role_assignments
        where id = :assignment_id or role_id = :role_id or group_id = :group_id
    ) order by id for no key update
    """
)
LOCK_KEY: Final = text("select id from monohull.api_keys where id = :id and revoked_at is null for key share")

FIND_USER: Final = text(
    """
    select id from auth.users
    where deleted_at is null and (id::text = lower(:name) or lower(email) = lower(:name))
    order by is_sso_user limit 1
    """
)

NAMES_IN: Final = text(
    """
    select array(
        select a.attname::text from pg_catalog.pg_attribute as a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum
    ) as columns, array(
        select p.proname::text from pg_catalog.pg_proc as p
        where p.pronargs = 1 and p.proargtypes[0] = c.reltype and p.prokind = 'f' order by p.proname
    ) as fields
    from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = :schema and c.relname = :relation and c.relkind in ('r', 'p', 'v', 'm', 'f')
    """
)
PRESENT: Final = text(
    """
    select n.nspname::text, c.relname::text
    from unnest(cast(:schemas as text[]), cast(:relations as text[])) as asked(schema, relation)
    join pg_catalog.pg_namespace as n on n.nspname = asked.schema
    join pg_catalog.pg_class as c on c.relnamespace = n.oid and c.relname = asked.relation
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
    """
)

VERSION: Final = """
    select version, exists (select from monohull.renamed_role_columns) or exists (
        select from monohull.role_columns as r
        where monohull.find_relation(r.schema_name, r.relation_name) is distinct from r.relation_id
    ) as is_behind
    from monohull.access_version
"""
"""``is_behind``: what a rule of columns is about is called otherwise by now, is gone or there anew."""

FOLLOW: Final = "select monohull.follow_renames()"
LOST: Final = """
    select r.name as role, c.schema_name || '.' || c.relation_name as relation
    from monohull.role_columns as c join monohull.roles as r on r.id = c.role_id
    where c.relation_id is null order by 1, 2
"""

HOLDERS: Final = """
    select array(
        select distinct coalesce(a.user_id, a.key_id, m.user_id)
        from monohull.role_assignments as a
        left join monohull.group_members as m on m.group_id = a.group_id
        where a.team_id is null and coalesce(a.user_id, a.key_id, m.user_id) is not null
        limit $1
    ) as holders, array(
        select distinct coalesce(a.user_id, a.key_id, m.user_id)
        from (select distinct role_id from monohull.role_columns) as c
        join monohull.role_assignments as a on a.role_id = c.role_id
        left join monohull.group_members as m on m.group_id = a.group_id
        where coalesce(a.user_id, a.key_id, m.user_id) is not null
        limit $1
    ) as limited
"""
LIMITS_OF: Final = """
    select coalesce(json_agg(found), '[]')::text as rules
    from (
        select held.is_of_key, r.name as role, c.schema_name as schema, c.relation_name as relation,
               c.reads, c.writes
        from (
            select a.role_id, a.key_id is not null as is_of_key
            from monohull.role_assignments as a where a.user_id = $1::uuid or a.key_id = $2::uuid
            union
            select a.role_id, false
            from monohull.group_members as m join monohull.role_assignments as a on a.group_id = m.group_id
            where m.user_id = $1::uuid
        ) as held
        join monohull.role_columns as c on c.role_id = held.role_id
        join monohull.roles as r on r.id = c.role_id
    ) as found
"""
HELD_BY_USER: Final = """
    select r.name, r.permissions
    from (
        select a.role_id from monohull.role_assignments as a where a.user_id = $1 and a.team_id is null
        union
        select a.role_id
        from monohull.group_members as m join monohull.role_assignments as a on a.group_id = m.group_id
        where m.user_id = $1 and a.team_id is null
    ) as held join monohull.roles as r on r.id = held.role_id
"""
HELD_BY_KEY: Final = """
    select r.name, r.permissions
    from monohull.role_assignments as a join monohull.roles as r on r.id = a.role_id
    where a.key_id = $1 and a.team_id is null
"""


def _contains(column: Any, words: str) -> ColumnElement[bool]:
    """Return the condition that a text has ``words`` in it, whatever their case."""
    escaped = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    condition: ColumnElement[bool] = column.ilike(f"%{escaped}%", escape="\\")
    return condition


class AccessRepository:
    """What concerns several tables: the lock of all changes, and who is there at all."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def lock(self) -> None:
        """Have every other change of access wait until this unit of work ends.

        Rows of users and keys are locked before: whoever deletes a user holds its row and wants this lock.
        """
        await self._session.execute(LOCK_VERSION)

    async def keep_user(self, user_id: UUID) -> None:
        """Keep a user from being deleted until the unit of work ends; one that was already is no matter."""
        await self._session.execute(KEEP_USER, {"id": user_id})

    async def lock_teams(
        self,
        *,
        assignment_id: UUID | None = None,
        role_id: UUID | None = None,
        group_id: UUID | None = None,
    ) -> None:
        """Have changes of teams wait in which an assignment, a role or a group counts.

        Behind the lock of all changes, and before any row of those teams: so does whoever deletes a user.
        """
        given = {"assignment_id": assignment_id, "role_id": role_id, "group_id": group_id}
        await self._session.execute(LOCK_TEAMS, given)

    async def has_user(self, user_id: UUID) -> bool:
        """Say whether the user exists, and keep it from being deleted until the unit of work ends."""
        return (await self._session.execute(LOCK_USER, {"id": user_id})).first() is not None

    async def find_user(self, name: str) -> UUID | None:
        """Return the id of the user with this id or mail address."""
        found: UUID | None = await self._session.scalar(FIND_USER, {"name": name})
        return found

    async def has_key(self, key_id: UUID) -> bool:
        """Like `has_user`, for a key that was not revoked."""
        return (await self._session.execute(LOCK_KEY, {"id": key_id})).first() is not None

    async def has_team(self, team_id: UUID) -> bool:
        statement = select(Team.id).where(Team.id == team_id).with_for_update(read=True, key_share=True)
        return (await self._session.execute(statement)).first() is not None


class RoleRepository(Repository[Role]):
    """Roles."""

    model_type = Role

    async def find_by_name(self, name: str) -> Role | None:
        return None if "\0" in name else await self.find_by(name=name)

    async def keep(self, role: Role) -> bool:
        """Say whether a role is still there, and keep it until the unit of work ends."""
        statement = select(Role.id).where(Role.id == role.id).with_for_update(read=True, key_share=True)
        return (await self.session.execute(statement)).first() is not None

    async def page(
        self, page: Page, *, words: str | None, permission: str | None
    ) -> tuple[Sequence[Role], int]:
        """Return a page of roles by name, and how many there are.

        Args:
            page: Which of them.
            words: In the name or the summary.
            permission: That is included in what they bundle.
        """
        conditions: list[ColumnElement[bool]] = []
        if words:
            conditions.append(_contains(Role.name, words) | _contains(Role.summary, words))
        if permission:
            bundling = RolePermission.permission.in_(including(permission))
            conditions.append(Role.id.in_(select(RolePermission.role_id).where(bundling)))
        total = await self.session.scalar(select(func.count()).select_from(Role).where(*conditions))
        statement = select(Role).where(*conditions).order_by(Role.name).limit(page.limit).offset(page.offset)
        return (await self.session.scalars(statement)).all(), total or 0

    async def is_bundled(self, permission: str) -> bool:
        """Say whether a role names ``permission`` itself."""
        statement = select(RolePermission.role_id).where(RolePermission.permission == permission).limit(1)
        return (await self.session.execute(statement)).first() is not None


class ColumnsRepository(Repository[RoleColumns]):
    """What roles leave of relations."""

    model_type = RoleColumns

    async def of_role(self, role_id: UUID) -> Sequence[RoleColumns]:
        """Return what a role leaves, by the names of schema and relation."""
        return await self.list_by(
            role_id=role_id, order_by=[RoleColumns.schema_name, RoleColumns.relation_name]
        )

    async def find(self, role_id: UUID, schema: str, relation: str) -> RoleColumns | None:
        return await self.session.get(RoleColumns, (role_id, schema, relation))

    async def relations_of(self, *conditions: ColumnElement[bool]) -> Sequence[tuple[str, str]]:
        """Return the relations about which roles say something, for rules where all conditions hold."""
        statement = select(RoleColumns.schema_name, RoleColumns.relation_name).where(*conditions).distinct()
        return [(row[0], row[1]) for row in (await self.session.execute(statement)).all()]

    async def names_in(self, schema: str, relation: str) -> tuple[list[str], list[str]] | None:
        """Return columns and computed fields of a relation; None where there is none."""
        found = await self.session.execute(NAMES_IN, {"schema": schema, "relation": relation})
        row = found.one_or_none()
        return None if row is None else (row.columns, row.fields)

    async def present(self, keys: Sequence[tuple[str, str]]) -> Collection[tuple[str, str]]:
        """Return which of these relations there are."""
        schemas, relations = [key[0] for key in keys], [key[1] for key in keys]
        found = await self.session.execute(PRESENT, {"schemas": schemas, "relations": relations})
        return {(row[0], row[1]) for row in found.all()}

    async def remove(self, row: RoleColumns) -> None:
        await self.session.delete(row)
        await self.session.flush()


class PermissionRepository(Repository[DeclaredPermission]):
    """Permissions of the application."""

    model_type = DeclaredPermission

    async def find_by_name(self, name: str) -> DeclaredPermission | None:
        return None if "\0" in name else await self.find_by(name=name)

    async def names(self) -> Collection[str]:
        return (await self.session.scalars(select(DeclaredPermission.name))).all()

    async def list_all(self) -> Sequence[DeclaredPermission]:
        return await self.list_by(order_by=[DeclaredPermission.name])


class GroupRepository(Repository[Group]):
    """Groups and their members."""

    model_type = Group

    async def find_by_name(self, name: str) -> Group | None:
        return None if "\0" in name else await self.find_by(name=name)

    async def page(self, page: Page, words: str | None) -> tuple[Sequence[Group], int]:
        """Return a page of groups by name, and how many there are."""
        conditions = [_contains(Group.name, words) | _contains(Group.summary, words)] if words else []
        total = await self.session.scalar(select(func.count()).select_from(Group).where(*conditions))
        statement = (
            select(Group).where(*conditions).order_by(Group.name).limit(page.limit).offset(page.offset)
        )
        return (await self.session.scalars(statement)).all(), total or 0

    async def members(self, group_id: UUID, page: Page) -> tuple[Sequence[GroupMember], int]:
        """Return a page of members, the first who came first, and how many there are."""
        condition = GroupMember.group_id == group_id
        total = await self.session.scalar(select(func.count()).select_from(GroupMember).where(condition))
        statement = (
            select(GroupMember)
            .where(condition)
            .order_by(GroupMember.created_at, GroupMember.user_id)
            .limit(page.limit)
            .offset(page.offset)
        )
        return (await self.session.scalars(statement)).all(), total or 0

    async def find_member(self, group_id: UUID, user_id: UUID) -> GroupMember | None:
        return await self.session.get(GroupMember, (group_id, user_id))

    async def add_member(self, group_id: UUID, user_id: UUID) -> None:
        self.session.add(GroupMember(group_id=group_id, user_id=user_id))
        await self.session.flush()

    async def remove_member(self, member: GroupMember) -> None:
        await self.session.delete(member)
        await self.session.flush()


class AssignmentRepository(Repository[RoleAssignment]):
    """Who has which role."""

    model_type = RoleAssignment

    async def page(
        self, page: Page, *conditions: ColumnElement[bool]
    ) -> tuple[Sequence[tuple[RoleAssignment, str]], int]:
        """Return a page of assignments with their roles' names, the oldest first, and how many there are."""
        total = await self.session.scalar(select(func.count()).select_from(RoleAssignment).where(*conditions))
        statement = (
            select(RoleAssignment, Role.name)
            .join(Role, Role.id == RoleAssignment.role_id)
            .where(*conditions)
            .order_by(RoleAssignment.created_at, RoleAssignment.id)
            .limit(page.limit)
            .offset(page.offset)
        )
        rows = (await self.session.execute(statement)).all()
        return [(row[0], row[1]) for row in rows], total or 0

    async def find_like(self, wanted: RoleAssignment) -> RoleAssignment | None:
        """Return the assignment of the same role to the same holder in the same place."""
        return await self.find_by(
            role_id=wanted.role_id,
            user_id=wanted.user_id,
            key_id=wanted.key_id,
            group_id=wanted.group_id,
            team_id=wanted.team_id,
        )

    async def count_of(self, *conditions: ColumnElement[bool]) -> int:
        """Return for how many assignments all hold."""
        statement = select(func.count()).select_from(RoleAssignment).where(*conditions)
        return await self.session.scalar(statement) or 0

    async def permissions_of_group(self, group_id: UUID) -> frozenset[str]:
        """Return what members of a group hold through it, in any team and outside of them."""
        statement = (
            select(func.unnest(Role.permissions))
            .join(RoleAssignment, RoleAssignment.role_id == Role.id)
            .where(RoleAssignment.group_id == group_id)
            .distinct()
        )
        return frozenset((await self.session.scalars(statement)).all())

    async def remove(self, assignment: RoleAssignment) -> bool:
        """Delete an assignment; say whether it was there still."""
        gone = delete(RoleAssignment).where(RoleAssignment.id == assignment.id).returning(RoleAssignment.id)
        return (await self.session.execute(gone)).first() is not None
