"""Parse ``Accept:`` and choose what is made.

    application/json                        an array of objects; also */* and application/*
    application/vnd.pgrst.array+json        the same, or with ;nulls=stripped
    application/vnd.pgrst.object+json       the one row as an object
    text/csv                                a header line and one line a row
    application/geo+json                    a collection of features, made by PostGIS

Ranges are taken in the order of their quality, equals in the client's order.
A project makes media types of its own by functions and aggregates whose result
is a domain of that name; they may take the place of all but the ``vnd.pgrst`` ones.

Source: RFC 9110 §12.5.1; PostgREST 16, ``MediaType.hs``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from modules.rest.errors import MediaTypeNotAvailable
from modules.rest.explain import DEFAULT_FOR, NAMES, Explain, read_explain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from modules.query import Handlers, MediaHandler, Shape


class Media(Struct, frozen=True):
    """What is made, and what it is called.

    Attributes:
        shape: The document's shape.
        content_type: Value of the header.
        strip_nulls: Leave keys without a value out.
        explain: The plan is wanted in its place.
    """

    shape: Shape
    content_type: str
    strip_nulls: bool = False
    explain: Explain | None = None


CHARSET: Final = "; charset=utf-8"
JSON: Final = Media("array", "application/json; charset=utf-8")
CSV: Final = Media("csv", "text/csv; charset=utf-8")
GEOJSON: Final = Media("geojson", "application/geo+json; charset=utf-8")
OBJECT: Final = Media("object", "application/vnd.pgrst.object+json; charset=utf-8")
STRIPPED_ARRAY: Final = Media(
    "array", "application/vnd.pgrst.array+json;nulls=stripped; charset=utf-8", strip_nulls=True
)
STRIPPED_OBJECT: Final = Media(
    "object", "application/vnd.pgrst.object+json;nulls=stripped; charset=utf-8", strip_nulls=True
)

_PLAIN: Final[Mapping[str, Media]] = {
    "*/*": JSON,
    "application/*": JSON,
    "application/json": JSON,
    "application/vnd.pgrst.array+json": JSON,
    "application/vnd.pgrst.array": JSON,
    "application/vnd.pgrst.object+json": OBJECT,
    "application/vnd.pgrst.object": OBJECT,
    "application/geo+json": GEOJSON,
    "text/csv": CSV,
    "text/*": CSV,
}
_STRIPPED: Final[Mapping[str, Media]] = {
    "application/vnd.pgrst.array+json": STRIPPED_ARRAY,
    "application/vnd.pgrst.array": STRIPPED_ARRAY,
    "application/vnd.pgrst.object+json": STRIPPED_OBJECT,
    "application/vnd.pgrst.object": STRIPPED_OBJECT,
}

_BETWEEN_COMMAS: Final = re.compile(r'(?:[^,"]|"[^"]*"?)+')
_BETWEEN_SEMICOLONS: Final = re.compile(r'(?:[^;"]|"[^"]*"?)+')
"""Where those in quotes are text."""

OCTETS: Final = "application/octet-stream"
UNAVAILABLE: Final = Media("array", "")
"""Stands for nothing that the client accepts, until it is known what the project makes."""

_VENDORED: Final = frozenset(_STRIPPED)
_WITH_CHARSET: Final = frozenset(
    (
        *("application/json", "application/geo+json", "application/openapi+json"),
        *("text/csv", "text/plain", "text/xml", "application/x-www-form-urlencoded"),
    )
)


def choose_media(accept: str, handlers: Handlers | None = None) -> Media:
    """Return the first thing in ``accept`` that can be made.

    Args:
        accept: The header.
        handlers: What the project makes of the relation or function.

    Raises:
        MediaTypeNotAvailable: PGRST107.
    """
    found = find_media(accept, handlers)
    if found is UNAVAILABLE:
        raise not_available(accept)
    return found


def find_media(accept: str, handlers: Handlers | None = None) -> Media:
    """Return the same, or `UNAVAILABLE`."""
    if handlers is None and (plain := _PLAIN.get(accept)) is not None:
        return plain
    ranges = sorted(_ranges(accept), key=lambda one: -one[2]) or [("*/*", {}, 1.0)]
    for name, parameters, quality in ranges:
        if quality > 0 and (found := _find(name, parameters, handlers)) is not None:
            return found
    return UNAVAILABLE


def not_available(accept: str) -> MediaTypeNotAvailable:
    """Return the refusal of what a client accepts."""
    return MediaTypeNotAvailable(name for name, _, _ in sorted(_ranges(accept), key=lambda one: -one[2]))


def _find(name: str, parameters: Mapping[str, str], handlers: Handlers | None) -> Media | None:
    if handlers is not None and name not in _VENDORED and (handler := handlers.find(name)) is not None:
        return _made_by(handler)
    table = _STRIPPED if parameters.get("nulls") == "stripped" else _PLAIN
    return table.get(name) or _explained(name, parameters, handlers)


def _made_by(handler: MediaHandler) -> Media:
    name = OCTETS if handler.media_type == "*/*" else handler.media_type
    return Media(handler, name + CHARSET if name in _WITH_CHARSET else name)


def _explained(name: str, parameters: Mapping[str, str], handlers: Handlers | None) -> Media | None:
    """Return what makes the plan that a range asks for, or None."""
    if name not in NAMES:
        return None
    wanted = next(_ranges(parameters.get("for", DEFAULT_FOR)), None)
    made = _find(wanted[0], wanted[1], handlers) if wanted is not None and wanted[0] not in NAMES else None
    if made is None:
        return None
    explain = read_explain(name, parameters, made.content_type.removesuffix(CHARSET))
    return structs.replace(made, explain=explain)


def _ranges(accept: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    for text in _BETWEEN_COMMAS.findall(accept):
        name, *rest = [part.strip().lower() for part in _BETWEEN_SEMICOLONS.findall(text)] or [""]
        if name:
            parameters = dict(map(_parameter, rest))
            yield name, parameters, _quality(parameters.get("q", "1"))


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip().strip('"')


def _quality(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0
