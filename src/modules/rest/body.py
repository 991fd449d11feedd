"""Request body → one JSON document for the database, and the columns in it.

    application/json                     an array of objects, or one object; also without a type
    text/csv                             a header line, then one line a row; NULL is null
    application/x-www-form-urlencoded    one object of texts

The rows are not built here: the database takes the document apart. What is
looked at are the keys, which must be the same in every row unless ``columns=``
says what counts.

Source: PostgREST 16, ``ApiRequest/Payload.hs``.
"""

from __future__ import annotations

import csv
import io
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from msgspec import Raw, Struct

from modules.rest.errors import BodyInvalid
from modules.rest.parameters import split_query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msgspec.json import Decoder

MAX_ROWS: Final = 250_000
"""Rows of one body."""

CHUNK: Final = 1000
"""Rows whose keys are compared at once: enough to be quick, and little memory for any size of body."""

FEW: Final = 8
"""Up to so many rows are compared one by one."""

INVALID: Final = "Empty or invalid json"
DIFFERENT: Final = "All object keys must match"

Fields: TypeAlias = "dict[str, Raw]"

_NESTED: Final = re.compile(rb":\s*[{\[]")
_ODD_SPACE: Final = re.compile(rb":[ ]?[\t\r\n ]")
_rows: Final = msgspec.json.Decoder(list[Raw])
_fields: Final = msgspec.json.Decoder(dict[str, Raw])
_anything: Final = msgspec.json.Decoder()


class Body(Struct, frozen=True):
    """A body, ready for the database.

    Attributes:
        document: JSON, an array of objects or one object.
        columns: Keys of the first row, or what ``columns=`` says.
        is_list: It is an array.
        is_flat: No value in it is an object or an array.
    """

    document: bytes
    columns: tuple[str, ...]
    is_list: bool
    is_flat: bool


EMPTY: Final = Body(b"[]", (), is_list=True, is_flat=True)


def parse_body(raw: bytes, content_type: str, columns: tuple[str, ...] | None) -> Body:
    """Return what ``raw`` holds.

    Args:
        raw: The body.
        content_type: Its media type as the client names it, empty for none.
        columns: What ``columns=`` says, or None.

    Raises:
        BodyInvalid: PGRST102.
    """
    media = content_type.partition(";")[0].strip().lower()
    match media:
        case (
            "" | "application/json" | "application/vnd.pgrst.object+json" | "application/vnd.pgrst.array+json"
        ):
            return parse_json(raw, columns)
        case "text/csv":
            return parse_csv(raw, columns)
        case "application/x-www-form-urlencoded":
            fields = dict(split_query(raw))
            return Body(msgspec.json.encode(fields), columns or tuple(fields), is_list=False, is_flat=True)
        case _:
            raise BodyInvalid(f"Content-Type not acceptable: {content_type}")


def parse_json(raw: bytes, columns: tuple[str, ...] | None = None) -> Body:
    """Return a JSON body.

    What is neither array nor object counts as an empty array, as in PostgREST. With ``columns`` nothing is
    looked at: the database refuses what it cannot take.

    Raises:
        BodyInvalid: PGRST102, no JSON, or rows with different keys.
    """
    first = raw.lstrip()[:1]
    if columns is not None:
        return Body(raw, columns, is_list=first == b"[", is_flat=is_flat(raw))
    try:
        if first == b"{":
            return Body(raw, tuple(_fields.decode(raw)), is_list=False, is_flat=is_flat(raw))
        if first != b"[":
            _anything.decode(raw)
            return EMPTY
        rows = _rows.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BodyInvalid(INVALID) from error
    return Body(raw, _keys(rows), is_list=True, is_flat=is_flat(raw))


def is_flat(raw: bytes) -> bool:
    """Say whether surely no value of the rows is an object or an array."""
    if _ODD_SPACE.search(raw) is not None:
        return _NESTED.search(raw) is None
    return not any(sign in raw for sign in (b":{", b": {", b":[", b": ["))


def _keys(rows: Sequence[Raw]) -> tuple[str, ...]:
    """Return the keys that all rows have.

    Raises:
        BodyInvalid: PGRST102.
    """
    if not rows:
        return ()
    if len(rows) > MAX_ROWS:
        raise BodyInvalid(f"The body has {len(rows)} rows; {MAX_ROWS} are allowed.")
    try:
        keys = tuple(_fields.decode(rows[0]))
        if len(rows) <= FEW:
            wanted = set(keys)
            if any(_fields.decode(row).keys() != wanted for row in rows[1:]):
                raise BodyInvalid(DIFFERENT)
            return keys
        decoder = _row_decoder(keys)
        for start in range(0, len(rows), CHUNK):
            decoder.decode(b"[" + b",".join(rows[start : start + CHUNK]) + b"]")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BodyInvalid(DIFFERENT) from error
    return keys


@lru_cache(maxsize=128)
def _row_decoder(keys: tuple[str, ...]) -> Decoder[Any]:
    """Make a decoder of rows that have ``keys`` and no others; their values are not looked at."""
    fields = {f"f{at}": key for at, key in enumerate(keys)}
    row = msgspec.defstruct(
        "Row", [(name, Raw) for name in fields], rename=fields, forbid_unknown_fields=True, gc=False
    )
    return msgspec.json.Decoder(list[row])  # type: ignore[valid-type]


def parse_csv(raw: bytes, columns: tuple[str, ...] | None = None) -> Body:
    r"""Return a CSV body as JSON.

    >>> parse_csv(b"id,name\n1,NULL\n").document
    b'[{"id":"1","name":null}]'

    Raises:
        BodyInvalid: PGRST102.
    """
    try:
        lines = [
            line for line in csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""), strict=True) if line
        ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BodyInvalid("The body is no CSV in UTF-8") from error
    if not lines:
        raise BodyInvalid("not enough input")
    names, *rows = lines
    if any(len(row) != len(names) for row in rows):
        raise BodyInvalid("All lines must have same number of fields")
    if len(rows) > MAX_ROWS:
        raise BodyInvalid(f"The body has {len(rows)} rows; {MAX_ROWS} are allowed.")
    objects = [
        {name: None if text == "NULL" else text for name, text in zip(names, row, strict=True)}
        for row in rows
    ]
    if not objects:
        return EMPTY
    return Body(
        msgspec.json.encode(objects), columns or tuple(dict.fromkeys(names)), is_list=True, is_flat=True
    )


def is_json(raw: bytes) -> bool:
    """Say whether ``raw`` is JSON, for when the database says that it is not."""
    try:
        _anything.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return True
