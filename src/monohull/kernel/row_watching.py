"""What is watched, by whom and for what, as the trigger functions need it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

OPERATIONS: Final = ("INSERT", "UPDATE", "DELETE")
SIDES: Final = {"INSERT": ("new",), "UPDATE": ("new", "old"), "DELETE": ("old",)}
"""Which rows an operation has; of the first of them an event is about."""
TRANSITION_TABLES: Final = {"new": "inserted", "old": "deleted"}


class Watch(Struct, frozen=True, kw_only=True):
    """What one watcher wants of a table; names as in ``monohull.row_watches``, the condition as deparsed."""

    watcher: str
    operations: tuple[str, ...]
    columns: tuple[str, ...] | None = None
    condition: str | None = None


class WatchedTable(Struct, frozen=True, kw_only=True):
    """A table as its trigger function needs it.

    Attributes:
        oid: The number in its function's name.
        name: Quoted, with the schema.
        root_schema: Schema of the partitioned table that it belongs to, else its own.
        root_table: That table's name, else its own.
        keys: Columns of the primary key in order.
        hidden: Columns whose values are not told.
        by_row: Whether triggers have to be called for each row.
    """

    oid: int
    name: str
    root_schema: str
    root_table: str
    keys: tuple[str, ...]
    hidden: tuple[str, ...]
    by_row: bool

    @property
    def function(self) -> str:
        return f"monohull.row_events_{self.oid}"


def literal(value: str) -> str:
    r"""Return ``value`` as an SQL literal, whatever ``standard_conforming_strings`` says.

    >>> literal("it's"), literal("a\\b")
    ("'it''s'", "E'a\\\\b'")
    """
    quoted = value.replace("'", "''")
    return f"'{quoted}'" if "\\" not in value else "E'" + quoted.replace("\\", "\\\\") + "'"


def array(values: Iterable[str]) -> str:
    """Return ``values`` as an array of SQL literals."""
    return f"array[{', '.join(literal(value) for value in values)}]::text[]"
