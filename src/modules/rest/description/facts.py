"""What a role may know of a schema, with the types of everything: asked in one statement.

`modules.rest.described` asks what PostgREST's document says; this asks what a
client program has to know: how each type looks on the wire, what a column takes,
what a function gives back, and what of it the caller may use.

Types are listed once, by their number, and refer to each other by it: columns
say which type they have, an array which its elements have, a domain what it is
made of.
"""

# constants alone are put together here
# ruff: noqa: S608
from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.query import Steps

TypeKind: TypeAlias = Literal["base", "enum", "domain", "composite", "array", "range", "multirange", "pseudo"]

_NAMESPACE: Final = "(SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)"

_RELATIONS: Final = f"""
SELECT c.oid, c.relname AS name, c.relkind AS kind, c.reltype::bigint AS row_type,
       pg_catalog.obj_description(c.oid, 'pg_class') AS comment,
       CASE WHEN c.relkind IN ('r', 'p') THEN 28
            WHEN c.relkind IN ('v', 'f') THEN pg_catalog.pg_relation_is_updatable(c.oid, true)
            ELSE 0 END AS events,
       $2::boolean OR pg_catalog.has_table_privilege(c.oid, 'DELETE') AS may_delete
FROM pg_catalog.pg_class c
WHERE c.relnamespace = {_NAMESPACE}
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND ($2::boolean
       OR pg_catalog.has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE')
       OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE'))
"""

_COLUMNS: Final = """
SELECT a.attrelid, a.attnum, a.attname AS name, pg_catalog.col_description(a.attrelid, a.attnum) AS comment,
       a.atttypid::bigint AS type, a.atttypmod AS modifier, a.attnotnull AS is_required,
       a.attidentity AS identity, a.attgenerated <> '' AS is_generated,
       CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END AS default,
       _relations.kind IN ('r', 'p')
         OR _relations.events <> 0 AND pg_catalog.pg_column_is_updatable(a.attrelid, a.attnum, true)
         AS is_updatable,
       $2::boolean OR pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS may_read,
       $2::boolean OR pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'INSERT') AS may_insert,
       $2::boolean OR pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'UPDATE') AS may_update,
       (SELECT pg_catalog.array_agg(pg_catalog.pg_get_expr(k.conbin, k.conrelid) ORDER BY k.conname)
        FROM pg_catalog.pg_constraint k
        WHERE k.conrelid = a.attrelid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum]) AS checks
FROM _relations
JOIN pg_catalog.pg_attribute a ON a.attrelid = _relations.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
"""

_FUNCTIONS: Final = f"""
SELECT p.oid, p.proname AS name, pg_catalog.obj_description(p.oid, 'pg_proc') AS comment,
       p.provolatile = 'v' AS is_volatile, p.prorettype::bigint AS returns,
       p.proretset AS is_set, p.prorows AS rows,
       coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
           'name', coalesce(p.proargnames[u.at], ''), 'type', u.type::bigint, 'mode', u.mode,
           'has_default', u.mode IN ('i', 'b', 'v') AND u.nth > p.pronargs - p.pronargdefaults)
           ORDER BY u.at)
         FROM (SELECT at, type, mode,
                      pg_catalog.row_number() OVER (PARTITION BY mode IN ('i', 'b', 'v') ORDER BY at) AS nth
               FROM (SELECT w.at, w.type, coalesce(w.mode, 'i') AS mode
                     FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]),
                                 coalesce(p.proargmodes, '{{}}'::"char"[]))
                          WITH ORDINALITY AS w(type, mode, at)
                     WHERE w.type IS NOT NULL) AS v) AS u
         ), '[]') AS arguments
FROM pg_catalog.pg_proc p
WHERE p.pronamespace = {_NAMESPACE}
  AND p.prokind = 'f'
  AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype)
  AND ($2::boolean OR pg_catalog.has_function_privilege(p.oid, 'EXECUTE'))
"""

_USED: Final = f"""
SELECT type::oid AS oid FROM _columns
UNION SELECT p.prorettype FROM pg_catalog.pg_proc p JOIN _functions f ON f.oid = p.oid
UNION SELECT unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]))
      FROM pg_catalog.pg_proc p JOIN _functions f ON f.oid = p.oid
UNION SELECT t.oid FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
      WHERE t.typnamespace = {_NAMESPACE}
        AND (t.typtype IN ('e', 'd') OR t.typtype = 'c' AND c.relkind = 'c')
UNION
SELECT more.oid FROM _used JOIN pg_catalog.pg_type t ON t.oid = _used.oid
CROSS JOIN LATERAL (
  SELECT t.typelem AS oid WHERE t.typcategory = 'A'
  UNION ALL SELECT t.typbasetype WHERE t.typbasetype <> 0
  UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid
  UNION ALL SELECT r.rngtypid FROM pg_catalog.pg_range r WHERE r.rngmultitypid = t.oid
  UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
) AS more
"""

