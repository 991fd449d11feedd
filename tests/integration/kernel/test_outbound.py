"""The client for foreign URLs against real servers on this machine, kind and hostile."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from monohull.kernel import clock
from monohull.kernel.observation import Observation, Observer
from monohull.kernel.outbound import (
    Destinations,
    Outbound,
    OutboundFailed,
    OutboundLimits,
    OutboundRefused,
    destinations,
)
from monohull.kernel.outbound.client import OutboundAnswered, OutboundNotAnswered
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

Answer: TypeAlias = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LOOPBACK = destinations(["127.0.0.1"])
QUICK = OutboundLimits(connect_seconds=0.3, read_seconds=0.3, total_seconds=1.0, response_bytes=1000)
PATIENT = OutboundLimits(
    connect_seconds=PATIENCE_SECONDS,
    read_seconds=PATIENCE_SECONDS,
    total_seconds=PATIENCE_SECONDS,
    response_bytes=1000,
)


class Server:
    """One connection, one answer; keeps the heads of what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head.decode())
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            self.bodies.append(await reader.readexactly(int(length[0][15:])) if length else b"")
            await self.answer(head, reader, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def url(self, path: str = "/", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@asynccontextmanager
async def serving(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    served = Server(answer)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0, ssl=context)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        await server.wait_closed()


def says(text: str, body: bytes = b"") -> Answer:
    async def answer(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = text if "content-length" in text.lower() else f"{text}\nContent-Length: {len(body)}"
        writer.write(f"HTTP/1.1 {head}\n\n".replace("\n", "\r\n").encode() + body)

    return answer


@pytest.fixture
def seen() -> list[Observation]:
    return []


@pytest.fixture
async def outbound(seen: list[Observation]) -> AsyncIterator[Outbound]:
    client = Outbound(LOOPBACK, limits=PATIENT, observer=Observer(seen.append))
    async with client.running() as running:
        yield running


async def reason_of(request: Awaitable[object]) -> str:
    try:
        await request
    except (OutboundRefused, OutboundFailed) as error:
        return error.reason
    return "answered"


class TestAnswers:
    async def test_a_request_and_its_answer(self, outbound: Outbound, seen: list[Observation]) -> None:
        async with serving(says("201 Created\nX-A: b", b"done")) as server:
            url = server.url("/a/b?c=d#e")
            reply = await outbound.request("POST", url, headers={"X-Id": "7"}, body=b"{}")
        assert (reply.status, reply.headers["x-a"], reply.body, reply.url) == (201, "b", b"done", url)
        (head,) = server.heads
        assert head.startswith("POST /a/b?c=d HTTP/1.1\r\n")
        assert f"Host: 127.0.0.1:{server.port}\r\n" in head
        assert "User-Agent: Monohull\r\n" in head
        assert "X-Id: 7\r\n" in head
        assert server.bodies == [b"{}"]
        (answered,) = seen
        assert isinstance(answered, OutboundAnswered)
        assert (answered.method, answered.host, answered.status) == ("POST", "127.0.0.1", 201)

    async def test_any_status_is_an_answer(self, outbound: Outbound) -> None:
        async with serving(says("503 Service Unavailable", b"later")) as server:
            assert (await outbound.request("GET", server.url())).status == 503

    async def test_compression_is_undone(self, outbound: Outbound) -> None:
        async with serving(says("200 OK\nContent-Encoding: gzip", gzip.compress(b"text"))) as server:
            assert (await outbound.request("GET", server.url())).body == b"text"
        assert "Accept-Encoding: gzip, deflate\r\n" in server.heads[0]

    async def test_the_callers_user_agent_is_the_only_one(self, outbound: Outbound) -> None:
        async with serving(says("200 OK")) as server:
            await outbound.request("GET", server.url(), headers={"user-agent": "Mine"})
        assert server.heads[0].lower().count("user-agent:") == 1

    async def test_connections_are_reused_and_cookies_are_not(self, outbound: Outbound) -> None:
        connections = 0

        async def answer(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            for _number in range(2):
                writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")
                heads.append(await reader.readuntil(b"\r\n\r\n"))

        heads: list[bytes] = []
        async with serving(answer) as server:
            for _ in range(2):
                assert (await outbound.request("GET", server.url())).status == 200
            await outbound.close()
        assert connections == 1
        assert b"cookie" not in heads[0].lower()

    async def test_the_environment_has_no_say(
        self, outbound: Outbound, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        async with serving(says("200 OK", b"direct")) as server:
            assert (await outbound.request("GET", server.url())).body == b"direct"


class TestPinning:
    async def test_a_name_is_looked_up_once_and_kept_in_the_host_header(self) -> None:
        asked: list[tuple[str, int]] = []

        async def resolver(host: str, port: int) -> Sequence[str]:
            asked.append((host, port))
            return ["127.0.0.1"]

        async with (
            serving(says("200 OK")) as server,
            Outbound(LOOPBACK, resolver=resolver).running() as outbound,
        ):
            await outbound.request("GET", server.url(host="hooks.example"))
        assert asked == [("hooks.example", server.port)]
        assert f"Host: hooks.example:{server.port}\r\n" in server.heads[0]

    async def test_rebinding_finds_no_second_look_up(self) -> None:
        """First public, then private: the classic. Each connection is checked by its own answer."""
        answers = iter([["203.0.113.1"], ["127.0.0.1"], ["1.1.1.1", "127.0.0.1"]])

        async def resolver(_: str, __: int) -> Sequence[str]:
            return next(answers)

        allowed = destinations(["203.0.113.0/24"])
        async with serving(says("200 OK", b"secret")) as server:
            outbound = Outbound(allowed, resolver=resolver, limits=QUICK)
            url = server.url(host="rebind.example")
            assert await reason_of(outbound.request("GET", url)) in {"connect", "timeout"}
            assert await reason_of(outbound.request("GET", url)) == "address"
            assert await reason_of(outbound.request("GET", url)) == "address"
            await outbound.close()
        assert server.heads == [], "nothing reached the inside"

    async def test_another_address_is_tried_when_one_does_not_answer(self) -> None:
        async def resolver(_: str, __: int) -> Sequence[str]:
            return ["127.0.0.2", "127.0.0.1"]

        async with (
            serving(says("200 OK")) as server,
            Outbound(destinations(["127.0.0.0/8"]), resolver=resolver).running() as outbound,
        ):
            assert (await outbound.request("GET", server.url(host="two.example"))).status == 200

    async def test_the_certificate_has_to_be_the_names(self, tmp_path: Path) -> None:
        async def resolver(_: str, __: int) -> Sequence[str]:
            return ["127.0.0.1"]

        serving_context, trusting = certificate(tmp_path, "good.example")
        names: list[str] = []
        serving_context.sni_callback = lambda _, name, __: names.append(name)
        async with (
            serving(says("200 OK", b"safe"), serving_context) as server,
            Outbound(LOOPBACK, resolver=resolver, ssl_context=trusting).running() as outbound,
            Outbound(LOOPBACK, resolver=resolver).running() as distrusting,
        ):
            good, bad = (server.url(host=host, scheme="https") for host in ("good.example", "bad.example"))
            assert (await outbound.request("GET", good)).body == b"safe"
            assert await reason_of(outbound.request("GET", bad)) == "connect"
            assert await reason_of(distrusting.request("GET", good)) == "connect"
        assert names[:2] == ["good.example", "bad.example"]

    async def test_names_that_do_not_resolve(self) -> None:
        async def failing(_: str, __: int) -> Sequence[str]:
            raise OSError("no such name")

        async def slow(_: str, __: int) -> Sequence[str]:
            await asyncio.sleep(60)
            return []

        async def empty(_: str, __: int) -> Sequence[str]:
            return []

        for resolver, reason, limits in (
            (failing, "resolve", PATIENT),
            (slow, "resolve", QUICK),
            (empty, "host", PATIENT),
        ):
            async with Outbound(resolver=resolver, limits=limits).running() as outbound:
                assert await reason_of(outbound.request("GET", "http://x.example")) == reason

    async def test_the_systems_own_resolver(self) -> None:
        async with Outbound(limits=PATIENT).running() as outbound:
            assert await reason_of(outbound.request("GET", "http://localhost:1")) == "address"
        async with (
            serving(says("200 OK")) as server,
            Outbound(destinations(["localhost"])).running() as outbound,
        ):
            assert (await outbound.request("GET", server.url(host="localhost"))).status == 200


class TestRefusals:
    @pytest.mark.parametrize(
        ("method", "url", "reason"),
        [
            ("GET", "ftp://127.0.0.1", "scheme"),
            ("GET", "http://10.0.0.1", "address"),
            ("GET", "http://user:pw@127.0.0.1", "credentials"),
            ("CONNECT", "http://127.0.0.1", "method"),
        ],
    )
    async def test_nothing_is_sent(
        self, outbound: Outbound, seen: list[Observation], method: str, url: str, reason: str
    ) -> None:
        assert await reason_of(outbound.request(method, url)) == reason
        (refused,) = seen
        assert isinstance(refused, OutboundNotAnswered)
        assert refused.reason == reason
        assert "pw" not in repr(refused)

    async def test_a_body_above_the_limit(self, outbound: Outbound) -> None:
        limits = OutboundLimits(request_bytes=3)
        sending = outbound.request("POST", "http://127.0.0.1:1", body=b"1234", limits=limits)
        assert await reason_of(sending) == "request_too_large"


class TestRedirects:
    FOLLOW = OutboundLimits(redirects=3, total_seconds=PATIENCE_SECONDS)

    async def test_none_is_followed_by_default(self, outbound: Outbound) -> None:
        async with serving(says("302 Found\nLocation: /next")) as server:
            reply = await outbound.request("GET", server.url())
        assert (reply.status, reply.redirects_to) == (302, "/next")
        assert len(server.heads) == 1

    async def test_as_many_as_asked_for(self, outbound: Outbound) -> None:
        async def answer(head: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            number = int(head.split(b" ")[1].strip(b"/") or b"0")
            await says(f"302 Found\nLocation: /{number + 1}" if number < 3 else "200 OK")(head, _, writer)

        async with serving(answer) as server:
            reply = await outbound.request("GET", server.url(), limits=self.FOLLOW)
            assert (reply.status, reply.url) == (200, server.url("/3"))

    async def test_a_circle_ends(self, outbound: Outbound) -> None:
        async with serving(says("302 Found\nLocation: /")) as server:
            request = outbound.request("GET", server.url(), limits=self.FOLLOW)
            assert await reason_of(request) == "redirects"
        assert len(server.heads) == 4

    @pytest.mark.parametrize(
        ("location", "reason"),
        [
            ("http://169.254.169.254/latest/meta-data", "address"),
            ("http://[::ffff:10.0.0.1]/", "address"),
            ("http://2130706433/", "host"),
            ("file:///etc/passwd", "scheme"),
            ("http://user:pw@127.0.0.1/", "credentials"),
        ],
    )
    async def test_a_hop_to_the_inside_is_refused(
        self, outbound: Outbound, location: str, reason: str
    ) -> None:
        async with serving(says(f"307 Temporary Redirect\nLocation: {location}")) as server:
            assert await reason_of(outbound.request("GET", server.url(), limits=self.FOLLOW)) == reason

    async def test_a_token_does_not_follow_to_another_origin(self, outbound: Outbound) -> None:
        async with (
            serving(says("200 OK")) as other,
            serving(says(f"307 Temporary Redirect\nLocation: {other.url()}")) as server,
        ):
            headers = {"Authorization": "Bearer t"}
            await outbound.request("POST", server.url(), headers=headers, limits=self.FOLLOW)
        assert "Bearer t" in server.heads[0]
        assert "Bearer t" not in other.heads[0]


class TestHostileServers:
    async def test_nobody_there(self, outbound: Outbound) -> None:
        assert await reason_of(outbound.request("GET", "http://127.0.0.1:1")) == "connect"

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n1",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
        ],
    )
    async def test_what_is_no_http(self, outbound: Outbound, answer: bytes) -> None:
        async def speak(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)

        async with serving(speak) as server:
            assert await reason_of(outbound.request("GET", server.url())) == "protocol"

    async def test_garbage_behind_the_handshake(self, tmp_path: Path) -> None:
        context, trusting = certificate(tmp_path, "good.example")

        async def resolver(_: str, __: int) -> Sequence[str]:
            return ["127.0.0.1"]

        def speak(listener: socket.socket) -> None:
            with context.wrap_socket(listener.accept()[0], server_side=True) as secured:
                secured.recv(10_000)
                os.write(secured.fileno(), b"no record of TLS" * 10)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            speaking = asyncio.create_task(asyncio.to_thread(speak, listener))
            async with Outbound(LOOPBACK, resolver=resolver, ssl_context=trusting).running() as outbound:
                url = f"https://good.example:{listener.getsockname()[1]}"
                assert await reason_of(outbound.request("GET", url)) == "protocol"
            await speaking

    async def test_silence(self, outbound: Outbound) -> None:
        async def wait(_: bytes, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
            await reader.read()

        async with serving(wait) as server:
            with pytest.raises(OutboundFailed, match="The host did not answer in time") as caught:
                await outbound.request("GET", server.url(), limits=OutboundLimits(read_seconds=0.3))
        assert caught.value.reason == "timeout"

    @pytest.mark.parametrize("drip", [b"X-A: b\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
    async def test_headers_that_never_end(self, outbound: Outbound, drip: bytes) -> None:
        async def dribble(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"" if drip.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n")
            while not writer.is_closing():
                writer.write(drip)
                await writer.drain()
                await asyncio.sleep(0.05)

        limits = OutboundLimits(
            connect_seconds=PATIENCE_SECONDS, read_seconds=PATIENCE_SECONDS, total_seconds=1.0
        )
        started = time.monotonic()
        async with serving(dribble) as server:
            assert await reason_of(outbound.request("GET", server.url(), limits=limits)) == "timeout"
        waited = time.monotonic() - started
        assert 0.9 < waited < PATIENCE_SECONDS, "each piece is in time, the whole is not"

    async def test_a_body_that_never_ends(self, outbound: Outbound) -> None:
        sent = 0

        async def pour(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not writer.is_closing():
                writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
                sent += 1024
                await writer.drain()

        async with serving(pour) as server:
            assert await reason_of(outbound.request("GET", server.url())) == "response_too_large"
        assert sent < 20_000_000

    async def test_a_bomb(self, outbound: Outbound) -> None:
        bomb = gzip.compress(b"\0" * 900_000)
        assert len(bomb) < 1000, "small enough to pass the limit on the wire"
        async with serving(says("200 OK\nContent-Encoding: gzip", bomb)) as server:
            assert await reason_of(outbound.request("GET", server.url())) == "response_too_large"

    async def test_an_announced_giant_is_not_read(self, outbound: Outbound) -> None:
        async with serving(says("200 OK\nContent-Length: 99999999999")) as server:
            assert await reason_of(outbound.request("GET", server.url())) == "response_too_large"


def certificate(folder: Path, host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of a server called ``host`` and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(clock.now() - timedelta(days=1))
        .not_valid_after(clock.now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(serialization.Encoding.PEM)
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (path := folder / "server.pem").write_bytes(private + pem)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=pem.decode())


def test_the_defaults_allow_the_internet_alone() -> None:
    assert Destinations() == destinations()
