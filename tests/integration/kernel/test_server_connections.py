"""Connections over real sockets: bodies, answers, order, and how they end."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.errors import Problem
from monohull.kernel.server import connection as module
from monohull.kernel.server.connection import AHEAD_BYTES, Connection, Connections
from monohull.kernel.server.heads import MAX_HEAD_BYTES
from monohull.kernel.server.turn import HOLD_BYTES
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from monohull.kernel.asgi import ASGIApp, Direct, Message, Receive, Scope, Send, Work

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
MUCH = 8 * 1024 * 1024


class Client:
    """What one client wrote and reads."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        self.writer.write(request)
        return await self.answer(is_head=request.startswith(b"HEAD"))

    async def answer(self, *, is_head: bool = False) -> tuple[int, dict[str, str], bytes]:
        """Read one answer, which has to end where it says."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")[:-2]
            headers = dict(line.split(": ", 1) for line in lines)
            status = int(first.split()[1])
            if is_head or status in {100, 204, 304}:
                return status, headers, b""
            if headers.get("transfer-encoding") == "chunked":
                return status, headers, await self._chunks()
            if "content-length" in headers:
                return status, headers, await self.reader.readexactly(int(headers["content-length"]))
            body: bytes = await self.reader.read()
            return status, headers, body

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
        assert await self.reader.readexactly(2) == b"\r\n"
        return body

    async def is_closed(self) -> bool:
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True


class Served:
    """A server of one application."""

    def __init__(self, connections: Connections, port: int) -> None:
        self.connections = connections
        self.port = port
        self.clients: list[Client] = []

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client


@asynccontextmanager
async def serving(app: ASGIApp, *, most: int = 100) -> AsyncIterator[Served]:
    connections = Connections(app, most=most)
    server = await asyncio.get_running_loop().create_server(connections.connect, "127.0.0.1", 0)
    served = Served(connections, server.sockets[0].getsockname()[1])
    try:
        yield served
    finally:
        server.close()
        for client in served.clients:
            client.writer.close()
        connections.stop()
        await connections.closed(2)
        assert not connections.open


async def the_only(served: Served) -> Connection:
    """Return the server's end of the one connection, once it has accepted it."""
    await eventually(lambda: served.connections.open)
    [one] = served.connections.open
    return one


async def body_of(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        body += message["body"]
        if not message["more_body"]:
            return body


async def answer(send: Send, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await body_of(receive)
    said = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} ".encode()
    await answer(send, said + body, (b"content-type", b"text/plain"))


async def test_requests_one_after_the_other() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await echo(scope, receive, send)

    async with serving(app) as served:
        client = await served.connect()
        status, headers, body = await client.ask(GET)
        assert (status, body, headers["content-length"]) == (200, b"GET /  ", "7")
        assert headers["content-type"] == "text/plain"
        assert headers["date"].endswith(" GMT")
        sent = b"POST /a%20b?c HTTP/1.1\r\nHOST: a\r\nContent-Length: 3\r\nX: 1\r\n\r\nabc"
        assert (await client.ask(sent))[2] == b"POST /a b c abc"
        mine = client.writer.get_extra_info("sockname")
        assert scopes[1]["client"] == (mine[0], mine[1])
        assert scopes[1]["server"] == ("127.0.0.1", served.port)
        assert scopes[1]["headers"] == [(b"host", b"a"), (b"content-length", b"3"), (b"x", b"1")]
        assert scopes[1]["http_version"] == "1.1"


async def test_the_host_of_a_whole_url_counts_in_place_of_the_header() -> None:
    """As RFC 9112 (3.2.2) has it: whatever stood between has looked at the URL."""

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        await answer(send, dict(scope["headers"])[b"host"])

    async with serving(app) as served:
        client = await served.connect()
        for _ in range(2):
            assert (await client.ask(GET.replace(b"/ ", b"http://b:1/c ", 1)))[2] == b"b:1"
            assert (await client.ask(GET))[2] == b"a"


async def test_byte_by_byte() -> None:
    async with serving(echo) as served:
        client = await served.connect()
        request = b"\r\nPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        request += b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        for byte in request:
            client.writer.write(bytes([byte]))
            await client.writer.drain()
            await asyncio.sleep(0)
        assert (await client.answer())[2] == b"POST /  abcde"
        assert (await client.ask(GET))[0] == 200


async def test_pipelined_requests_are_answered_in_order() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.02 if scope["path"] == "/0" else 0)
        await echo(scope, receive, send)

    async with serving(app) as served:
        client = await served.connect()
        requests = [
            b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n%d" % (n % 10, n % 10)
            for n in range(200)
        ]
        client.writer.write(b"".join(requests))
        for n in range(200):
            assert (await client.answer())[2] == b"POST /%d  %d" % (n % 10, n % 10)