_TYPES: Final = """
SELECT t.oid::bigint AS oid, t.typname AS name, n.nspname AS schema,
       pg_catalog.format_type(t.oid, NULL) AS written,
       pg_catalog.obj_description(t.oid, 'pg_type') AS comment,
       CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN 'array'
            ELSE (pg_catalog.json_build_object('b', 'base', 'e', 'enum', 'd', 'domain', 'c', 'composite',
                  'r', 'range', 'm', 'multirange', 'p', 'pseudo')) ->> t.typtype::text END AS kind,
       nullif(CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE 0 END, 0)::bigint AS element,
       nullif(t.typbasetype, 0)::bigint AS base, t.typtypmod AS modifier, t.typnotnull AS is_required,
       coalesce((SELECT r.rngsubtype::bigint FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid),
                (SELECT r.rngtypid::bigint FROM pg_catalog.pg_range r WHERE r.rngmultitypid = t.oid)
               ) AS subtype,
       (SELECT pg_catalog.array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e
        WHERE e.enumtypid = t.oid) AS labels,
       (SELECT c.relkind FROM pg_catalog.pg_class c
        WHERE c.oid = t.typrelid AND c.relkind <> 'c') AS relation,
       (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname, 'type', a.atttypid::bigint,
                 'modifier', a.atttypmod, 'is_required', a.attnotnull) ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a
        WHERE t.typrelid <> 0 AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
       ) AS attributes,
       (SELECT pg_catalog.array_agg(pg_catalog.pg_get_expr(k.conbin, 0) ORDER BY k.conname)
        FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c') AS checks
FROM _used JOIN pg_catalog.pg_type t ON t.oid = _used.oid
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
"""

SQL: Final = f"""
WITH RECURSIVE _relations AS MATERIALIZED ({_RELATIONS}), _columns AS MATERIALIZED ({_COLUMNS}),
_functions AS MATERIALIZED ({_FUNCTIONS}), _used(oid) AS ({_USED}), _types AS ({_TYPES}),
_rows AS (SELECT c.attrelid, pg_catalog.json_agg(c.* ORDER BY c.attnum) AS columns
          FROM _columns c GROUP BY c.attrelid)
SELECT pg_catalog.json_build_object(
  'comment', (SELECT pg_catalog.obj_description(oid, 'pg_namespace') FROM pg_catalog.pg_namespace
              WHERE nspname = $1),
  'relations', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', t.name, 'kind', t.kind, 'row_type', t.row_type, 'comment', t.comment, 'events', t.events,
      'may_delete', t.may_delete, 'columns', coalesce(r.columns, '[]')) ORDER BY t.name)
    FROM _relations t LEFT JOIN _rows r ON r.attrelid = t.oid), '[]'),
  'functions', coalesce((SELECT pg_catalog.json_agg(f.* ORDER BY f.name, f.oid) FROM _functions f), '[]'),
  'types', coalesce((SELECT pg_catalog.json_agg(t.* ORDER BY t.schema, t.name) FROM _types t), '[]'))::text
"""
"""Parameters: the schema, and whether privileges are passed over."""

_UPDATE, _INSERT, _DELETE = 4, 8, 16
"""Bits of ``pg_relation_is_updatable``."""


class Attribute(Struct, frozen=True):
    """A column of a composite type."""

    name: str
    type: int
    modifier: int = -1
    is_required: bool = False


class TypeFacts(Struct, frozen=True):
    """A type.

    Attributes:
        written: As PostgreSQL writes it, without modifiers: ``character varying``, ``shop.mood[]``.
        element: Of an array.
        base: What a domain is made of.
        subtype: What a range is made of; of a multirange the range.
        relation: Kind of the relation whose rows it is, as in ``pg_class``; None for a type of its own.
    """

    oid: int
    name: str
    schema: str
    written: str
    kind: TypeKind
    comment: str | None = None
    element: int | None = None
    base: int | None = None
    modifier: int = -1
    is_required: bool = False
    subtype: int | None = None
    labels: tuple[str, ...] | None = None
    relation: str | None = None
    attributes: tuple[Attribute, ...] | None = None
    checks: tuple[str, ...] | None = None


