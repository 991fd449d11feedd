"""The reference: what a request must be answered with, by loops over rows and nothing clever.

Rows come from ``select *`` as the caller, so row security is PostgreSQL's own.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct

from tests.property.requests import (
    Asked,
    Being,
    Compared,
    Condition,
    Embed,
    Logic,
    Ordering,
    Output,
    Place,
    Select,
    Star,
    name_of,
    output_names,
)
from tests.property.types import TYPES, Type, Value, compare, holds

if TYPE_CHECKING:
    from tests.property.schema import Table, Way

Row: TypeAlias = Mapping[str, Value]
Rows: TypeAlias = Mapping[str, Sequence[Row]]

TEXT: Final = next(type_ for type_ in TYPES if type_.name == "text")


class Bag(list[Any]):
    """Rows in no order that anybody promised."""


class Answer(Struct, frozen=True):
    """What must come back; without a body the range cannot be had."""

    body: list[Any] | None
    total: int | None
    offset: int


class _Made(Struct):
    """A row on its way: where it came from, and the rows of each embed."""

    source: Row
    embeds: dict[int, list[dict[str, Any]]]


def answer(asked: Asked, rows: Rows) -> Answer:
    """Evaluate a request over the rows its caller may see."""
    select = asked.select
    whole = evaluate(
        Select(select.table, select.items, select.where, select.order), rows[select.table.name], rows
    )
    offset, end = select.offset, None if select.limit is None else select.offset + select.limit
    if asked.range is not None:
        offset = max(offset, asked.range[0])
        end = asked.range[1] + 1 if end is None else min(end, asked.range[1] + 1)
    total = len(whole) if asked.count else None
    if total is not None and offset > total:
        return Answer(None, total, offset)
    page = whole if isinstance(whole, Bag) else whole[offset : None if end is None else max(offset, end)]
    return Answer(strip(page) if asked.shape == "stripped" else page, total, offset)


def strip(value: Any) -> Any:
    """Leave keys without a value out, at any depth."""
    if isinstance(value, dict):
        return {key: strip(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return type(value)(strip(one) for one in value)
    return value


def evaluate(select: Select, candidates: Sequence[Row], rows: Rows) -> list[dict[str, Any]]:
    """Return the rows that ``select`` makes of ``candidates``."""
    made: list[_Made] = []
    for source in candidates:
        one = _Made(
            source, {id(e): evaluate(e.select, related(e.way, source, rows), rows) for e in select.embeds}
        )
        if any(e.is_inner and not one.embeds[id(e)] for e in select.embeds):
            continue
        if all(test(term, one, select) is True for term in select.where):
            made.append(one)
    found: list[dict[str, Any]]
    if select.is_grouped:
        found = group(select, made)
    else:
        made = sort(made, select)
        found = [output(select, one) for one in made]
    found = found[select.offset :]
    found = found if select.limit is None else found[: select.limit]
    return found if select.order else Bag(found)


def related(way: Way, row: Row, rows: Rows) -> list[Row]:
    """Return the rows that a relationship leads to; a junction's row counts each time."""
    if way.junction is None:
        return [other for other in rows[way.target] if is_equal(row, other, way.pairs)]
    between = [middle for middle in rows[way.junction] if is_equal(row, middle, way.pairs)]
    return [other for middle in between for other in rows[way.target] if is_equal(middle, other, way.onward)]


def is_equal(one: Row, other: Row, pairs: Sequence[tuple[str, str]]) -> bool:
    return all(one[here] is not None and one[here] == other[there] for here, there in pairs)


def look(place: Place, row: Row) -> Value:
    """Return the value at a place; None is SQL's null."""
    value = row[place.column.name]
    for key in place.path:
        if isinstance(key, str) and isinstance(value, dict):
            value = value.get(key)
        elif isinstance(key, int) and isinstance(value, list) and -len(value) <= key < len(value):
            value = value[key]
        else:
            return None
    return value


def test(term: Condition, one: _Made, select: Select) -> bool | None:
    """Evaluate a condition in SQL's three values."""
    if isinstance(term, Logic):
        found = [test(inner, one, select) for inner in term.terms]
        return invert(join(term.connective, found), negated=term.negated)
    if isinstance(term, Being):
        return invert(_is(term, one, select), negated=term.negated)
    return invert(_compare(term, look(term.place, one.source)), negated=term.negated)


def invert(value: bool | None, *, negated: bool) -> bool | None:
    return (None if value is None else not value) if negated else value


def join(connective: str, values: Sequence[bool | None]) -> bool | None:
    decisive = connective == "or"
    if decisive in values:
        return decisive
    return None if None in values else not decisive


def _is(term: Being, one: _Made, select: Select) -> bool:
    if isinstance(term.of, str):
        embed = next(embed for embed in select.embeds if embed.name == term.of)
        return not one.embeds[id(embed)]
    value = look(term.of, one.source)
    return {
        "null": value is None,
        "unknown": value is None,
        "not_null": value is not None,
        "true": value is True,
        "false": value is False,
    }[term.value]


def _compare(term: Compared, value: Value) -> bool | None:
    type_ = TEXT if term.place.path else term.place.column.type
    if term.quantifier is not None:
        found = [holds(type_, term.operator, value, one) for one in term.value]
        return join("or" if term.quantifier == "any" else "and", found)
    return holds(type_, term.operator, value, term.value)