async def test_much_ahead_waits_at_the_client() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await echo(scope, receive, send)

    async with serving(app) as served:
        client = await served.connect()
        client.writer.write(GET * (MUCH // len(GET)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.writer.drain()
        one = await the_only(served)
        assert len(one._ahead) < AHEAD_BYTES + 512 * 1024
        gate.set()
        for _ in range(500):
            assert (await client.answer())[0] == 200


async def test_a_large_body_waits_at_the_client() -> None:
    gate = asyncio.Event()

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        body = await body_of(receive)
        await answer(send, b"%d" % len(body))

    async with serving(app) as served:
        client = await served.connect()
        client.writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % MUCH + b"x" * MUCH)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.writer.drain()
        one = await the_only(served)
        await eventually(lambda: one.turn)
        assert one.turn is not None
        assert len(one.turn.pending) < HOLD_BYTES + 512 * 1024
        gate.set()
        assert (await client.answer())[2] == b"%d" % MUCH


async def test_streams_at_the_pace_of_the_client() -> None:
    sent = 0

    async def app(_: Scope, __: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _piece in range(MUCH // 65536):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            sent += 65536
        await send({"type": "http.response.body"})

    async with serving(app) as served:
        client = await served.connect()
        client.writer.write(GET)
        await asyncio.sleep(0.3)
        assert sent < MUCH
        status, headers, body = await client.answer()
        assert (status, headers["transfer-encoding"], len(body)) == (200, "chunked", MUCH)
        client = await served.connect()
        status, headers, body = await client.ask(b"GET / HTTP/1.0\r\n\r\n")
        assert (headers["connection"], len(body)) == ("close", MUCH)
        assert "transfer-encoding" not in headers


async def test_whoever_leaves_is_noticed() -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await body_of(receive)
        seen.put_nowait("begun")
        if scope["path"] == "/wait":
            seen.put_nowait((await receive())["type"])
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        except Problem as problem:
            seen.put_nowait(problem.code)
            raise

    async with serving(_silent(app)) as served:
        for path, expected in ((b"/wait", ["http.disconnect", "client_gone"]), (b"/", ["client_gone"])):
            client = await served.connect()
            client.writer.write(GET.replace(b"/ ", path + b" ", 1))
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await seen.get() == "begun"
                await asyncio.sleep(0.1)
                client.writer.transport.abort()
                assert [await seen.get() for _ in expected] == expected


def _silent(app: ASGIApp) -> ASGIApp:
    """Do without the edge, which answers what is raised."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except (Problem, RuntimeError, ValueError):
            return

    return wrapped


async def test_who_listens_after_the_answer_hears_that_it_is_over() -> None:
    """ASGI's word for it is that of a client that has gone; else a task would wait for ever, unseen."""
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def listen(receive: Receive) -> None:
        seen.put_nowait((await receive())["type"])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await body_of(receive)
        before = asyncio.create_task(listen(receive))
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/pieces":
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})
        await listen(receive)
        await before

    async with serving(app) as served:
        client = await served.connect()
        for path in (b"/whole", b"/pieces"):
            assert (await client.ask(GET.replace(b"/ ", path + b" ", 1)))[0] == 200
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert [await seen.get(), await seen.get()] == ["http.disconnect"] * 2


async def test_expected_continue() -> None:
    async with serving(echo) as served:
        client = await served.connect()
        head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        assert (await client.ask(head))[0] == 100
        assert (await client.ask(b"ab"))[2] == b"POST /  ab"


async def test_a_body_that_nobody_reads() -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await answer(send, b"too much", status=413)

    async with serving(app) as served:
        client = await served.connect()
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % MUCH
        client.writer.write(head + b"x" * 100_000)
        status, headers, body = await client.answer()
        assert (status, headers["connection"], body) == (413, "close", b"too much")
        assert await client.is_closed()


@pytest.mark.parametrize(
    ("request_head", "keeps"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", True),
    ],
)
async def test_which_connections_go_on(request_head: bytes, *, keeps: bool) -> None:
    async with serving(echo) as served:
        client = await served.connect()
        status, headers, _ = await client.ask(request_head)
        assert status == 200
        if keeps:
            assert (await client.ask(GET))[0] == 200
        else:
            assert headers["connection"] == "close"
            assert await client.is_closed()


async def test_answers_without_a_body() -> None:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        length = [(b"content-length", b"5")] if scope["path"] == "/5" else []
        await answer(send, b"hello", *length, status=int(scope["query_string"] or b"200"))

    async with serving(app) as served:
        client = await served.connect()
        status, headers, _ = await client.ask(b"HEAD /5 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (status, headers["content-length"]) == (200, "5")
        status, headers, _ = await client.ask(b"GET /?204 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert status == 204
        assert "content-length" not in headers
        status, headers, _ = await client.ask(b"GET /5?204 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert status == 204
        assert "content-length" not in headers
        assert (await client.ask(b"GET /?304 HTTP/1.1\r\nHost: a\r\n\r\n"))[0] == 304
        assert (await client.ask(b"GET /5?299 HTTP/1.1\r\nHost: a\r\n\r\n"))[::2] == (299, b"hello")


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.response.body", "body": b""}],
        [{"type": "http.response.start", "status": 200}, {"type": "http.response.start", "status": 200}],
        [{"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\nb: c")]}],
        [{"type": "http.response.start", "status": 200, "headers": [(b"x\n", b"a")]}],
        [{"type": "http.response.start", "status": 200, "headers": [(b"x", b"\0")]}],
        [{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]}],
    ],
    ids=["body first", "two starts", "split", "name", "zero", "length"],
)
async def test_an_answer_that_is_none_breaks_the_connection(messages: list[Message]) -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        await send({"type": "http.response.body", "body": b"four"})

    async with serving(_silent(app)) as served:
        client = await served.connect()
        client.writer.write(GET)
        assert await client.is_closed()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET http://a/ HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_BYTES, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 200 + b"\r\n", 431),
    ],
)
async def test_what_is_no_request_is_refused_and_ends_the_connection(sent: bytes, status: int) -> None:
    calls = 0

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        nonlocal calls
        calls += 1
        await body_of(receive)
        calls += 100

    async with serving(app) as served:
        client = await served.connect()
        client.writer.write(sent)
        got, headers, body = await client.answer()
        assert (got, headers["connection"]) == (status, "close")
        assert b'"code":' in body
        assert await client.is_closed()
        assert calls <= 1


