"""Rows of ``pg_proc``, ``pg_cast`` and media type domains → routines, computed relationships, handlers.

Source of what to look for: PostgREST 16, ``SchemaCache.hs`` (`decodeFuncs`,
`allComputedRels`, `mediaHandlers`, `dataRepresentations`).
"""

# constants alone are put together here
# ruff: noqa: S608
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from modules.query.catalog import MediaHandler, Relation, Relationship, Representation
from modules.query.columns import Key, TableColumn
from modules.query.routines import Parameter, Routine, Volatility, ordered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from modules.query.steps import Steps

Row: TypeAlias = Mapping[str, Any]

OURS: Final = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'"

BASE_TYPES: Final = """
under AS (
  SELECT oid, typbasetype AS base FROM pg_type WHERE typtype = 'd'
  UNION ALL
  SELECT u.oid, t.typbasetype FROM under u JOIN pg_type t ON t.oid = u.base WHERE t.typtype = 'd'
), domains AS (
  SELECT u.oid, u.base FROM under u JOIN pg_type t ON t.oid = u.base WHERE t.typtype <> 'd'
)
"""
"""Recursive; ``domains`` says what a domain is made of, domains over domains looked through.

There are few of them, and many types: each table has two.
"""

ROUTINES: Final = f"""
WITH RECURSIVE {BASE_TYPES}, arguments AS (
  SELECT p.oid, u.name, u.type, coalesce(u.mode, 'i') AS mode, u.place,
         row_number() OVER (PARTITION BY p.oid, coalesce(u.mode, 'i') IN ('i', 'b', 'v') ORDER BY u.place)
           AS place_in
  FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace
  CROSS JOIN unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargnames, p.proargmodes)
    WITH ORDINALITY AS u(type, name, mode, place)
  WHERE p.prokind = 'f' AND u.type IS NOT NULL AND {OURS}
), taken AS (
  SELECT a.oid, array_agg(coalesce(a.name, '') ORDER BY a.place) AS names,
         array_agg(format_type(a.type, NULL) ORDER BY a.place) AS types,
         array_agg(a.place_in <= p.pronargs - p.pronargdefaults ORDER BY a.place) AS required,
         array_agg(a.mode = 'v' ORDER BY a.place) AS variadic,
         count(*) = 1 AND min(a.type::bigint) IN (17, 25, 114, 142, 3802) OR bool_and(a.name IS NOT NULL)
           AS is_callable
  FROM arguments a JOIN pg_proc p ON p.oid = a.oid WHERE a.mode IN ('i', 'b', 'v') GROUP BY a.oid
), given AS (
  SELECT a.oid, array_agg(coalesce(a.name, '') ORDER BY a.place) AS names,
         array_agg(format_type(a.type, NULL) ORDER BY a.place) AS types,
         array_agg(t.typname::text ORDER BY a.place) AS base_types
  FROM arguments a
  LEFT JOIN domains o ON o.oid = a.type
  JOIN pg_type t ON t.oid = coalesce(o.base, a.type)
  WHERE a.mode IN ('o', 'b', 't') GROUP BY a.oid
)
SELECT n.nspname AS schema, p.proname AS name, d.description AS comment, p.provolatile::text AS volatility,
       coalesce(k.names, '{{}}') AS names, coalesce(k.types, '{{}}') AS types,
       coalesce(k.required, '{{}}') AS required, coalesce(k.variadic, '{{}}') AS variadic,
       p.proretset AS is_set, p.prorows = 1 AS is_one_row,
       t.typtype = 'c' OR coalesce(p.proargmodes::text[] && '{{t,b,o}}', false) AS is_row,
       t.oid = 2278 AS is_void,
       nullif(t.typrelid, 0) AS result, nullif(r.typrelid, 0) AS direct_result,
       CASE WHEN p.pronargs = 1 THEN nullif(f.typrelid, 0) END AS of,
       g.names AS out_names, g.types AS out_types, g.base_types AS out_base_types,
       coalesce(p.proconfig, '{{}}') AS settings,
       coalesce(k.is_callable, true) AS is_callable
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
LEFT JOIN domains o ON o.oid = p.prorettype
JOIN pg_type t ON t.oid = coalesce(o.base, p.prorettype)
JOIN pg_type r ON r.oid = p.prorettype
LEFT JOIN pg_type f ON f.oid = p.proargtypes[0]
LEFT JOIN taken k ON k.oid = p.oid
LEFT JOIN given g ON g.oid = p.oid
LEFT JOIN pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_proc'::regclass AND d.objsubid = 0
WHERE p.prokind = 'f' AND t.oid NOT IN (2279, 3838) AND {OURS}
"""
"""2279 and 3838 are ``trigger`` and ``event_trigger``, 2278 is ``void``; the others are bodies' types."""

COMPOSITES: Final = f"""
WITH RECURSIVE {BASE_TYPES}
SELECT a.attrelid AS relation, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
       t.typname AS base_type
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'c'
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN domains o ON o.oid = a.atttypid
JOIN pg_type t ON t.oid = coalesce(o.base, a.atttypid)
WHERE a.attnum > 0 AND NOT a.attisdropped AND {OURS}
ORDER BY a.attrelid, a.attnum
"""

