"""From a message to the row or the arguments that it becomes. Numbers keep every digit they came with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw, Struct

from modules.ingest.errors import Unusable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.ingest.messages import Message

WHOLE: Final = "$"
MARKS: Final = frozenset({"$id", "$key", "$headers", "$place"})
_BAD: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Row(Struct, frozen=True):
    """What is inserted: ``values`` is the JSON of an object with these columns."""

    columns: tuple[str, ...]
    values: bytes


def row_of(message: Message, columns: Mapping[str, str]) -> Row:
    """Return the row that a message becomes; columns whose field is absent are left out.

    Raises:
        Unusable: The message is no JSON where its fields are asked for, or has none of them.
    """
    values: dict[str, Raw] = {}
    fields: dict[str, Raw] | None = None
    for column, path in columns.items():
        if path == WHOLE:
            demand_json(message.body)
            values[column] = Raw(message.body)
        elif path in MARKS:
            values[column] = Raw(msgspec.json.encode(_mark(message, path)))
        else:
            if fields is None:
                fields = _object(message.body)
            found = _find(fields, path)
            if found is not None:
                values[column] = found
    if not values:
        raise Unusable("no_fields", "The message has none of the fields that the columns are made of.")
    return Row(tuple(values), msgspec.json.encode(values))


def arguments_of(message: Message, argument: str | None) -> dict[str, Any]:
    """Return the arguments that a message is, or that it is one of.

    Raises:
        Unusable: The message is no JSON, or no object where it should be all arguments.
    """
    content = demand_json(message.body)
    if argument is not None:
        return {argument: content}
    if not isinstance(content, dict):
        raise Unusable("bad_json", "The message is no JSON object, and a job's arguments are one.")
    return content


def demand_json(body: bytes) -> Any:
    """Return what a body says.

    Raises:
        Unusable: It is no JSON.
    """
    try:
        return msgspec.json.decode(body)
    except _BAD as error:
        raise Unusable("bad_json", f"The message is no JSON: {error}") from error


def _object(body: bytes) -> dict[str, Raw]:
    demand_json(body)
    try:
        return msgspec.json.decode(body, type=dict[str, Raw])
    except _BAD as error:
        raise Unusable("bad_json", "The message is no JSON object.") from error


def _find(fields: Mapping[str, Raw], path: str) -> Raw | None:
    """Return the value at a path; a field whose name is the whole path comes first."""
    if path in fields:
        return fields[path]
    name, dot, rest = path.partition(".")
    if not dot or name not in fields:
        return None
    try:
        return _find(msgspec.json.decode(fields[name], type=dict[str, Raw]), rest)
    except _BAD:
        return None


def _mark(message: Message, path: str) -> Any:
    if path == "$headers":
        return dict(message.headers)
    return getattr(message, path[1:])
