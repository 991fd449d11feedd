"""What a role may know of a schema, asked in one statement: relations, columns, functions, comments.

The compiler's catalog holds what compiling needs and the same for everybody.
Defaults, enumerations, comments of functions and above all the caller's own
privileges are only of interest here, so they are read when the description is
asked for, as the caller.

Source: PostgREST 16, ``SchemaCache.hs``, ``accessibleTables`` and ``accessibleFuncs``.
"""

# constants alone are put together here
# ruff: noqa: S608
from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

if TYPE_CHECKING:
    from modules.query import Steps

_TABLES: Final = """
SELECT c.oid, c.relname AS name, pg_catalog.obj_description(c.oid, 'pg_class') AS comment,
       CASE WHEN c.relkind IN ('r', 'p') THEN true
            WHEN c.relkind IN ('v', 'f') THEN pg_catalog.pg_relation_is_updatable(c.oid, true) & 28 <> 0
            ELSE false END AS is_writable
FROM pg_catalog.pg_class c
WHERE c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND ($2::boolean
       OR pg_catalog.has_table_privilege(
            c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
       OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE, REFERENCES'))
ORDER BY c.relname
"""

_COLUMNS: Final = """
SELECT a.attrelid, a.attnum, a.attname AS name, pg_catalog.col_description(a.attrelid, a.attnum) AS comment,
       CASE WHEN coalesce(b.typnamespace, t.typnamespace) = 'pg_catalog'::regnamespace
            THEN pg_catalog.format_type(coalesce(b.oid, t.oid), NULL)
            ELSE pg_catalog.format_type(a.atttypid, a.atttypmod) END AS type,
       NOT (a.attnotnull OR t.typtype = 'd' AND t.typnotnull) AS is_nullable,
       CASE WHEN a.atttypid IN ('bpchar'::regtype, 'varchar'::regtype) AND a.atttypmod > 4
            THEN a.atttypmod - 4
            WHEN a.atttypid IN ('bit'::regtype, 'varbit'::regtype) AND a.atttypmod > 0
            THEN a.atttypmod END AS max_length,
       CASE WHEN a.attgenerated <> '' THEN NULL
            WHEN d.adbin IS NOT NULL THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid)
            WHEN t.typbasetype <> 0 THEN pg_catalog.pg_get_expr(t.typdefaultbin, 0) END AS default,
       (SELECT pg_catalog.array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e
        WHERE e.enumtypid = coalesce(b.oid, t.oid)) AS values
FROM _tables
JOIN pg_catalog.pg_attribute a ON a.attrelid = _tables.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
"""

_FUNCTIONS: Final = """
SELECT p.proname AS name, pg_catalog.obj_description(p.oid, 'pg_proc') AS comment,
       p.provolatile = 'v' AS is_volatile,
       coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
           'name', coalesce(p.proargnames[u.at], ''), 'type', pg_catalog.format_type(u.type, NULL),
           'is_required', u.nth <= p.pronargs - p.pronargdefaults,
           'is_variadic', u.mode = 'v') ORDER BY u.at)
         FROM (SELECT at, type, mode, pg_catalog.row_number() OVER (ORDER BY at) AS nth
               FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]),
                           coalesce(p.proargmodes, '{}'::"char"[])) WITH ORDINALITY AS v(type, mode, at)
               WHERE mode IS NULL OR mode IN ('i', 'b', 'v')) AS u
         ), '[]') AS parameters
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_type t ON t.oid = p.prorettype
WHERE p.pronamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)
  AND p.prokind = 'f' AND t.typname NOT IN ('trigger', 'event_trigger', 'internal')
  AND ($2::boolean OR pg_catalog.has_function_privilege(p.oid, 'EXECUTE'))
ORDER BY p.proname, p.oid
"""

SQL: Final = f"""
WITH _tables AS MATERIALIZED ({_TABLES}), _columns AS ({_COLUMNS}), _functions AS ({_FUNCTIONS}),
_rows AS (SELECT c.attrelid, pg_catalog.json_agg(c.* ORDER BY c.attnum) AS columns
          FROM _columns c GROUP BY c.attrelid)
SELECT pg_catalog.json_build_object(
  'comment', (SELECT pg_catalog.obj_description(oid, 'pg_namespace') FROM pg_catalog.pg_namespace
              WHERE nspname = $1),
  'tables', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', t.name, 'comment', t.comment, 'is_writable', t.is_writable,
      'columns', coalesce(r.columns, '[]')) ORDER BY t.name)
    FROM _tables t LEFT JOIN _rows r ON r.attrelid = t.oid), '[]'),
  'functions', coalesce((SELECT pg_catalog.json_agg(f.*) FROM _functions f), '[]'))::text
"""
"""Parameters: the schema, and whether privileges are passed over."""


class ColumnFacts(Struct, frozen=True):
    """A column, its type without what is in parentheses; ``is_key`` is filled in from the catalog."""

    name: str
    type: str
    is_nullable: bool
    comment: str | None = None
    default: str | None = None
    max_length: int | None = None
    values: tuple[str, ...] | None = None
    is_key: bool = False


class TableFacts(Struct, frozen=True):
    """A relation that the role may do something with, but for methods that are ``hidden``."""

    name: str
    is_writable: bool
    columns: tuple[ColumnFacts, ...]
    comment: str | None = None
    hidden: frozenset[str] = frozenset()


class ParameterFacts(Struct, frozen=True):
    """A parameter that goes in."""

    name: str
    type: str
    is_required: bool
    is_variadic: bool | None = None


class FunctionFacts(Struct, frozen=True):
    """A function that the role may call."""

    name: str
    is_volatile: bool
    parameters: tuple[ParameterFacts, ...]
    comment: str | None = None


class SchemaFacts(Struct, frozen=True):
    """Everything about a schema."""

    tables: tuple[TableFacts, ...]
    functions: tuple[FunctionFacts, ...]
    comment: str | None = None


class _Document(Struct, frozen=True):
    """What `SQL` gives, its parts not looked at yet."""

    tables: tuple[Raw, ...]
    functions: tuple[Raw, ...]
    comment: str | None = None


_DOCUMENT: Final = msgspec.json.Decoder(_Document)
_TABLE: Final = msgspec.json.Decoder(TableFacts)
_FUNCTION: Final = msgspec.json.Decoder(FunctionFacts)


def read_facts(document: bytes) -> Steps[SchemaFacts]:
    """Decode what `SQL` gives."""
    parts = _DOCUMENT.decode(document)
    tables: list[TableFacts] = []
    for one in parts.tables:
        tables.append(_TABLE.decode(one))
        yield
    functions: list[FunctionFacts] = []
    for one in parts.functions:
        functions.append(_FUNCTION.decode(one))
        yield
    return SchemaFacts(tuple(tables), tuple(functions), parts.comment)
