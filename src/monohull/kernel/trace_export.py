"""`Exporter`: spans wait in memory and go to the collector in batches, beside all other work.

Nobody who records a span waits for the collector or hears of its trouble. What
there is no room for is dropped and counted; a collector that is away is tried
again and again with longer and longer pauses, and the log says so once.

Source: OpenTelemetry protocol (OTLP) 1.x, section "OTLP/HTTP".
"""

from __future__ import annotations

import asyncio
import gzip
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, ClassVar, Final

import httpx

from monohull import __version__
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.observation import Level, Observation
from monohull.kernel.otlp import encode_request, encode_span, rejected_spans
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from monohull.kernel.observation import Observer
    from monohull.kernel.span import Span, Value

BATCH: Final = 512
"""Spans that one request carries."""
GATHER_SECONDS: Final = 1.0
"""How long the first span waits for others."""
TURN: Final = 32
"""Spans that are encoded in one turn of the event loop: less than half a millisecond."""
TIMEOUT_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
CLOSE_SECONDS: Final = 3.0
"""How long the end of the process waits for what is left."""

_LATER: Final = frozenset({429, 502, 503, 504})
"""Answers that ask to be tried again, as the protocol has them."""


class TracesNotTaken(Observation, frozen=True, kw_only=True):
    """The collector does not take spans; those that there is no room for are dropped until it does."""

    event: ClassVar[str] = "traces.not_taken"
    level: ClassVar[Level] = "warning"

    reason: str


class TracesTaken(Observation, frozen=True, kw_only=True):
    """The collector takes spans again."""

    event: ClassVar[str] = "traces.taken"

    seconds: float
    dropped: int


class Exporter:
    """Sends spans from this process.

    Args:
        endpoint: The collector's address; ``/v1/traces`` is added unless it ends with that.
        headers: Sent along, such as the credentials of whoever keeps the traces.
        resource: What the process is.
        room: Spans that may wait.
        observer: Told when the collector does not take them, and when it does again.

    Attributes:
        exported: Spans that the collector took.
        dropped: Those that it will never see, by reason: ``queue_full`` there was no room, ``refused`` it
            does not want them, ``stopped`` the process ended before it was back.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        headers: Mapping[str, str],
        resource: Mapping[str, Value],
        room: int,
        observer: Observer,
    ) -> None:
        address = endpoint.rstrip("/")
        self._url = address if address.endswith("/v1/traces") else f"{address}/v1/traces"
        self._headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "gzip",
            "User-Agent": f"Monohull/{__version__}",
            **headers,
        }
        self._resource = resource
        self._room = room
        self._observer = observer
        self._waiting: deque[Span] = deque()
        self._sending: list[Span] = []
        self._wake = asyncio.Event()
        self._flush = asyncio.Event()
        self._rest = asyncio.Event()
        self._rest.set()
        self._lost_at: float | None = None
        self._client: httpx.AsyncClient | None = None
        self.exported = 0
        self.dropped = {"queue_full": 0, "refused": 0, "stopped": 0}

    def __len__(self) -> int:
        """How many spans wait, those on their way included."""
        return len(self._waiting) + len(self._sending)

    def add(self, span: Span) -> None:
        """Have a span sent, unless too many wait already."""
        if len(self._waiting) >= self._room:
            self.dropped["queue_full"] += 1
            return
        self._waiting.append(span)
        self._rest.clear()
        if len(self._waiting) == 1:
            self._wake.set()
        elif len(self._waiting) == BATCH:
            self._flush.set()

    async def flush(self) -> None:
        """Send at once what waits; return when that has happened, or the first of it was not taken."""
        self._flush.set()
        await self._rest.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send for as long as the block runs, and for a moment after it what is left."""
        timeout = httpx.Timeout(TIMEOUT_SECONDS)
        async with httpx.AsyncClient(timeout=timeout, trust_env=False, follow_redirects=False) as client:
            self._client = client
            try:
                async with beside(self._send_for_ever(), name="traces"):
                    try:
                        yield
                    finally:
                        with suppress(TimeoutError):
                            async with asyncio.timeout(CLOSE_SECONDS):
                                await self.flush()
            finally:
                self._client = None
                self.dropped["stopped"] += len(self)
                self._waiting.clear()
                self._sending.clear()

    async def _send_for_ever(self) -> None:
        pause = PAUSE_SECONDS
        while True:
            await self._gather()
            while self._sending or self._waiting:
                while self._waiting and len(self._sending) < BATCH:
                    self._sending.append(self._waiting.popleft())
                reason = await self._send()
                if reason is None:
                    pause = PAUSE_SECONDS
                    continue
                self._note_lost(reason)
                self._rest.set()  # whoever waits for it to be sent has waited long enough
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            self._rest.set()

    async def _gather(self) -> None:
        """Wait until there are spans, and for a moment for more."""
        if not self._waiting:
            self._wake.clear()
            self._flush.clear()
            await self._wake.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(GATHER_SECONDS):
                await self._flush.wait()
        self._flush.clear()

    async def _send(self) -> str | None:
        """Send a batch; return None when it is done with, or why it is to be tried again."""
        spans: list[bytes] = []
        for number, span in enumerate(self._sending, 1):
            spans.append(encode_span(span))
            if number % TURN == 0:
                await asyncio.sleep(0)
        body = encode_request(spans, self._resource, scope="monohull", version=__version__)
        body = await asyncio.to_thread(gzip.compress, body, 1)
        assert self._client is not None
        try:
            answer = await self._client.post(self._url, content=body, headers=self._headers)
        except (httpx.HTTPError, OSError) as error:
            return str(error) or type(error).__name__
        if answer.status_code in _LATER:
            return f"it answered {answer.status_code}"
        count = len(self._sending)
        self._sending.clear()
        if answer.is_success:
            refused = min(rejected_spans(answer.content), count)
            self.exported += count - refused
            self.dropped["refused"] += refused
            self._note_back()
        else:
            self.dropped["refused"] += count
            self._note_lost(f"it answered {answer.status_code}, and gets none of these again")
        return None

    def _note_lost(self, reason: str) -> None:
        if self._lost_at is None:
            self._lost_at = monotonic_seconds()
            self._observer.observe(TracesNotTaken(reason=reason))

    def _note_back(self) -> None:
        if self._lost_at is not None:
            seconds = round(monotonic_seconds() - self._lost_at, 3)
            self._lost_at = None
            self._observer.observe(TracesTaken(seconds=seconds, dropped=sum(self.dropped.values())))
