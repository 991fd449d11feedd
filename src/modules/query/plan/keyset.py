"""Pages that begin beside a row: the order that they need, and what of it may be null.

A page can only begin "after this row" if the order says of any two rows which comes
first. What the client asked for rarely does (``created_at.desc``), so the columns of
a key are put behind it, in the direction of its last term: an index on
``(created_at, id)`` then serves both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.query import ast
from modules.query.errors import PagingImpossible
from modules.query.plan.model import PlannedKeyset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modules.query.catalog import Relation
    from modules.query.plan.model import ReadPlan


def keyset_order(read: ast.Read, relation: Relation) -> tuple[ast.Order, ...]:
    """Return the order of ``read`` with the columns of a key behind it, unless it has them.

    Raises:
        PagingImpossible: MH122.
    """
    if read.shape not in ("array", "none"):
        raise PagingImpossible(
            "The answer is no JSON array.", "Ask for application/json, or for pages by limit and offset."
        )
    order = read.selection.order
    if any(term.relation is not None for term in order):
        raise PagingImpossible(
            "It is ordered by a column of an embedded resource.",
            f"Order by columns of '{relation.name}' alone, or ask for pages by limit and offset.",
        )
    named = {term.field.name for term in order if not term.field.path}
    keys = [key for key in _keys(relation) if key]
    if any(named.issuperset(key) for key in keys):
        return order
    if not keys:
        raise PagingImpossible(
            f"'{relation.name}' has no primary key and no unique constraint over columns that are not null.",
            "Give it a primary key, or ask for pages by limit and offset.",
        )
    direction = order[-1].direction if order else None
    return (*order, *(ast.Order(ast.Field(name), direction) for name in keys[0] if name not in named))


def _keys(relation: Relation) -> Iterator[tuple[str, ...]]:
    """Yield what tells rows apart, the primary key first; a unique constraint takes any number of nulls."""
    yield relation.primary_key
    for unique in sorted(relation.uniques, key=lambda one: (len(one), *sorted(one))):
        if not any(relation.columns[name].is_nullable for name in unique):
            yield tuple(sorted(unique))


def plan_keyset(read: ast.Read, keyset: ast.Keyset, plan: ReadPlan, relation: Relation) -> PlannedKeyset:
    """Resolve where a page begins.

    Raises:
        PagingImpossible: MH122, the rows are groups of others.
    """
    if plan.grouped:
        raise PagingImpossible(
            "Aggregates put rows into groups, which have no key.", "Ask for pages by limit and offset."
        )
    return PlannedKeyset(
        keyset.is_backward,
        keyset.slots,
        tuple(_is_nullable(term.field, relation) for term in read.selection.order),
    )


def _is_nullable(field: ast.Field, relation: Relation) -> bool:
    """Say whether there may be no value; of a computed field nobody knows."""
    column = relation.columns.get(field.name)
    return bool(field.path) or column is None or column.is_nullable
