"""Spans in OTLP's protobuf form, and what a collector answers.

Three messages with a dozen fields do not make up for 12 MB of libraries in each
process, so they are written here as bytes: a field is its number and wire type,
then a number or a length and as many bytes.

Source: opentelemetry-proto 1.x, ``trace/v1/trace.proto``; protobuf, "Encoding".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from monohull.kernel.span import Span, Value

_ERROR: Final = b"\x7a\x02\x18\x02"
"""Field 15 (status) with code 2 and no message."""
_NOTHING: Final = b""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def encode_request(
    spans: Iterable[bytes], resource: Mapping[str, Value], *, scope: str, version: str
) -> bytes:
    """Return an ``ExportTraceServiceRequest``.

    Args:
        spans: As `encode_span` gives them.
        resource: What the process is.
        scope: Who recorded them.
        version: Of that.
    """
    about = b"".join(_field(1, encode_attribute(name, value)) for name, value in resource.items())
    instrument = _field(1, scope.encode()) + _field(2, version.encode())
    recorded = _field(1, instrument) + b"".join(_field(2, span) for span in spans)
    return _field(1, _field(1, about) + _field(2, recorded))


def encode_span(span: Span) -> bytes:
    """Return a ``Span``."""
    name = span.name.encode("utf-8", "replace")
    parts = [
        b"\x0a\x10",
        bytes.fromhex(span.trace_id),
        b"\x12\x08",
        bytes.fromhex(span.span_id),
        _NOTHING if span.state is None else _field(3, span.state.encode()),
        _NOTHING if span.parent_id is None else b"\x22\x08" + bytes.fromhex(span.parent_id),
        b"\x2a",
        _varint(len(name)),
        name,
        b"\x30",
        _varint(span.kind),
        struct.pack("<BQBQ", 0x39, span.started_ns, 0x41, span.ended_ns),
    ]
    for key, value in span.attributes.items():
        parts += (b"\x4a", _sized(encode_attribute(key, value)))
    if span.error is not None:
        parts.append(_ERROR)
    return b"".join(parts)


def encode_attribute(name: str, value: Value) -> bytes:
    """Return a ``KeyValue``."""
    return _field(1, name.encode()) + _field(2, _any(value))


def rejected_spans(answer: bytes) -> int:
    """Return how many spans a collector did not take, which it answers with 200.

    What cannot be read counts as none: the spans were taken, whatever else is said.
    """
    partial = _find(answer, 1)
    number = _find(partial, 1) if isinstance(partial, bytes) else None
    return number if isinstance(number, int) else 0


def _any(value: Value) -> bytes:
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    if isinstance(value, float):
        return struct.pack("<Bd", 0x21, value)
    return _field(1, value.encode("utf-8", "replace"))


def _field(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | _BYTES,)) + _sized(value)


def _sized(value: bytes) -> bytes:
    return _varint(len(value)) + value


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow.

    >>> _varint(300).hex()
    'ac02'
    """
    if number < 0x80:  # noqa: PLR2004
        return bytes((number,))
    parts = bytearray()
    while number > 0x7F:  # noqa: PLR2004
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _find(message: bytes, wanted: int) -> int | bytes | None:
    """Return the first field of this number; None where there is none, or where it is no message."""
    at = 0
    try:
        while at < len(message):
            tag, at = _read_varint(message, at)
            value: int | bytes
            kind = tag & 7
            if kind == _VARINT:
                value, at = _read_varint(message, at)
            elif kind == _BYTES:
                size, at = _read_varint(message, at)
                value, at = message[at : at + size], at + size
            elif kind in (_FIXED64, _FIXED32):
                size = 8 if kind == _FIXED64 else 4
                value, at = message[at : at + size], at + size
            else:
                return None
            if tag >> 3 == wanted:
                return value
    except IndexError:
        return None
    return None


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80 or shift > 63:  # noqa: PLR2004
            return number, at
