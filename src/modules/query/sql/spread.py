"""Plan of an INSERT of one row → the same statement with a parameter for each column of the body.

    INSERT INTO orders (customer, total) VALUES ($1, $2) RETURNING …

The database then need not take a document apart. A value goes in as the text that
`jsonb_to_record` hands to the input function of the column's type, so the row is the
same. That holds for types that JSON has no own way into; others, such as arrays,
composites and domains, are left to the database.

Where several values are bad, the database may name another one first: it reads all of
them before it looks at their lengths, and at what the role may do. So a refusal of a
value has to be asked for anew with the document.
"""

# writing SQL is what this file is for; values are parameters and names are quoted
# ruff: noqa: S608
from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from modules.query.sql.fragment import Statement, identifier, parameter, statement
from modules.query.sql.one import is_row, returning
from modules.query.sql.source import relation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.query.plan.model import MutationPlan

REFUSED: Final = "22"
"""The class of SQLSTATE of what is wrong with a value."""

DOCUMENT: Final = "jsonb"
_SCALAR: Final = re.compile(
    r"smallint|integer|bigint|real|double precision|numeric(?:\(\d+,\d+\))?|boolean|uuid|date"
    r"|text|character varying(?:\(\d+\))?|character\(\d+\)|timestamp(?:\(\d\))? with(?:out)? time zone"
)
_LENGTH: Final = re.compile(r"\([\d,]+\)")


class Spread(Struct, frozen=True):
    """An INSERT that takes the values of one row.

    Attributes:
        statement: Its slots are the columns of the body, in their order.
        documents: Which of them take any JSON, as it is written; the others take the text of a scalar.
    """

    statement: Statement
    documents: tuple[bool, ...]


def render_spread(plan: MutationPlan, asides: Sequence[str] = ()) -> Spread | None:
    """Write the statement; None where the body has to be taken apart by the database."""
    columns = plan.columns
    if not is_row(plan) or plan.is_exact or plan.mutation.defaults or plan.filled or not columns:
        return None
    if not all(_SCALAR.fullmatch(one.type) or one.type == DOCUMENT for one in columns):
        return None
    if statement(given := returning(plan, asides)).slots:
        return None
    names = ", ".join(identifier(one.name) for one in columns)
    values = ", ".join(f"{parameter(slot)}::{_bare(one.type)}" for slot, one in enumerate(columns))
    text = f"INSERT INTO {relation(plan.target)} ({names}) VALUES ({values}) {given}"
    return Spread(statement(text), tuple(one.type == DOCUMENT for one in columns))


def _bare(name: str) -> str:
    """Return a type without its length: a cast to one with a length would cut the value off in silence.

    The type is said, for a connection keeps what it found a parameter to be when the column was another.
    """
    bare = _LENGTH.sub("", name)
    return "pg_catalog.bpchar" if bare == "character" else bare
