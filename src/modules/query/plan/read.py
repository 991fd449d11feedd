"""`plan_read`: find in the catalog what a `Read` asks for, or refuse with PostgREST's words.

Columns the catalog does not know are left to PostgreSQL on purpose. They are
written as ``"users"."full_name"``, which also means *the function full_name of
the row*: that is how computed fields work, and a name that is neither is
refused by the server with 42703, as PostgREST's clients expect.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from modules.query import ast
from modules.query.errors import (
    RelationClosed,
    RelationClosedToAnonymous,
    RelationNotFound,
)
from modules.query.plan.identity import is_of_one
from modules.query.plan.keyset import plan_keyset
from modules.query.plan.model import (
    Computed,
    DocumentPlan,
    Link,
    PlannedColumn,
    PlannedField,
    PlannedJoin,
    PlannedOutput,
    ReadPlan,
    Source,
)
from modules.query.plan.outputs import (
    as_jsonb,
    check_geometry,
    embed_outputs,
    plan_columns,
    spread_outputs,
    with_text_embeds,
)
from modules.query.plan.terms import plan_condition, plan_order
from modules.query.relationships import Among, find_relationship
from modules.query.similarity import most_similar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.query.catalog import Catalog, Relation, Relationship
    from modules.query.columns import Key
    from modules.query.exposure import Closure

MAX_IDENTIFIER_BYTES: Final = 63
"""PostgreSQL cuts longer names off, and two that are cut alike collide."""

SIMILAR_TABLE: Final = 0.75


class Rules(Struct, frozen=True):
    """What the caller and the configuration allow.

    Attributes:
        schemas: Schemas a junction may be in; None for all.
        closures: Relations closed to this caller; empty for one that bypasses row security.
        anonymous: The caller sent no credential.
        aggregates: Aggregate functions are switched on.
    """

    schemas: frozenset[str] | None = None
    closures: Mapping[Key, Closure] = {}
    anonymous: bool = False
    aggregates: bool = True

    @property
    def among(self) -> Among:
        return Among(self.schemas, self.closures)


class _Planner(Struct):
    """One planning: what it looks things up in, and what it has touched."""

    catalog: Catalog
    rules: Rules
    max_rows: int | None
    touched: set[Key]


def plan_read(read: ast.Read, catalog: Catalog, rules: Rules) -> DocumentPlan:
    """Resolve ``read``.

    Raises:
        RelationNotFound: PGRST205, the schema has no such relation.
        RelationClosed: MH100, it is closed to this caller, or a relation embedded in it is.
        RelationshipNotFound: PGRST200.
        RelationshipAmbiguous: PGRST201.
        OrderNotPossible: PGRST118.
        EmbedOperatorNotAllowed: PGRST120.
        AggregatesOff: PGRST123.
        GeometryMissing: 22023.
        PagingImpossible: MH122.
    """
    planner = _Planner(catalog, rules, read.max_rows, set())
    relation = find_relation(read.schema, read.relation, catalog, rules)
    _touch(planner, relation.key)
    plan = _selection(planner, read.selection, relation, Source(relation.key), depth=0)
    if read.shape == "geojson":
        check_geometry(plan, relation)
    plan = with_text_embeds(plan, read.shape)
    keyset = None if read.keyset is None else plan_keyset(read, read.keyset, plan, relation)
    return DocumentPlan(
        plan,
        read.shape,
        read.count,
        read.strip_nulls,
        frozenset(planner.touched),
        keyset,
        is_of_one(read, plan, relation),
    )


def plan_rows(  # noqa: PLR0913 what a read of rows at hand needs
    selection: ast.Selection,
    relation: Relation,
    source: Source,
    catalog: Catalog,
    rules: Rules,
    *,
    max_rows: int | None,
) -> tuple[ReadPlan, frozenset[Key]]:
    """Resolve what is wanted of rows that ``source`` has, written just now or returned by a function.

    Returns the plan and every relation that is embedded. Raises as `plan_read`, but does not ask whether
    ``relation`` itself is open.
    """
    planner = _Planner(catalog, rules, max_rows, set())
    plan = _selection(planner, selection, relation, source, depth=0)
    return plan, frozenset(planner.touched)


def find_relation(schema: str, name: str, catalog: Catalog, rules: Rules) -> Relation:
    """Return the relation.

    Raises:
        RelationNotFound: PGRST205.
    """
    relation = catalog.find(schema, name)
    if relation is None:
        raise RelationNotFound(schema, name, _similar_relation(schema, name, catalog, rules))
    return relation


def _touch(planner: _Planner, key: Key) -> None:
    check_open(key, planner.rules)
    planner.touched.add(key)


def check_open(key: Key, rules: Rules) -> None:
    """Let the caller at a relation that is not closed to it.

    Raises:
        RelationClosed: MH100.
    """
    closure = rules.closures.get(key)
    if closure is not None:
        refusal = RelationClosedToAnonymous if rules.anonymous else RelationClosed
        raise refusal(closure.relation, closure.why, closure.hint)


def _similar_relation(schema: str, name: str, catalog: Catalog, rules: Rules) -> str | None:
    names = (r.name for r in catalog.in_schema(schema) if r.key not in rules.closures)
    return most_similar(name, names, min_score=SIMILAR_TABLE)


def _selection(
    planner: _Planner, selection: ast.Selection, relation: Relation, source: Source, *, depth: int
) -> ReadPlan:
    joins: list[PlannedJoin] = []
    by_name: dict[str, tuple[PlannedJoin, Relationship]] = {}
    by_relation: dict[str, tuple[PlannedJoin, Relationship]] = {}
    outputs: list[PlannedOutput] = []
    for item in selection.items:
        if isinstance(item, ast.Embed):
            way = find_relationship(
                planner.catalog, relation.key, item.relation, item.hint, among=planner.rules.among
            )
            join = _join(planner, item, way, source, depth=depth + 1)
            if item.spread:
                join, added = spread_outputs(planner.catalog, join)
            else:
                added = embed_outputs(item, join)
            joins.append(join)
            by_name.setdefault(item.name, (join, way))
            by_relation.setdefault(item.relation, (join, way))
            outputs += added
        else:
            outputs += plan_columns(
                planner.catalog, item, relation, source, aggregates=planner.rules.aggregates
            )
    embeds = by_relation | by_name
    grouped = any(isinstance(output, PlannedColumn) and output.aggregate for output in outputs)
    return ReadPlan(
        source=source,
        outputs=as_jsonb(outputs) if grouped else tuple(outputs),  # json cannot be grouped by
        joins=tuple(joins),
        where=tuple(
            plan_condition(planner.catalog, term, relation, source, embeds) for term in selection.where
        ),
        order=tuple(plan_order(planner.catalog, term, relation, source, embeds) for term in selection.order),
        limit=selection.limit,
        offset=selection.offset,
        max_rows=planner.max_rows,
        grouped=grouped,
    )


def _join(
    planner: _Planner, embed: ast.Embed, way: Relationship, parent: Source, *, depth: int
) -> PlannedJoin:
    relation = planner.catalog.relations[way.target]
    computed = Computed(way.function, parent) if way.function is not None else None
    source = Source(relation.key, _short(f"{relation.name}_{depth}"), computed=computed)
    _touch(planner, relation.key)
    if way.junction is not None:
        _touch(planner, way.junction.key)
    read = _selection(planner, embed.selection, relation, source, depth=depth)
    if way.is_to_one:
        read = replace(read, max_rows=None)  # a foreign key promises one row at most
    return PlannedJoin(
        name=_short(f"{parent.key[1]}_{embed.name}_{depth}"),
        read=read,
        link=_link(way, parent, source, depth),
        is_list=not way.is_to_one,
        is_inner=embed.join == "inner",
    )


def _link(way: Relationship, parent: Source, source: Source, depth: int) -> Link:
    if way.junction is None:
        return Link(
            tuple((PlannedField(source, there), PlannedField(parent, here)) for here, there in way.pairs)
        )
    between = Source(way.junction.key, _short(f"{way.junction.key[1]}_{depth}_through"))
    to_parent = (
        (PlannedField(between, middle), PlannedField(parent, here))
        for here, middle in way.junction.origin_pairs
    )
    to_target = (
        (PlannedField(source, there), PlannedField(between, middle))
        for middle, there in way.junction.target_pairs
    )
    return Link((*to_target, *to_parent), between)


def _short(name: str) -> str:
    """Keep an alias within PostgreSQL's length, still unlike any other.

    >>> _short("orders_customer_1")
    'orders_customer_1'
    """
    encoded = name.encode()
    if len(encoded) <= MAX_IDENTIFIER_BYTES:
        return name
    digest = hashlib.blake2b(encoded, digest_size=6).hexdigest()
    kept = encoded[: MAX_IDENTIFIER_BYTES - len(digest) - 1].decode(errors="ignore")
    return f"{kept}_{digest}"
