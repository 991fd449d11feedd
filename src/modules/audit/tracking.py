"""Tables whose changed rows are audited: those whose comment says ``@audited``.

The comment is the only place where that is written down; the triggers follow
it, within a minute by themselves and at once by ``monohull audit track``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from monohull.kernel.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

MARK: Final = "@audited"

_MARKED: Final = re.compile(r"\s*@audited\b")
_FIND: Final = """
    select quote_ident(nspname) || '.' || quote_ident(relname) as name,
           relkind::text as kind, nspname as schema,
           coalesce(obj_description(class.oid, 'pg_class'), '') as comment
    from pg_class as class join pg_namespace on pg_namespace.oid = relnamespace
    where class.oid = to_regclass($1)
"""
_COMMENT: Final = "select format('comment on table %s is %L', $1::text, $2::text)"
_TRACKED: Final = """
    select name, keys, hidden,
           exists (
               select from pg_trigger where tgrelid = relation and tgname = 'monohull_audit'
           ) as is_written
    from monohull.audited_tables order by 1
"""


class NotTracked(Refused):
    """The table cannot be audited."""

    exit_code = 2


class TrackedTable(Struct, frozen=True, kw_only=True):
    """A table whose changed rows are audited.

    Attributes:
        name: As SQL says it.
        keys: Columns that name a row.
        hidden: Columns whose values are not written down.
        is_written: Whether its trigger is there already.
    """

    name: str
    keys: tuple[str, ...]
    hidden: tuple[str, ...]
    is_written: bool


async def sync(connection: asyncpg.Connection) -> Sequence[str]:
    """Make the triggers follow the comments; return the tables where one was made or dropped."""
    changed = [row[0] for row in await connection.fetch("select monohull.sync_audit_triggers()")]
    await connection.execute("select monohull.sync_audit_partitions()")
    return changed


async def list_tracked(connection: asyncpg.Connection) -> Sequence[TrackedTable]:
    """Return the tables that are marked."""
    rows = await connection.fetch(_TRACKED)
    return [
        TrackedTable(
            name=row["name"],
            keys=tuple(row["keys"]),
            hidden=tuple(row["hidden"]),
            is_written=row["is_written"],
        )
        for row in rows
    ]


async def mark(connection: asyncpg.Connection, table: str, *, audited: bool) -> TrackedTable | None:
    """Mark a table in its comment, or take the mark away, and make the triggers follow.

    Args:
        connection: Of the owner.
        table: As SQL says it, ``public.orders``.
        audited: Whether its changes are audited from now on.

    Returns:
        The table; None where it is audited no more.

    Raises:
        NotTracked: There is no such table, or it is ours or no table.
    """
    found = await connection.fetchrow(_FIND, table)
    if found is None:
        raise NotTracked(f"there is no table {table}; write it as SQL does, schema and all")
    if found["kind"] not in ("r", "p") or found["schema"] in ("monohull", "pg_catalog"):
        raise NotTracked(f"{found['name']} is no table of yours")
    bare = _MARKED.sub("", found["comment"]).strip()
    comment = f"{bare} {MARK}".strip() if audited else bare
    async with connection.transaction():
        await connection.execute(await connection.fetchval(_COMMENT, found["name"], comment or None))
        await sync(connection)
    return next((one for one in await list_tracked(connection) if one.name == found["name"]), None)
