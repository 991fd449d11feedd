"""The steps of a batch, and what they take from one another. Pure: nothing here asks the database.

    [
      {"name": "order", "method": "POST", "path": "/orders?select=id",
       "headers": {"Prefer": "return=representation"}, "body": {"customer_id": 7}},
      {"method": "POST", "path": "/order_items", "body": {"order_id": {"$from": "/order/0/id"}, "n": 2}},
      {"path": "/orders?id=eq.{$/order/0/id}"}
    ]

A reference is a JSON pointer (RFC 6901) whose first part is the name or the
number of an earlier step and whose rest points into that step's answer; ``*``
stands for every element of an array. In a body it is an object with the one key
``$from``, and the value takes its place as it is; ``$$from`` is a literal
``$from``. In a path it stands in ``{$…}``, and its text is encoded for that.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import quote

import msgspec
from msgspec import Meta, Raw, Struct

from modules.rest.batch_errors import BatchInvalid, BatchReferenceMissing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Method: TypeAlias = Literal["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"]
REFERENCE: Final = "$from"
LITERAL: Final = "$$from"
EVERY: Final = "*"

RESERVED: Final = frozenset(
    {"authorization", "apikey", "cookie", "host", "content-length", "transfer-encoding", "idempotency-key"}
)
"""Headers that the batch has once for all of its steps."""

_IN_PATH: Final = re.compile(r"\{\$(/[^{}]*)\}")
_QUOTED: Final = re.compile(r'["\\]')
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)
"""Numbers come out as they went in: no digit of a numeric is lost on the way."""
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One request of a batch.

    Attributes:
        path: Below ``/rest/v1``, with its query.
        name: What later steps call it; its number, from 0 on, stands for it too.
        headers: Its own, beside those of the batch that say who asks.
        body: JSON. Where the headers say another ``Content-Type``, a string: the text itself.
    """

    path: Annotated[str, Meta(pattern="^/", max_length=16_384)]
    method: Method = "GET"
    name: Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_-]*$", max_length=63)] | None = None
    headers: dict[str, str] = {}
    body: Raw = Raw(b"")


_steps: Final = msgspec.json.Decoder(list[Step])


def parse_steps(body: bytes, most: int) -> list[Step]:
    """Return the steps of a batch, whose references all point to earlier ones.

    Args:
        body: As it came.
        most: How many steps are allowed.

    Raises:
        BatchInvalid: 400.
    """
    try:
        steps = _steps.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BatchInvalid(f"The body is no list of steps: {error}") from error
    if not 0 < len(steps) <= most:
        raise BatchInvalid(f"A batch has 1 to {most} steps; this one has {len(steps)}.")
    known: set[str] = set()
    for number, step in enumerate(steps):
        _check_headers(number, step.headers)
        for pointer in _pointers(step):
            if pointer.split("/")[1] not in known:
                raise BatchInvalid(f"Step {number} refers to {pointer}, which is no earlier step.")
        if step.name in known:
            raise BatchInvalid(f"Two steps have the name {step.name}.")
        known |= {str(number)} if step.name is None else {str(number), step.name}
    return steps


def _check_headers(number: int, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if name.lower() in RESERVED:
            raise BatchInvalid(f"Step {number} has the header {name}, which only the batch itself can have.")
        if not _TOKEN.fullmatch(name) or not value.isprintable():
            raise BatchInvalid(f"Step {number} has a header that HTTP does not allow.")
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            message = f"Step {number} has characters in the header {name} that no header has."
            raise BatchInvalid(message) from None


def _pointers(step: Step) -> list[str]:
    found = _IN_PATH.findall(step.path)
    if REFERENCE.encode() in bytes(step.body):
        _walk(_decode(step.body), found.append)
    return found


def _walk(value: Any, visit: Any) -> Any:
    """Return ``value`` with what ``visit`` returns in the place of each reference."""
    match value:
        case dict():
            if len(value) == 1:
                [(key, inner)] = value.items()
                if key == REFERENCE and isinstance(inner, str) and inner.startswith("/"):
                    return visit(inner)
                if key == LITERAL:
                    return {REFERENCE: inner}
            return {key: _walk(inner, visit) for key, inner in value.items()}
        case list():
            return [_walk(inner, visit) for inner in value]
        case _:
            return value


def _decode(body: Raw | bytes) -> Any:
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BatchInvalid(f"A body cannot be read: {error}") from error


class Answers:
    """What earlier steps answered, for those that refer to it."""

    def __init__(self) -> None:
        self._documents: dict[str, bytes] = {}
        self._read: dict[str, Any] = {}

    def add(self, number: int, name: str | None, document: bytes) -> None:
        """Remember the body of an answer; it is read if somebody refers to it."""
        self._documents[str(number)] = document
        if name is not None:
            self._documents[name] = document

    def path(self, step: Step) -> str:
        """Return the path of ``step`` with the values in it.

        Raises:
            BatchReferenceMissing: 422, an answer has no such value.
        """
        return _IN_PATH.sub(lambda match: quote(_text(self.find(match[1]), match[1]), safe=""), step.path)

    def body(self, step: Step) -> bytes:
        """Return the JSON body of ``step`` with the values in it; without references just as it came.

        Raises:
            BatchReferenceMissing: 422, an answer has no such value.
        """
        raw = bytes(step.body)
        return _encoder.encode(_walk(_decode(raw), self.find)) if REFERENCE.encode() in raw else raw

    def find(self, pointer: str) -> Any:
        """Return what ``pointer`` points to.

        Raises:
            BatchReferenceMissing: 422, it points to nothing.
        """
        step, *parts = (part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))
        if step not in self._read:
            try:
                self._read[step] = _decoder.decode(self._documents[step])
            except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
                raise BatchReferenceMissing(pointer) from None
        return _point(self._read[step], parts, pointer)


def _point(value: Any, parts: Sequence[str], pointer: str) -> Any:
    for at, part in enumerate(parts):
        if part == EVERY and isinstance(value, list):
            return [_point(inner, parts[at + 1 :], pointer) for inner in value]
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise BatchReferenceMissing(pointer) from None
    return value


def _text(value: Any, pointer: str) -> str:
    """Return a value as it stands in a query: lists as ``in`` has them, with what needs it in quotes."""
    match value:
        case str():
            return value
        case bool() | None:
            return _encoder.encode(value).decode()
        case int() | Decimal():
            return str(value)
        case list():
            return ",".join(
                '"' + _QUOTED.sub(r"\\\g<0>", item) + '"' if isinstance(item, str) else _text(item, pointer)
                for item in value
            )
        case _:
            raise BatchReferenceMissing(pointer)
