"""What each database role may do with each table and its columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import asyncpg

    from modules.policy_tests.catalog import Table

COMMANDS: Final = ("select", "insert", "update", "delete")

_QUERY: Final = """
select t.oid::int8 as oid,
       array(select c from unnest($3::text[]) as c where has_table_privilege($1::name, t.oid, c)) as whole,
       array(select c || ' ' || a.attname::text from unnest($3::text[]) as c join pg_catalog.pg_attribute a
                 on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
              where c <> 'delete' and has_column_privilege($1::name, t.oid, a.attnum, c)
              order by a.attnum) as parts
from unnest($2::int8[]::oid[]) as t (oid)
"""


class TableGrants(Struct, frozen=True):
    """Rights of one role on one table: None for all columns, else the columns.

    `delete` is None or empty, for it knows no columns.
    """

    select: frozenset[str] | None
    insert: frozenset[str] | None
    update: frozenset[str] | None
    delete: frozenset[str] | None
    text: str


class Grants(Struct, frozen=True):
    """Rights of one role, by oid of the table."""

    tables: Mapping[int, TableGrants]

    def of(self, table: Table) -> TableGrants:
        """Return the rights on ``table``."""
        return self.tables[table.oid]


async def read_grants(
    connection: asyncpg.Connection, roles: Iterable[str], tables: Sequence[Table]
) -> dict[str, Grants]:
    """Ask PostgreSQL for the rights of every role on every table."""
    found = {}
    for role in roles:
        rows = await connection.fetch(_QUERY, role, [table.oid for table in tables], list(COMMANDS))
        found[role] = Grants({row["oid"]: _table_grants(row["whole"], row["parts"]) for row in rows})
    return found


def _table_grants(whole: Sequence[str], parts: Sequence[str]) -> TableGrants:
    columns: dict[str, list[str]] = {}
    for part in parts:
        command, _, name = part.partition(" ")
        columns.setdefault(command, []).append(name)
    held = {
        command: None if command in whole else frozenset(columns.get(command, ())) for command in COMMANDS
    }
    texts = [
        command if command in whole else f"{command} ({', '.join(columns[command])})"
        for command in COMMANDS
        if command in whole or command in columns
    ]
    return TableGrants(held["select"], held["insert"], held["update"], held["delete"], ", ".join(texts))
