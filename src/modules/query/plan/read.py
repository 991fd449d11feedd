"""`plan_read`: find in the catalog what a `Read` asks for, or refuse with PostgREST's words.

Columns the catalog does not know are left to PostgreSQL on purpose. They are
written as ``"users"."full_name"``, which also means *the function full_name of
the row*: that is how computed fields work, and a name that is neither is
refused by the server with 42703, as PostgREST's clients expect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from modules.query import ast
from modules.query.errors import (
    AggregatesOff,
    EmbedNotSelected,
    EmbedOperatorNotAllowed,
    GeometryMissing,
    NotImplementedYet,
    OrderNotPossible,
    RelationClosed,
    RelationClosedToAnonymous,
    RelationNotFound,
)
from modules.query.plan.model import (
    Computed,
    DocumentPlan,
    Link,
    PlannedAbsence,
    PlannedColumn,
    PlannedCondition,
    PlannedEmbed,
    PlannedField,
    PlannedFilter,
    PlannedIs,
    PlannedJoin,
    PlannedLogic,
    PlannedOrder,
    PlannedOutput,
    PlannedStar,
    ReadPlan,
    Source,
)
from modules.query.relationships import Among, find_relationship
from modules.query.similarity import most_similar

if TYPE_CHECKING:
    from modules.query.catalog import Catalog, Key, Relation, Relationship
    from modules.query.exposure import Closure

MAX_IDENTIFIER_BYTES: Final = 63
"""PostgreSQL cuts longer names off, and two that are cut alike collide."""

PATTERNS: Final = ("like", "ilike", "match", "imatch")
"""Operators whose value is a pattern, and no value of the column's type."""

GEOMETRIES: Final = ("geometry", "geography")
"""Types of PostGIS."""

SIMILAR_TABLE: Final = 0.75

Joins: TypeAlias = Mapping[str, tuple[PlannedJoin, "Relationship"]]
"""Embeds of one selection by alias and by relation name, with the way to each."""


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
    """
    planner = _Planner(catalog, rules, read.max_rows, set())
    relation = find_relation(read.schema, read.relation, catalog, rules)
    _touch(planner, relation.key)
    plan = _selection(planner, read.selection, relation, Source(relation.key), depth=0)
    if read.shape == "geojson":
        _check_geometry(plan, relation)
    plan = with_text_embeds(plan, read.shape)
    return DocumentPlan(plan, read.shape, read.count, read.strip_nulls, frozenset(planner.touched))


def _check_geometry(plan: ReadPlan, relation: Relation) -> None:
    """Refuse features of columns that are all known, and none of them a geometry."""
    known = relation.columns
    for output in plan.outputs:
        if isinstance(output, PlannedStar):
            names = list(known)
        elif isinstance(output, PlannedColumn) and output.field is not None:
            names = [output.field.name]
        else:
            continue
        if any(name not in known or known[name].base_type in GEOMETRIES for name in names):
            return
    raise GeometryMissing


def with_text_embeds(plan: ReadPlan, shape: ast.Shape) -> ReadPlan:
    """Have embeds as ``jsonb`` where they are written as text among other values, in CSV and the like.

    PostgREST has them so everywhere. In a JSON document nobody sees it, and ``json`` is quicker.
    """
    if shape in ("array", "object", "geojson", "none"):
        return plan
    outputs = (
        replace(output, is_jsonb=True) if isinstance(output, PlannedEmbed) else output
        for output in plan.outputs
    )
    return replace(plan, outputs=tuple(outputs))


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


def plan_conditions(
    terms: tuple[ast.Condition, ...], relation: Relation, source: Source | str, catalog: Catalog
) -> tuple[PlannedCondition, ...]:
    """Resolve conditions on rows of ``source`` that have the relation's columns, and no embeds to name."""
    return tuple(_condition(catalog, term, relation, source, {}) for term in terms)


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
                join, added = _spread(planner, join)
            else:
                added = _embed_outputs(item, join)
            joins.append(join)
            by_name.setdefault(item.name, (join, way))
            by_relation.setdefault(item.relation, (join, way))
            outputs += added
        else:
            outputs += _outputs(planner, item, relation, source)
    embeds = by_relation | by_name
    return ReadPlan(
        source=source,
        outputs=tuple(outputs),
        joins=tuple(joins),
        where=tuple(_condition(planner.catalog, term, relation, source, embeds) for term in selection.where),
        order=tuple(_order(planner.catalog, term, relation, source, embeds) for term in selection.order),
        limit=selection.limit,
        offset=selection.offset,
        max_rows=planner.max_rows,
        grouped=any(isinstance(output, PlannedColumn) and output.aggregate for output in outputs),
    )


def _outputs(planner: _Planner, item: ast.Item, relation: Relation, source: Source) -> list[PlannedOutput]:
    if isinstance(item, ast.AllColumns):
        return _all_columns(planner, relation, source)
    assert isinstance(item, ast.Column)
    if item.aggregate and not planner.rules.aggregates:
        raise AggregatesOff
    field = _field(item.field, relation, source) if item.field else None
    convert = _conversion(planner, item, relation)
    name = item.alias or item.aggregate or (_path_name(item.field) if item.field else None)
    if name is None and field is not None and (item.cast or convert):
        name = field.name
    return [PlannedColumn(field, name, item.cast, item.aggregate, item.aggregate_cast, convert=convert)]


def _all_columns(planner: _Planner, relation: Relation, source: Source) -> list[PlannedOutput]:
    """Write ``*`` out where a column represents itself as something else than its value."""
    ways = planner.catalog.representations
    found = [ways.get(column.type) for column in relation.columns.values()] if ways else []
    if not any(way is not None and way.to_json for way in found):
        return [PlannedStar(source)]
    return [
        output
        for name in relation.columns
        for output in _outputs(planner, ast.Column(ast.Field(name)), relation, source)
    ]


