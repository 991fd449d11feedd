"""Plan of a mutation → one statement that writes and whose only row is the whole answer.

The rows are written by a common table expression; its RETURNING feeds the same
SELECT that a read has, but for an INSERT of one row (`modules.query.sql.one`).
Whatever must not be written after all (too many rows, not exactly one, another
key than the address) fails inside the statement, by a cast that names the
guard: one round trip, and PostgreSQL rolls back.

Source: PostgREST 16, ``Query/QueryBuilder.hs``, ``mutatePlanToQuery``.
"""

# writing SQL is what this file is for; values are parameters and names are quoted
# ruff: noqa: S608
from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.query.plan.mutate import BODY, KEYS, PLACE, WRITTEN
from modules.query.sql.document import ROW, document
from modules.query.sql.fragment import (
    Statement,
    identifier,
    literal,
    parameter,
    qualified,
    qualifier,
    statement,
)
from modules.query.sql.one import is_row, returning
from modules.query.sql.read import answer, condition, select
from modules.query.sql.source import relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modules.query.plan.model import BodyColumn, MutationPlan

GUARD: Final = "monohull guard "
"""What a guard's failing cast begins with; its name and a number of rows follow."""

ELEMENT: Final = "elem"
"""One row of the body as it came; PostgREST's name, which is seen in execution plans."""

FILLED: Final = "_filled"
"""The body, with defaults where rows have no such key."""

MAX_PAIRS: Final = 50
"""Of one call: PostgreSQL passes no more than 100 arguments to a function."""

INSERTED: Final = "monohull.inserted"
"""Counts up for every row that an upsert tries to insert, and down for each that it updates instead."""


def render_mutation(
    plan: MutationPlan, asides: Sequence[str] = (), *, is_explained: bool = False
) -> Statement:
    """Write the statement for ``plan``; parameters as of `answer`."""
    asked = plan.mutation
    if asked.part is not None:
        return statement(write(plan))
    if is_row(plan) and not is_explained:
        return statement(" ".join((*_insert_rows(plan), returning(plan, asides))))
    if plan.read is not None:
        rows, shape = select(plan.read, plan.link), asked.shape
    else:
        rows, shape = f"SELECT * FROM {identifier(WRITTEN)}", "none"
    return statement(
        answer(
            rows,
            shape,
            total=_total(plan),
            document=document(shape, strip_nulls=asked.strip_nulls, is_explained=is_explained),
            key=_key(plan),
            inserted=_inserted(plan),
            asides=asides,
            is_explained=is_explained,
            first=", ".join(_tables(plan)),
        )
    )


def _tables(plan: MutationPlan) -> Iterator[str]:
    if plan.found_by:
        assert plan.mutation.written is not None
        yield f"{KEYS} AS ({_keys(plan, plan.mutation.written)})"
    yield f"{identifier(WRITTEN)} AS ({write(plan)})"


def write(plan: MutationPlan) -> str:
    """Write the statement that writes, with its RETURNING; or the one that finds what is written already."""
    if plan.mutation.written is not None:
        return " ".join(_find(plan, plan.mutation.written))
    match plan.mutation.action:
        case "insert":
            return " ".join(_insert(plan))
        case "update":
            return " ".join(_update(plan))
        case "delete":
            return " ".join(_delete(plan))


def _find(plan: MutationPlan, keys: int) -> Iterator[str]:
    """Read rows by their keys, in the order of these; of keys without columns that there are some."""
    if not plan.found_by:
        yield f"SELECT 1 FROM jsonb_array_elements({parameter(keys)}::jsonb)"
        return
    target = qualifier(plan.target)
    yield f"SELECT {_columns(plan) or '1'} FROM {relation(plan.target)}"
    equal = (
        f"{target}.{identifier(column.name)} = {KEYS}.{identifier(str(place))}"
        for place, column in enumerate(plan.found_by)
    )
    yield f"JOIN {KEYS} ON {' AND '.join(equal)}"


