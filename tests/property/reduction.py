"""Make a request that fails smaller while it fails, so that what is reported is short."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from tests.property.requests import Asked, Condition, Embed, Logic, Select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


def reduce(asked: Asked, fails: Callable[[Asked], bool]) -> Asked:
    """Return the smallest request that is found by leaving one thing out at a time."""
    while (smaller := next((one for one in _smaller(asked) if fails(one)), None)) is not None:
        asked = smaller
    return asked


def _smaller(asked: Asked) -> Iterator[Asked]:
    if asked.method == "HEAD":
        yield replace(asked, method="GET")
    if asked.range is not None:
        kept = {name: value for name, value in asked.headers.items() if not name.startswith("Range")}
        yield replace(asked, range=None, headers=kept)
    if asked.count is not None:
        kept = {name: value for name, value in asked.headers.items() if name != "Prefer"}
        yield replace(asked, count=None, headers=kept)
    if asked.shape != "array":
        kept = {name: value for name, value in asked.headers.items() if name != "Accept"}
        yield replace(asked, shape="array", headers=kept)
    for select in _smaller_selects(asked.select):
        if asked.range is None or select.order:
            yield replace(asked, select=select)


def _smaller_selects(select: Select) -> Iterator[Select]:
    for where in _without_one(select.where):
        yield replace(select, where=where)
    for at, term in enumerate(select.where):
        for one in _smaller_conditions(term):
            yield replace(select, where=_exchanged(select.where, at, one))
    yield from _smaller_pages(select)
    for at, item in enumerate(select.items):
        if isinstance(item, Embed):
            for embed in _smaller_embeds(item):
                yield replace(select, items=_exchanged(select.items, at, embed))
        if not (isinstance(item, Embed) and _is_named(item.name, select)):
            yield replace(select, items=(*select.items[:at], *select.items[at + 1 :]))


def _smaller_pages(select: Select) -> Iterator[Select]:
    if select.limit is not None:
        yield replace(select, limit=None)
    if select.offset:
        yield replace(select, offset=0)
    elif select.limit is None:
        for order in _without_one(select.order):
            yield replace(select, order=order)


def _smaller_embeds(embed: Embed) -> Iterator[Embed]:
    if embed.is_inner:
        yield replace(embed, is_inner=False)
    for select in _smaller_selects(embed.select):
        yield replace(embed, select=select)


def _is_named(name: str, select: Select) -> bool:
    """Say whether a condition or the order speaks of an embed, which cannot be left out then."""
    return any(term.of == name for term in select.order) or any(_names(term, name) for term in select.where)


def _names(term: Condition, name: str) -> bool:
    if isinstance(term, Logic):
        return any(_names(inner, name) for inner in term.terms)
    return getattr(term, "of", None) == name


def _smaller_conditions(term: Condition) -> Iterator[Condition]:
    if term.negated:
        yield replace(term, negated=False)
    if isinstance(term, Logic):
        yield from term.terms
        for terms in _without_one(term.terms):
            if terms:
                yield replace(term, terms=terms)
        for at, inner in enumerate(term.terms):
            for one in _smaller_conditions(inner):
                yield replace(term, terms=_exchanged(term.terms, at, one))


def _without_one(terms: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    for at in range(len(terms)):
        yield (*terms[:at], *terms[at + 1 :])


def _exchanged(items: tuple[T, ...], at: int, one: T) -> tuple[T, ...]:
    return (*items[:at], one, *items[at + 1 :])
