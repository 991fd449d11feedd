"""Plan of an INSERT of one row → one statement whose RETURNING is the whole answer.

    INSERT INTO … SELECT … FROM … RETURNING NULL::bigint, 1, …, json_build_array("orders".*)

Of one row that is certain to come back nothing has to be counted or gathered, so
no common table expression keeps it, and no second query reads it from there: in
PostgreSQL that takes a seventh of an INSERT with row security, to the end of its
COMMIT. The document is the same to the letter.
"""

# writing SQL is what this file is for; values are parameters and names are quoted
# ruff: noqa: S608
from __future__ import annotations

from typing import TYPE_CHECKING

from modules.query.plan.model import PlannedColumn, PlannedStar
from modules.query.sql.document import ROW
from modules.query.sql.fragment import identifier, literal, qualifier
from modules.query.sql.read import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.query.plan.model import MutationPlan, ReadPlan


def is_row(plan: MutationPlan) -> bool:
    """Whether `returning` can answer it."""
    asked = plan.mutation
    if not plan.is_of_one or asked.max_affected is not None:
        return False
    return plan.read is None or (asked.shape in {"array", "object"} and _is_plain(plan, plan.read))


def _is_plain(plan: MutationPlan, read: ReadPlan) -> bool:
    """Whether the rows that are read are those that are written, and each its own."""
    if read.joins or read.where or read.order or read.grouped or not read.outputs:
        return False
    if plan.returned is None:
        return len(read.outputs) == 1 and isinstance(read.outputs[0], PlannedStar)
    return all(isinstance(one, PlannedColumn) and one.aggregate is None for one in read.outputs)


def returning(plan: MutationPlan, asides: Sequence[str]) -> str:
    """Write RETURNING with the columns of `modules.query.sql.read.answer`."""
    total = "NULL" if plan.mutation.count is None else "1"
    given = (f"current_setting({literal(name)}, true)" for name in asides)
    columns = (f"{total}::bigint", "1", *given, _key(plan), "NULL", _document(plan))
    return f"RETURNING {', '.join(columns)}"


def empty(plan: MutationPlan) -> bytes | None:
    """Return the document where no row comes back after all; None where that is refused."""
    if plan.mutation.is_single:
        return None
    return b"" if plan.read is None else b"[]"


def _document(plan: MutationPlan) -> str:
    if plan.read is None:
        return "''"
    function = "json_build_array" if plan.mutation.shape == "array" else "row_to_json"
    if plan.returned is None:
        document = f"pg_catalog.{function}({qualifier(plan.read.source)}.*)"
    else:
        outputs = ", ".join(map(output, plan.read.outputs))
        document = f"(SELECT pg_catalog.{function}({ROW}) FROM (SELECT {outputs}) AS {ROW})"
    return f"json_strip_nulls({document})" if plan.mutation.strip_nulls else document


def _key(plan: MutationPlan) -> str:
    """Write the primary key as a JSON array of name and value, in the table's order."""
    if not plan.key:
        return "NULL"
    prefix = qualifier(plan.target)
    pairs = ", ".join(
        f"json_build_array({literal(name)}, pg_catalog.to_json({prefix}.{identifier(name)})#>>'{{}}')"
        for name in plan.key
    )
    return f"json_build_array({pairs})::text"
