"""The client: checks, sends, counts, and tells what happened."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

import httpcore
import httpx
from msgspec import Struct

from monohull.kernel import clock
from monohull.kernel.observation import SILENT, Level, Observation
from monohull.kernel.outbound.body import read_body
from monohull.kernel.outbound.destinations import Destinations
from monohull.kernel.outbound.errors import OutboundFailed, OutboundRefused
from monohull.kernel.outbound.hop import Hop
from monohull.kernel.span import Kind, current_span
from monohull.kernel.tracing import OFF, trace_headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

    from monohull.kernel.observation import Observer
    from monohull.kernel.span import Span
    from monohull.kernel.tracing import Tracing

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

MAX_CONNECTIONS: Final = 100
IDLE_SECONDS: Final = 5.0
"""A connection that nobody used for so long is closed, and none before: httpcore compares all of them with
its limit of idle ones, so that while many are busy each request would have to make one anew."""
MAX_ADDRESSES: Final = 4
"""How many of a name's addresses are tried."""

MIN_CONNECT_SECONDS: Final = 0.001

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class OutboundAnswered(Observation, frozen=True):
    """A foreign host answered."""

    event: ClassVar[str] = "outbound.answered"
    level: ClassVar[Level] = "debug"

    method: str
    host: str
    status: int
    duration_seconds: float


class OutboundNotAnswered(Observation, frozen=True):
    """A request to a foreign host was refused by us, or failed."""

    event: ClassVar[str] = "outbound.not_answered"
    level: ClassVar[Level] = "warning"

    method: str
    host: str
    reason: str
    duration_seconds: float


class OutboundLimits(Struct, frozen=True, kw_only=True):
    """How long a request may take, and how much it may carry.

    Attributes:
        connect_seconds: To resolve the name and to connect.
        read_seconds: Between two pieces of the answer.
        total_seconds: For everything, redirects too.
        request_bytes: Of the body that is sent.
        response_bytes: Of the body that comes back, before and after decompression.
        redirects: How many are followed, each one checked as if it were given to us.
    """

    connect_seconds: float = 5.0
    read_seconds: float = 10.0
    total_seconds: float = 30.0
    request_bytes: int = 1_000_000
    response_bytes: int = 1_000_000
    redirects: int = 0


class Reply(Struct, frozen=True):
    """What came back.

    Attributes:
        status: 200 to 599; a redirect too, unless redirects are followed.
        headers: As sent; ``Content-Encoding`` is undone already.
        body: Decoded bytes.
        url: Where it came from after redirects.
    """

    status: int
    headers: httpx.Headers
    body: bytes
    url: str

    @property
    def redirects_to(self) -> str | None:
        """Where a redirect leads, relative or not; None for any other answer."""
        return self.headers.get("Location") if self.status in _REDIRECTS else None


