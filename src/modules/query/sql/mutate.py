"""Plan of a mutation → one statement that writes and whose only row is the whole answer.

The rows are written by a common table expression; its RETURNING feeds the same
SELECT that a read has. Whatever must not be written after all (too many rows,
not exactly one, another key than the address) fails inside the statement, by a
cast that names the guard: one round trip, and PostgreSQL rolls back.

Source: PostgREST 16, ``Query/QueryBuilder.hs``, ``mutatePlanToQuery``.
"""

# writing SQL is what this file is for; values are parameters and names are quoted
# ruff: noqa: S608
from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.query.plan.mutate import BODY, WRITTEN
from modules.query.sql.document import ROW, document
from modules.query.sql.fragment import (
    Statement,
    identifier,
    literal,
    parameter,
    qualifier,
    statement,
)
from modules.query.sql.read import answer, condition, select
from modules.query.sql.source import relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modules.query.plan.model import BodyColumn, MutationPlan

GUARD: Final = "monohull guard "
"""What a guard's failing cast begins with; its name and a number of rows follow."""

ELEMENT: Final = "_element"
"""One row of the body as it came, where it matters which keys it has."""

INSERTED: Final = "monohull.inserted"
"""Counts up for every row that an upsert tries to insert, and down for each that it updates instead."""


def render_mutation(plan: MutationPlan, asides: Sequence[str] = ()) -> Statement:
    """Write the statement for ``plan``."""
    asked = plan.mutation
    if plan.read is not None:
        rows, shape = select(plan.read), asked.shape
    else:
        rows, shape = f"SELECT * FROM {identifier(WRITTEN)}", "none"
    return statement(
        answer(
            rows,
            shape,
            total=_total(plan),
            document=document(shape, strip_nulls=asked.strip_nulls),
            written=(_key(plan), _inserted(plan)),
            asides=asides,
            first=f"{identifier(WRITTEN)} AS ({_write(plan)})",
        )
    )


def _write(plan: MutationPlan) -> str:
    match plan.mutation.action:
        case "insert":
            return " ".join(_insert(plan))
        case "update":
            return " ".join(_update(plan))
        case "delete":
            return " ".join(_delete(plan))


def _insert(plan: MutationPlan) -> Iterator[str]:
    names = ", ".join(identifier(column.name) for column in plan.columns)
    yield f"INSERT INTO {relation(plan.target)}"
    if plan.columns:
        yield f"({names})"
    values = ", ".join(_value(column, plan) for column in plan.columns)
    yield f"SELECT {values} FROM {_body(plan)}"
    conditions = [condition(term) for term in plan.where] if plan.mutation.matches_key else []
    if plan.conflict:
        conditions.append(f"{_count(1)} <> ''")
    if conditions:
        yield f"WHERE {' AND '.join(conditions)}"
    if plan.conflict:
        yield from _on_conflict(plan)
    yield _returning(plan)


def _on_conflict(plan: MutationPlan) -> Iterator[str]:
    assert plan.mutation.conflict is not None
    yield f"ON CONFLICT ({', '.join(identifier(name) for name in plan.conflict)})"
    if not plan.mutation.conflict.merge or not plan.columns:
        yield "DO NOTHING"
        return
    names = (identifier(column.name) for column in plan.columns)
    yield f"DO UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in names)}"
    yield f"WHERE {_count(-1)} <> ''"


def _count(step: int) -> str:
    now = f"coalesce(nullif(current_setting({literal(INSERTED)}, true), ''), '0')::int"
    return f"set_config({literal(INSERTED)}, ({now} + {step})::text, true)"


def _update(plan: MutationPlan) -> Iterator[str]:
    if not plan.columns:
        columns = _columns(plan) or "1"
        yield f"SELECT {columns} FROM {relation(plan.target)} WHERE false"
        return
    names = [identifier(column.name) for column in plan.columns]
    values = ", ".join(f"{_value(column, plan)} AS {identifier(column.name)}" for column in plan.columns)
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
    kind = "json" if plan.is_exact else "jsonb"
    document = f"{parameter(asked.body)}::{kind}"
    each = f"{kind}_array_elements({document})" if asked.is_list else f"(SELECT {document})"
    if not plan.columns:
        return f"{each} AS {BODY}"
    types = ", ".join(map(_typed, plan.columns))
    if asked.defaults:
        return f"{each} AS {ELEMENT}(value), LATERAL {kind}_to_record({ELEMENT}.value) AS {BODY}({types})"
    function = f"{kind}_to_recordset" if asked.is_list else f"{kind}_to_record"
    return f"{function}({document}) AS {BODY}({types})"


def _value(column: BodyColumn, plan: MutationPlan) -> str:
    """Write what a column becomes: the row's value, or the default where the row has no such key."""
    value = f"{BODY}.{identifier(column.name)}"
    if column.parse is not None:
        schema, function = column.parse
        value = f"{identifier(schema)}.{identifier(function)}({value})"
    if not plan.mutation.defaults or column.default is None:
        return value
    is_missing = f"{ELEMENT}.value -> {literal(column.name)} IS NULL"
    return f"CASE WHEN {is_missing} THEN {column.default} ELSE {value} END"


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
        f"json_build_array({literal(name)}, min(to_json({ROW}.{identifier(name)})#>>'{{}}'))"
        for name in plan.key
    )
    return f"CASE WHEN count(*) = 1 THEN json_build_array({pairs})::text END"


def _inserted(plan: MutationPlan) -> str:
    if not plan.conflict:
        return "NULL"
    return f"coalesce(nullif(current_setting({literal(INSERTED)}, true), ''), '0')::int"