def sort(made: list[_Made], select: Select) -> list[_Made]:
    def before(one: _Made, other: _Made) -> int:
        for term in select.order:
            if decided := _before(term, _sort_value(term, one, select), _sort_value(term, other, select)):
                return decided
        return 0

    return sorted(made, key=functools.cmp_to_key(before))


def _sort_value(term: Ordering, one: _Made, select: Select) -> Value:
    if term.of is None:
        return look(term.place, one.source)
    embed = next(embed for embed in select.embeds if embed.name == term.of)
    found = one.embeds[id(embed)]
    return found[0][term.place.column.name] if found else None


def _before(term: Ordering, one: Value, other: Value) -> int:
    if (one is None) or (other is None):
        nulls_first = term.nulls == "nullsfirst" or (term.nulls == "" and term.direction == "desc")
        return ((other is None) - (one is None)) * (-1 if nulls_first else 1) * -1
    key = term.place.column.type.key
    sign = -1 if term.direction == "desc" else 1
    return sign * (compare("gt", key(one), key(other)) - compare("lt", key(one), key(other)))


def output(select: Select, one: _Made) -> dict[str, Any]:
    """Make a row of the answer."""
    row: dict[str, Any] = {}
    for item in select.items:
        match item:
            case Star():
                row |= {column.name: one.source[column.name] for column in select.table.columns}
            case Output():
                row[name_of(item)] = _written(item, one.source)
            case Embed():
                row |= _embedded(item, one.embeds[id(item)])
    return row


def _written(item: Output, source: Row) -> Value:
    assert item.place is not None
    value = look(item.place, source)
    if not item.is_cast or value is None:
        return value
    return item.place.column.type.write(value)


def _embedded(embed: Embed, found: list[dict[str, Any]]) -> dict[str, Any]:
    names = output_names(embed.select)
    if embed.is_spread and embed.way.cardinality == "many":
        return {name: type(found)(row[name] for row in found) for name in names}
    if embed.is_spread:
        return found[0] if found else dict.fromkeys(names)
    if not names:
        return {}
    if embed.way.cardinality == "many":
        return {embed.name: found}
    return {embed.name: found[0] if found else None}


def group(select: Select, made: list[_Made]) -> list[dict[str, Any]]:
    """Return one row for each combination of the outputs that are no aggregates."""
    outputs = [item for item in select.items if isinstance(item, Output)]
    keys = [item for item in outputs if not item.aggregate]
    groups: dict[str, list[Row]] = {} if keys else {"": []}
    for one in made:
        key = repr([_written(item, one.source) for item in keys]) if keys else ""
        groups.setdefault(key, []).append(one.source)
    order = {term.place.column.name for term in select.order}
    assert order <= {item.place.column.name for item in keys if item.place}
    members = list(groups.values())
    if select.order:
        ranked = sort([_Made(rows[0], {}) for rows in members], select)
        members = [next(rows for rows in members if rows[0] is one.source) for one in ranked]
    return [{name_of(item): _gathered(item, rows) for item in outputs} for rows in members]


def _gathered(item: Output, rows: list[Row]) -> Value:
    if not item.aggregate:
        return _written(item, rows[0])
    if item.place is None:
        return len(rows)
    values = [value for row in rows if (value := look(item.place, row)) is not None]
    if item.aggregate == "count":
        return len(values)
    return _aggregated(item.aggregate, values, item.place.column.type) if values else None


def _aggregated(name: str, values: list[Value], type_: Type) -> Value:
    match name:
        case "sum":
            return sum(values)
        case "avg":
            return Decimal(sum(values)) / len(values)
        case "min":
            return min(values, key=type_.key)
        case _:
            assert name == "max", name
            return max(values, key=type_.key)


def is_same(expected: Any, actual: Any) -> bool:
    """Compare, where the order of a `Bag` does not matter and a quotient may be rounded."""
    if isinstance(expected, Bag):
        return isinstance(actual, list) and _is_same_bag(expected, actual)
    if isinstance(expected, list):
        return (
            isinstance(actual, list)
            and len(expected) == len(actual)
            and all(is_same(one, other) for one, other in zip(expected, actual, strict=True))
        )
    if isinstance(expected, dict):
        return (
            isinstance(actual, dict)
            and list(expected) == list(actual)
            and all(is_same(value, actual[key]) for key, value in expected.items())
        )
    if isinstance(expected, Decimal) and isinstance(actual, Decimal | int) and not isinstance(actual, bool):
        return abs(expected - actual) <= Decimal("1e-9") * max(abs(expected), Decimal(1))
    return bool(expected == actual) and isinstance(expected, bool) == isinstance(actual, bool)


def _is_same_bag(expected: list[Any], actual: list[Any]) -> bool:
    left = list(actual)
    for one in expected:
        at = next((at for at, other in enumerate(left) if is_same(one, other)), None)
        if at is None:
            return False
        del left[at]
    return not left


def visible(table: Table) -> str:
    """Return the query of the rows of a table, for a connection that is the caller."""
    name = table.name.replace('"', '""')
    return f'select to_json(t)::text from "public"."{name}" t'
