"""Read ``pg_catalog`` into a `Catalog`, one query per kind of thing.

Works on PostgreSQL 14 to 18 with no more rights than any login has: the system
catalogs are readable by all. Everything is read in one transaction that sees
one snapshot, so that a column never belongs to a table that is not there yet.

Source of what to look for: PostgREST 16, ``SchemaCache.hs``.
"""

# constants alone are put together here
# ruff: noqa: S608
from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct

from modules.query.catalog import Catalog, ForeignKey, Relation, RelationKind
from modules.query.columns import Key, TableColumn
from modules.query.introspect_routines import (
    BASE_TYPES,
    COMPOSITES,
    HANDLERS,
    OURS,
    REPRESENTATIONS,
    ROUTINES,
    computed_relationships,
    read_composites,
    read_handlers,
    read_representations,
    read_routines,
)
from modules.query.relationships import derive_relationships
from modules.query.views import follow, read_targets, stand_ins, with_keys

if TYPE_CHECKING:
    from asyncpg import Connection

Row: TypeAlias = Mapping[str, Any]

RELATIONS: Final = f"""
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind,
       d.description AS comment, c.relrowsecurity AS has_row_security, c.relispartition AS is_partition,
       coalesce((SELECT o.option_value::bool FROM pg_options_to_table(c.reloptions) o
                 WHERE o.option_name = 'security_invoker'), false) AS is_security_invoker,
       CASE WHEN c.relkind IN ('v', 'f') THEN pg_relation_is_updatable(c.oid, true)
            WHEN c.relkind IN ('r', 'p') THEN 28 ELSE 0 END AS events
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
JOIN base b ON b.oid = a.atttypid AND b.typtype <> 'd'
JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_type bt ON bt.oid = b.base_oid
LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum
LEFT JOIN pg_description d ON d.objoid = c.oid AND d.objsubid = a.attnum AND d.classoid = 'pg_class'::regclass
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {OURS}
ORDER BY a.attrelid, a.attnum
"""

CONSTRAINTS: Final = f"""
SELECT k.conname AS name, k.contype::text AS kind, k.conrelid AS relation, k.confrelid AS target,
       (SELECT array_agg(a.attname::text ORDER BY p.place)
        FROM unnest(k.conkey) WITH ORDINALITY p(attnum, place)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.attnum) AS columns,
       (SELECT array_agg(a.attname::text ORDER BY p.place)
        FROM unnest(k.confkey) WITH ORDINALITY p(attnum, place)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = p.attnum) AS target_columns
FROM pg_constraint k
JOIN pg_namespace n ON n.oid = k.connamespace
WHERE k.contype IN ('p', 'u') OR (k.contype = 'f' AND k.conparentid = 0) AND {OURS}
ORDER BY k.conrelid, k.conname
"""

VIEW_BASES: Final = """
SELECT DISTINCT r.ev_class AS view, d.refobjid AS base
FROM pg_rewrite r
JOIN pg_class v ON v.oid = r.ev_class AND v.relkind IN ('v', 'm')
JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                AND d.refclassid = 'pg_class'::regclass
WHERE r.rulename = '_RETURN' AND d.refobjid <> r.ev_class
"""

VIEWS: Final = f"""
SELECT r.ev_class AS view, r.ev_action::text AS definition
FROM pg_rewrite r
JOIN pg_class c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.rulename = '_RETURN' AND {OURS}
"""

ROLES: Final = "SELECT rolname AS name FROM pg_roles WHERE rolbypassrls OR rolsuper"

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


QUERIES: Final = (
    *(RELATIONS, COLUMNS, CONSTRAINTS, VIEW_BASES, VIEWS, ROLES),
    *(ROUTINES, COMPOSITES, HANDLERS, REPRESENTATIONS),
)
"""In the order of the fields of `Rows`."""


class Rows(Struct, frozen=True):
    """What the queries above gave."""

    relations: Sequence[Row]
    columns: Sequence[Row]
    constraints: Sequence[Row]
    bases: Sequence[Row]
    views: Sequence[Row]
    roles: Sequence[Row]
    routines: Sequence[Row] = ()
    composites: Sequence[Row] = ()
    handlers: Sequence[Row] = ()
    representations: Sequence[Row] = ()