async def test_dawdlers_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(echo) as served:
        idle, slow, served_one = [await served.connect() for _ in range(3)]
        slow.writer.write(b"GET / HT")
        assert (await served_one.ask(GET))[0] == 200
        served.connections.sweep()
        assert len(served.connections.open) == 3
        later = monotonic_seconds() + module.HEAD_SECONDS + 1
        monkeypatch.setattr(module, "monotonic_seconds", lambda: later)
        served.connections.sweep()
        assert await idle.is_closed()
        assert await served_one.is_closed()
        assert (await slow.answer())[0] == 408


async def test_a_dawdler_who_has_just_left_keeps_nobody_from_looking_after_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(echo) as served:
        with socket.create_connection(("127.0.0.1", served.port)) as slow:
            slow.sendall(b"GET / HT")
            await eventually(lambda: any(one._head for one in served.connections.open))
            later = monotonic_seconds() + module.HEAD_SECONDS + 1
            monkeypatch.setattr(module, "monotonic_seconds", lambda: later)
        served.connections.sweep()  # before the loop hears of it: what is written is answered by a reset
        await eventually(lambda: not served.connections.open)


async def test_who_takes_nothing_is_closed_and_who_is_slow_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await answer(send, b"x" * (4 * MUCH))

    async with serving(app) as served:
        slow, deaf = await served.connect(), await served.connect()
        for client in (slow, deaf):
            client.writer.write(GET)
        await asyncio.sleep(0.2)
        later = monotonic_seconds()
        monkeypatch.setattr(module, "monotonic_seconds", lambda: later)
        for _look in range(3):
            later += module.HEAD_SECONDS + 1
            served.connections.sweep()
            await slow.reader.readexactly(MUCH // 2)
            await asyncio.sleep(0.05)
        assert len(served.connections.open) == 1
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await deaf.answer()


async def test_no_more_than_there_may_be() -> None:
    async with serving(echo, most=2) as served:
        first, second = [await served.connect() for _ in range(2)]
        assert (await first.ask(GET))[0] == (await second.ask(GET))[0] == 200
        third = await served.connect()
        third.writer.write(GET)
        assert await third.is_closed()
        first.writer.close()
        assert await first.is_closed()
        await eventually(lambda: len(served.connections.open) == 1)
        assert (await (await served.connect()).ask(GET))[0] == 200


async def test_stopping_ends_each_with_its_answer() -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await gate.wait()
        await echo(scope, receive, send)

    async with serving(app) as served:
        busy, idle = await served.connect(), await served.connect()
        busy.writer.write(GET)
        await begun.wait()
        served.connections.stop()
        assert await idle.is_closed()
        gate.set()
        assert (await busy.answer())[0] == 200
        assert await busy.is_closed()


async def test_the_application_closes_by_a_header() -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await answer(send, b"bye", (b"connection", b"close"))

    async with serving(app) as served:
        client = await served.connect()
        status, headers, body = await client.ask(GET)
        assert (status, headers["connection"], body) == (200, "close", b"bye")
        assert await client.is_closed()


async def test_the_last_answer_reaches_whoever_sent_more() -> None:
    """A socket that is closed with something unread resets the connection: what is on its way is lost."""
    gate = asyncio.Event()

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await gate.wait()
        await answer(send, b"x" * MUCH, (b"connection", b"close"))

    async with serving(app) as served:
        for count in (2, MUCH // len(GET)):
            gate.clear()
            client = await served.connect()
            client.writer.write(GET * count)
            await asyncio.sleep(0.3)  # as much of it as the server takes, and as the system holds for it
            gate.set()
            status, headers, body = await client.answer()
            assert (status, headers["connection"], len(body)) == (200, "close", MUCH)
            assert await client.is_closed()


async def test_no_more_is_thrown_away_than_pays() -> None:
    """Whoever goes on sending a body that was refused gets the answer, and is not read for ever."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await answer(send, b"too much")

    async with serving(app) as served:
        client = await served.connect()
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (8 * MUCH)
        client.writer.write(head + b"x" * 1000)
        status, headers, body = await client.answer()
        assert (status, headers["connection"], body) == (200, "close", b"too much")
        [connection] = served.connections.open
        client.writer.write(b"x" * 8 * MUCH)
        await eventually(lambda: connection._is_paused)
        assert connection._thrown_bytes <= module.PARTING_BYTES + HOLD_BYTES
        connection.until = 0
        served.connections.sweep()
        assert await client.is_closed()


class Beginning:
    """An application that is asked to begin with each request, and fails."""

    async def __call__(self, *_: Any) -> None:
        raise AssertionError("it has a shorter way")

    def begin(self, scope: Scope, direct: Direct) -> Work | None:
        if scope["path"] == "/at-once":
            raise RuntimeError("a defect")
        if scope["path"] == "/later":
            return self.fail(direct)
        direct.answer(299, b"", b"x")  # none that has a name
        return None

    async def fail(self, direct: Direct) -> None:
        direct.answer(200, "no bytes", b"")  # type: ignore[arg-type]


@pytest.mark.parametrize("path", [b"/at-once", b"/later"])
@pytest.mark.parametrize("before", [b"", GET], ids=["alone", "behind another"])
async def test_a_defect_ends_the_connection(before: bytes, path: bytes) -> None:
    """Nobody else would: it is at a request, so that it is not swept."""
    told: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(repr(context.get("exception"))))
    async with serving(Beginning()) as served:
        client = await served.connect()
        client.writer.write(before + GET.replace(b"/ ", path + b" ", 1))
        if before:
            assert (await client.answer())[::2] == (299, b"x")
        assert await client.is_closed()
    gc.collect()  # of a task that nobody awaits the loop is told then
    assert len(told) == 1, told


CHECKS = (
    test_requests_one_after_the_other,
    test_byte_by_byte,
    test_pipelined_requests_are_answered_in_order,
    test_much_ahead_waits_at_the_client,
    test_a_large_body_waits_at_the_client,
    test_streams_at_the_pace_of_the_client,
    test_whoever_leaves_is_noticed,
    test_who_listens_after_the_answer_hears_that_it_is_over,
    test_expected_continue,
    test_a_body_that_nobody_reads,
    test_answers_without_a_body,
    test_no_more_than_there_may_be,
    test_stopping_ends_each_with_its_answer,
    test_the_last_answer_reaches_whoever_sent_more,
)


@pytest.mark.parametrize("check", CHECKS)
def test_on_the_loop_that_processes_have(check: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(check())
