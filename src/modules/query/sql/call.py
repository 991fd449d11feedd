"""Plan of a call → one statement whose only row is the whole answer.

The function stands in FROM, so that filters and columns reach into one that
PostgreSQL can inline, and functions of its rows are computed fields. It is
called once: where the rows are counted too, they are kept until then.

Source: PostgREST 16, ``Query/QueryBuilder.hs``, ``callPlanToQuery``.
"""

# writing SQL is what this file is for; values are parameters and names are quoted
# ruff: noqa: S608
from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from modules.query.sql.document import ROW, document
from modules.query.sql.fragment import Statement, parameter, statement
from modules.query.sql.mutate import guard
from modules.query.sql.read import answer, select, window
from modules.query.sql.source import SCALAR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.query.ast import Shape
    from modules.query.plan.model import CallPlan

RETURNED: Final = "_returned"
"""All that the function returned, while one page of it goes out."""


def render_call(plan: CallPlan, asides: Sequence[str] = (), *, is_explained: bool = False) -> Statement:
    """Write the statement for ``plan``; parameters as of `answer`."""
    call, routine = plan.call, plan.routine
    value = ROW if routine.is_row else f"{ROW}.{SCALAR}"
    rows, first, total = select(plan.read), "", "NULL::bigint"
    if call.count == "exact" and not any(window(plan.read)):
        total = "count(*)"  # all rows are in the document
    elif call.count in ("exact", "estimated"):
        everything = replace(plan.read, limit=None, offset=None, max_rows=None)
        first = f"{RETURNED} AS ({select(everything)})"
        rows = " ".join((f"SELECT * FROM {RETURNED}", *window(plan.read)))
        total = f"(SELECT count(*) FROM {RETURNED})"
    return statement(
        answer(
            rows,
            call.shape,
            document=document(
                _shape(plan), strip_nulls=call.strip_nulls, value=value, is_explained=is_explained
            ),
            # the row as a whole, so that its value is computed even where no document is made of it
            counted="count(*)" if routine.is_row else f"count({ROW})",
            total=_guarded(plan, total),
            asides=asides,
            first=first,
            is_explained=is_explained,
        )
    )


def _shape(plan: CallPlan) -> Shape:
    if plan.routine.is_void:
        return "none"
    return "object" if plan.call.shape == "array" and not plan.routine.is_set else plan.call.shape


def _guarded(plan: CallPlan, total: str) -> str:
    guards: list[str] = []
    if plan.call.is_single:
        guards.append(guard("single", "count(*)", "<> 1"))
    if plan.call.max_affected is not None:
        guards.append(guard("affected", "count(*)", f"> {parameter(plan.call.max_affected)}::bigint"))
    return f"CASE {' '.join(guards)} ELSE {total} END" if guards else total
