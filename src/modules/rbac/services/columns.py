"""Limit roles to columns of relations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.rbac.dtos import ColumnsView
from modules.rbac.errors import BuiltinRole, UnknownColumn, UnknownRelation
from modules.rbac.events import RoleColumnsFreed, RoleColumnsLimited
from modules.rbac.models import RoleColumns
from modules.rbac.permissions import demand_held
from modules.rbac.reach import demand_unlimited
from modules.rbac.repositories import AccessRepository, ColumnsRepository
from modules.rbac.services.roles import get_role
from monohull.kernel import clock, outbox
from monohull.kernel.column_limits import EVERY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.rbac.dtos import LimitColumns
    from modules.rbac.models import Role
    from modules.rbac.services.changes import Changes
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal


class Columns:
    """Which columns of which relations roles leave."""

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._changes = changes

    async def list_all(self, role: str) -> Sequence[ColumnsView]:
        """Return what a role leaves, by the names of schema and relation.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            row, columns = await get_role(work, role), ColumnsRepository(work)
            rules = await columns.of_role(row.id)
            present = await columns.present([(rule.schema_name, rule.relation_name) for rule in rules])
            return [
                _view(row, rule, is_present=(rule.schema_name, rule.relation_name) in present)
                for rule in rules
            ]

    async def limit(
        self, role: str, schema: str, relation: str, wanted: LimitColumns, by: Principal
    ) -> ColumnsView:
        """Say what a role leaves of a relation; it counts for everybody who has the role, at once.

        Raises:
            NotFound: 404. BuiltinRole: 409. UnknownRelation: 400. UnknownColumn: 400.
            BeyondOwnRoles: 403, ``by`` does not hold what the role bundles, or sees less of the relation.
        """
        async with self._changes.open() as work:
            await AccessRepository(work).lock()
            row = await _get_own_role(work, role, by)
            demand_unlimited(by, schema, relation)
            columns = ColumnsRepository(work)
            reads, writes = wanted.read, wanted.write if wanted.write is not None else wanted.read
            await _demand_there(columns, (schema, relation), wanted)
            rule = await columns.find(row.id, schema, relation)
            previous = (None, None) if rule is None else (rule.reads, rule.writes)
            now = clock.now()
            if rule is None:
                rule = RoleColumns(
                    role_id=row.id, schema_name=schema, relation_name=relation, created_at=now, updated_at=now
                )
                work.add(rule)
            rule.reads, rule.writes, rule.updated_at = _listed(reads), _listed(writes), now
            await work.flush()
            limited = RoleColumnsLimited(
                role_id=str(row.id),
                role_name=row.name,
                relation=f"{schema}.{relation}",
                reads=_told(rule.reads),
                writes=_told(rule.writes),
                previous_reads=_told(previous[0]),
                previous_writes=_told(previous[1]),
            )
            await outbox.publish(work, limited, key=str(row.id))
            return _view(row, rule, is_present=True)

    async def free(self, role: str, schema: str, relation: str, by: Principal) -> None:
        """Have a role say nothing about a relation any more.

        Raises:
            NotFound: 404, no such role, or no such rule. BuiltinRole: 409. BeyondOwnRoles: 403.
        """
        async with self._changes.open() as work:
            await AccessRepository(work).lock()
            row = await _get_own_role(work, role, by)
            demand_unlimited(by, schema, relation)
            columns = ColumnsRepository(work)
            if (rule := await columns.find(row.id, schema, relation)) is None:
                raise columns.absent(f"The role {row.name} says nothing about {schema}.{relation}.")
            freed = RoleColumnsFreed(
                role_id=str(row.id),
                role_name=row.name,
                relation=f"{schema}.{relation}",
                reads=_told(rule.reads),
                writes=_told(rule.writes),
            )
            await columns.remove(rule)
            await outbox.publish(work, freed, key=str(row.id))

    async def grants(self, role: str, database_role: str) -> Sequence[str]:
        """Return the statements that leave a database role what a role leaves: for a migration, not run here.

        Raises:
            NotFound: 404, no such role.
        """
        async with self._database.unit_of_work() as work:
            row, columns = await get_role(work, role), ColumnsRepository(work)
            found: list[str] = []
            for rule in await columns.of_role(row.id):
                names = await columns.names_in(rule.schema_name, rule.relation_name)
                if names is not None:
                    found += _grants(rule, names[0], database_role)
            return found


async def _get_own_role(work: AsyncSession, role: str, by: Principal) -> Role:
    row = await get_role(work, role)
    if row.is_builtin:
        raise BuiltinRole(f"The role {row.name} comes with the product.")
    demand_held(row.permissions, by.permissions)
    return row


async def _demand_there(columns: ColumnsRepository, key: tuple[str, str], wanted: LimitColumns) -> None:
    """Let a wish pass that names what there is: a name that is mistyped would hide a column from all.

    Raises:
        UnknownRelation: 400. UnknownColumn: 400.
    """
    found = await columns.names_in(*key)
    if found is None:
        raise UnknownRelation(f"There is no table or view {key[0]}.{key[1]}.")
    own, computed = found
    unknown = {name for name in wanted.read or () if name not in (*own, *computed, EVERY)}
    unknown |= {name for name in wanted.write or () if name not in (*own, EVERY)}
    if unknown:
        raise UnknownColumn(f"{key[0]}.{key[1]} has no {', '.join(sorted(unknown)[:10])}.")


def _grants(rule: RoleColumns, columns: Iterable[str], database_role: str) -> list[str]:
    target, holder = f"{_quoted(rule.schema_name)}.{_quoted(rule.relation_name)}", _quoted(database_role)
    found: list[str] = []
    for privileges, names in (("select", rule.reads), ("insert, update", rule.writes)):
        if names is None or EVERY in names:
            continue
        listed = ", ".join(_quoted(name) for name in columns if name in names)
        found.append(f"revoke {privileges} on {target} from {holder};")
        if listed:
            each = ", ".join(f"{privilege} ({listed})" for privilege in privileges.split(", "))
            found.append(f"grant {each} on {target} to {holder};")
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _listed(names: Iterable[str] | None) -> list[str] | None:
    """Return names in one order; `EVERY` says it all."""
    if names is None:
        return None
    found = sorted(set(names))
    return [EVERY] if EVERY in found else found


def _told(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


def _view(role: Role, rule: RoleColumns, *, is_present: bool) -> ColumnsView:
    return ColumnsView(
        role=role.name,
        schema=rule.schema_name,
        relation=rule.relation_name,
        read=_told(rule.reads),
        write=_told(rule.writes),
        is_present=is_present,
        updated_at=rule.updated_at,
    )
