"""Parse ``columns=`` and ``on_conflict=``.

    names = name *( "," name )

Source: PostgREST 16, ``ApiRequest/QueryParams.hs``, ``pColumns``.
"""

from __future__ import annotations

from modules.rest.cursor import Cursor


def parse_columns(text: str, what: str = "columns parameter") -> tuple[str, ...]:
    """Return the names in ``text``, each once.

    >>> parse_columns('id, "total net",id')
    ('id', 'total net')

    Raises:
        QueryStringError: PGRST100.
    """
    cursor = Cursor(text, what)
    names: list[str] = []
    while True:
        cursor.spaces()
        names.append(cursor.name())
        cursor.spaces()
        if not cursor.take(","):
            break
    if not cursor.at_end():
        cursor.refuse('"," or end of input')
    return tuple(dict.fromkeys(names))
