"""Messages of PostgreSQL's protocol, to bytes and back. No I/O.

A message is one byte of kind, four bytes of length (counting themselves), and
the payload. Only what a pipelined data request needs is here.

Source: PostgreSQL documentation, section 54.7, "Message Formats".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from monohull.kernel.errors import InvalidRequest

Row: TypeAlias = tuple[bytes | None, ...]
Receive: TypeAlias = Callable[[int, bytes, int, int], None]
"""Takes a message: its kind, and the data in which its payload goes from start to stop."""

Sink: TypeAlias = Callable[[bytes], None]
"""Takes the payload of a large message, piece by piece; pieces may be empty."""

Offer: TypeAlias = Callable[[int, int], Sink | None]
"""Is asked, by its kind and the size of its payload, who takes a large message; nobody: it is gathered."""

DATA_ROW: Final = ord("D")

LARGE_BYTES: Final = 1024 * 1024
"""Above this a message is offered before it is gathered: a row costs three times its size in memory."""

MAX_PARAMETERS: Final = 65535

_HEADER: Final = struct.Struct("!Bi")
_INT: Final = struct.Struct("!i")
_SHORT: Final = struct.Struct("!H")
_NULL: Final = _INT.pack(-1)
_SIZES: Final = tuple(_INT.pack(size) for size in range(1024))
"""What goes before short values."""
_COLUMN_TAIL_BYTES: Final = 18
"""Table, attribute, type, size, modifier and format follow each column's name."""

SYNC: Final = b"S\0\0\0\x04"
TERMINATE: Final = b"X\0\0\0\x04"
ROLLBACK: Final = b"Q\0\0\0\x0dROLLBACK\0"
_TEXT_RESULT_THEN_EXECUTE: Final = b"\0\0E\0\0\0\x09\0\0\0\0\0"
_EXECUTE_THEN_BIND: Final = _TEXT_RESULT_THEN_EXECUTE + b"B"
_EXECUTE_THEN_SYNC: Final = _TEXT_RESULT_THEN_EXECUTE + SYNC


class ProtocolViolation(Exception):
    """The server sent something that this client cannot make sense of; the connection is no longer usable."""


