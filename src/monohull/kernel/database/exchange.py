"""One request on the wire, what came of it, and how it fails beside the server's refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator, Sequence

    from monohull.kernel.database.frames import PostgresError, Row
    from monohull.kernel.database.statements import Key, Prepared, Rows
    from monohull.kernel.database.stream import ValueStream

WRITE_AT_ONCE_BYTES: Final = 256 * 1024
"""Above this a request is written in pieces, each waiting until the socket takes more."""


class ConnectionLost(Exception):
    """The connection ended. Whether a write took effect is unknown unless ``nothing_sent``."""

    def __init__(self, reason: str, *, nothing_sent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.nothing_sent = nothing_sent


class ResultTooLarge(Exception):
    """The answer passed the ceiling of the connection, in bytes."""

    def __init__(self, ceiling_bytes: int) -> None:
        super().__init__(f"the result has more than {ceiling_bytes} bytes")
        self.ceiling_bytes = ceiling_bytes


class Exchange:
    """One request on the wire: what was asked, and what has come back so far.

    Attributes:
        first: The caller's first statement among the steps.
        asked: How many are the caller's.
        is_usual: It is settings and one statement that the server knows.
        streams: Whether the row of the caller's last one may be handed out while it still comes.
        body: What it is handed out as, once it is known to be large.
    """

    __slots__ = (
        "asked",
        "began_at",
        "body",
        "bytes",
        "error",
        "first",
        "fresh",
        "is_cleaning",
        "is_usual",
        "key",
        "parts",
        "results",
        "rows",
        "size",
        "steps",
        "streams",
        "waiter",
    )

    def __init__(self, waiter: asyncio.Future[list[Rows]], asked: int, streams: bool) -> None:
        self.waiter = waiter
        self.asked = asked
        self.streams = streams
        self.parts: list[bytes] = []
        self.size = 0
        self.steps: list[Prepared] = []
        self.fresh: dict[Key, Prepared] = {}
        self.results: list[Rows] = []
        self.rows: list[Row] = []
        self.bytes = 0
        self.error: PostgresError | None = None
        self.is_cleaning = False
        self.is_usual = False
        self.first = 0
        self.began_at = 0.0
        self.key = ""
        self.body: ValueStream | None = None

    @property
    def expects_single_row(self) -> bool:
        """Whether the usual answer may come, and nothing of it came yet."""
        return self.is_usual and not (self.results or self.rows)

    @property
    def expects_body(self) -> bool:
        """Whether what comes next is the row of the caller's last statement, and may be handed out."""
        return self.streams and len(self.results) == self.first + self.asked - 1


def pieces(parts: Sequence[bytes]) -> Iterator[bytes | memoryview]:
    """Small parts together, large ones in slices that are not copied."""
    gathered: list[bytes] = []
    size = 0
    for part in parts:
        if len(part) > WRITE_AT_ONCE_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
            view = memoryview(part)
            for start in range(0, len(part), WRITE_AT_ONCE_BYTES):
                yield view[start : start + WRITE_AT_ONCE_BYTES]
            continue
        gathered.append(part)
        size += len(part)
        if size > WRITE_AT_ONCE_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join(gathered)


def last_word(exchange: Exchange, reason: str) -> Exception:
    """What a request fails with when its connection ends: its own error if it had one."""
    error = exchange.error
    return ConnectionLost(reason) if error is None or error.is_outage else error