HANDLERS: Final = r"""
WITH media AS (
  SELECT t.oid, lower(t.typname) AS name, t.typnamespace, t.typname, b.typname AS base
  FROM pg_type t JOIN pg_type b ON b.oid = t.typbasetype
  WHERE t.typname ~* '^[A-Za-z0-9.-]+/[A-Za-z0-9.\+-]+$' OR t.typname = '*/*'
)
SELECT n.nspname AS schema, p.proname AS name, m.name AS media_type, m.base AS base_type,
       nullif(a.typrelid, 0) AS relation, NULL::text AS target_schema, NULL::text AS target_name,
       a.typname = 'anyelement' AS is_for_all
FROM media m
JOIN pg_proc p ON p.prorettype = m.oid AND p.prokind = 'a' AND p.pronargs = 1
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_type a ON a.oid = p.proargtypes[0] AND (a.typrelid <> 0 OR a.typname = 'anyelement')
UNION ALL
SELECT tn.nspname, m.typname, m.name, m.base, NULL, n.nspname, p.proname, false
FROM media m
JOIN pg_proc p ON p.prorettype = m.oid AND p.prokind = 'f' AND NOT p.proretset
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_namespace tn ON tn.oid = m.typnamespace
"""

REPRESENTATIONS: Final = """
SELECT format_type(c.castsource, NULL) AS source, format_type(c.casttarget, NULL) AS target,
       n.nspname AS schema, p.proname AS name
FROM pg_cast c
JOIN pg_type s ON s.oid = c.castsource
JOIN pg_type t ON t.oid = c.casttarget
JOIN pg_proc p ON p.oid = c.castfunc
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE c.castcontext = 'i' AND c.castmethod = 'f'
  AND (s.typtype = 'd' AND c.casttarget IN (25, 114) OR t.typtype = 'd' AND c.castsource IN (25, 114))
"""

_VOLATILITY: Final[Mapping[str, Volatility]] = {"i": "immutable", "s": "stable", "v": "volatile"}


def read_routines(
    rows: Iterable[Row],
    keys: Mapping[int, Key],
    columns_of: Mapping[int, Mapping[str, TableColumn]],
) -> Steps[dict[Key, tuple[Routine, ...]]]:
    """Return the routines that can be called, by name.

    Args:
        rows: Of `ROUTINES`.
        keys: Relations by oid.
        columns_of: Columns of relations and composite types by oid.
    """
    found: dict[Key, list[Routine]] = {}
    for row in rows:
        if row["is_callable"]:
            found.setdefault((row["schema"], row["name"]), []).append(_routine(row, keys, columns_of))
        yield
    return {key: ordered(overloads) for key, overloads in found.items()}


def _routine(
    row: Row, keys: Mapping[int, Key], columns_of: Mapping[int, Mapping[str, TableColumn]]
) -> Routine:
    parameters = zip(row["names"], row["types"], row["required"], row["variadic"], strict=True)
    columns = columns_of.get(row["result"], {}) if row["result"] else _out_columns(row)
    return Routine(
        schema=row["schema"],
        name=row["name"],
        parameters=tuple(Parameter(*one) for one in parameters),
        volatility=_VOLATILITY[row["volatility"]],
        is_row=row["is_row"],
        is_set=row["is_set"],
        is_void=row["is_void"],
        relation=keys.get(row["result"]),
        columns=columns,
        settings=tuple(_setting(text) for text in row["settings"]),
        comment=row["comment"],
    )


def _out_columns(row: Row) -> dict[str, TableColumn]:
    if not row["is_row"] or row["out_names"] is None:
        return {}
    found = zip(row["out_names"], row["out_types"], row["out_base_types"], strict=True)
    return {name: TableColumn(name, type_, base, True, False, False, None) for name, type_, base in found}


def _setting(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def read_composites(rows: Iterable[Row]) -> dict[int, dict[str, TableColumn]]:
    """Return the columns of composite types by oid, from rows of `COMPOSITES`."""
    found: dict[int, dict[str, TableColumn]] = {}
    for row in rows:
        column = TableColumn(row["name"], row["type"], row["base_type"], True, False, False, None)
        found.setdefault(row["relation"], {})[row["name"]] = column
    return found


def computed_relationships(
    rows: Iterable[Row], keys: Mapping[int, Key], relations: Mapping[Key, Relation]
) -> Iterator[Relationship]:
    """Yield a relationship for each function from a row of one relation to rows of another."""
    for row in rows:
        origin, target = keys.get(row["of"]), keys.get(row["direct_result"])
        if origin is not None and target is not None:
            is_one = not row["is_set"] or row["is_one_row"]
            yield Relationship(
                origin=origin,
                target=target,
                cardinality="many-to-one" if is_one else "one-to-many",
                function=(row["schema"], row["name"]),
                is_target_view=relations[target].is_view,
            )


def read_handlers(rows: Sequence[Row], keys: Mapping[int, Key]) -> dict[Key | None, dict[str, MediaHandler]]:
    """Return what makes custom media types: by relation or function, under None for every relation."""
    found: dict[Key | None, dict[str, MediaHandler]] = {}
    for row in rows:
        if row["target_name"] is not None:
            target: Key | None = (row["target_schema"], row["target_name"])
        else:
            target = None if row["is_for_all"] else keys.get(row["relation"])
            if target is None and not row["is_for_all"]:
                continue
        handler = MediaHandler(
            (row["schema"], row["name"]),
            row["media_type"],
            target,
            is_aggregate=row["target_name"] is None,
            is_binary=row["base_type"] == "bytea",
        )
        found.setdefault(target, {})[row["media_type"]] = handler
    return found


def read_representations(rows: Iterable[Row]) -> dict[str, Representation]:
    """Return by domain which functions turn it into JSON and make it from JSON and text."""
    found: dict[str, dict[str, Key]] = {}
    for row in rows:
        function: Key = (row["schema"], row["name"])
        if row["target"] in ("json", "text"):
            found.setdefault(row["source"], {})[f"to_{row['target']}"] = function
        else:
            found.setdefault(row["target"], {})[f"from_{row['source']}"] = function
    return {
        domain: Representation(ways.get("to_json"), ways.get("from_json"), ways.get("from_text"))
        for domain, ways in found.items()
    }
