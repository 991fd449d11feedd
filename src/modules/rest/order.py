"""Parse ``order=``.

    order     = term *( "," term )
    term      = field direction / relation "(" field ")" direction
    direction = [ ".asc" / ".desc" ] [ ".nullsfirst" / ".nullslast" ]

Source: PostgREST 16, ``ApiRequest/QueryParams.hs``, ``pOrder``.
"""

from __future__ import annotations

import re
from typing import Final, cast

from modules.query import Direction, Nulls, Order
from modules.rest.cursor import Cursor
from modules.rest.errors import QueryStringRefused

MAX_TERMS: Final = 100
_DIRECTION: Final = re.compile(r"\.(?:asc|desc)(?=[.,]|$| )")
_NULLS: Final = re.compile(r"\.nulls(?:first|last)(?=,|$| )")


def parse_order(text: str) -> tuple[Order, ...]:
    """Return the terms of ``text``.

    >>> parse_order("total.desc.nullslast,id")
    (Order(field=Field(name='total', ...), direction='desc', nulls='last', ...), Order(...))

    Raises:
        QueryStringError: PGRST100.
        QueryStringRefused: PGRST100, too many terms.
    """
    cursor = Cursor(text, "order")
    terms: list[Order] = []
    while True:
        cursor.spaces()
        terms.append(_term(cursor))
        cursor.spaces()
        if not cursor.take(","):
            break
    if not cursor.at_end():
        cursor.refuse('"asc", "desc", "nullsfirst" or "nullslast"')
    if len(terms) > MAX_TERMS:
        raise QueryStringRefused(f"The order has more than {MAX_TERMS} terms.")
    return tuple(terms)


def _term(cursor: Cursor) -> Order:
    field = cursor.field()
    relation: str | None = None
    if not field.path and cursor.take("("):
        relation = field.name
        field = cursor.field()
        cursor.expect(")")
    direction = cursor.match(_DIRECTION)
    nulls = cursor.match(_NULLS)
    return Order(
        field,
        cast("Direction", direction[1:]) if direction else None,
        cast("Nulls", nulls[len(".nulls") :]) if nulls else None,
        relation,
    )
