"""Row events: what changes in a table that somebody watches becomes an event, whichever program writes.

    await watch(session, watcher="webhooks:8f2c", relation=("public", "orders"), columns=("status",))

A trigger writes the event in the transaction that changes the row. It carries the
names of those whose filter holds in `Envelope.watchers`, so that one change is
one event however many watch.

Secret columns are hidden as in the audit log. A condition is read and asked as
the owner of the platform's schema and sees the true values. It calls nothing but
immutable functions of PostgreSQL's own (`row_conditions`), but whoever may set one
may find out what stands in the table, and the caller has to ask for a permission
that says so.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
from sqlalchemy import text

from monohull.kernel.events import Event
from monohull.kernel.row_conditions import misfit, read_condition
from monohull.kernel.row_refusals import RowsNotWatchable, giving_up
from monohull.kernel.row_triggers import function_body, trigger_statements
from monohull.kernel.row_watching import OPERATIONS, Watch, WatchedTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from monohull.kernel.database.engine import Database

_LOCK: Final = text("select pg_advisory_xact_lock(hashtext('monohull.row_watches'))")
PATIENCE: Final = "5s"
"""How long a change of watches waits for a lock, while writers of the table wait behind it."""

_WAIT: Final = text("select set_config('lock_timeout', :patience, true)")
_FIND: Final = text(
    """
    select c.oid::bigint as oid, c.oid::regclass::text as said, format('%I.%I', n.nspname, c.relname) as name,
           c.relkind::text as kind, n.nspname as schema, current_user as login,
           has_table_privilege(c.oid, 'TRIGGER') as may_trigger, format('%I', current_user) as grantee,
           c.relkind = 'p' or c.relispartition or exists (
               select from pg_inherits where inhrelid = c.oid) as by_row,
           rn.nspname as root_schema, root.relname as root_table,
           array(select a.attname::text from pg_attribute as a
                 where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
           coalesce((
               select array_agg(a.attname::text order by place)
               from pg_index as i, unnest(i.indkey) with ordinality as part (number, place)
               join pg_attribute as a on a.attnum = part.number
               where i.indrelid = c.oid and i.indisprimary and a.attrelid = c.oid
           ), '{}') as keys,
           monohull.hidden_columns(c.oid) as hidden
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    join pg_class as root on root.oid = coalesce(pg_partition_root(c.oid), c.oid)
    join pg_namespace as rn on rn.oid = root.relnamespace
    where (n.nspname = :schema and c.relname = :table) or c.oid = cast(:oid as oid)
    """
)
_ADD: Final = text(
    """
    insert into monohull.row_watches (watcher, relation, operations, columns, condition)
    values (:watcher, cast(cast(:oid as oid) as regclass), :operations, :columns, :condition)
    on conflict (watcher, relation) do update set operations = excluded.operations,
        columns = excluded.columns, condition = excluded.condition, problem = null, watched_at = now()
    """
)
_REMOVE: Final = text(
    "delete from monohull.row_watches where watcher = :watcher returning relation::oid::bigint as oid"
)
_WATCHES: Final = text(
    """
    select watcher, operations, columns, condition from monohull.row_watches
    where relation = cast(:oid as oid) order by watcher
    """
)
_RELATIONS: Final = text(
    """
    select relation::oid::bigint as oid from monohull.row_watches
    union
    select substring(proname from '[0-9]+$')::bigint from pg_proc
    where pronamespace = 'monohull'::regnamespace and proname ~ '^row_events_[0-9]+$'
    """
)
_PRESENT: Final = text(
    """
    select p.prosrc as body, array(
        select t.tgname::text from pg_trigger as t
        where t.tgfoid = p.oid and t.tgparentid = 0 and t.tgrelid = cast(:oid as oid) order by 1
    ) as triggers
    from pg_proc as p where p.oid = to_regprocedure(:function)
    """
)
_PROBLEM: Final = text(
    """
    update monohull.row_watches set problem = :problem
    where relation = cast(:oid as oid) and watcher = :watcher and problem is distinct from :problem
    """
)
_CLOSED_SCHEMAS: Final = ("monohull", "pg_catalog", "information_schema")


class RowInserted(Event, frozen=True, kw_only=True):
    """A row was added to a watched table; ``is_cut`` when it was too large to be told whole."""

    name: ClassVar[str] = "rows.inserted"
    is_audited: ClassVar[bool] = False

    type: str
    schema: str
    table: str
    record: dict[str, Any]
    old_record: None
    is_cut: bool = False


class RowUpdated(Event, frozen=True, kw_only=True):
    """A row of a watched table was changed; ``is_cut`` when it was too large to be told whole."""

    name: ClassVar[str] = "rows.updated"
    is_audited: ClassVar[bool] = False

    type: str
    schema: str
    table: str
    record: dict[str, Any]
    old_record: dict[str, Any]
    is_cut: bool = False


class RowDeleted(Event, frozen=True, kw_only=True):
    """A row of a watched table was deleted; ``is_cut`` when it was too large to be told whole."""

    name: ClassVar[str] = "rows.deleted"
    is_audited: ClassVar[bool] = False

    type: str
    schema: str
    table: str
    record: None
    old_record: dict[str, Any]
    is_cut: bool = False


ROW_EVENTS: Final = (RowInserted, RowUpdated, RowDeleted)


async def watch(  # noqa: PLR0913 what is watched, by whom and for what
    session: AsyncSession,
    *,
    watcher: str,
    relation: tuple[str, str],
    operations: Sequence[str] = OPERATIONS,
    columns: Sequence[str] | None = None,
    condition: str | None = None,
) -> None:
    """Have changes of a table's rows told from the commit on, and no more what the watcher asked before.

    Args:
        session: The unit of work; until it is committed, writers of the table wait.
        watcher: Who watches, ``module:id``; found in `Envelope.watchers`.
        relation: Schema and table, unquoted.
        operations: Of ``INSERT``, ``UPDATE`` and ``DELETE``.
        columns: Tell of an update only when one of these changed.
        condition: A boolean SQL expression over ``new`` and ``old``, without subqueries; the side that an
            operation does not have is null.

    Raises:
        RowsNotWatchable: 400; no such table or column, a grant that lacks, a condition that is none or
            calls more than immutable functions of PostgreSQL's.
        RowsInUse: 503; the table was locked for 5 s.
    """
    with giving_up():
        await _begin(session)
    table, about = await _find(session, relation)
    if not operations or not set(operations) <= set(OPERATIONS):
        raise RowsNotWatchable(f"operations are some of {', '.join(OPERATIONS)}")
    if unknown := sorted(set(columns or ()) - set(about["columns"])):
        raise RowsNotWatchable(f"{about['said']} has no column {', '.join(unknown)}")
    if columns is not None and not columns:
        raise RowsNotWatchable("name a column, or leave the columns out to be told of each update")
    asked = None if condition is None else await read_condition(session, table, condition)
    await session.execute(
        _ADD,
        {
            "watcher": watcher,
            "oid": table.oid,
            "operations": list(operations),
            "columns": None if columns is None else list(columns),
            "condition": asked,
        },
    )
    with giving_up():
        await _write_triggers(session, table)


async def unwatch(session: AsyncSession, *, watcher: str) -> None:
    """Tell this watcher of no more rows; a table that nobody watches has no trigger of ours.

    Raises:
        RowsInUse: 503; the table was locked for 5 s.
    """
    with giving_up():
        await _begin(session)
        for row in (await session.execute(_REMOVE, {"watcher": watcher})).all():
            await _sync(session, row.oid)


async def sync_watches(database: Database) -> list[Exception]:
    """Make the triggers fit tables that were altered, renamed, restored or dropped since.

    Each table is a unit of work of its own, so that one that is in use holds up none of the others.

    Returns:
        Why tables could not be looked after, one a table.
    """
    async with database.unit_of_work() as session:
        oids = [row.oid for row in (await session.execute(_RELATIONS)).all()]
    failures: list[Exception] = []
    for oid in oids:
        try:
            async with database.unit_of_work() as session:
                with giving_up():
                    await _begin(session)
                    await _sync(session, oid)
        except Exception as error:  # noqa: BLE001 the boundary: whatever is wrong with one table
            failures.append(error)
    return failures


async def _begin(session: AsyncSession) -> None:
    """Let one change the watches at a time, and nobody wait long for a table behind whom its writers wait."""
    await session.execute(_WAIT, {"patience": PATIENCE})
    await session.execute(_LOCK)


async def _sync(session: AsyncSession, oid: int) -> None:
    row = (await session.execute(_FIND, {"schema": None, "table": None, "oid": oid})).one_or_none()
    if row is None:
        await _drop(session, f"monohull.row_events_{oid}")
    elif row.may_trigger or not (await session.execute(_WATCHES, {"oid": oid})).all():
        await _write_triggers(session, _table_of(row._asdict()))


async def _find(session: AsyncSession, relation: tuple[str, str]) -> tuple[WatchedTable, Mapping[str, Any]]:
    schema, name = relation
    row = (await session.execute(_FIND, {"schema": schema, "table": name, "oid": None})).one_or_none()
    if row is None:
        raise RowsNotWatchable(f"there is no table {schema}.{name}")
    about = row._asdict()
    if about["kind"] not in {"r", "p"}:
        raise RowsNotWatchable(f"{about['said']} is no table; watch the tables that its rows come from")
    if schema in _CLOSED_SCHEMAS:
        raise RowsNotWatchable(f"rows of {schema} are not told")
    if not about["may_trigger"]:
        raise RowsNotWatchable(
            f"the platform's login {about['login']} may not make triggers on {about['said']}",
            hint=f"As its owner: GRANT TRIGGER ON {about['name']} TO {about['grantee']}",
        )
    return _table_of(about), about


def _table_of(about: Mapping[str, Any]) -> WatchedTable:
    fields = {name: about[name] for name in WatchedTable.__struct_fields__}
    return msgspec.convert(fields, WatchedTable)


async def _write_triggers(session: AsyncSession, table: WatchedTable) -> None:
    watches = [
        msgspec.convert(row._asdict(), Watch) for row in await session.execute(_WATCHES, {"oid": table.oid})
    ]
    if not watches:
        await _drop(session, table.function)
        return
    watches = [await _checked(session, table, one) for one in watches]
    body, triggers = function_body(table, watches), trigger_statements(table, watches)
    present = (
        await session.execute(_PRESENT, {"function": f"{table.function}()", "oid": table.oid})
    ).one_or_none()
    has_triggers = present is not None and set(present.triggers) == set(triggers)
    if present is not None and present.body == body and has_triggers:
        return
    connection = await session.connection()
    if not has_triggers:
        await _drop(session, table.function)
    mark = f"${_tag(body)}$"
    await connection.exec_driver_sql(
        f"create or replace function {table.function}() returns trigger language plpgsql "
        f"security definer set search_path = pg_catalog, pg_temp as {mark}{body}{mark}"
    )
    await connection.exec_driver_sql(f"revoke execute on function {table.function}() from public")
    if not has_triggers:
        for statement in triggers.values():
            await connection.exec_driver_sql(statement)


async def _checked(session: AsyncSession, table: WatchedTable, one: Watch) -> Watch:
    """Return a watch without its condition when that no longer fits the table, and write down why."""
    problem = None if one.condition is None else await misfit(session, table, one.condition)
    await session.execute(_PROBLEM, {"oid": table.oid, "watcher": one.watcher, "problem": problem})
    return one if problem is None else msgspec.structs.replace(one, condition=None)


async def _drop(session: AsyncSession, function: str) -> None:
    """Drop a table's function and with it the triggers, of whoever the table is."""
    connection = await session.connection()
    await connection.exec_driver_sql(f"drop function if exists {function}() cascade")


def _tag(body: str) -> str:
    """Return a dollar quote's tag that does not stand in ``body``."""
    return f"rows_{hashlib.blake2b(body.encode(), digest_size=8).hexdigest()}"
