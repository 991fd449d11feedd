"""A request of `requests` as the text of a URL: every name and value quoted where the grammar wants it."""

from __future__ import annotations

import re
from urllib.parse import quote

from tests.property.requests import (
    Asked,
    Being,
    Compared,
    Embed,
    Logic,
    Ordering,
    Output,
    Place,
    Select,
    Star,
)
from tests.property.types import PATTERNS, SEARCHES, Type, Value, write_array


def write_name(name: str) -> str:
    if re.fullmatch(r"[a-zA-Z_]\w*", name) and name not in ("not", "and", "or", "inner", "left"):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def write_place(place: Place) -> str:
    text = write_name(place.column.name)
    for at, key in enumerate(place.path):
        arrow = "->>" if place.is_text and at == len(place.path) - 1 else "->"
        text += arrow + (str(key) if isinstance(key, int) else key)
    return text


def write_items(select: Select) -> str:
    return ",".join(_write_item(item) for item in select.items)


def _write_item(item: Star | Output | Embed) -> str:
    if isinstance(item, Star):
        return "*"
    alias = f"{write_name(item.alias)}:" if item.alias else ""
    if isinstance(item, Embed):
        name, hint = item.called
        hints = (f"!{write_name(hint)}" if hint else "") + ("!inner" if item.is_inner else "")
        return f"{'...' if item.is_spread else alias}{write_name(name)}{hints}({write_items(item.select)})"
    text = write_place(item.place) + "." if item.place else ""
    if item.aggregate:
        return f"{alias}{text}{item.aggregate}()"
    return f"{alias}{text[:-1]}{'::text' if item.is_cast else ''}"


def write_value(type_: Type, operator: str, value: Value) -> str:
    if operator in (*PATTERNS, *SEARCHES) or isinstance(value, str):
        return str(value)
    return type_.write(value)


def in_quotes(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def write_condition(condition: Compared | Being, *, is_nested: bool) -> str:
    """Write what stands right of a column."""
    negation = "not." if condition.negated else ""
    if isinstance(condition, Being):
        return f"{negation}is.{condition.value}"
    type_, operator, value = condition.place.column.type, condition.operator, condition.value
    if operator == "in":
        return f"{negation}in.({','.join(in_quotes(write_value(type_, 'eq', one)) for one in value)})"
    modifier = "(simple)" if operator in SEARCHES else ""
    if condition.quantifier is not None:
        modifier = f"({condition.quantifier})"
        text = write_array([write_value(type_, operator, one) for one in value])
    else:
        text = write_value(type_, operator, value)
    return f"{negation}{operator}{modifier}.{in_quotes(text) if is_nested else text}"


def write_logic(logic: Logic) -> str:
    terms: list[str] = []
    for term in logic.terms:
        if isinstance(term, Logic):
            terms.append(f"{'not.' if term.negated else ''}{term.connective}{write_logic(term)}")
        else:
            terms.append(f"{_left(term)}.{write_condition(term, is_nested=True)}")
    return f"({','.join(terms)})"


def _left(term: Compared | Being) -> str:
    of = term.place if isinstance(term, Compared) else term.of
    return write_name(of) if isinstance(of, str) else write_place(of)


def write_order(order: tuple[Ordering, ...]) -> str:
    terms: list[str] = []
    for term in order:
        text = write_place(term.place)
        if term.of is not None:
            text = f"{write_name(term.of)}({text})"
        terms.append(".".join(part for part in (text, term.direction, term.nulls) if part))
    return ",".join(terms)


def parameters(select: Select, path: str = "") -> list[tuple[str, str]]:
    """Return the parameters of a selection and of all in it, ``select`` itself left out."""
    found: list[tuple[str, str]] = []
    for term in select.where:
        if isinstance(term, Logic):
            name = f"{path}{'not.' if term.negated else ''}{term.connective}"
            found.append((name, write_logic(term)))
        else:
            found.append((f"{path}{_left(term)}", write_condition(term, is_nested=False)))
    if select.order:
        found.append((f"{path}order", write_order(select.order)))
    if select.limit is not None:
        found.append((f"{path}limit", str(select.limit)))
    if select.offset:
        found.append((f"{path}offset", str(select.offset)))
    for embed in select.embeds:
        found += parameters(embed.select, f"{path}{write_name(embed.name)}.")
    return found


def write_url(asked: Asked) -> str:
    """Return the path and query of a request."""
    pairs = [("select", write_items(asked.select)), *parameters(asked.select)]
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    return f"/rest/v1/{quote(asked.select.table.name, safe='')}?{query}"
