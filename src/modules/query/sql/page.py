"""Plan of a page by cursor → one statement; it also says where the pages beside this one begin.

    SELECT …, <where others begin>, json_agg(_out) FROM (
        SELECT _out, _key, row_number() OVER () AS _at FROM (
            SELECT _out, <values of the order> AS _key FROM orders CROSS JOIN LATERAL (SELECT <items>) AS _out
            WHERE (created_at, id) < ($1, $2) ORDER BY created_at DESC, id DESC LIMIT $3 + 1
        ) AS _found) AS _page

One row more than is wanted is read, and left out: it says that there is another page.
A page backward is read in the opposite order, and turned round.
"""

# writing SQL is what this file is for; values are parameters and names are quoted
# ruff: noqa: S608
from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from modules.query.sql.fragment import Statement, field, literal, parameter, statement
from modules.query.sql.read import condition, count_rows, join, order, output
from modules.query.sql.source import relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modules.query.plan.model import DocumentPlan, PlannedKeyset, PlannedOrder, ReadPlan

_OUT: Final = "_out"
_KEY: Final = "_key"
_AT: Final = "_at"


class _Term(Struct, frozen=True):
    """A term of the order, as the page is read.

    Attributes:
        text: What is compared.
        operator: What later rows are compared by.
        value: The row's value as a parameter, or None for a null.
        has_nulls: There may be rows without a value.
        nulls_later: They come after the others.
    """

    text: str
    operator: str
    value: str | None
    has_nulls: bool
    nulls_later: bool

    @property
    def is_plain(self) -> bool:
        """Whether comparing finds all later rows, and so may stand in a comparison of several columns."""
        return self.value is not None and not (self.has_nulls and self.nulls_later)

    @property
    def equal(self) -> str:
        return f"{self.text} IS NULL" if self.value is None else f"{self.text} = {self.value}"

    @property
    def later(self) -> str | None:
        """The condition of later rows; None where there can be none."""
        if self.value is None:
            return None if self.nulls_later else f"{self.text} IS NOT NULL"
        compared = f"{self.text} {self.operator} {self.value}"
        return compared if self.is_plain else f"({compared} OR {self.text} IS NULL)"


def render_page(plan: DocumentPlan, asides: Sequence[str] = (), *, is_explained: bool = False) -> Statement:
    """Write the statement for ``plan``, whose columns are those of any read.

    Before the document stands one more, JSON: the values that the nearest row is ordered by, those of the
    farthest, and whether there are rows beyond. See `read.answer` for ``is_explained``.
    """
    keyset = plan.keyset
    assert keyset is not None
    read = plan.read
    limit = _limit(read)
    kept = "" if limit is None else f" FILTER (WHERE {_AT} <= {limit})"
    given = tuple(f"current_setting({literal(name)}, true)" for name in asides)
    document = _document(plan, keyset, kept)
    columns = [_total(plan), f"count(*){kept}"]
    if is_explained:
        columns += [document, *given, _beside(limit)]
    else:
        columns += [*given, _beside(limit), document]
    numbered = f"SELECT {_OUT}, {_KEY}, row_number() OVER () AS {_AT} FROM ({_rows(read, keyset)}) AS _found"
    return statement(f"SELECT {', '.join(columns)} FROM ({numbered}) AS _page")


def _limit(read: ReadPlan) -> str | None:
    if read.limit is not None:
        return f"{parameter(read.limit)}::bigint"
    return None if read.max_rows is None else str(read.max_rows)


def _total(plan: DocumentPlan) -> str:
    """Write the number of rows of all pages."""
    if plan.count == "exact":
        return f"(SELECT count(*) FROM ({count_rows(plan.read)}) AS _all)"
    if plan.count == "estimated" and plan.read.max_rows is not None:
        limited = f"{count_rows(plan.read)} LIMIT {plan.read.max_rows + 1}"
        return f"(SELECT count(*) FROM ({limited}) AS _all)"
    return "NULL::bigint"


def _beside(limit: str | None) -> str:
    nearest = f"(max({_KEY}) FILTER (WHERE {_AT} = 1))::json"
    if limit is None:
        return f"json_build_array({nearest}, NULL, false)::text"
    farthest = f"(max({_KEY}) FILTER (WHERE {_AT} = {limit}))::json"
    return f"json_build_array({nearest}, {farthest}, count(*) > {limit})::text"


def _document(plan: DocumentPlan, keyset: PlannedKeyset, kept: str) -> str:
    if plan.shape == "none":
        return "''"
    turned = f" ORDER BY {_AT} DESC" if keyset.is_backward else ""
    values = f"json_agg({_OUT}{turned}){kept}"
    if plan.strip_nulls:
        values = f"json_strip_nulls({values})"
    return f"coalesce({values}, '[]')"


def _rows(read: ReadPlan, keyset: PlannedKeyset) -> str:
    ordered = [_flipped(term) for term in read.order] if keyset.is_backward else list(read.order)
    conditions = [condition(term) for term in read.where]
    if keyset.slots:
        conditions.append(_beyond(list(_terms(ordered, keyset))))
    key = ", ".join(f"({field(term.field)})::text" for term in read.order)
    limit = _limit(read)
    clauses = [
        f"SELECT {_OUT}, json_build_array({key})::text AS {_KEY} FROM {relation(read.source)}",
        *(join(one) for one in read.joins),
        f"CROSS JOIN LATERAL (SELECT {', '.join(output(one) for one in read.outputs)}) AS {_OUT}",
        *((f"WHERE {' AND '.join(conditions)}",) if conditions else ()),
        "ORDER BY " + ", ".join(order(term) for term in ordered),
        *((f"LIMIT {limit} + 1",) if limit is not None else ()),
    ]
    return " ".join(clauses)


def _flipped(term: PlannedOrder) -> PlannedOrder:
    """Return the opposite; where nothing is said of nulls the server's rule turns round by itself."""
    return replace(
        term,
        direction="asc" if term.direction == "desc" else "desc",
        nulls=None if term.nulls is None else "last" if term.nulls == "first" else "first",
    )


def _terms(ordered: Sequence[PlannedOrder], keyset: PlannedKeyset) -> Iterator[_Term]:
    for term, slot, is_nullable in zip(ordered, keyset.slots, keyset.nullable, strict=True):
        is_descending = term.direction == "desc"
        nulls = term.nulls or ("first" if is_descending else "last")
        yield _Term(
            field(term.field),
            "<" if is_descending else ">",
            None if slot is None else parameter(slot),
            is_nullable,
            nulls == "last",
        )


def _beyond(terms: Sequence[_Term]) -> str:
    """Write the condition of the rows that come after one.

    A comparison of rows where it means the order, which an index is made for. Otherwise term by term, with a
    bound on the first, so that an index on that one has a place to begin.
    """
    if all(term.is_plain for term in terms) and len({term.operator for term in terms}) == 1:
        texts, values = ", ".join(t.text for t in terms), ", ".join(str(t.value) for t in terms)
        return f"({texts}) {terms[0].operator} ({values})"
    ways = [
        "(" + " AND ".join([*(before.equal for before in terms[:number]), later]) + ")"
        for number, term in enumerate(terms)
        if (later := term.later) is not None
    ]
    first = terms[0]
    bound = f"{first.text} {first.operator}= {first.value} AND " if first.is_plain else ""
    return f"{bound}({' OR '.join(ways)})" if ways else "false"
