"""Conditions and terms of ORDER BY, on columns and on embeds.

Source: PostgREST 16, ``Plan.hs``: `addFilters`, `addNullEmbedFilters`, `addRelatedOrders`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from modules.query import ast
from modules.query.errors import EmbedNotSelected, EmbedOperatorNotAllowed, OrderNotPossible
from modules.query.plan.model import (
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
    PlannedStar,
    Source,
)
from modules.query.plan.outputs import plan_field

if TYPE_CHECKING:
    from modules.query.catalog import Catalog, Relation, Relationship
    from modules.query.columns import Key

PATTERNS: Final = ("like", "ilike", "match", "imatch")
"""Operators whose value is a pattern, and no value of the column's type."""

Joins: TypeAlias = Mapping[str, tuple[PlannedJoin, "Relationship"]]
"""Embeds of one selection by alias and by relation name, with the way to each."""


def plan_conditions(
    terms: tuple[ast.Condition, ...], relation: Relation, source: Source | str, catalog: Catalog
) -> tuple[PlannedCondition, ...]:
    """Resolve conditions on rows of ``source`` that have the relation's columns, and no embeds to name."""
    return tuple(plan_condition(catalog, term, relation, source, {}) for term in terms)


def plan_condition(
    catalog: Catalog, term: ast.Condition, relation: Relation, source: Source | str, joins: Joins
) -> PlannedCondition:
    """Resolve a condition.

    Args:
        catalog: Where to look.
        term: The condition.
        relation: Whose columns it names.
        source: What has its rows.
        joins: The embeds it may ask for being null.

    Raises:
        EmbedOperatorNotAllowed: PGRST120.
    """
    if isinstance(term, ast.Logic):
        terms = tuple(plan_condition(catalog, inner, relation, source, joins) for inner in term.terms)
        return PlannedLogic(term.connective, terms, term.negated)
    if (embed := joins.get(term.field.name)) is not None and term.field.name not in relation.columns:
        if not isinstance(term, ast.Is) or term.value not in ("null", "not_null") or term.field.path:
            raise EmbedOperatorNotAllowed(term.field.name)
        return PlannedAbsence(embed[0], negated=term.negated != (term.value == "not_null"))
    field = plan_field(term.field, relation, source)
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


def plan_order(
    catalog: Catalog, term: ast.Order, relation: Relation, source: Source, joins: Joins
) -> PlannedOrder:
    """Resolve a term of ORDER BY; parameters as above.

    Raises:
        EmbedNotSelected: PGRST108.
        OrderNotPossible: PGRST118.
    """
    if term.relation is None:
        return PlannedOrder(plan_field(term.field, relation, source), term.direction, term.nulls)
    found = joins.get(term.relation)
    if found is None:
        raise EmbedNotSelected(term.relation)
    join, way = found
    if not way.is_to_one:
        raise OrderNotPossible(relation.name, term.relation)
    if _brings(join, term.field.name, catalog):
        field = PlannedField(join.name, term.field.name, term.field.path)
        return PlannedOrder(field, term.direction, term.nulls)
    field = plan_field(term.field, catalog.relations[join.read.source.key], join.read.source)
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
