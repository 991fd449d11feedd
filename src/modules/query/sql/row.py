"""Plan of a read by key → one statement whose row is the answer, made of the row that there is.

    SELECT NULL::bigint, 1, …, json_build_array(_row) FROM (SELECT … FROM orders WHERE id = $1) AS _row

Nothing has to be counted, gathered or limited. The document is the same to the
letter; where there is no row there is none in the answer either (`empty_row`).
Should there be several after all, because somebody dropped the key and the
catalog does not know of it yet, each comes with its own document, and
`modules.query.execute.only_row` puts them together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from modules.query.sql.document import ROW
from modules.query.sql.fragment import Statement, statement
from modules.query.sql.read import answer, select

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.query.plan.model import DocumentPlan

_DOCUMENTS = {"array": f"pg_catalog.json_build_array({ROW})", "object": f"pg_catalog.row_to_json({ROW})"}


def is_by_key(plan: DocumentPlan) -> bool:
    """Say whether `render_row` can write its statement."""
    return (
        plan.is_of_one
        and bool(plan.read.outputs)
        and isinstance(plan.shape, str)
        and plan.shape in _DOCUMENTS
        and not plan.strip_nulls
    )


def render_row(plan: DocumentPlan, asides: Sequence[str] = ()) -> Statement:
    """Write the statement, with the columns of any read."""
    assert isinstance(plan.shape, str)
    rows = select(replace(plan.read, max_rows=None))
    return statement(answer(rows, plan.shape, document=_DOCUMENTS[plan.shape], counted="1", asides=asides))


def empty_row(plan: DocumentPlan) -> bytes:
    """Return the document where there is no row."""
    return b"[]" if plan.shape == "array" else b"null"