def _keys(plan: MutationPlan, keys: int) -> str:
    """Write the keys as rows of their own types."""
    names = [identifier(str(place)) for place in range(len(plan.found_by))]
    typed = (
        f"CAST({name} AS {column.type}) AS {name}" for name, column in zip(names, plan.found_by, strict=True)
    )
    texts = ", ".join(f"{name} text" for name in names)
    rows = f"ROWS FROM (jsonb_to_recordset({parameter(keys)}::jsonb) AS ({texts})) WITH ORDINALITY"
    return f"SELECT {', '.join((*typed, PLACE))} FROM {rows} AS _({', '.join((*names, PLACE))})"


def _insert(plan: MutationPlan) -> Iterator[str]:
    yield from _insert_rows(plan)
    yield _returning(plan)


def _insert_rows(plan: MutationPlan) -> Iterator[str]:
    targets = _targets(plan)
    yield f"INSERT INTO {relation(plan.target)}"
    if targets:
        yield f"({', '.join(map(identifier, targets))})"
    values = (
        *(_value(column) for column in plan.columns),
        *(f"{parameter(one.slot)}::{one.type}" for one in plan.filled),
    )
    yield f"SELECT {', '.join(values)} FROM {_body(plan)}"
    conditions = [condition(term) for term in plan.where] if plan.mutation.matches_key else []
    if plan.conflict and _is_counted(plan):
        conditions.append(f"{_count(1)} <> ''")
    if conditions:
        yield f"WHERE {' AND '.join(conditions)}"
    if plan.conflict:
        yield from _on_conflict(plan)


def _targets(plan: MutationPlan) -> tuple[str, ...]:
    return (*(column.name for column in plan.columns), *(one.name for one in plan.filled))


def _on_conflict(plan: MutationPlan) -> Iterator[str]:
    assert plan.mutation.conflict is not None
    yield f"ON CONFLICT ({', '.join(identifier(name) for name in plan.conflict)})"
    if not plan.mutation.conflict.merge or not (plan.columns or plan.filled):
        yield "DO NOTHING"
        return
    names = map(identifier, _targets(plan))
    yield f"DO UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in names)}"
    if _is_counted(plan):
        yield f"WHERE {_count(-1)} <> ''"


def _is_counted(plan: MutationPlan) -> bool:
    return plan.mutation.part is None or plan.mutation.part.is_counted


def _count(step: int) -> str:
    now = f"coalesce(nullif(current_setting({literal(INSERTED)}, true), ''), '0')::int"
    return f"set_config({literal(INSERTED)}, ({now} + {step})::text, true)"


def _update(plan: MutationPlan) -> Iterator[str]:
    if not plan.columns:
        columns = _columns(plan) or "1"
        yield f"SELECT {columns} FROM {relation(plan.target)} WHERE false"
        return
    names = [identifier(column.name) for column in plan.columns]
    values = ", ".join(f"{_value(column)} AS {identifier(column.name)}" for column in plan.columns)
    yield f"UPDATE {relation(plan.target)}"
    yield f"SET {', '.join(f'{name} = {BODY}.{name}' for name in names)}"
    yield f"FROM (SELECT {values} FROM {_body(plan)} LIMIT 1) AS {BODY}"
    if plan.where:
        yield f"WHERE {' AND '.join(condition(term) for term in plan.where)}"
    yield _returning(plan)


def _delete(plan: MutationPlan) -> Iterator[str]:
    yield f"DELETE FROM {relation(plan.target)}"
    if plan.where:
        yield f"WHERE {' AND '.join(condition(term) for term in plan.where)}"
    yield _returning(plan)