class PostgresError(Exception):
    """The server refused. Not a `Problem`: what a SQLSTATE means to a client is its wire's business.

    Attributes:
        sqlstate: Five characters.
        severity: ``ERROR``, ``FATAL`` or ``PANIC``, never translated.
        position: 1-based character in the statement's text, or None.
        where: The call stack inside the server, or None.
        routine: The server's C function that raised it.
        statement: Which of the statements that were sent together it refused, from 0 on; None for what goes
            before and after them.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.sqlstate: str = fields.get("C", "XX000")
        self.message: str = fields.get("M", "")
        super().__init__(f"{self.sqlstate}: {self.message}")
        self.severity: str = fields.get("V") or fields.get("S", "ERROR")
        self.detail: str | None = fields.get("D")
        self.hint: str | None = fields.get("H")
        self.schema: str | None = fields.get("s")
        self.table: str | None = fields.get("t")
        self.column: str | None = fields.get("c")
        self.constraint: str | None = fields.get("n")
        self.where: str | None = fields.get("W")
        self.routine: str | None = fields.get("R")
        self.statement: int | None = None
        position = fields.get("P", "")
        self.position: int | None = int(position) if position.isdecimal() else None

    @property
    def is_fatal(self) -> bool:
        """Whether the server ends the connection after this."""
        return self.severity in ("FATAL", "PANIC")

    @property
    def is_outage(self) -> bool:
        """Whether it says that the server is away or full, and nothing about the request."""
        return self.sqlstate[:2] in ("08", "53", "57") and self.sqlstate != "57014"

    @property
    def is_stale_statement(self) -> bool:
        """Whether a prepared statement has to be parsed again.

        ``0A000`` means any unsupported feature, and its message is translated; the routine's name is not.
        """
        return self.sqlstate == "26000" or (
            self.sqlstate == "0A000" and self.routine == "RevalidateCachedQuery"
        )


class FrameReader:
    """Cuts a stream of bytes into messages, however the network cut it into pieces.

    A message that spans pieces is joined once, when its last byte is there, so
    that one row of many megabytes costs two copies and not thousands. Somebody
    may take it in pieces instead.
    """

    __slots__ = ("_have", "_left", "_need", "_offer", "_pending", "_receive", "_sink")

    def __init__(self, receive: Receive, offer: Offer | None = None) -> None:
        self._receive = receive
        self._offer = offer
        self._sink: Sink | None = None
        self._left = 0
        self._pending: list[bytes] = []
        self._have = 0
        self._need = 0

    @property
    def is_between(self) -> bool:
        """Whether the next byte begins a message."""
        return not (self._pending or self._left)

    def feed(self, data: bytes) -> None:
        """Call ``receive`` for each message that ``data`` completes.

        Raises:
            ProtocolViolation: A length is impossible.
        """
        if self._left:
            data = self._pass_on(data)
        elif self._pending:
            self._pending.append(data)
            self._have += len(data)
            if self._have < self._need:
                return
            data = b"".join(self._pending)
            self._pending.clear()
        start, end, need = 0, len(data), _HEADER.size
        read, receive = _HEADER.unpack_from, self._receive
        while end - start >= _HEADER.size:
            kind, length = read(data, start)
            if length < _INT.size:
                raise ProtocolViolation(f"a message of kind {chr(kind)!r} claims {length} bytes")
            stop = start + 1 + length
            if stop > end:
                need = stop - start
                if length > LARGE_BYTES and self._is_taken(kind, data, start + _HEADER.size, stop):
                    return
                break
            receive(kind, data, start + _HEADER.size, stop)
            start = stop
        if start < end:
            self._pending.append(data[start:] if start else data)
            self._have, self._need = end - start, need

    def _is_taken(self, kind: int, data: bytes, start: int, stop: int) -> bool:
        """Offer a message of which only the beginning is there; say whether somebody takes it."""
        if self._offer is None or (sink := self._offer(kind, stop - start)) is None:
            return False
        self._sink, self._left = sink, stop - len(data)
        sink(data[start:])
        return True

    def _pass_on(self, data: bytes) -> bytes:
        """Give whoever took the message what belongs to it; return what follows it."""
        piece = data[: self._left]
        self._left -= len(piece)
        sink = self._sink
        assert sink is not None
        if not self._left:
            self._sink = None
        sink(piece)
        return data[len(piece) :]


def encode_message(kind: bytes, payload: bytes) -> bytes:
    """Frame one message."""
    return kind + _INT.pack(len(payload) + _INT.size) + payload


def encode_parse(name: bytes, sql: str, *, describe: bool) -> bytes:
    """Parse, its parameter types left to the server; with Describe when the columns are wanted."""
    parse = encode_message(b"P", name + b"\0" + encode_text(sql) + b"\0\0\0")
    return parse + encode_message(b"D", b"S" + name + b"\0") if describe else parse


def encode_close(name: bytes) -> bytes:
    """Close a prepared statement; one that does not exist is no error."""
    return encode_message(b"C", b"S" + name + b"\0")


def encode_bind(parts: list[bytes], name: bytes, args: Sequence[str | bytes | None]) -> int:
    """Append Bind and Execute of the statement ``name`` to ``parts``; return the bytes added.

    Large values are appended as they are, not copied.

    Raises:
        InvalidRequest: A value is no Unicode text, or there are too many of them.
    """
    count = len(args)
    if count > MAX_PARAMETERS:
        raise InvalidRequest(f"The request needs {count} parameters; a statement takes {MAX_PARAMETERS}.")
    head = b"\0" + name + b"\0\0\0" + _SHORT.pack(count)
    size = len(head) + 4 * count + 6
    at = len(parts)
    parts.append(head)
    pack, add = _INT.pack, parts.append
    for arg in args:
        if arg is None:
            add(_NULL)
            continue
        value = encode_text(arg) if isinstance(arg, str) else arg
        length = len(value)
        size += length
        add(pack(length))
        add(value)
    parts[at] = b"B" + pack(size) + head
    add(_TEXT_RESULT_THEN_EXECUTE)
    return size + 11


def bind_head(name: bytes, count: int) -> bytes:
    """Return what stands between the length of a Bind and its values: names and how many there are."""
    return b"\0" + name + b"\0\0\0" + _SHORT.pack(count)


def encode_applied(applied: bytes, settings: bytes) -> bytes:
    """Return the beginning of what `encode_known` returns.

    Args:
        applied: `bind_head` of the settings.
        settings: Their values, as `encode_value` encoded them.
    """
    size = len(applied) + len(settings) + 6
    return b"B%b%b%b%b" % (size.to_bytes(4, "big"), applied, settings, _EXECUTE_THEN_BIND)


def encode_known(
    begin: bytes, asked: bytes, args: Sequence[str | bytes | None], most_bytes: int
) -> bytes | None:
    """Return a whole request of settings and one statement that the server both knows, with its Sync.

    Args:
        begin: What `encode_applied` made of the settings.
        asked: `bind_head` of the statement.
        args: Its values.
        most_bytes: None where it has about so many, or more.

    Raises:
        InvalidRequest: A value is no Unicode text.
    """
    if len(args) == 1 and isinstance(value := args[0], bytes):  # as most are
        length = len(value)
        size = len(asked) + length + 10
        if len(begin) + size > most_bytes:
            return None
        sizes = size.to_bytes(4, "big"), length.to_bytes(4, "big")
        return b"%b%b%b%b%b%b" % (begin, sizes[0], asked, sizes[1], value, _EXECUTE_THEN_SYNC)
    try:
        values = b"".join([part for arg in args for part in (_SIZES[len(arg)], arg)])  # type: ignore[arg-type, misc]
    except (TypeError, IndexError):
        values = _encode_any(args)
    size = len(asked) + len(values) + 6
    if len(begin) + size > most_bytes:
        return None
    return b"%b%b%b%b%b" % (begin, size.to_bytes(4, "big"), asked, values, _EXECUTE_THEN_SYNC)


def _encode_any(args: Sequence[str | bytes | None]) -> bytes:
    parts: list[bytes] = []
    for arg in args:
        if arg is None:
            parts.append(_NULL)
            continue
        value = encode_text(arg) if isinstance(arg, str) else arg
        parts += (len(value).to_bytes(4, "big"), value)
    return b"".join(parts)


def encode_bound(parts: list[bytes], name: bytes, count: int, values: bytes) -> int:
    """Do what `encode_bind` does with values that `encode_value` encoded before."""
    size = len(values) + len(name) + 12
    parts.append(b"B" + _INT.pack(size) + b"\0" + name + b"\0\0\0" + _SHORT.pack(count))
    parts.append(values)
    parts.append(_TEXT_RESULT_THEN_EXECUTE)
    return size + 11


def encode_value(value: str | bytes) -> bytes:
    """Return one value as Bind has it.

    Raises:
        InvalidRequest: It is no Unicode text.
    """
    raw = encode_text(value) if isinstance(value, str) else value
    return _INT.pack(len(raw)) + raw


def encode_text(text: str) -> bytes:
    """UTF-8; the connection's encoding.

    Raises:
        InvalidRequest: The text holds half of a surrogate pair.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            "The request holds text that is not valid Unicode.", details=str(error)
        ) from None


