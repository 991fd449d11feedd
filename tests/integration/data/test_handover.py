"""Taking a connection over from asyncpg, on both loops, over TCP, sockets and TLS; servers that misbehave."""

from __future__ import annotations

import asyncio
import gc
import os
import struct
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from monohull.kernel.clock import now
from monohull.kernel.database.data import DataPool
from monohull.kernel.database.dial import dial
from monohull.kernel.database.exchange import ConnectionLost
from monohull.kernel.database.frames import PostgresError, encode_message
from monohull.kernel.database.statements import Statement
from monohull.kernel.database.wire import Wire
from monohull.kernel.embedded import EmbeddedPostgres, discard
from tests.patience import PATIENCE_SECONDS, eventually
from tests.postgres_versions import find, why_not

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
READ = (("transaction_read_only", "on"),)
LARGE = 24 * 1024 * 1024
TLS_MAJOR = 15  # the embedded one is built without OpenSSL


async def exercise(url: str) -> None:
    """Everything a connection does in its life."""
    async with DataPool(url, size=2, timeout_seconds=PATIENCE_SECONDS).running() as pool:
        gc.collect()
        assert (await pool.run("select $1::int", ["1"], key="a")).rows == [(b"1",)]
        assert len((await pool.run("select repeat('x', 1000) from generate_series(1, 20000)")).rows) == 20_000
        body = b"y" * 5_000_000
        assert (await pool.run("select $1", [body])).rows == [(body,)]
        large = Statement(f"select 'x', repeat('z', {LARGE})")
        for _ in range(2):
            [rows] = await pool.run_batch((large,), settings=READ, streams=True)
            assert rows.rest is not None
            assert [piece async for piece in rows.rest if piece.strip(b"z")] == []
            assert rows.rest.given == LARGE
        [rows] = await pool.run_batch((large,), settings=READ, streams=True)
        assert rows.rest is not None
        await anext(rows.rest)
        rows.rest.close()
        with pytest.raises(PostgresError, match="22012"):
            await pool.run("select 1/0")
        task = asyncio.create_task(pool.run("select pg_sleep(600)"))
        await asyncio.sleep(0.1)
        task.cancel()
        await eventually(lambda: not pool.in_use)
        assert pool.lost_total == 0
        assert pool.opened_total <= 2
    gc.collect()


@pytest.mark.parametrize("loop", LOOPS)
def test_over_tcp(services: Any, loop: str) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(exercise(services.postgres_url))


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server with TLS and a socket."""
    if (bin_dir := find(TLS_MAJOR)) is None:
        pytest.skip(why_not(TLS_MAJOR))
    state = tmp_path_factory.mktemp("tls")
    server = EmbeddedPostgres(state, password="own", durable=False, bin_dir=bin_dir)
    server.start()
    _turn_tls_on(server)
    yield server
    server.stop()
    discard(state)


def _turn_tls_on(server: EmbeddedPostgres) -> None:
    certificate, key = _self_signed()
    owner = server.data.stat()
    for name, content in (("server.crt", certificate), ("server.key", key)):
        path: Path = server.data / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        os.chown(path, owner.st_uid, owner.st_gid)
    asyncio.run(_reload_with_tls(server.url))


async def _reload_with_tls(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("alter system set ssl = on")
    await connection.execute("select pg_reload_conf()")
    await connection.close()

    async def shown() -> str:
        connection = await asyncpg.connect(url)
        try:
            return str(await connection.fetchval("show ssl"))
        finally:
            await connection.close()

    await eventually(shown, lambda found: found == "on")


def _self_signed() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=1))
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("mode", ["disable", "prefer", "require"])
def test_with_and_without_tls(own_server: EmbeddedPostgres, loop: str, mode: str) -> None:
    async def check() -> None:
        url = f"{own_server.url}?sslmode={mode}"
        wire = await dial(url, application_name="tls")
        [rows] = await wire.exchange([Statement("select ssl from pg_stat_ssl where pid = pg_backend_pid()")])
        assert rows.rows == [(b"f" if mode == "disable" else b"t",)]
        wire.close()
        await exercise(url)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(check())


@pytest.mark.parametrize("loop", LOOPS)
def test_over_a_socket(own_server: EmbeddedPostgres, loop: str) -> None:
    url = f"postgresql://monohull:own@/monohull?host={own_server.socket_directory}&port={own_server.port}"
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(exercise(url))


# servers that misbehave

READY = encode_message(b"Z", b"I")


async def talk(answers: list[bytes], use: Callable[[Wire], Awaitable[None]]) -> None:
    """Have ``use`` speak to a server that gives one answer for each thing it is sent, then hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            for answer in answers:
                await reader.read(65536)
                writer.write(answer)
                await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        served.set()

    served = asyncio.Event()

    async def cancel() -> None:
        raise ConnectionRefusedError("no more")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        transport, wire = await loop.create_connection(lambda: Wire(pid=1, cancel=cancel), "127.0.0.1", port)
        await use(wire)
        transport.abort()
        await served.wait()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "closed the connection"),
        (b"D\0\0\0\1xxxx", "claims 1 bytes"),
        (encode_message(b"G", b"\0\0\0"), "kind 'G'"),
        (encode_message(b"D", b"\0\5\0\0"), "cannot be read"),
        (encode_message(b"C", b"SELECT 1\0") * 2, "cannot be read"),
        (encode_message(b"E", b"VFATAL\0C57P01\0Mbye\0\0"), "57P01: bye"),
        (encode_message(b"Z", b"T") + encode_message(b"Z", b"T"), "ROLLBACK did not end"),
    ],
)
async def test_an_answer_that_makes_no_sense(answer: bytes, reason: str) -> None:
    async def use(wire: Wire) -> None:
        with pytest.raises(ConnectionLost, match=reason):
            await wire.exchange([Statement("select 1")])
        assert not wire.is_open
        with pytest.raises(ConnectionLost) as caught:
            await wire.exchange([Statement("select 1")])
        assert caught.value.nothing_sent

    await talk([answer], use)


async def test_a_last_word_that_concerns_the_request() -> None:
    async def use(wire: Wire) -> None:
        with pytest.raises(PostgresError, match="25P04"):
            await wire.exchange([Statement("select 1")])

    await talk([encode_message(b"E", b"VFATAL\0C25P04\0Mtransaction timeout\0\0")], use)


async def test_an_answer_nobody_asked_for() -> None:
    async def use(wire: Wire) -> None:
        await wire.exchange(())
        await eventually(lambda: not wire.is_open)

    row = encode_message(b"D", struct.pack("!Hi", 1, -1))
    done = encode_message(b"C", b"SELECT 1\0") + encode_message(b"1", b"") + encode_message(b"n", b"")
    await talk([READY + row + done + READY], use)


async def test_settling_fails_when_the_server_takes_no_cancel() -> None:
    async def use(wire: Wire) -> None:
        task = asyncio.create_task(wire.exchange([Statement("select 1")]))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(ConnectionRefusedError):
            await wire.settle()

    await talk([encode_message(b"N", b"\0"), b""], use)


async def test_a_signal_that_hits_the_empty_exchange() -> None:
    async def use(wire: Wire) -> None:
        await wire.settle()
        await wire.exchange(())

    canceled = encode_message(b"E", b"VERROR\0C57014\0Mcanceling\0\0") + READY
    await talk([canceled, READY], use)
