"""Whether a read finds one row at most: its conditions say what all columns of a key are equal to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.query.plan.model import PlannedFilter

if TYPE_CHECKING:
    from modules.query.ast import Read
    from modules.query.catalog import Relation
    from modules.query.plan.model import ReadPlan


def is_of_one(read: Read, plan: ReadPlan, relation: Relation) -> bool:
    """Say whether ``read`` wants the row with a key as it is: no page of it, no count, no sum."""
    if not relation.identities or read.keyset is not None or read.count is not None:
        return False
    if plan.grouped or plan.limit is not None or plan.offset is not None or plan.max_rows == 0:
        return False
    equal = {term.field.name for term in plan.where if isinstance(term, PlannedFilter) and _is_equal(term)}
    return any(key <= equal for key in relation.identities)


def _is_equal(term: PlannedFilter) -> bool:
    """Say whether a condition is ``column = value``, as the column's own type compares."""
    asked = term.filter
    is_plain = asked.operator == "eq" and not asked.negated and asked.quantifier is None
    return is_plain and not term.field.path and term.convert is None