async def introspect(connection: Connection[Any]) -> Catalog:
    """Return the catalog of the database that ``connection`` is connected to.

    Raises:
        asyncpg.PostgresError: The server refused a query.
        OSError: The connection was lost.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute("SET LOCAL search_path = ''")  # types are then written with their schemas
        rows = Rows(*[await connection.fetch(query) for query in QUERIES])
    # a thread, for a large schema takes a tenth of a second and requests must not wait for it
    return await asyncio.to_thread(build, rows)


def build(rows: Rows) -> Catalog:
    """Put the rows together."""
    keys: dict[int, Key] = {row["oid"]: (row["schema"], row["name"]) for row in rows.relations}
    columns_of = _columns(rows.columns)
    keys_of, uniques_of = _unique_sets(rows.constraints)
    bases_of = _bases(rows.bases, keys)
    relations = {
        keys[row["oid"]]: _relation(row, columns_of, keys_of, uniques_of, bases_of) for row in rows.relations
    }
    origins = follow(_direct_origins(rows, keys), relations)
    relations = with_keys(relations, origins)
    foreign_keys = _foreign_keys(rows.constraints, keys)
    computed = computed_relationships(rows.routines, keys, relations)
    return Catalog(
        relations=relations,
        relationships=derive_relationships(
            relations, [*foreign_keys, *stand_ins(foreign_keys, origins)], computed
        ),
        bypassing_roles=frozenset(row["name"] for row in rows.roles),
        routines=read_routines(rows.routines, keys, {**columns_of, **read_composites(rows.composites)}),
        handlers=read_handlers(rows.handlers, keys),
        representations=read_representations(rows.representations),
    )


def _direct_origins(rows: Rows, keys: Mapping[int, Key]) -> dict[Key, dict[str, tuple[Key, str]]]:
    """Return where the columns of each view come from, one step back."""
    if not rows.views:
        return {}
    names = {(row["relation"], row["number"]): row["name"] for row in rows.columns}
    found: dict[Key, dict[str, tuple[Key, str]]] = {}
    for row in rows.views:
        columns = found.setdefault(keys[row["view"]], {})
        for number, table, column in read_targets(row["definition"]):
            name, origin = names.get((row["view"], number)), names.get((table, column))
            if name is not None and origin is not None:
                columns[name] = (keys[table], origin)
    return found


def _columns(rows: Sequence[Row]) -> dict[int, dict[str, TableColumn]]:
    found: dict[int, dict[str, TableColumn]] = {}
    for row in rows:
        relation, _, name, *rest = row.values()
        found.setdefault(relation, {})[name] = TableColumn(name, *rest)
    return found


def _unique_sets(rows: Sequence[Row]) -> tuple[dict[int, tuple[str, ...]], dict[int, set[frozenset[str]]]]:
    keys: dict[int, tuple[str, ...]] = {}
    uniques: dict[int, set[frozenset[str]]] = {}
    for row in rows:
        if row["kind"] == "f":
            continue
        uniques.setdefault(row["relation"], set()).add(frozenset(row["columns"]))
        if row["kind"] == "p":
            keys[row["relation"]] = tuple(row["columns"])
    return keys, uniques


def _foreign_keys(rows: Sequence[Row], keys: Mapping[int, Key]) -> list[ForeignKey]:
    return [
        ForeignKey(
            name=row["name"],
            source=keys[row["relation"]],
            target=keys[row["target"]],
            pairs=tuple(zip(row["columns"], row["target_columns"], strict=True)),
        )
        for row in rows
        if row["kind"] == "f" and row["relation"] in keys and row["target"] in keys
    ]


def _bases(rows: Sequence[Row], keys: Mapping[int, Key]) -> dict[int, list[Key]]:
    """System relations have no key here; they count as a base nobody knows, `exposure` says closed."""
    found: dict[int, list[Key]] = {}
    for row in rows:
        found.setdefault(row["view"], []).append(keys.get(row["base"], ("pg_catalog", str(row["base"]))))
    return found


def _relation(
    row: Row,
    columns_of: Mapping[int, Mapping[str, TableColumn]],
    keys_of: Mapping[int, tuple[str, ...]],
    uniques_of: Mapping[int, set[frozenset[str]]],
    bases_of: Mapping[int, list[Key]],
) -> Relation:
    oid: int = row["oid"]
    events: int = row["events"]
    return Relation(
        schema=row["schema"],
        name=row["name"],
        kind=KINDS[row["kind"]],
        columns=columns_of.get(oid, {}),
        primary_key=keys_of.get(oid, ()),
        uniques=frozenset(uniques_of.get(oid, ())),
        comment=row["comment"],
        has_row_security=row["has_row_security"],
        is_security_invoker=row["is_security_invoker"],
        is_partition=row["is_partition"],
        bases=tuple(sorted(bases_of.get(oid, ()))),
        allows_insert=bool(events & INSERT),
        allows_update=bool(events & UPDATE),
        allows_delete=bool(events & DELETE),
    )
