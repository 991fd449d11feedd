"""Parse ``Accept:`` and choose what is made.

    application/json                        an array of objects; also */* and application/*
    application/vnd.pgrst.array+json        the same, or with ;nulls=stripped
    application/vnd.pgrst.object+json       the one row as an object
    text/csv                                a header line and one line a row

Ranges are taken in the order of their quality, equals in the client's order.

Source: RFC 9110 §12.5.1; PostgREST 16, ``MediaType.hs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from modules.rest.errors import MediaTypeNotAvailable
from modules.rest.explain import DEFAULT_FOR, NAMES, Explain, read_explain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from modules.query import Shape


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
    "text/csv": CSV,
    "text/*": CSV,
}
_STRIPPED: Final[Mapping[str, Media]] = {
    "application/vnd.pgrst.array+json": STRIPPED_ARRAY,
    "application/vnd.pgrst.array": STRIPPED_ARRAY,
    "application/vnd.pgrst.object+json": STRIPPED_OBJECT,
    "application/vnd.pgrst.object": STRIPPED_OBJECT,
}


def choose_media(accept: str) -> Media:
    """Return the first thing in ``accept`` that can be made.

    Raises:
        MediaTypeNotAvailable: PGRST107.
    """
    if (plain := _PLAIN.get(accept)) is not None:
        return plain
    ranges = sorted(_ranges(accept), key=lambda one: -one[2])
    if not ranges:
        return JSON
    for name, parameters, quality in ranges:
        table = _STRIPPED if parameters.get("nulls") == "stripped" else _PLAIN
        if quality > 0 and (found := table.get(name) or _explained(name, parameters)) is not None:
            return found
    raise MediaTypeNotAvailable(name for name, _, _ in ranges)


def _explained(name: str, parameters: Mapping[str, str]) -> Media | None:
    """Return what makes the plan that a range asks for, or None."""
    if name not in NAMES:
        return None
    made = _PLAIN.get(parameters.get("for", DEFAULT_FOR), JSON)
    explain = read_explain(name, parameters, made.content_type.removesuffix(CHARSET))
    return structs.replace(made, explain=explain)


def _ranges(accept: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    for text in accept.split(","):
        name, *rest = (part.strip().lower() for part in text.split(";"))
        if name:
            parameters = dict(_parameter(part) for part in rest)
            yield name, parameters, _quality(parameters.get("q", "1"))


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip().strip('"')


def _quality(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0
