"""Rows of ``pg_class``, ``pg_attribute`` and ``pg_constraint`` → relations with all that belongs to them.

Source of what to look for: PostgREST 16, ``SchemaCache.hs`` (`decodeTables`,
`allM2OandO2ORels`).
"""

# constants alone are put together here
# ruff: noqa: S608
from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct

from modules.query.catalog import ForeignKey, Relation, RelationKind
from modules.query.columns import Key, TableColumn
from modules.query.introspect_routines import BASE_TYPES, OURS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modules.query.steps import Steps

Row: TypeAlias = Mapping[str, Any]

BEFORE_ROW_INSERT: Final = 0b111
"""Bits of ``pg_trigger.tgtype``: for each row, before it, INSERT."""

RELATIONS: Final = f"""
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind,
       d.description AS comment, c.relrowsecurity AS has_row_security, c.relispartition AS is_partition,
       coalesce((SELECT o.option_value::bool FROM pg_options_to_table(c.reloptions) o
                 WHERE o.option_name = 'security_invoker'), false) AS is_security_invoker,
       CASE WHEN c.relkind IN ('v', 'f') THEN pg_relation_is_updatable(c.oid, true)
            WHEN c.relkind IN ('r', 'p') THEN 28 ELSE 0 END AS events,
       c.relkind = 'r' AND NOT c.relhasrules
           AND NOT (c.relhastriggers AND EXISTS (
               SELECT FROM pg_trigger g
               WHERE g.tgrelid = c.oid AND g.tgtype & {BEFORE_ROW_INSERT} = {BEFORE_ROW_INSERT}
           )) AS returns_inserted,
       c.relkind = 'p' OR c.relkind = 'r' AND NOT c.relhassubclass AS keeps_keys
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_description d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {OURS}
ORDER BY n.nspname, c.relname
"""

COLUMNS: Final = f"""
WITH RECURSIVE {BASE_TYPES}
SELECT a.attrelid AS relation, a.attnum AS number, a.attname AS name,
       format_type(a.atttypid, a.atttypmod) AS type,
       bt.typname AS base_type, NOT a.attnotnull AS is_nullable,
       a.atthasdef OR a.attidentity <> '' AS has_default, a.attgenerated <> '' AS is_generated,
       d.description AS comment,
       CASE WHEN a.attidentity = 'd' THEN format('nextval(%L::regclass)',
                pg_get_serial_sequence(format('%I.%I', n.nspname, c.relname), a.attname))
            WHEN a.attgenerated = '' THEN coalesce(pg_get_expr(ad.adbin, ad.adrelid), t.typdefault)
       END AS default
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN domains o ON o.oid = a.atttypid
JOIN pg_type bt ON bt.oid = coalesce(o.base, a.atttypid)
LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum
LEFT JOIN pg_description d ON d.objoid = c.oid AND d.objsubid = a.attnum AND d.classoid = 'pg_class'::regclass
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {OURS}
ORDER BY a.attrelid, a.attnum
"""

CONSTRAINTS: Final = f"""
SELECT k.conname AS name, k.contype::text AS kind, k.conrelid AS relation, k.confrelid AS target,
       k.conkey AS columns, k.confkey AS target_columns, k.condeferrable AS is_deferrable
FROM pg_constraint k
JOIN pg_namespace n ON n.oid = k.connamespace
WHERE (k.contype IN ('p', 'u') OR k.contype = 'f' AND k.conparentid = 0) AND {OURS}
ORDER BY k.conrelid, k.conname
"""

KINDS: Final[Mapping[str, RelationKind]] = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}

UPDATE: Final = 4
INSERT: Final = 8
DELETE: Final = 16
"""Bits of ``pg_relation_is_updatable``."""


class Tables(Struct):
    """What was read of relations so far. Columns and constraints come a batch at a time.

    Attributes:
        rows: Of `RELATIONS`.
        keys: Schema and name by oid, as everything below.
        columns: By name, in their order.
        names: Of columns, by number.
        kinds: Many tables have an ``id`` and a ``created_at`` that are alike: there is one of each kind.
        primary_keys: Their columns.
        uniques: Column sets of primary keys and unique constraints.
        identities: Those of them that are checked at once. A table does not keep them for its children.
        foreign_keys: Between relations that are here.
    """

    rows: Sequence[Row]
    keys: dict[int, Key] = {}
    columns: dict[int, dict[str, TableColumn]] = {}
    names: dict[int, dict[int, str]] = {}
    kinds: dict[TableColumn, TableColumn] = {}
    primary_keys: dict[int, tuple[str, ...]] = {}
    uniques: dict[int, set[frozenset[str]]] = {}
    identities: dict[int, set[frozenset[str]]] = {}
    foreign_keys: list[ForeignKey] = []

    def __post_init__(self) -> None:
        for row in self.rows:
            self.keys[row["oid"]] = (row["schema"], row["name"])

    def take_columns(self, rows: Iterable[Row]) -> Steps[None]:
        """Add rows of `COLUMNS`."""
        for relation, own in groupby(rows, itemgetter("relation")):
            columns = self.columns.setdefault(relation, {})
            names = self.names.setdefault(relation, {})
            for row in own:
                _, number, *values = row.values()
                column = TableColumn(*values)
                column = self.kinds.setdefault(column, column)
                names[number] = name = column.name
                columns[name] = column
            yield

    def take_constraints(self, rows: Iterable[Row]) -> Steps[None]:
        """Add rows of `CONSTRAINTS`, when all columns are here."""
        for row in rows:
            relation, target = row["relation"], row["target"]
            here = self.names[relation]
            columns = tuple(here[number] for number in row["columns"])
            if row["kind"] != "f":
                self.uniques.setdefault(relation, set()).add(frozenset(columns))
                if not row["is_deferrable"]:
                    self.identities.setdefault(relation, set()).add(frozenset(columns))
                if row["kind"] == "p":
                    self.primary_keys[relation] = columns
            elif target in self.keys:
                there = self.names[target]
                targets = (there[number] for number in row["target_columns"])
                pairs = tuple(zip(columns, targets, strict=True))
                self.foreign_keys.append(
                    ForeignKey(row["name"], self.keys[relation], self.keys[target], pairs)
                )
            yield

    def build(self, bases: Mapping[int, Sequence[Key]]) -> Steps[dict[Key, Relation]]:
        """Return the relations.

        Args:
            bases: What each view reads.
        """
        found: dict[Key, Relation] = {}
        for row in self.rows:
            found[self.keys[row["oid"]]] = self._relation(row, bases)
            yield
        return found

    def _relation(self, row: Row, bases: Mapping[int, Sequence[Key]]) -> Relation:
        oid: int = row["oid"]
        events: int = row["events"]
        return Relation(
            schema=row["schema"],
            name=row["name"],
            kind=KINDS[row["kind"]],
            columns=self.columns.get(oid, {}),
            primary_key=self.primary_keys.get(oid, ()),
            uniques=frozenset(self.uniques.get(oid, ())),
            identities=frozenset(self.identities.get(oid, ()) if row["keeps_keys"] else ()),
            comment=row["comment"],
            has_row_security=row["has_row_security"],
            is_security_invoker=row["is_security_invoker"],
            is_partition=row["is_partition"],
            bases=tuple(sorted(bases.get(oid, ()))),
            allows_insert=bool(events & INSERT),
            allows_update=bool(events & UPDATE),
            allows_delete=bool(events & DELETE),
            returns_inserted=row["returns_inserted"],
        )
