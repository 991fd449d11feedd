"""The SQL that gives the rows of a table to teams. It may run any number of times and leads to one state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from monohull.kernel.database.project import FOLDER, SHORT_DIGITS, discover
from monohull.kernel.database.server import quote_name

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

MINE: Final = "any (array(select monohull.teams()))"
"""In this form it is one InitPlan a statement, and an index on the column can be used."""

ACTIVE: Final = "(select monohull.active_team())"

_SQL: Final = """\
-- Rows of {shown} belong to the team in {shown_column}.
-- The first policy opens them to members of the team; narrow it as you need.
-- The second is restrictive: no policy that is added later opens another team's rows.
alter table {table} add column if not exists {column} uuid;
do {tag}
declare
    number int2 := (
        select attnum from pg_catalog.pg_attribute
        where attrelid = {table_text}::regclass and attname = {column_text}
    );
begin
    if not exists (
        select from pg_catalog.pg_constraint
        where contype = 'f' and conrelid = {table_text}::regclass and conkey = array[number]
            and confrelid = 'monohull.teams'::regclass
    ) then
        alter table {table}
            add foreign key ({column}) references monohull.teams (id) on delete {on_delete};
    end if;
    if not exists (
        select from pg_catalog.pg_index
        where indrelid = {table_text}::regclass and indkey[0] = number and indpred is null
    ) then
        create index on {table} ({column});
    end if;
end
{tag};
alter table {table} enable row level security;
drop policy if exists "members have their team's rows" on {table};
create policy "members have their team's rows" on {table}
    to authenticated
    using ({column} = {opened})
    with check ({column} = {opened});
drop policy if exists "rows stay in their team" on {table};
create policy "rows stay in their team" on {table}
    as restrictive
    to anon, authenticated
    using ({column} = {mine})
    with check ({column} = {mine});
"""


class Tenancy(Struct, frozen=True, kw_only=True):
    """Which rows belong to teams.

    Attributes:
        schema: Of the table.
        table: Its name, as it is.
        column: Holds the team's id; made where it is missing.
        on_delete: What becomes of the rows when their team is deleted: with restrict it cannot be.
        is_active_only: Only rows of the team that the session works in are open, not of all one's teams.
    """

    schema: str
    table: str
    column: str
    on_delete: Literal["restrict", "cascade"] = "restrict"
    is_active_only: bool = False

    def sql(self) -> str:
        """Return the statements of a project migration."""
        table = f"{quote_name(self.schema)}.{quote_name(self.table)}"
        tag = "$tenant$"
        while tag in f"{table}{self.column}":
            tag = f"{tag[:-1]}_$"
        return _SQL.format(
            shown=f"{self.schema}.{self.table}",
            shown_column=self.column,
            table=table,
            column=quote_name(self.column),
            table_text=_literal(table),
            column_text=_literal(self.column),
            on_delete=self.on_delete,
            opened=ACTIVE if self.is_active_only else MINE,
            mine=MINE,
            tag=tag,
        )

    def write(self, project: Path, now: datetime) -> tuple[Path, bool]:
        """Write the next migration of ``project``, numbered as those that are there.

        Returns:
            The file, and whether it is new: none is written where the last one about the table says the same.

        Raises:
            MigrationRefused: The migrations that are there cannot be read.
        """
        files, text = discover(project), self.sql()
        about = f"-- Rows of {self.schema}.{self.table} belong "
        newest = next((file for file in reversed(files) if file.text.startswith(about)), None)
        if newest is not None and newest.text == text:
            return project / FOLDER / newest.name, False
        last = max((file.version or 0 for file in files), default=0)
        number = f"{last + 1:0{SHORT_DIGITS}}" if last < 10**SHORT_DIGITS - 1 else f"{now:%Y%m%d%H%M%S}"
        word = "".join(c if c.isascii() and c.isalnum() else "_" for c in self.table.lower())
        path = project / FOLDER / f"{number}_tenant_{word}.sql"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path, True


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def parse_table(text: str) -> tuple[str, str]:
    """Split ``schema.table``; without a schema it is ``public``.

    >>> parse_table("orders"), parse_table("shop.orders")
    (('public', 'orders'), ('shop', 'orders'))

    Raises:
        ValueError: A part is empty, or holds what no name may.
    """
    schema, dot, table = text.partition(".")
    parts = (schema, table) if dot else ("public", schema)
    if not all(part.isprintable() and part for part in parts):
        raise ValueError(f"{text!r} is no table; write orders or shop.orders")
    return parts
