"""Requests inside of requests, and what else is not HTTP: refused, and nothing behind it is read."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from tests.integration.kernel.test_server_connections import GET, Served, answer, body_of, serving
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from monohull.kernel.asgi import ASGIApp, Receive, Scope, Send

INNER = b"GET /inner HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /outer HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
VECTORS = {
    "CL.TE": (POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "TE.CL": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n",
        400,
    ),
    "TE twice": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", 400),
    "TE list": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "TE identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", 400),
    "TE identity, chunked": (POST + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", 400),
    "TE empty": (POST + b"Transfer-Encoding:\r\n\r\n", 400),
    "TE with a parameter": (POST + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", 400),
    "TE quoted": (POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 400),
    "TE vertical tab": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "TE NUL": (POST + b"Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n", 400),
    "TE space before the colon": (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "TE folded": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "TE after a lone line feed": (POST + b"X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "TE after a lone return": (POST + b"X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "TE of HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "CL twice": (POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n", 400),
    "CL twice the same": (POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n", 400),
    "CL list": (POST + b"Content-Length: 0, 0\r\n\r\n", 400),
    "CL plus": (POST + b"Content-Length: +0\r\n\r\n", 400),
    "CL minus": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "CL hexadecimal": (POST + b"Content-Length: 0x0\r\n\r\n", 400),
    "CL underscore": (POST + b"Content-Length: 0_0\r\n\r\n", 400),
    "CL space inside": (POST + b"Content-Length: 0 0\r\n\r\n", 400),
    "CL empty": (POST + b"Content-Length:\r\n\r\n", 400),
    "CL huge": (POST + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
    "CL folded": (POST + b"Content-Length: 0\r\n 5\r\n\r\n", 400),
    "chunk 0x": (CHUNKED + b"0x0\r\n\r\n", 400),
    "chunk plus": (CHUNKED + b"+0\r\n\r\n", 400),
    "chunk underscore": (CHUNKED + b"0_0\r\n\r\n", 400),
    "chunk huge": (CHUNKED + b"10000000000000000\r\n\r\n", 400),
    "chunk many zeros": (CHUNKED + b"0" * 16 + b"\r\n\r\n", 400),
    "chunk lone line feed": (CHUNKED + b"0\n\n", 400),
    "chunk lone line feed in an extension": (CHUNKED + b"0;a\nb\r\n\r\n", 400),
    "chunk return in an extension": (CHUNKED + b"0;a\rb\r\n\r\n", 400),
    "chunk longer than said": (CHUNKED + b"1\r\nab\r\n0\r\n\r\n", 400),
    "chunk without an end": (CHUNKED + b"1\r\na0\r\n\r\n", 400),
    "trailer that is a request": (CHUNKED + b"0\r\n" + INNER, 400),
    "trailer folded": (CHUNKED + b"0\r\n X: a\r\n\r\n", 400),
    "name with a space": (POST + b"X Y: a\r\n\r\n", 400),
    "name beyond ASCII": (POST + b"X\xff: a\r\n\r\n", 400),
    "no name": (POST + b": a\r\n\r\n", 400),
    "no colon": (POST + b"Host\r\n\r\n", 400),
    "first line folded": (b"POST / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "two hosts": (POST + b"Host: b\r\n\r\n", 400),
    "no host": (b"POST / HTTP/1.1\r\nX: a\r\n\r\n", 400),
    "lone line feeds": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "space after the version": (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    "tabs in the first line": (b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "no path": (b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "authority with a line end": (b"GET http://a\r/b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
}


def recording(paths: list[str], cut: list[str]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(scope["path"])
        while (message := await receive())["type"] == "http.request":
            if not message["more_body"]:
                await answer(send, b"fine")
                return
        cut.append(scope["path"])
        await answer(send, b"nobody reads this")

    return app


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize("is_cut", [False, True], ids=["at once", "byte by byte"])
async def test_refused_and_closed(name: str, *, is_cut: bool) -> None:
    sent, status = VECTORS[name]
    paths: list[str] = []
    cut: list[str] = []
    async with serving(recording(paths, cut)) as served:
        client = await served.connect()
        for piece in [bytes([byte]) for byte in sent + INNER] if is_cut else [sent + INNER]:
            client.writer.write(piece)
            if is_cut:
                await asyncio.sleep(0)
        got, headers, body = await client.answer()
        assert (got, headers["connection"]) == (status, "close")
        assert b'"code":' in body
        assert await client.is_closed()
        assert paths == cut, "a request was answered"
        assert (await (await served.connect()).ask(GET))[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        POST + b"Connection: close\r\nContent-Length: 1\r\n\r\na" + INNER,
        b"POST /outer HTTP/1.0\r\nContent-Length: 1\r\n\r\na" + INNER,
    ],
)
async def test_nothing_is_read_behind_the_last_request(sent: bytes) -> None:
    paths: list[str] = []
    async with serving(recording(paths, [])) as served:
        client = await served.connect()
        assert (await client.ask(sent))[2] == b"fine"
        assert await client.is_closed()
        assert paths == ["/outer"]


async def test_a_request_in_a_body_is_a_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, scope["path"].encode() + b" " + await body_of(receive))

    async with serving(app) as served:
        client = await served.connect()
        outer = POST + b"Content-Length: %d\r\n\r\n" % len(INNER) + INNER
        outer += CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(INNER), INNER) + INNER
        client.writer.write(outer)
        assert [(await client.answer())[2] for _ in range(3)] == [b"/outer " + INNER] * 2 + [b"/inner "]


async def test_lines_of_one_request_never_reach_another() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await body_of(receive)
        await answer(send, repr(scope["headers"]).encode())

    def asked(number: int) -> bytes:
        return b"POST / HTTP/1.1\r\nHost: a\r\nApikey: %d\r\nContent-Length: 1\r\n\r\n%d" % (
            number,
            number % 10,
        )

    async with serving(app) as served:
        clients = [await served.connect() for _ in range(5)]
        order = [random.Random(at).randrange(3000) for at in range(1000)]
        for at, client in enumerate(clients):
            client.writer.write(b"".join(asked(number) for number in order[at::5]))
        for at, client in enumerate(clients):
            for number in order[at::5]:
                expected = [(b"host", b"a"), (b"apikey", b"%d" % number), (b"content-length", b"1")]
                assert (await client.answer())[2] == repr(expected).encode()


async def test_random_bytes_end_in_an_answer_or_a_close() -> None:
    rng = random.Random(7)
    good = [POST + b"Content-Length: 1\r\n\r\na", CHUNKED + b"1\r\na\r\n0\r\n\r\n", GET]

    def hostile() -> bytes:
        sent = bytearray(b"".join(rng.choices(good, k=3)))
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(sent))
            sent[at : at + rng.choice([0, 1, 8])] = rng.choice([rng.randbytes(3), b"\r\n", b"\n", b" ", b"0"])
        return bytes(sent) if rng.random() < 0.9 else rng.randbytes(rng.randrange(1, 300))

    async def attack(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        sent = hostile()
        for at in range(0, len(sent), step := rng.randrange(1, 200)):
            writer.write(sent[at : at + step])
            await asyncio.sleep(0)
        writer.write_eof()  # for those that wait for more
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                got = await reader.read()
            except ConnectionError:
                got = b""
        assert not got or got.startswith(b"HTTP/1.1 "), got
        assert b"HTTP/1.1 500" not in got
        writer.close()

    async with serving(recording([], [])) as served:
        for _ in range(40):
            await asyncio.gather(*(attack(served) for _ in range(20)))
        await eventually(lambda: not served.connections.open)
        assert (await (await served.connect()).ask(GET))[0] == 200
