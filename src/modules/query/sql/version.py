"""Which versions of rows a read is about: a statement that gives one short text, another when one changed.

Rows of tables have a place and the transaction that wrote them; of others, and where some columns are hidden,
their values stand for them.
"""

# writing SQL is what this file is for; values are parameters and names are quoted
# ruff: noqa: S608
from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.query.plan.model import PlannedColumn, PlannedStar
from modules.query.sql.fragment import Statement, identifier, qualifier, statement
from modules.query.sql.read import condition, exists
from modules.query.sql.source import relation as from_

if TYPE_CHECKING:
    from modules.query.catalog import Relation
    from modules.query.plan.model import DocumentPlan, Source

_STORED: Final = frozenset({"table", "partitioned table"})


def render_version(plan: DocumentPlan, relation: Relation) -> Statement:
    """Write the statement; its only row has the total (always null), the number of rows, and the text."""
    read = plan.read
    conditions = [condition(term, counting=True) for term in read.where]
    conditions += (exists(one) for one in read.joins if one.is_inner)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = f"SELECT {_version(read.source, relation)} AS _version FROM {from_(read.source)}{where}"
    return statement(
        "SELECT NULL::bigint, count(*), md5(string_agg(_version, ',' ORDER BY _version)) "
        f"FROM ({rows}) AS _versions"
    )


def is_of_rows_alone(plan: DocumentPlan, relation: Relation) -> bool:
    """Say whether the document shows stored values alone, so that it changes with the rows' versions."""
    return (
        not plan.read.joins
        and not plan.read.grouped
        and all(
            isinstance(one, PlannedStar)
            or (
                isinstance(one, PlannedColumn)
                and one.field is not None
                and one.field.name in relation.columns
                and one.convert is None
            )
            for one in plan.read.outputs
        )
    )


def _version(source: Source, relation: Relation) -> str:
    name = qualifier(source)
    if relation.kind in _STORED and len(relation.columns) >= len(relation.stored):
        return f"{name}.tableoid::text || {name}.ctid::text || {name}.xmin::text"
    columns = ", ".join(f"{name}.{identifier(column)}" for column in relation.columns)
    return f"md5(ROW({columns})::text)"
