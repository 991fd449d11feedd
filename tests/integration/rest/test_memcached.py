"""The client of Memcached against the real server, and against servers that do what that one does not."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from modules.rest.cache.keepers import KeeperAway, KeeperBusy
from modules.rest.cache.memcached import MAX_CONNECTIONS, PATIENCE_SECONDS, Memcached
from modules.rest.cache.memcached_url import MemcachedUrlError, parse_memcached_url
from modules.rest.cache.shared import REST_SECONDS, Kept, Shared, kept_until
from monohull.kernel.clock import monotonic_seconds, now
from monohull.kernel.observation import DependencyBack, DependencyLost, Observation, Observer
from tests import brokers, patience
from tests.application import JWT_SECRET
from tests.brokers import USER, broker_running, memcached  # noqa: F401 found by name
from tests.integration.rest.stores import MemcachedBeside
from tests.patience import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

MOST_BYTES = 4 * 2**20
LATE = "did not answer in time"


def client(url: str, patience_seconds: float = patience.PATIENCE_SECONDS) -> Memcached:
    return Memcached(parse_memcached_url(url), 0, MOST_BYTES, patience_seconds)


@asynccontextmanager
async def connected(
    url: str, patience_seconds: float = patience.PATIENCE_SECONDS
) -> AsyncIterator[Memcached]:
    server = client(url, patience_seconds)
    try:
        yield server
    finally:
        await server.close()


class Saying(asyncio.Protocol):
    """Says the same to whatever comes, or closes."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        del data
        if self._answer is None:
            self._transport.close()
        else:
            self._transport.write(self._answer)


