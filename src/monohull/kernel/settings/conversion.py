"""From text to a field's type, and from a field's type to words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from monohull.kernel.settings.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WORDS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("1", "t", "true", "y", "yes", "on"), True),
    **dict.fromkeys(("0", "f", "false", "n", "no", "off"), False),
}
"""What PostgREST's and GoTrue's own configurations take for a boolean."""


def convert(raw: Any, hint: Any) -> Any:
    """Convert a raw value to a field's type; text with commas becomes a tuple.

    Raises:
        msgspec.ValidationError: It does not fit.
    """
    if isinstance(raw, str):
        raw = _read(raw, hint)
        if raw is None:
            return None
    return msgspec.convert(raw, _plain(hint), strict=False, dec_hook=_decode_own)


def explain(raw: Any, hint: Any) -> str:
    """Say why ``raw`` was refused: it, unless it is secret, and what is allowed."""
    shown = "the value" if Secret in _parts(hint) else repr(raw)
    return f"{shown} is not allowed: {allowed(hint)}"


def allowed(hint: Any) -> str:
    """Describe in words what a field takes, for errors and for the reference.

    >>> allowed(Annotated[int, msgspec.Meta(ge=1, le=5)] | None)
    'a whole number from 1 to 5'
    """
    schema = msgspec.json.schema(_plain(hint), schema_hook=lambda _: {"type": "string"})
    return _words(schema)


def _read(text: str, hint: Any) -> Any:
    """Bring text into the shape that its type is converted from; None where it means nothing is set."""
    parts = _parts(hint)
    stripped = text.strip()
    if not stripped and type(None) in parts:
        return None
    if tuple in parts:
        return [item for part in text.split(",") if (item := part.strip())]
    if bool in parts:
        return _WORDS.get(stripped.lower(), text)
    return stripped if {int, float}.intersection(parts) else text


def _plain(hint: Any) -> Any:
    """Take None out of a union, where msgspec refuses the constraints that are meant for the rest of it."""
    metadata = getattr(hint, "__metadata__", ())
    origin = hint.__origin__ if metadata else hint
    members = getattr(origin, "__args__", ()) if _is_union(origin) else ()
    others = [member for member in members if member is not type(None)]
    if len(others) != 1 or len(members) == len(others):
        return hint
    return Annotated[(others[0], *metadata)] if metadata else others[0]


def _is_union(hint: Any) -> bool:
    return not isinstance(hint, type) and type(None) in getattr(hint, "__args__", ())


def _parts(hint: Any) -> set[Any]:
    """Return every type that ``hint`` is made of."""
    return set(_walk(hint))


def _walk(hint: Any) -> Iterator[Any]:
    origin = getattr(hint, "__origin__", None)
    yield origin if isinstance(origin, type) else hint
    if hasattr(hint, "__metadata__"):
        yield from _walk(origin)
    for argument in getattr(hint, "__args__", ()):
        if argument is not hint and not isinstance(argument, str):
            yield from _walk(argument)


def _decode_own(kind: type[Any], raw: Any) -> Any:
    if kind in (Secret, Path) and isinstance(raw, str) and raw:
        return kind(raw)
    raise ValueError("expected some text")


def _words(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"] if value is not None)
    match schema.get("type"):
        case "integer":
            return f"a whole number{_span(schema)}"
        case "number":
            return f"a number{_span(schema)}"
        case "boolean":
            return "true or false"
        case "array":
            item = _words(schema.get("items") or {})
            each = "" if item == "text" else f", each {item}"
            return f"values separated by commas{each}"
        case _:
            return f"text that matches {schema['pattern']}" if "pattern" in schema else "text"


def _span(schema: Mapping[str, Any]) -> str:
    """Say which numbers, with the bounds as far as there are some."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    bounds = (
        ("of at least", low),
        ("above", schema.get("exclusiveMinimum")),
        ("of at most", high),
        ("below", schema.get("exclusiveMaximum")),
    )
    text = " and ".join(f"{word} {bound}" for word, bound in bounds if bound is not None)
    return f" {text}" if text else ""
