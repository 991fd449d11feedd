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
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from msgspec import Raw, Struct

from modules.rest.errors import BodyInvalid
from modules.rest.parameters import split_query

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from msgspec.json import Decoder

MAX_ROWS: Final = 250_000
"""Rows of one body."""

CHUNK: Final = 1000
"""Rows that are looked at at once: enough to be quick, and little memory for any size of body."""

MAX_STRUCT_CHARACTERS: Final = 16_384
"""Of all keys of a row together; rows with more are compared one by one, their keys not remembered."""

INVALID: Final = "Empty or invalid json"
DIFFERENT: Final = "All object keys must match"

Scalar: TypeAlias = "str | int | float | bool | None"

_ODD: Final = re.compile(r'["\\\x00-\x1f]')
_OPENING: Final = (b"{", b"[")
_rows: Final = msgspec.json.Decoder(list[Raw])
_fields: Final = msgspec.json.Decoder(dict[str, Raw])
_anything: Final = msgspec.json.Decoder()
_encoder: Final = msgspec.json.Encoder()


class Body(Struct, frozen=True):
    """A body, ready for the database.

    Attributes:
        document: JSON, an array of objects or one object.
        columns: Keys of the first row, or what ``columns=`` says.
        nested: Columns whose values may be objects or arrays; what is not here surely has none.
        is_list: It is an array.
    """

    document: bytes
    columns: tuple[str, ...]
    nested: tuple[str, ...]
    is_list: bool


EMPTY: Final = Body(b"[]", (), (), is_list=True)


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
        case "" | "application/json":
            return parse_json(raw, columns)
        case "text/csv":
            return parse_csv(raw, columns)
        case "application/x-www-form-urlencoded":
            fields = dict(split_query(raw))
            return Body(msgspec.json.encode(fields), columns or tuple(fields), (), is_list=False)
        case _:
            raise BodyInvalid(f"Content-Type not acceptable: {content_type}")


def parse_json(raw: bytes, columns: tuple[str, ...] | None = None) -> Body:
    """Return a JSON body.

    What is neither array nor object counts as an empty array, as in PostgREST. With ``columns`` the keys are
    not compared: the database refuses what it cannot take.

    Raises:
        BodyInvalid: PGRST102, no JSON, or rows with different keys.
    """
    first = raw.lstrip()[:1]
    try:
        if first == b"[":
            rows = _rows.decode(raw)
            if len(rows) > MAX_ROWS:
                raise BodyInvalid(f"The body has {len(rows)} rows; {MAX_ROWS} are allowed.")
            if columns is not None:
                is_flat = raw.count(b"{") <= len(rows) and raw.count(b"[") == 1
                return Body(raw, columns, () if is_flat else columns, is_list=True)
            return Body(raw, *compare_rows(rows), is_list=True)
        if first == b"{":
            fields = _fields.decode(raw)
            return Body(
                raw, tuple(fields) if columns is None else columns, nested_keys(fields), is_list=False
            )
        _anything.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BodyInvalid(INVALID) from error
    return EMPTY


def take_fields(raw: bytes) -> dict[str, bytes]:
    """Return the keys and values of an object that `parse_json` took, as they are written."""
    return {key: bytes(value) for key, value in _fields.decode(raw).items()}


def parse_uneven(raw: bytes) -> tuple[Body, bool]:
    """Return a JSON body with the keys of all its rows, and whether all rows have the same.

    Raises:
        BodyInvalid: PGRST102.
    """
    try:
        return parse_json(raw), True
    except BodyInvalid as error:
        if error.message != DIFFERENT:
            raise
    try:
        keys: dict[str, None] = {}
        nested: dict[str, None] = {}
        for row in _rows.decode(raw):
            fields = _fields.decode(row)
            keys |= dict.fromkeys(fields)
            nested |= dict.fromkeys(nested_keys(fields))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BodyInvalid(DIFFERENT) from error
    return Body(raw, tuple(keys), tuple(nested), is_list=True), False