def _body(plan: MutationPlan) -> str:
    """Write the rows of the body as a source named `BODY`."""
    asked = plan.mutation
    assert asked.body is not None
    defaults = _defaults(plan) if asked.defaults else ""
    kind = "json" if plan.is_exact and not defaults else "jsonb"
    document = f"{parameter(asked.body)}::{kind}"
    if not plan.columns:
        rows = f"{kind}_array_elements({document})" if asked.is_list else f"(SELECT {document})"
        return f"{rows} AS {BODY}"
    types = ", ".join(map(_typed, plan.columns))
    function = f"{kind}_to_recordset" if asked.is_list else f"{kind}_to_record"
    if not defaults:
        return f"{function}({document}) AS {BODY}({types})"
    filled = f"SELECT {defaults} || {document} AS value"
    if asked.is_list:
        each = f"jsonb_array_elements({document}) AS {ELEMENT}"
        filled = f"SELECT jsonb_agg({defaults} || {ELEMENT}.value) AS value FROM {each}"
    return f"({filled}) AS {FILLED}, LATERAL {function}({FILLED}.value) AS {BODY}({types})"


def _defaults(plan: MutationPlan) -> str:
    """Write the defaults of the columns as a document that a row is laid upon; empty without any."""
    pairs = [f"{literal(one.name)}, {_default(one)}" for one in plan.columns if one.default is not None]
    parts = (pairs[start : start + MAX_PAIRS] for start in range(0, len(pairs), MAX_PAIRS))
    return " || ".join(f"jsonb_build_object({', '.join(part)})" for part in parts)


def _default(column: BodyColumn) -> str:
    """Write a default as JSON can have it: of the column's type, as the column would have made it.

    ``nextval`` needs no cast, and PostgREST's plans show it without one.
    """
    assert column.default is not None
    if column.show is not None:
        return f"{qualified(column.show)}(CAST({column.default} AS {column.type}))"
    is_bare = column.default.startswith("nextval(")
    return column.default if is_bare else f"CAST({column.default} AS {column.type})"


def _value(column: BodyColumn) -> str:
    """Write what a column becomes."""
    value = f"{BODY}.{identifier(column.name)}"
    return value if column.parse is None else f"{qualified(column.parse)}({value})"


def _typed(column: BodyColumn) -> str:
    return f"{identifier(column.name)} {column.type if column.parse is None else 'json'}"


def _returning(plan: MutationPlan) -> str:
    return f"RETURNING {_columns(plan) or '1'}"


def _columns(plan: MutationPlan) -> str:
    prefix = qualifier(plan.target)
    if plan.returned is None:
        return f"{prefix}.*"
    return ", ".join(f"{prefix}.{identifier(name)}" for name in plan.returned)


def _total(plan: MutationPlan) -> str:
    """Write the number of rows written, where it is wanted, behind the guards."""
    asked = plan.mutation
    written = f"(SELECT count(*) FROM {identifier(WRITTEN)})" if plan.read is not None else "count(*)"
    guards: list[str] = []
    if asked.matches_key:
        guards.append(guard("key", written, "<> 1"))
    if asked.max_affected is not None:
        guards.append(guard("affected", written, f"> {parameter(asked.max_affected)}::bigint"))
    if asked.is_single:
        guards.append(guard("single", "count(*)", "<> 1"))
    total = "NULL::bigint" if asked.count is None else written
    return f"CASE {' '.join(guards)} ELSE {total} END" if guards else total


def guard(name: str, rows: str, wrong: str) -> str:
    """Write a branch of CASE that fails where the number of rows is wrong, and says so by ``name``."""
    return f"WHEN {rows} {wrong} THEN ({literal(f'{GUARD}{name}:')} || {rows})::bigint"


def _key(plan: MutationPlan) -> str:
    """Write the primary key of the one row as a JSON array of name and value, in the table's order."""
    if not plan.key:
        return "NULL"
    pairs = ", ".join(
        f"json_build_array({literal(name)}, min(pg_catalog.to_json({ROW}.{identifier(name)})#>>'{{}}'))"
        for name in plan.key
    )
    return f"CASE WHEN count(*) = 1 THEN json_build_array({pairs})::text END"


def _inserted(plan: MutationPlan) -> str:
    if not plan.conflict:
        return "NULL"
    return f"coalesce(nullif(current_setting({literal(INSERTED)}, true), ''), '0')::int"