class Outbound:
    """Makes requests to foreign URLs; one per process, with connections that are reused.

    Args:
        allowed: What may be reached beside the public internet.
        limits: Of a request that brings none of its own.
        resolver: ``(host, port)`` to addresses; the system's by default.
        ssl_context: Which certificates are trusted; the public authorities by default.
        observer: Told of every request.
        tracing: Records those of the requests and jobs that are.
    """

    def __init__(  # noqa: PLR0913 options by keyword
        self,
        allowed: Destinations | None = None,
        *,
        limits: OutboundLimits | None = None,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        observer: Observer = SILENT,
        tracing: Tracing = OFF,
    ) -> None:
        self._tracing = tracing
        self._allowed = allowed or Destinations()
        self._limits = limits or OutboundLimits()
        self._resolver = resolver or resolve
        self._ssl_context = ssl_context
        self._observer = observer
        self._pool: httpcore.AsyncConnectionPool | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Outbound]:
        """Be open for the block."""
        try:
            yield self
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the connections; a later request makes new ones."""
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None

    async def request(  # noqa: PLR0913 options by keyword
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        limits: OutboundLimits | None = None,
        is_told_trace: bool = False,
    ) -> Reply:
        """Send a request and return the whole answer, whatever its status.

        Args:
            method: In upper case.
            url: Absolute, http or https.
            headers: Of the caller; those that frame a message are ours alone.
            body: Sent as it is.
            limits: In place of the client's own.
            is_told_trace: Whether the host learns which trace it is a part of: where it is the operator's.

        Raises:
            OutboundRefused: We do not make this request.
            OutboundFailed: No answer in time, in size, or at all.
        """
        with self._span(method) as span:
            told = {**(headers or {}), **trace_headers()} if is_told_trace else headers
            reply = await self._request(method, url, told, body, limits or self._limits, span)
            if span is not None:
                span.attributes["http.response.status_code"] = reply.status
            return reply

    def _span(self, method: str) -> AbstractContextManager[Span | None]:
        """Record a request as a span of its own, unless the one it is made within stands for it."""
        inner = current_span.get()
        if inner is not None and inner.kind is Kind.CLIENT:
            return nullcontext(inner)
        return self._tracing.span(method[:20], Kind.CLIENT, **{"http.request.method": method[:20]})

    async def _request(  # noqa: PLR0913, PLR0917 those of `request`
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: bytes,
        limits: OutboundLimits,
        span: Span | None,
    ) -> Reply:
        started = clock.monotonic_seconds()
        host = ""
        try:
            host = self._allowed.check_url(url).host
            if span is not None:
                span.attributes["server.address"] = host
            hop = Hop(method, url, dict(headers or {}), body)
            hop.check(limits.request_bytes)
            reply = await self._in_time(hop, limits)
        except (OutboundRefused, OutboundFailed) as error:
            seconds = clock.monotonic_seconds() - started
            self._observer.observe(
                OutboundNotAnswered(
                    method=method[:20], host=host, reason=error.reason, duration_seconds=seconds
                )
            )
            raise
        seconds = clock.monotonic_seconds() - started
        self._observer.observe(
            OutboundAnswered(method=method, host=host, status=reply.status, duration_seconds=seconds)
        )
        return reply

    async def _in_time(self, hop: Hop, limits: OutboundLimits) -> Reply:
        try:
            async with asyncio.timeout(limits.total_seconds):
                return await self._follow(hop, limits)
        except TimeoutError:
            seconds = limits.total_seconds
            raise OutboundFailed("timeout", f"There was no complete answer within {seconds:g} s.") from None

    async def _follow(self, hop: Hop, limits: OutboundLimits) -> Reply:
        for _ in range(limits.redirects + 1):
            reply = await self._send(hop, limits)
            if not limits.redirects or (location := reply.redirects_to) is None:
                return reply
            hop = hop.redirected(reply.status, location)
            self._allowed.check_url(hop.url)
        raise OutboundRefused("redirects", f"The host redirected more than {limits.redirects} times.")

    async def _send(self, hop: Hop, limits: OutboundLimits) -> Reply:
        with _as_failures():
            response = await self._open_pool().handle_async_request(_encode(hop, limits))
            try:
                received = httpx.Headers(response.headers)
                # typed for both kinds of client; an asynchronous pool gives asynchronous streams
                stream: Any = response.stream
                body = await read_body(stream, received, limits.response_bytes)
            except OutboundFailed as failed:
                failed.status = response.status
                raise
            finally:
                await response.aclose()
        return Reply(response.status, received, body, hop.url)

    def _open_pool(self) -> httpcore.AsyncConnectionPool:
        if self._pool is None:
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=self._ssl_context or httpx.create_ssl_context(trust_env=False),
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=MAX_CONNECTIONS,
                keepalive_expiry=IDLE_SECONDS,
                network_backend=_PinnedBackend(self._allowed, self._resolver),
            )
        return self._pool


def _encode(hop: Hop, limits: OutboundLimits) -> httpcore.Request:
    """Put a hop into the library's terms; httpx writes ``Host`` and ``Content-Length``."""
    headers = httpx.Headers(hop.headers)
    headers.setdefault("User-Agent", "Monohull")
    headers["Accept-Encoding"] = "gzip, deflate"
    built = httpx.Request(hop.method, hop.url, headers=headers, content=hop.body)
    url = built.url
    times = {
        "connect": limits.connect_seconds,
        "read": limits.read_seconds,
        "write": limits.read_seconds,
        "pool": limits.connect_seconds,
    }
    return httpcore.Request(
        method=hop.method,
        url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=built.headers.raw,
        content=hop.body,
        extensions={"timeout": times},
    )


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system for every address of ``host``.

    Raises:
        OSError: There is none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@contextmanager
def _as_failures() -> Iterator[None]:
    """Turn what the HTTP library raises into our two exceptions."""
    try:
        yield
    except httpcore.ConnectError as error:
        raise OutboundFailed("connect", "The host does not take the connection.") from error
    except httpcore.TimeoutException as error:
        raise OutboundFailed("timeout", "The host did not answer in time.") from error
    # ssl's own: a refusal of TLS 1.3 comes with the first read, which the library does not wrap
    except (httpcore.ProtocolError, httpcore.NetworkError, ssl.SSLError) as error:
        raise OutboundFailed("protocol", "The host's answer is broken off or not HTTP.") from error


class _PinnedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked, never to names."""

    def __init__(self, allowed: Destinations, resolver: Resolver) -> None:
        self._allowed = allowed
        self._resolver = resolver
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        deadline = clock.monotonic_seconds() + (timeout or OutboundLimits().connect_seconds)
        addresses = self._allowed.check_addresses(host, await self._resolve(host, port, deadline))
        failure: Exception = httpcore.ConnectError("the host has no address")
        for number, address in enumerate(addresses[:MAX_ADDRESSES]):
            left = deadline - clock.monotonic_seconds()
            share = left / (min(len(addresses), MAX_ADDRESSES) - number)
            try:
                return await self._backend.connect_tcp(
                    address, port, max(share, MIN_CONNECT_SECONDS), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)

    async def _resolve(self, host: str, port: int, deadline: float) -> Sequence[str]:
        try:
            async with asyncio.timeout(max(0.0, deadline - clock.monotonic_seconds())):
                return await self._resolver(host, port)
        except TimeoutError:
            raise OutboundFailed("resolve", "The host's name was not resolved in time.") from None
        except (OSError, UnicodeError):
            raise OutboundFailed("resolve", "The host's name cannot be resolved.") from None