class Column(Struct, frozen=True):
    """A column of a relation.

    Attributes:
        modifier: ``atttypmod``, which holds lengths and precisions.
        identity: ``a`` for ALWAYS, ``d`` for BY DEFAULT, else empty.
        default: Its expression; None for computed columns.
        is_updatable: By structure; the columns of a view may be computed.
        checks: Constraints of this column alone, as PostgreSQL writes them back.
    """

    name: str
    type: int
    modifier: int
    is_required: bool
    identity: str
    is_generated: bool
    is_updatable: bool
    may_read: bool
    may_insert: bool
    may_update: bool
    comment: str | None = None
    default: str | None = None
    checks: tuple[str, ...] | None = None

    @property
    def is_computed(self) -> bool:
        """Nobody can give it a value."""
        return self.is_generated or self.identity == "a"

    @property
    def has_value_of_its_own(self) -> bool:
        """A row that does not say it has something else than null."""
        return self.default is not None or bool(self.identity)


class RelationFacts(Struct, frozen=True):
    """A relation that the role may do something with.

    Attributes:
        kind: As in ``pg_class``: ``r``, ``p``, ``v``, ``m`` or ``f``.
        events: What can be done with it by structure.
        hidden: Methods in small letters that a limited key does not reach.
    """

    name: str
    kind: str
    row_type: int
    events: int
    may_delete: bool
    columns: tuple[Column, ...]
    comment: str | None = None
    hidden: frozenset[str] = frozenset()

    @property
    def is_view(self) -> bool:
        return self.kind in "vm"

    @property
    def allows_insert(self) -> bool:
        return bool(self.events & _INSERT)

    @property
    def allows_update(self) -> bool:
        return bool(self.events & _UPDATE)

    @property
    def allows_delete(self) -> bool:
        return bool(self.events & _DELETE)


class ArgumentFacts(Struct, frozen=True):
    """A parameter of a function; ``mode`` as in ``pg_proc``: i, o, b, v or t."""

    name: str
    type: int
    mode: str
    has_default: bool

    @property
    def goes_in(self) -> bool:
        return self.mode in "ibv"


class FunctionFacts(Struct, frozen=True):
    """A function that the role may call."""

    name: str
    is_volatile: bool
    returns: int
    is_set: bool
    rows: float
    arguments: tuple[ArgumentFacts, ...]
    comment: str | None = None

    @property
    def parameters(self) -> tuple[ArgumentFacts, ...]:
        """Those that go in."""
        return tuple(one for one in self.arguments if one.goes_in)

    @property
    def outputs(self) -> tuple[ArgumentFacts, ...]:
        """Those that come out as columns."""
        return tuple(one for one in self.arguments if one.mode in "obt")


class Facts(Struct, frozen=True):
    """Everything about a schema.

    Attributes:
        types: By their number: all that the others use, and those that the schema holds.
    """

    schema: str
    relations: tuple[RelationFacts, ...]
    functions: tuple[FunctionFacts, ...]
    types: Mapping[int, TypeFacts]
    comment: str | None = None


class _Document(Struct, frozen=True):
    """What `SQL` gives, its parts not looked at yet."""

    relations: tuple[Raw, ...]
    functions: tuple[Raw, ...]
    types: tuple[Raw, ...]
    comment: str | None = None


_DOCUMENT: Final = msgspec.json.Decoder(_Document)
_RELATION: Final = msgspec.json.Decoder(RelationFacts)
_FUNCTION: Final = msgspec.json.Decoder(FunctionFacts)
_TYPE: Final = msgspec.json.Decoder(TypeFacts)


def read_facts(schema: str, document: bytes) -> Steps[Facts]:
    """Decode what `SQL` gives of ``schema``."""
    parts = _DOCUMENT.decode(document)
    relations: list[RelationFacts] = []
    for one in parts.relations:
        relations.append(_RELATION.decode(one))
        yield
    functions: list[FunctionFacts] = []
    for one in parts.functions:
        functions.append(_FUNCTION.decode(one))
        yield
    types: dict[int, TypeFacts] = {}
    for one in parts.types:
        found = _TYPE.decode(one)
        types[found.oid] = found
        yield
    return Facts(schema, tuple(relations), tuple(functions), types, parts.comment)
