"""Plan of a read → one statement whose only row is the whole answer.

Its columns are: the number of rows there are without limit (or null when nobody
asked), the number of rows in the document, the settings that functions left for the
front end, after a write also the primary key and the number of rows inserted, and
the document as text. The document comes last, so that what decides on status and
headers is at hand before the first byte of it. The database builds it: the process
that serves the request never sees a row.
"""

# writing SQL is what this file is for; values are parameters and names are quoted
# ruff: noqa: S608
from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from modules.query.plan.model import (
    DocumentPlan,
    Link,
    PlannedAbsence,
    PlannedColumn,
    PlannedCondition,
    PlannedEmbed,
    PlannedFilter,
    PlannedIs,
    PlannedJoin,
    PlannedOrder,
    PlannedOutput,
    PlannedStar,
    ReadPlan,
    Source,
)
from modules.query.sql.document import ROW, SOURCE, document
from modules.query.sql.fragment import (
    IS_VALUES,
    Statement,
    cast,
    comparison,
    field,
    identifier,
    literal,
    parameter,
    qualified,
    qualifier,
    statement,
)
from modules.query.sql.source import relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modules.query.ast import Shape


def render_read(plan: DocumentPlan, asides: Sequence[str] = (), *, is_explained: bool = False) -> Statement:
    """Write the statement for ``plan``; its parameters are the plan's slots in order."""
    return statement(
        answer(
            select(plan.read),
            plan.shape,
            document=document(plan.shape, strip_nulls=plan.strip_nulls, is_explained=is_explained),
            total=_total(plan),
            asides=asides,
            is_explained=is_explained,
        )
    )


def answer(  # noqa: PLR0913 each is a column or clause
    rows: str,
    shape: Shape,
    *,
    document: str,
    counted: str = "count(*)",
    total: str = "NULL::bigint",
    key: str | None = None,
    inserted: str | None = None,
    asides: Sequence[str] = (),
    first: str = "",
    is_explained: bool = False,
) -> str:
    """Write the SELECT whose one row is the answer; ``rows`` is the SELECT that it is made of.

    Args:
        rows: What the document is made of.
        shape: The document's.
        document: Its expression.
        counted: Expression of the number of rows in it.
        total: Expression of the number of rows without limit.
        key: Expression of the primary key of what was written.
        inserted: Expression of the number of rows that were inserted.
        asides: Names of settings to give back.
        first: Common table expressions that ``rows`` reads, without WITH.
        is_explained: The plan is wanted, and not the rows. A verbose one lists the columns by place, and
            those who read them know the places that PostgREST's have: the document stands in the middle.
    """
    keys = () if key is None else (key,)
    given = tuple(f"current_setting({literal(name)}, true)" for name in asides)
    counts = () if inserted is None else (inserted,)
    columns = [total, counted, *given, *keys, *counts, document]
    if is_explained:
        columns = [total, counted, *keys, document, *given, *counts]
    source = f"({rows})"
    tables = [first] if first else []
    if shape == "csv":
        tables.append(f"{SOURCE} AS ({rows})")
        source = f"(SELECT * FROM {SOURCE})"
    with_ = f"WITH {', '.join(tables)} " if tables else ""
    return f"{with_}SELECT {', '.join(columns)} FROM {source} AS {ROW}"


def render_count_plan(plan: DocumentPlan) -> Statement:
    """Write the EXPLAIN whose row estimate stands in for a count."""
    return statement(f"EXPLAIN (FORMAT JSON) {count_rows(plan.read)}")


def _total(plan: DocumentPlan) -> str:
    if plan.count == "exact" and not any(window(plan.read)):
        return "count(*)"  # all rows are in the document
    if plan.count == "exact":
        return f"(SELECT count(*) FROM ({count_rows(plan.read)}) AS _all)"
    if plan.count == "estimated" and plan.read.max_rows is not None:
        limited = f"{count_rows(plan.read)} LIMIT {plan.read.max_rows + 1}"
        return f"(SELECT count(*) FROM ({limited}) AS _all)"
    return "NULL::bigint"


def select(plan: ReadPlan, link: Link | None = None) -> str:
    """Write a SELECT; ``link`` ties an embed's rows to its parent's."""
    tables = [relation(plan.source)]
    conditions = [condition(term) for term in plan.where]
    if link is not None:
        conditions[:0] = (f"{field(here)} = {field(there)}" for here, there in link.equal)
        if link.junction is not None:
            tables.append(relation(link.junction))
    clauses = [
        "SELECT " + ", ".join(output(one) for one in plan.outputs),
        "FROM " + ", ".join(tables),
        *(join(one) for one in plan.joins),
    ]
    if conditions:
        clauses.append("WHERE " + " AND ".join(conditions))
    clauses += _group_by(plan)
    if plan.order:
        clauses.append("ORDER BY " + ", ".join(order(term) for term in plan.order))
    clauses += window(plan)
    return " ".join(clauses)


def count_rows(plan: ReadPlan) -> str:
    """Write the SELECT of all rows that ``plan`` would page through.

    Embeds do not multiply rows, so only those that drop parents are kept, as EXISTS.
    """
    if plan.grouped:
        groups = select(replace(plan, order=(), limit=None, offset=None, max_rows=None))
        return f"SELECT 1 FROM ({groups}) AS _groups"
    conditions = [condition(term, counting=True) for term in plan.where]
    conditions += (exists(one) for one in plan.joins if one.is_inner)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT 1 FROM {relation(plan.source)}{where}"


