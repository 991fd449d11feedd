"""The cursor that a read came with: by parameter, by header, or by the wish to have one.

?cursor=AQx…                    where the page begins
?cursor=                        the first page; so does ``Prefer: pagination=cursor``
?cursor=eq.5                    a condition on the column of that name
Cursor: AQx…                    for clients that know no other parameters
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modules.rest.filters import is_filter

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMETER: Final = b"cursor"
HEADER: Final = b"cursor"


def take_cursor(scope: Mapping[str, Any], query: bytes, *, is_wanted: bool) -> tuple[bytes, str | None]:
    """Return a read's query string without the cursor, and the cursor.

    It is empty where pages by cursor are asked for and none was sent, and None where they are not. A
    condition on a column of that name is left alone.

    Args:
        scope: ASGI's.
        query: As it came.
        is_wanted: The client prefers pages by cursor.
    """
    found: str | None = None
    if PARAMETER in query:
        kept: list[bytes] = []
        for part in query.split(b"&"):
            name, equals, value = part.partition(b"=")
            text = value.decode("latin-1")
            if name == PARAMETER and equals and not is_filter(text):
                found = text
            else:
                kept.append(part)
        query = query if found is None else b"&".join(kept)
    if found is None:
        found = _sent(scope)
    return query, "" if found is None and is_wanted else found


def _sent(scope: Mapping[str, Any]) -> str | None:
    """Return what the header says."""
    by_name: Mapping[bytes, bytes] | None = scope["state"]["headers"].by_name
    value = dict(scope["headers"]).get(HEADER) if by_name is None else by_name.get(HEADER)
    return None if value is None else value.decode("latin-1").strip()