def nested_keys(fields: Mapping[str, Raw]) -> tuple[str, ...]:
    """Return the keys whose values are objects or arrays."""
    return tuple([key for key, value in fields.items() if bytes(value)[:1] in _OPENING])


def compare_rows(rows: Sequence[Raw]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the keys that all rows have, and those whose value may be an object or array.

    Raises:
        BodyInvalid: PGRST102.
    """
    if not rows:
        return (), ()
    try:
        first = _fields.decode(rows[0])
        keys, nested = tuple(first), nested_keys(first)
        if sum(map(len, keys)) > MAX_STRUCT_CHARACTERS or any(_ODD.search(key) for key in keys):
            _compare_slowly(rows, first.keys())
            return keys, keys
        try:
            _compare(rows, _row_decoder(keys, nested))
        except msgspec.ValidationError:
            _compare(rows, _row_decoder(keys, keys))
            return keys, keys
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BodyInvalid(DIFFERENT) from error
    return keys, nested


def _compare(rows: Sequence[Raw], decoder: Decoder[Any]) -> None:
    for start in range(0, len(rows), CHUNK):
        decoder.decode(b"[" + b",".join(rows[start : start + CHUNK]) + b"]")


def _compare_slowly(rows: Sequence[Raw], keys: AbstractSet[str]) -> None:
    """Compare rows with keys that no struct can have; no relation is likely to have such columns."""
    if any(_fields.decode(row).keys() != keys for row in rows):
        raise BodyInvalid(DIFFERENT)


@lru_cache(maxsize=128)
def _row_decoder(keys: tuple[str, ...], nested: tuple[str, ...]) -> Decoder[Any]:
    """Make a decoder of rows that have ``keys`` and no others, and objects and arrays only in ``nested``."""
    names = {f"f{at}": key for at, key in enumerate(keys)}
    fields = [(name, Raw if key in nested else Scalar) for name, key in names.items()]
    row = msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True, gc=False)
    return msgspec.json.Decoder(list[row])  # type: ignore[valid-type]


def parse_csv(raw: bytes, columns: tuple[str, ...] | None = None) -> Body:
    r"""Return a CSV body as JSON.

    >>> parse_csv(b"id,name\n1,NULL\n").document
    b'[{"id":"1","name":null}]'

    Raises:
        BodyInvalid: PGRST102.
    """
    # the whole body has a limit; that of one field holds for the process, so it is never lowered
    csv.field_size_limit(max(len(raw), csv.field_size_limit()))
    # decoded as it is read: as one text it can take four times its size
    text = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8-sig", newline="")
    lines = filter(None, csv.reader(text, strict=True))
    try:
        names = next(lines, None)
        if names is None:
            raise BodyInvalid("not enough input")
        document = _encode_lines(names, lines)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BodyInvalid("The body is no CSV in UTF-8") from error
    if not document:
        return EMPTY
    return Body(document, columns or tuple(dict.fromkeys(names)), (), is_list=True)


def _encode_lines(names: Sequence[str], lines: Iterator[list[str]]) -> bytes:
    """Return the lines as a JSON array of objects, or nothing at all; only some are objects at a time.

    Raises:
        BodyInvalid: PGRST102.
    """
    # pieces of the document's exact size: one buffer that grows is half as large again, and copied at the end
    pieces: list[bytes] = []
    count = 0
    while some := list(islice(lines, CHUNK)):
        if any(len(line) != len(names) for line in some):
            raise BodyInvalid("All lines must have same number of fields")
        if (count := count + len(some)) > MAX_ROWS:
            raise BodyInvalid(f"The body has more than the {MAX_ROWS} rows that are allowed.")
        objects = [
            {name: None if text == "NULL" else text for name, text in zip(names, line, strict=True)}
            for line in some
        ]
        pieces += (b"," if pieces else b"[", _encoder.encode(objects)[1:-1])
    return b"".join((*pieces, b"]")) if pieces else b""


def is_json(raw: bytes) -> bool:
    """Say whether ``raw`` is JSON, for when the database says that it is not."""
    try:
        _anything.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return True