@asynccontextmanager
async def saying(answer: bytes | None) -> AsyncIterator[str]:
    """Have a server that says ``answer`` to whatever comes; return its URL."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Saying(answer), "127.0.0.1", 0)
    try:
        yield f"memcached://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_what_is_kept_is_found_until_its_time_is_over(memcached: brokers.Memcached) -> None:  # noqa: F811
    value = os.urandom(300_000) + b"\r\nEND\r\n"
    async with connected(memcached.url) as server:
        assert (await server.version()).startswith("1.")
        assert await server.get("life:none") is None
        assert await server.set("life:long", value, 60_000)
        assert await server.get("life:long") == value
        assert await MemcachedBeside(memcached.url).seconds_left("life:long") in range(30, 61)

        async def is_kept_at_all() -> bool:
            assert await server.set("life:short", b"", 1)
            return await server.get("life:short") == b""

        await eventually(is_kept_at_all)  # a second is over soon
        await eventually(lambda: server.get("life:short"), lambda found: found is None)
        assert await server.get("life:long") == value
        assert await server.set("life:long", b"other", 60 * 86_400_000), "no date"
        assert await server.get("life:long") == b"other"


async def test_what_is_too_large_is_refused_and_the_connection_goes_on(
    memcached: brokers.Memcached,  # noqa: F811
) -> None:
    async with connected(memcached.url) as server:
        assert await server.set("large", b"small", 60_000)
        [line] = server._free
        assert not await server.set("large", bytes(2 * 2**20), 60_000)
        assert server._free == [line]
        assert await server.get("large") is None, "what was there is outdated"
        assert await server.set("large", b"small", 60_000)
        assert server._free == [line]


async def test_many_at_once_take_a_few_connections(memcached: brokers.Memcached) -> None:  # noqa: F811
    async with connected(memcached.url) as server:
        names = [f"many:{number}" for number in range(500)]
        await asyncio.gather(*(server.set(name, name.encode(), 60_000) for name in names))
        found = await asyncio.gather(*map(server.get, names))
        assert found == [name.encode() for name in names]
        assert 1 <= len(server._free) <= MAX_CONNECTIONS


async def test_whoever_waits_too_long_for_a_connection_does_not_blame_the_server() -> None:
    async with saying(b"") as url, connected(url, PATIENCE_SECONDS) as server:
        told = await asyncio.gather(
            *(server.get("key") for _ in range(3 * MAX_CONNECTIONS)), return_exceptions=True
        )
        assert {type(one) for one in told} == {KeeperAway, KeeperBusy}
        assert server._room._value == MAX_CONNECTIONS


async def test_who_leaves_takes_the_connection_along(memcached: brokers.Memcached) -> None:  # noqa: F811
    async with connected(memcached.url) as server:
        await server.set("leave", b"1", 60_000)
        for delay in range(20):
            task = asyncio.create_task(server.get("leave"))
            for _ in range(delay):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await server.get("other") is None
            assert await server.get("leave") == b"1"


async def test_a_server_that_was_emptied_or_started_again_has_nothing_and_works() -> None:
    with broker_running(brokers.Memcached) as broker:
        async with connected(broker.url) as server:
            await server.set("gone", b"1", 60_000)
            await MemcachedBeside(broker.url).flush()
            assert await server.get("gone") is None
            for end in (broker.stop, broker.kill):
                await server.set("gone", b"1", 60_000)
                end()
                with pytest.raises(KeeperAway, match=f"^{broker.address} is not reachable: "):
                    await server.get("gone")
                broker.start()
                assert await server.get("gone") is None


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (None, "is not reachable: the server closed the connection"),
        (b"", LATE),
        (b"HTTP/1.1 400 Bad Request\r\n", "said what is no answer: HTTP/1.1 400 Bad Request"),
        (b"VALUE other 0 1\r\nx\r\nEND\r\n", "said what is no answer: VALUE other 0 1"),
        (b"VALUE key 0 -1\r\nx\r\nEND\r\n", "said what is no answer: VALUE key 0 -1"),
        (b"VALUE key 0 1\r\nxyz\r\nEND\r\n", "said what is no answer: a block that is longer than was said"),
        (b"VALUE key 0 1\r\nx\r\nERROR\r\n", "said what is no answer: ERROR"),
        (b"VALUE key 0 99999999\r\n", "said what is no answer: a value of 99999999 bytes"),
        (b"VALUE key 0 9\r\nx\r\n", LATE),
        (b"x" * 10_000, "is not reachable: "),
        (b"SERVER_ERROR \xff\r\n", r"said what is no answer: SERVER_ERROR \xff"),
    ],
)
async def test_what_is_no_answer_is_said_and_the_connection_closed(
    answer: bytes | None, sentence: str
) -> None:
    seconds = PATIENCE_SECONDS if sentence == LATE else patience.PATIENCE_SECONDS
    async with saying(answer) as url, connected(url, seconds) as server:
        with pytest.raises(KeeperAway) as raised:
            await server.get("key")
        assert f"{server.name} {sentence}" in str(raised.value)
        assert server._free == []
        with pytest.raises(KeeperAway):
            await server.set("key", b"x", 1000)
        with pytest.raises(KeeperAway):
            await server.version()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[brokers.Memcached]:
    if (reason := brokers.Memcached.missing()) is not None:
        pytest.skip(reason)
    broker = brokers.Memcached(tmp_path_factory.mktemp("guarded"), demands_password=True)
    broker.start()
    yield broker
    broker.stop()


async def test_a_password_lets_in_and_none_or_another_does_not(guarded: brokers.Memcached) -> None:
    async with connected(guarded.url) as server:
        assert await server.set("guarded", b"1", 60_000)
        assert await server.get("guarded") == b"1"
    async with connected(f"memcached://{guarded.address}") as server:
        with pytest.raises(KeeperAway, match="said what is no answer: CLIENT_ERROR unauthenticated"):
            await server.get("guarded")
    for credentials in (f"{USER}:wrong", "wrong:wrong"):
        async with connected(f"memcached://{credentials}@{guarded.address}") as server:
            with pytest.raises(KeeperAway, match="refused the user or password") as raised:
                await server.get("guarded")
            assert "wrong" not in str(raised.value)


async def test_a_server_that_asks_for_no_password_does_not_keep_it(memcached: brokers.Memcached) -> None:  # noqa: F811
    beside = MemcachedBeside(memcached.url)
    async with connected(f"memcached://someone:hidden@{memcached.address}") as server:
        with pytest.raises(KeeperAway, match="asks for no password: take user and password out of the URL"):
            await server.get("login")
    assert b"key=login" not in await beside._ask(b"lru_crawler metadump all\r\n", b"END\r\n")
    assert await beside._ask(b"get login\r\n", b"END\r\n") == b"END\r\n"


def authority(folder: Path) -> tuple[Path, Path, Path]:
    """Write an authority's certificate, and one of 127.0.0.1 with its key."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("authority", "server")]
    files = folder / "authority.pem", folder / "server.pem", folder / "server.key"
    for number in range(2):
        certificate = (
            x509.CertificateBuilder()
            .subject_name(names[number])
            .issuer_name(names[0])
            .public_key(keys[number].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now() - timedelta(hours=1))
            .not_valid_after(now() + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=number == 0, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
            )
            .sign(keys[0], hashes.SHA256())
        )
        files[number].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[2].write_bytes(
        keys[1].private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


async def test_tls_is_spoken_with_the_server_of_the_certificate_alone(tmp_path: Path) -> None:
    if (reason := brokers.Memcached.missing()) is not None:
        pytest.skip(reason)
    trusted, certificate, key = authority(tmp_path)
    arguments = ("-Z", "-o", f"ssl_chain_cert={certificate},ssl_key={key}")
    broker = brokers.Memcached(tmp_path, arguments=arguments)
    broker.start()
    try:
        known = f"?ssl_ca_certs={trusted}"
        async with connected(f"memcacheds://{broker.address}{known}") as server:
            assert await server.set("tls", b"1", 60_000)
            assert await server.get("tls") == b"1"
        for address in (broker.address, f"localhost:{broker.port}{known}"):
            async with connected(f"memcacheds://{address}") as server:
                with pytest.raises(KeeperAway, match="showed a certificate that is refused"):
                    await server.get("tls")
        async with connected(broker.url) as server:
            with pytest.raises(KeeperAway):
                await server.get("tls")
    finally:
        broker.stop()
    with pytest.raises(MemcachedUrlError, match="a file that the Memcached URL names cannot be used"):
        client(f"memcacheds://127.0.0.1?ssl_ca_certs={tmp_path / 'none.pem'}")
    with pytest.raises(MemcachedUrlError, match="a file that the Memcached URL names cannot be used"):
        client(f"memcacheds://127.0.0.1?ssl_certfile={trusted}&ssl_keyfile={key}")


async def test_of_two_servers_each_keeps_its_part_and_one_goes_without_the_other(
    memcached: brokers.Memcached,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Observation] = []
    observer = Observer(told.append)
    with broker_running(brokers.Memcached) as second:
        listed = parse_memcached_url(f"memcached://{memcached.address},{second.address}")
        back = parse_memcached_url(f"memcached://{second.address},{memcached.address}")
        one, other = [
            Shared(
                [Memcached(address, place, MOST_BYTES, patience.PATIENCE_SECONDS) for place in range(2)],
                JWT_SECRET,
                observer,
            )
            for address in (listed, back)
        ]
        names = [f"part:{number}" for number in range(60)]
        for name in names:
            one.put(name, Kept(1, kept_until(60), name.encode()))
        await asyncio.gather(*one._writes)
        assert (one.kept, one.refused) == (60, 0)
        for shared in (one, other):
            found = [await shared.get(name) for name in names]
            assert [kept and kept.document for kept in found] == [name.encode() for name in names]
        mine, others = [
            {name for name in names if await MemcachedBeside(broker.url).has(f"monohull:cache:{name}")}
            for broker in (memcached, second)
        ]
        assert 10 < len(mine) < 50
        assert others == set(names) - mine
        second.kill()
        found = [await one.get(name) for name in names]
        assert {name for name, kept in zip(names, found, strict=True) if kept} == mine
        second.start()
        assert {name for name in names if await one.get(name)} == mine, "nobody asks it for a while"
        later = monotonic_seconds() + REST_SECONDS
        monkeypatch.setattr("modules.rest.cache.shared.monotonic_seconds", lambda: later)
        assert {name for name in names if await one.get(name)} == mine
        name = next(name for name in names if name not in mine)
        one.put(name, Kept(1, kept_until(60), b"again"))
        await asyncio.gather(*one._writes)
        kept = await one.get(name)
        assert kept is not None
        assert kept.document == b"again"
        assert [type(one) for one in told] == [DependencyLost, DependencyBack]
        await one.close()
        await other.close()
