"""Conditions on rows: read by PostgreSQL, and refused where they could do more than compare values.

The triggers ask a condition as the owner of the platform's schema. So it may
call functions that came with PostgreSQL and are immutable, and nothing else:
those read no table, change no setting, send nothing and write no file.
Converting to a type of somebody else could run a check of theirs, as making JSON
for the condition on a partition could; both are refused, too.

Source: PostgreSQL, "Node Trees" (``pg_node_tree``); oids below 16384 are the server's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from monohull.kernel.database.engine import driver_error
from monohull.kernel.ids import token
from monohull.kernel.row_refusals import RowsNotWatchable, giving_up

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

    from monohull.kernel.row_watching import WatchedTable

_PATH: Final = "set local search_path = pg_catalog, pg_temp"
_READ: Final = text(
    r"""
    select pg_get_triggerdef(t.oid) as definition,
        array(
            select distinct coalesce(p.oid::regprocedure::text, 'function ' || called[2])
            from regexp_matches(t.tgqual::text, ' [:](funcid|opfuncid) ([0-9]+)', 'g') as called
            left join pg_proc as p on p.oid = called[2]::oid
            where p.oid is null or p.oid >= 16384 or p.provolatile <> 'i'
            order by 1
        ) as functions,
        array(
            select distinct format_type(made[1]::oid, null)
            from regexp_matches(t.tgqual::text, ' [:]resulttype ([0-9]+)', 'g') as made
            where made[1]::oid >= 16384 and not monohull.is_own_type(made[1]::oid, true)
            order by 1
        ) as types,
        array(
            select distinct node[1] from regexp_matches(t.tgqual::text, '(?<!\\)\{([A-Z_]+)', 'g') as node
            where node[1] <> all (:nodes)
            order by 1
        ) as nodes,
        t.tgqual::text ~ ' [:]varattno (0|-[0-9]+) ' as is_about_more
    from pg_trigger as t
    where t.tgrelid = cast(:oid as oid) and t.tgname = 'monohull_condition'
        and t.tgfoid = 'monohull.no_row_event'::regproc
    """
)
_NODES: Final = (
    *("VAR", "CONST", "OPEXPR", "FUNCEXPR", "BOOLEXPR", "NULLTEST", "BOOLEANTEST", "DISTINCTEXPR"),
    *("NULLIFEXPR", "SCALARARRAYOPEXPR", "ARRAY", "ARRAYEXPR", "CASE", "CASEEXPR", "WHEN", "CASEWHEN"),
    *("CASETESTEXPR", "COALESCE", "COALESCEEXPR", "MINMAX", "MINMAXEXPR", "ROW", "ROWEXPR", "ROWCOMPARE"),
    *("ROWCOMPAREEXPR", "RELABELTYPE", "COERCEVIAIO", "ARRAYCOERCEEXPR", "COLLATE", "COLLATEEXPR"),
    *("FIELDSELECT", "SUBSCRIPTINGREF", "NAMEDARGEXPR"),
)
"""What a condition consists of, by the names of all majors; no check of a domain, no XML, no SQL/JSON."""

_FOREIGN: Final = text("select monohull.has_foreign_types(cast(:oid as oid), :by_row)")
_FOREIGN_TYPES: Final = "has columns of types whose casts or checks are somebody else's"


async def read_condition(session: AsyncSession, table: WatchedTable, condition: str) -> str:
    """Return a condition as PostgreSQL understood it: one expression, its names qualified.

    Raises:
        RowsNotWatchable: 400; it is none, or calls what no condition may call.
        RowsInUse: 503.
    """
    if await _is_foreign(session, table):
        raise RowsNotWatchable(
            f"{table.name} {_FOREIGN_TYPES}, so that no condition can be asked of its rows",
            hint="Watch it without a condition, or have the platform's login own those types.",
        )
    connection = await session.connection()
    nested = await connection.begin_nested()
    try:
        with giving_up():
            return await _read(connection, table, condition)
    except DBAPIError as error:
        raise RowsNotWatchable(
            f"the condition cannot be asked: {_first_line(driver_error(error))}",
            hint="It is one boolean expression over new and old, such as new.status <> old.status, "
            "without subqueries.",
        ) from error
    finally:
        await nested.rollback()


async def misfit(session: AsyncSession, table: WatchedTable, condition: str) -> str | None:
    """Return why a condition can no longer be asked of the table, or None; no writer waits for it."""
    if await _is_foreign(session, table):
        return f"the table {_FOREIGN_TYPES}"
    connection = await session.connection()
    sides = " cross join ".join(f"(select (null::{table.name}).*) as {side}" for side in ("new", "old"))
    nested = await connection.begin_nested()
    try:
        await connection.exec_driver_sql(_PATH)
        # a statement that was prepared before is not read again when only a row's type has changed
        fresh = f"-- {token(16)}"
        await connection.exec_driver_sql(f"select from {sides} where {condition} limit 0 {fresh}")
    except DBAPIError as error:
        return _first_line(driver_error(error))
    finally:
        await nested.rollback()
    return None


async def _is_foreign(session: AsyncSession, table: WatchedTable) -> bool:
    asked = await session.execute(_FOREIGN, {"oid": table.oid, "by_row": table.by_row})
    return bool(asked.scalar_one())


async def _read(connection: AsyncConnection, table: WatchedTable, condition: str) -> str:
    await connection.exec_driver_sql(
        f"create trigger monohull_condition after update on {table.name} for each row "
        f"when ({condition}\n) execute function monohull.no_row_event()"
    )
    await connection.exec_driver_sql(_PATH)
    read = (await connection.execute(_READ, {"oid": table.oid, "nodes": list(_NODES)})).one_or_none()
    tail = ") EXECUTE FUNCTION monohull.no_row_event()"
    if read is None or not read.definition.endswith(tail):
        raise RowsNotWatchable("the condition is more than one boolean expression")
    if read.is_about_more:
        raise RowsNotWatchable("the condition asks for a whole row or a system column; name its columns")
    for what, found in (
        ("calls", read.functions),
        ("converts to", read.types),
        ("contains", read.nodes),
    ):
        if found:
            raise RowsNotWatchable(
                f"the condition {what} {', '.join(found)}, which it may not",
                hint="It may call immutable functions that came with PostgreSQL.",
            )
    definition: str = read.definition
    return definition.partition(" FOR EACH ROW WHEN (")[2].removesuffix(tail)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
