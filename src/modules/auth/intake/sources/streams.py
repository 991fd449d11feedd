"""JSON that is larger than what may be held of it: one object after the other.

An array, an array under a key of one object, or an object a line. What is no
JSON ends the import: nobody can say where the next object begins, but in lines,
where the next line does.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from modules.auth.intake.records import Rejection
from monohull.kernel.refusals import WrongSetup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

CHUNK_CHARACTERS: Final = 65_536
MAX_OBJECT_CHARACTERS: Final = 2_000_000
_SPACE: Final = re.compile(r"[\s,]*")

Found: TypeAlias = tuple[str, "dict[str, Any] | Rejection"]
"""A place, and the object there."""


def objects(stream: TextIO, *, key: str) -> Iterator[Found]:
    """Read the objects of ``stream``; in an object they are the list under ``key``.

    Raises:
        WrongSetup: It is no JSON of these forms, or ends in the middle.
    """
    head = re.compile(rf'\s*(?:\{{\s*"{re.escape(key)}"\s*:\s*)?\[')
    buffer = stream.read(CHUNK_CHARACTERS)
    if (match := head.match(buffer)) is not None:
        yield from _elements(stream, buffer[match.end() :])
    else:
        yield from _lines(stream, buffer)


def _elements(stream: TextIO, buffer: str) -> Iterator[Found]:
    decoder = json.JSONDecoder()
    number, position = 0, 0
    while True:
        position = _after_space(buffer, position)
        if buffer[position : position + 1] == "]":
            return
        try:
            found, position = decoder.raw_decode(buffer, position)
        except (ValueError, RecursionError) as error:
            is_too_long = len(buffer) - position > MAX_OBJECT_CHARACTERS
            more = "" if is_too_long else stream.read(max(CHUNK_CHARACTERS, len(buffer) - position))
            if not more:
                raise WrongSetup(f"user {number + 1} of the list is not readable as JSON: {error}") from error
            buffer, position = buffer[position:] + more, 0
            continue
        number += 1
        yield f"user {number}", found if isinstance(found, dict) else _no_object()


def _after_space(buffer: str, position: int) -> int:
    match = _SPACE.match(buffer, position)
    return match.end() if match is not None else position


def _lines(stream: TextIO, buffer: str) -> Iterator[Found]:
    number = 0
    while buffer:
        *whole, buffer = buffer.split("\n")
        for line in whole:
            number += 1
            yield from _line(number, line)
        if len(buffer) > MAX_OBJECT_CHARACTERS:
            raise WrongSetup(f"line {number + 1} is longer than {MAX_OBJECT_CHARACTERS} characters")
        more = stream.read(CHUNK_CHARACTERS)
        if not more:
            yield from _line(number + 1, buffer)
            return
        buffer += more


def _line(number: int, line: str) -> Iterator[Found]:
    if not line.strip():
        return
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        yield f"line {number}", Rejection("no_json", f"it is no JSON: {error}")
        return
    yield f"line {number}", found if isinstance(found, dict) else _no_object()


def _no_object() -> Rejection:
    return Rejection("no_object", "it is no JSON object")