def _conversion(planner: _Planner, item: ast.Column, relation: Relation) -> Key | None:
    if item.field is None or item.field.path or item.aggregate or not planner.catalog.representations:
        return None
    column = relation.columns.get(item.field.name)
    way = planner.catalog.representations.get(column.type) if column is not None else None
    return way.to_json if way is not None else None


def _path_name(field: ast.Field) -> str | None:
    """Name a JSON path by its last key; a path of indexes by its column."""
    if not field.path:
        return None
    keys = [step.key for step in field.path if isinstance(step.key, str)]
    return keys[-1] if keys else field.name


def _field(field: ast.Field, relation: Relation, source: Source | str) -> PlannedField:
    column = relation.columns.get(field.name)
    return PlannedField(
        source,
        field.name,
        field.path,
        base_type=column.base_type if column else None,
        to_json=bool(field.path) and column is not None and not column.is_document,
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


def _embed_outputs(embed: ast.Embed, join: PlannedJoin) -> list[PlannedOutput]:
    """Say what an embed adds to its parent's row; nothing when it selects nothing itself."""
    return [PlannedEmbed(join.name, embed.name, join.is_list)] if join.read.outputs else []


def _spread(planner: _Planner, join: PlannedJoin) -> tuple[PlannedJoin, list[PlannedOutput]]:
    """Say what a spread adds to its parent's row, one value for each of its own.

    An aggregate of a to-one spread goes over the parent's rows: the spread gives it what it needs under a
    name of its own, and the parent computes it.

    Raises:
        NotImplementedYet: PGRST127, an aggregate of rows that are gathered into arrays.
    """
    if join.is_list and join.read.grouped:
        raise NotImplementedYet("Aggregates are not implemented for one-to-many or many-to-many spreads.")
    kept: list[PlannedOutput] = []
    added: list[PlannedOutput] = []
    for output in join.read.outputs:
        if isinstance(output, PlannedColumn) and output.aggregate is not None:
            field = PlannedField(join.name, f"_{len(kept)}") if output.field is not None else None
            if field is not None:
                kept.append(PlannedColumn(output.field, field.name, output.cast))
            name = output.name or output.aggregate
            added.append(PlannedColumn(field, name, None, output.aggregate, output.aggregate_cast))
            continue
        kept.append(output)
        added += (
            PlannedColumn(PlannedField(join.name, name), name, is_list=join.is_list)
            for name in _names(planner, join.read, output)
        )
    names = tuple(name for output in kept for name in _names(planner, join.read, output))
    read = replace(join.read, outputs=tuple(kept), grouped=False)
    return replace(join, read=read, spread=names), added


def _names(planner: _Planner, read: ReadPlan, output: PlannedOutput) -> tuple[str, ...]:
    """Return the names that an output has in the answer."""
    match output:
        case PlannedStar():
            return tuple(planner.catalog.relations[read.source.key].columns)
        case PlannedColumn(field=field, name=name):
            return (name or (field.name if field else "count"),)
        case PlannedEmbed(name=name):
            return (name,)


def _condition(
    catalog: Catalog, term: ast.Condition, relation: Relation, source: Source | str, joins: Joins
) -> PlannedCondition:
    if isinstance(term, ast.Logic):
        terms = tuple(_condition(catalog, inner, relation, source, joins) for inner in term.terms)
        return PlannedLogic(term.connective, terms, term.negated)
    if (embed := joins.get(term.field.name)) is not None and term.field.name not in relation.columns:
        if not isinstance(term, ast.Is) or term.value not in ("null", "not_null") or term.field.path:
            raise EmbedOperatorNotAllowed(term.field.name)
        return PlannedAbsence(embed[0], negated=term.negated != (term.value == "not_null"))
    field = _field(term.field, relation, source)
    if isinstance(term, ast.Is):
        return PlannedIs(field, term.value, term.negated)
    return PlannedFilter(field, term, _parser(catalog, term, relation))


def _parser(catalog: Catalog, term: ast.Filter, relation: Relation) -> Key | None:
    """Return the function that makes the column's domain of a client's text, where there is one."""
    column = relation.columns.get(term.field.name) if catalog.representations else None
    if column is None or term.field.path or term.quantifier is not None or term.operator in PATTERNS:
        return None
    way = catalog.representations.get(column.type)
    return way.from_text if way is not None else None


def _order(
    catalog: Catalog, term: ast.Order, relation: Relation, source: Source, joins: Joins
) -> PlannedOrder:
    if term.relation is None:
        return PlannedOrder(_field(term.field, relation, source), term.direction, term.nulls)
    found = joins.get(term.relation)
    if found is None:
        raise EmbedNotSelected(term.relation)
    join, way = found
    if not way.is_to_one:
        raise OrderNotPossible(relation.name, term.relation)
    if _brings(join, term.field.name, catalog):
        field = PlannedField(join.name, term.field.name, term.field.path)
        return PlannedOrder(field, term.direction, term.nulls)
    field = _field(term.field, catalog.relations[join.read.source.key], join.read.source)
    return PlannedOrder(field, term.direction, term.nulls, join)


def _brings(join: PlannedJoin, name: str, catalog: Catalog) -> bool:
    """Say whether the embed's own rows have ``name``, as the database orders it."""
    for output in join.read.outputs:
        match output:
            case PlannedStar() if name in catalog.relations[join.read.source.key].columns:
                return True
            case PlannedColumn(field=field, convert=None):
                if name == (output.name or (field.name if field else None)):
                    return True
            case PlannedEmbed():
                if name == output.name:
                    return True
    return False


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
