"""Parse ``select=`` into the tree of columns and embeds the client asked for.

    select = [ item *( "," item ) ]
    item   = "*" / count / column / embed / "..." embed
    embed  = [ alias ":" ] relation *( "!" hint ) "(" select ")"
    column = [ alias ":" ] field [ "::" cast ] [ "." aggregate "()" [ "::" cast ] ]
    count  = [ alias ":" ] "count()" [ "::" cast ]

Nothing here asks the database whether ``orders`` exists. A parser that needs no
schema is tested with a string, and the same tree can be planned against
whichever catalog is current when the request reaches the planner.

Source: PostgREST 16, ``ApiRequest/QueryParams.hs``, ``pFieldForest``.
"""

from __future__ import annotations

import re
from typing import Final, cast

from msgspec import Struct

from modules.query import MAX_EMBED_DEPTH, AllColumns, Column, Field, Join
from modules.rest.cursor import Cursor
from modules.rest.draft import Draft, DraftEmbed, Node
from modules.rest.errors import QueryStringRefused

MAX_ITEMS: Final = 1000
"""Columns and embeds of one request; PostgreSQL stops at 1664 columns."""

MAX_EMBEDS: Final = 64
"""Each is a lateral join."""

JOINS: Final = ("inner", "left")
ITEM_EXPECTED: Final = 'field name (* or [a..z0..9_$]), "*" or "..."'
_AGGREGATE: Final = re.compile(r"\.(sum|avg|count|max|min)\(\)")
_COUNT: Final = re.compile(r"count\(\)")
_CAST: Final = re.compile(r"[\w $]+")


class _Budget(Struct):
    """What a request may still ask for."""

    items: int = MAX_ITEMS
    embeds: int = MAX_EMBEDS


def parse_select(text: str) -> list[Node]:
    """Return the items of ``text`` in the client's order.

    >>> parse_select("id,total::text")
    [Column(field=Field(name='id', ...), ...), Column(... cast='text', ...)]

    Raises:
        QueryStringError: PGRST100, with the 1-based column where reading stopped.
        QueryStringRefused: PGRST100, too many items, or embeds too deep.
    """
    cursor = Cursor(text, "select parameter")
    items = _items(cursor, 0, _Budget())
    # PostgREST looks at nothing after a closing parenthesis, and so its users' links have one too many
    if not cursor.at_end() and ")" not in text[max(cursor.at - 1, 0) : cursor.at + 1]:
        cursor.refuse('"," or end of input')
    return items


def _items(cursor: Cursor, depth: int, budget: _Budget) -> list[Node]:
    if depth > MAX_EMBED_DEPTH:
        raise QueryStringRefused(
            f"The select parameter embeds more than {MAX_EMBED_DEPTH} levels deep.",
            hint="Ask for the inner relations in a request of their own.",
        )
    cursor.spaces()
    if cursor.at_end() or cursor.text.startswith(")", cursor.at):
        return []
    items = [_item(cursor, depth, budget)]
    while True:
        cursor.spaces()
        if not cursor.take(","):
            return items
        cursor.spaces()
        items.append(_item(cursor, depth, budget))


def _item(cursor: Cursor, depth: int, budget: _Budget) -> Node:
    budget.items -= 1
    if budget.items < 0:
        raise QueryStringRefused(f"The select parameter has more than {MAX_ITEMS} items.")
    if cursor.take("..."):
        return _embed(cursor, DraftEmbed(cursor.name(), Draft([]), spread=True), depth, budget)
    if cursor.take("*"):
        return AllColumns()
    if cursor.match(_COUNT):
        return Column(None, aggregate="count", aggregate_cast=_cast(cursor))
    field = cursor.field(ITEM_EXPECTED)
    alias: str | None = None
    if not field.path and _at_alias_end(cursor):
        alias = field.name
        if cursor.match(_COUNT):
            return Column(None, alias, aggregate="count", aggregate_cast=_cast(cursor))
        field = cursor.field()
    if not field.path and cursor.text[cursor.at : cursor.at + 1] in ("(", "!"):
        return _embed(cursor, DraftEmbed(field.name, Draft([]), alias), depth, budget)
    return _column(cursor, field, alias)


def _at_alias_end(cursor: Cursor) -> bool:
    return not cursor.text.startswith("::", cursor.at) and cursor.take(":")


def _column(cursor: Cursor, field: Field, alias: str | None) -> Column:
    cast = _cast(cursor)
    aggregate = cursor.match(_AGGREGATE)
    if aggregate is None:
        return Column(field, alias, cast)
    return Column(field, alias, cast, aggregate[1:-2], _cast(cursor))


def _cast(cursor: Cursor) -> str | None:
    if not cursor.take("::"):
        return None
    name = (cursor.match(_CAST) or "").strip()
    if not name:
        cursor.refuse("type name")
    return name


def _embed(cursor: Cursor, node: DraftEmbed, depth: int, budget: _Budget) -> DraftEmbed:
    budget.embeds -= 1
    if budget.embeds < 0:
        raise QueryStringRefused(f"The select parameter has more than {MAX_EMBEDS} embeds.")
    while cursor.take("!"):
        hint = cursor.name()
        if hint in JOINS:
            node.join = cast("Join", hint)
        else:
            node.hint = hint
    cursor.expect("(")
    node.draft.items.extend(_items(cursor, depth + 1, budget))
    cursor.expect(")")
    return node