def exists(one: PlannedJoin) -> str:
    """Write the test whether an embed has a row."""
    return f"EXISTS (SELECT {_linked(one)})"


def _linked(one: PlannedJoin) -> str:
    """Write FROM and WHERE of an embed's rows, where they stand alone."""
    plan = one.read
    tables = [relation(plan.source)]
    if one.link.junction is not None:
        tables.append(relation(one.link.junction))
    conditions = [f"{field(here)} = {field(there)}" for here, there in one.link.equal]
    conditions += (condition(term, counting=True) for term in plan.where)
    conditions += (exists(inner) for inner in plan.joins if inner.is_inner)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"FROM {', '.join(tables)}{where}"


def output(one: PlannedOutput) -> str:
    """Write one item of SELECT."""
    match one:
        case PlannedStar(source=source):
            return f"{qualifier(source)}.*"
        case PlannedEmbed(name=alias):
            return f"{embedded(one)} AS {identifier(alias)}"
        case PlannedColumn():
            text = expression(one)
            return f"{text} AS {identifier(one.name)}" if one.name is not None else text


def embedded(one: PlannedEmbed) -> str:
    """Write an embed's document without its name."""
    name = identifier(one.join)
    text = f"coalesce({name}.{name}, '[]')" if one.is_list else f"row_to_json({name}.*)"
    return f"{text}::jsonb" if one.is_jsonb else text


def expression(one: PlannedColumn) -> str:
    """Write a value of SELECT without its name."""
    if one.field is None:
        text = "count(*)"
    else:
        text = field(one.field)
        if one.convert is not None:
            text = f"{qualified(one.convert)}({text})"
        if one.is_list:
            text = f"coalesce({text}, '[]')"
        if one.cast:
            text = cast(text, one.cast)
        if one.aggregate:
            text = f"{one.aggregate}({text})"
    return cast(text, one.aggregate_cast) if one.aggregate_cast else text


def join(one: PlannedJoin) -> str:
    """Write the lateral join of an embed."""
    name = identifier(one.name)
    rows = select(one.read, one.link)
    on = "TRUE"
    if one.is_list:
        if one.spread is not None:
            values = ", ".join(
                f"json_agg({name}.{identifier(value)}) AS {identifier(value)}" for value in one.spread
            )
            rows = f"SELECT count(*) AS _rows{', ' if values else ''}{values} FROM ({rows}) AS {name}"
            on = f"{name}._rows > 0" if one.is_inner else on
        else:
            rows = f"SELECT json_agg({name}) AS {name} FROM ({rows}) AS {name}"
            on = f"{name}.{name} IS NOT NULL" if one.is_inner else on
    return f"{'INNER' if one.is_inner else 'LEFT'} JOIN LATERAL ({rows}) AS {name} ON {on}"


def condition(term: PlannedCondition, *, counting: bool = False) -> str:
    """Write a condition; while ``counting`` there are no joins to look at."""
    match term:
        case PlannedFilter(field=planned, filter=asked, convert=convert):
            return comparison(planned, asked, convert)
        case PlannedIs(field=planned, value=value, negated=negated):
            text = f"{field(planned)} IS {IS_VALUES[value]}"
            return f"NOT ({text})" if negated else text
        case PlannedAbsence(join=one, negated=negated):
            if counting:
                return exists(one) if negated else f"NOT {exists(one)}"
            return _absence(one, negated=negated)
        case _:
            return _logic(
                term.connective, [condition(t, counting=counting) for t in term.terms], term.negated
            )


def _logic(connective: str, terms: list[str], negated: bool) -> str:
    text = "(" + f" {connective.upper()} ".join(terms) + ")"
    return f"NOT {text}" if negated else text


def _absence(one: PlannedJoin, *, negated: bool) -> str:
    name = identifier(one.name)
    if one.is_list and one.spread is not None:
        return f"{name}._rows {'>' if negated else '='} 0"
    if one.is_list:
        return f"{name}.{name} IS {'NOT ' if negated else ''}NULL"
    return f"{name} IS {'' if negated else 'NOT '}DISTINCT FROM NULL"


def order(term: PlannedOrder) -> str:
    """Write one term of ORDER BY."""
    text = field(term.field)
    if term.embed is not None:
        text = f"(SELECT {text} {_linked(term.embed)} LIMIT 1)"
    if term.direction is not None:
        text += f" {term.direction.upper()}"
    if term.nulls is not None:
        text += f" NULLS {term.nulls.upper()}"
    return text


def _group_by(plan: ReadPlan) -> Iterator[str]:
    if not plan.grouped:
        return
    keys = [
        _group_key(one, plan.source)
        for one in plan.outputs
        if not (isinstance(one, PlannedColumn) and one.aggregate)
    ]
    if keys:
        yield "GROUP BY " + ", ".join(keys)


def _group_key(one: PlannedOutput, source: Source) -> str:
    match one:
        case PlannedColumn():
            return expression(replace(one, convert=None))
        case PlannedEmbed():
            return embedded(one)
        case _:
            return f"{qualifier(source)}.*"


def window(plan: ReadPlan) -> Iterator[str]:
    """Write LIMIT and OFFSET, each where there is one."""
    if plan.limit is not None:
        yield f"LIMIT {parameter(plan.limit)}"
    elif plan.max_rows is not None:
        yield f"LIMIT {plan.max_rows}"
    if plan.offset is not None:
        yield f"OFFSET {parameter(plan.offset)}"
