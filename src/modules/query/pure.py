"""Which reads depend on nothing but rows, values and who asks: not on functions of the project, nor on time.

Their answer stays right until somebody writes to one of their tables. What is not known to be so is not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from modules.query.plan.model import (
    DocumentPlan,
    PlannedAbsence,
    PlannedColumn,
    PlannedField,
    PlannedFilter,
    PlannedIs,
    PlannedLogic,
    ReadPlan,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modules.query.catalog import Catalog
    from modules.query.plan.model import PlannedCondition
    from modules.query.probe import Plan

_SHAPES: Final = frozenset({"array", "object", "csv", "none"})
_CASTS: Final = frozenset(
    (
        *("text", "varchar", "bpchar", "char", "name", "int", "int2", "int4", "int8", "integer", "smallint"),
        *("bigint", "numeric", "decimal", "float", "float4", "float8", "real", "bool", "boolean", "json"),
        *("jsonb", "uuid", "bytea"),
    )
)
"""Types whose values say the same at any time; ``'now'`` as a timestamp does not."""

_RELATIVE: Final = re.compile(rb"(?<![a-z])(?:now|today|tomorrow|yesterday)(?![a-z])", re.IGNORECASE)


def why_not_pure(plan: Plan, catalog: Catalog) -> str | None:
    """Return what else the answer to a read depends on, or None."""
    if not isinstance(plan, DocumentPlan):
        return "it is no read of rows"
    if plan.shape not in _SHAPES:
        return "a function makes its document"
    for key in plan.relations:
        relation = catalog.relations.get(key)
        if relation is None or relation.kind != "table":
            return f"{key[0]}.{key[1]} is no plain table"
        if any(column.type in catalog.representations for column in relation.columns.values()):
            return f"functions represent columns of {key[0]}.{key[1]}"
    return next(_reasons(plan.read, catalog), None)


def may_call(read: ReadPlan, catalog: Catalog) -> bool:
    """Say whether a function of the project may be called by its rows, beside those that policies call."""
    return any(_reasons(read, catalog))


def is_relative(value: bytes) -> bool:
    """Say whether PostgreSQL may read a value as a time relative to now.

    >>> is_relative(b"today 10:00"), is_relative(b"snow")
    (True, False)
    """
    return _RELATIVE.search(value) is not None


def _reasons(read: ReadPlan, catalog: Catalog) -> Iterator[str]:
    if read.source.computed is not None or read.source.called is not None or read.source.rows is not None:
        yield "a function makes some of its rows"
    for output in read.outputs:
        if isinstance(output, PlannedColumn):
            if output.convert is not None:
                yield "a function represents a column"
            for cast in (output.cast, output.aggregate_cast):
                if cast is not None and cast.lower() not in _CASTS:
                    yield f"it casts to {cast}"
            if output.field is not None:
                yield from _of_field(output.field, catalog)
    yield from _of_conditions(read.where, catalog)
    for term in read.order:
        yield from _of_field(term.field, catalog)
    for join in read.joins:
        yield from _reasons(join.read, catalog)


def _of_conditions(terms: Sequence[PlannedCondition], catalog: Catalog) -> Iterator[str]:
    for term in terms:
        match term:
            case PlannedFilter():
                if term.convert is not None:
                    yield "a function reads a value of a filter"
                yield from _of_field(term.field, catalog)
            case PlannedIs():
                yield from _of_field(term.field, catalog)
            case PlannedLogic():
                yield from _of_conditions(term.terms, catalog)
            case PlannedAbsence():
                pass


def _of_field(field: PlannedField, catalog: Catalog) -> Iterator[str]:
    """A field of a join is an output of its read, which is looked at there."""
    if isinstance(field.source, str):
        return
    relation = catalog.relations.get(field.source.key)
    if relation is None or field.name not in relation.columns:
        yield f"{field.name} is computed by a function"