def read_row(data: bytes, start: int) -> Row:
    """Read a DataRow's payload."""
    count = _SHORT.unpack_from(data, start)[0]
    start += 2
    read = _INT.unpack_from
    row: list[bytes | None] = []
    for _ in range(count):
        length = read(data, start)[0]
        start += 4
        if length < 0:
            row.append(None)
        else:
            stop = start + length
            row.append(data[start:stop])
            start = stop
    return tuple(row)


def read_row_head(data: bytes) -> tuple[Row, int] | None:
    """Read a DataRow's payload up to its last value; return that much of it, and where the value begins.

    None where ``data`` ends before that.
    """
    if len(data) < _SHORT.size:
        return None
    row: list[bytes | None] = []
    at = _SHORT.size
    for _ in range(_SHORT.unpack_from(data)[0] - 1):
        start = at + _INT.size
        if start > len(data):
            return None
        length = _INT.unpack_from(data, at)[0]
        at = start + max(length, 0)
        if at > len(data):
            return None
        row.append(None if length < 0 else data[start:at])
    at += _INT.size
    return (tuple(row), at) if at <= len(data) else None


def read_single_row(data: bytes, at: int = 0) -> tuple[Row | None, int, str] | None:
    """Return the row of the usual answer that begins at ``at``, where that ends, and its tag; else None.

    The usual answer is: settings applied, one row or none, ready. Almost every data request has it. To
    compare the bytes around the row with what they have to be is much cheaper than to take seven messages
    apart.
    """
    if not data.startswith(_SINGLE_ROW_BEGINS, at):
        return (None, at + len(_NO_ROW), "SELECT 0") if data.startswith(_NO_ROW, at) else None
    start = at + len(_SINGLE_ROW_BEGINS)
    stop = start + int.from_bytes(data[start : start + 4], "big")
    if data.startswith(_SINGLE_ROW_ENDS, stop):
        return read_answer_row(data, start + 4, stop), stop + len(_SINGLE_ROW_ENDS), "SELECT 1"
    if data.startswith(_INSERTED_ROW_ENDS, stop):
        return read_answer_row(data, start + 4, stop), stop + len(_INSERTED_ROW_ENDS), "INSERT 0 1"
    return None


def read_answer_row(data: bytes, start: int, stop: int) -> Row:
    """Do what `read_row` does, at once where all values but a large last one were met before.

    Most rows of data requests have no total, a number of rows, values that are empty or null, the document.
    """
    # to the length of the last: their number, one length less than that, and the digits of the second value
    at = start + 4 * data[start + 1] - 2 + data[start + _AT_DIGITS]
    head = data[start:at]
    first = _heads.get(head)
    if first is not None:
        document = data[at + 4 : stop]
        if len(document) == int.from_bytes(data[at : at + 4], "big"):
            return (*first, document)
    row = read_row(data, start)
    if len(_heads) < MAX_HEADS and _is_usual(row):
        _heads[head] = row[:-1]
    return row


def _is_usual(row: Row) -> bool:
    """Say whether a row's first values end where `read_answer_row` looks for the last."""
    if not _LEAST_COLUMNS <= len(row) <= _MOST_COLUMNS:
        return False
    total, rows, *others, document = row
    is_number = rows is not None and rows.isdigit() and len(rows) < _MAX_DIGITS
    return total is None and is_number and not any(others) and document is not None


MAX_HEADS: Final = 4096
_LEAST_COLUMNS: Final = 3
_MOST_COLUMNS: Final = 10
_MAX_DIGITS: Final = 20
_AT_DIGITS: Final = 9
"""Where the last byte of the second value's length is, if the first is null."""
_heads: Final[dict[bytes, Row]] = {}


_BOUND: Final = b"2\0\0\0\x04"
_APPLIED: Final = _BOUND + b"C\0\0\0\x0dSELECT 0\0"
_NO_ROW: Final = _APPLIED + _APPLIED + b"Z\0\0\0\x05I"
_SINGLE_ROW_BEGINS: Final = _APPLIED + _BOUND + b"D"
_SINGLE_ROW_ENDS: Final = b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I"
_INSERTED_ROW_ENDS: Final = b"C\0\0\0\x0fINSERT 0 1\0Z\0\0\0\x05I"


def read_columns(data: bytes, start: int) -> tuple[str, ...]:
    """Read the names in a RowDescription's payload."""
    count = _SHORT.unpack_from(data, start)[0]
    start += 2
    names = []
    for _ in range(count):
        stop = data.index(b"\0", start)
        names.append(data[start:stop].decode())
        start = stop + 1 + _COLUMN_TAIL_BYTES
    return tuple(names)


def read_fields(data: bytes, start: int) -> dict[str, str]:
    """Read the fields of an ErrorResponse or NoticeResponse, by their one-letter codes.

    Bytes that are not UTF-8 are replaced: a server without a database encoding writes what it likes.
    """
    fields: dict[str, str] = {}
    while data[start]:
        stop = data.index(b"\0", start + 1)
        fields[chr(data[start])] = data[start + 1 : stop].decode(errors="replace")
        start = stop + 1
    return fields


def read_parameter(data: bytes, start: int) -> tuple[str, str]:
    """Read a ParameterStatus: name and value."""
    middle = data.index(b"\0", start)
    stop = data.index(b"\0", middle + 1)
    return data[start:middle].decode(errors="replace"), data[middle + 1 : stop].decode(errors="replace")
