"""Notifications, also after the connection was lost."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from monohull.kernel.database.listen import Listener
from monohull.kernel.observation import Observer
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import asyncpg


@pytest.fixture
async def heard(place: Any, admin: object, seen: Any) -> AsyncIterator[asyncio.Queue[tuple[str, str | None]]]:
    del admin
    queue: asyncio.Queue[tuple[str, str | None]] = asyncio.Queue()

    def put(channel: str) -> Callable[[str | None], None]:
        return lambda payload: queue.put_nowait((channel, payload))

    listener = Listener(
        place.login_url,
        {channel: put(channel) for channel in ("pgrst", "Other Channel")},
        application_name="data-listener",
        observer=Observer(seen.observations.append),
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(listener.running())
        async with asyncio.timeout(PATIENCE_SECONDS):
            await listener.wait_connected()
        assert listener.is_connected
        yield queue
    assert not listener.is_connected


async def get(queue: asyncio.Queue[Any]) -> Any:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await queue.get()


async def test_each_channel_has_its_callback(
    admin: asyncpg.Connection[Any], heard: asyncio.Queue[Any]
) -> None:
    await admin.execute("notify pgrst, 'reload schema'")
    assert await get(heard) == ("pgrst", "reload schema")
    await admin.execute('notify "Other Channel"; notify unheard')
    assert await get(heard) == ("Other Channel", "")
    assert heard.empty()


async def test_after_a_gap_everybody_is_told(
    admin: asyncpg.Connection[Any], heard: asyncio.Queue[Any], seen: Any
) -> None:
    for _ in range(2):
        await admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'data-listener'"
            " and datname = current_database()"
        )
        assert {await get(heard), await get(heard)} == {("pgrst", None), ("Other Channel", None)}
        await admin.execute("notify pgrst, 'reload config'")
        assert await get(heard) == ("pgrst", "reload config")
    assert seen.events == ["dependency.lost", "dependency.back"] * 2


async def test_a_connection_that_died_quietly_is_noticed(
    monkeypatch: pytest.MonkeyPatch, admin: asyncpg.Connection[Any], heard: asyncio.Queue[Any], place: Any
) -> None:
    monkeypatch.setattr("monohull.kernel.database.listen.PING_SECONDS", 0.02)
    async with Listener(place.login_url, {"pgrst": lambda _: None}).running() as listener:
        await listener.wait_connected()
        await asyncio.sleep(0.1)
        assert listener.is_connected
    await admin.execute("notify pgrst, 'x'")
    assert await get(heard) == ("pgrst", "x")


async def test_a_server_that_is_away_is_asked_again(seen: Any) -> None:
    listener = Listener(
        "postgresql://x:y@127.0.0.1:9/z",
        {"pgrst": lambda _: None},
        observer=Observer(seen.observations.append),
    )
    async with listener.running():
        await eventually(lambda: seen.events)
        await asyncio.sleep(0.25)
        assert not listener.is_connected
    assert seen.events == ["dependency.lost"]


async def test_the_connection_is_lent_between_notifications(
    admin: asyncpg.Connection[Any], place: Any
) -> None:
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    listener = Listener(place.login_url, {"pgrst": heard.put_nowait})
    async with listener.lent() as nobody:
        assert nobody is None
    async with listener.running():
        await listener.wait_connected()
        async with listener.lent() as first:
            assert first is not None
            async with first.transaction():
                pid = await first.fetchval("select pg_backend_pid()")
                await admin.execute("notify pgrst, 'meanwhile'")
                assert await first.fetchval("select 1") == 1
                assert heard.empty()
        assert await get(heard) == "meanwhile"
        async with listener.lent() as second:
            assert second is first
            assert await second.fetchval("select pg_backend_pid()") == pid
        await admin.execute("notify pgrst, 'afterwards'")
        assert await get(heard) == "afterwards"


async def test_a_host_that_vanishes_is_noticed_while_it_is_lent(admin: object, place: Any) -> None:
    del admin
    async with Listener(place.login_url, {}).running() as listener:
        await listener.wait_connected()
        async with listener.lent() as lent:
            assert lent is not None
            endpoint = lent._transport.get_extra_info("socket")
            assert endpoint.family == socket.AF_INET
            assert endpoint.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert endpoint.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15
            assert endpoint.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


async def test_nothing_is_pinged_while_the_connection_is_lent(
    monkeypatch: pytest.MonkeyPatch, admin: object, place: Any, seen: Any
) -> None:
    del admin
    monkeypatch.setattr("monohull.kernel.database.listen.PING_SECONDS", 0.02)
    listener = Listener(place.login_url, {}, observer=Observer(seen.observations.append))
    async with listener.running():
        await listener.wait_connected()
        async with listener.lent() as lent:
            assert lent is not None
            await lent.execute("select pg_sleep(0.2)")
        await asyncio.sleep(0.1)
        assert listener.is_connected
    assert seen.events == []


async def test_a_connection_that_does_not_answer_is_not_lent(
    admin: asyncpg.Connection[Any], place: Any
) -> None:
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    listener = Listener(place.login_url, {"pgrst": heard.put_nowait}, application_name="data-lender")
    async with listener.running():
        await listener.wait_connected()
        await admin.execute(
            "select pg_terminate_backend(pid, 60000) from pg_stat_activity"
            " where application_name = 'data-lender' and datname = current_database()"
        )
        async with listener.lent() as lent:
            assert lent is None
        assert await get(heard) is None
        async with listener.lent() as again:
            assert again is not None


async def test_a_connection_that_answers_late_is_given_up(
    monkeypatch: pytest.MonkeyPatch, admin: asyncpg.Connection[Any], place: Any
) -> None:
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    listener = Listener(place.login_url, {"pgrst": heard.put_nowait}, application_name="data-late")
    async with listener.running():
        await listener.wait_connected()
        pid = await admin.fetchval(
            "select pid from pg_stat_activity"
            " where application_name = 'data-late' and datname = current_database()"
        )
        os.kill(pid, signal.SIGSTOP)
        try:
            with monkeypatch.context() as patch:
                patch.setattr("monohull.kernel.database.listen.LEND_SECONDS", 0.05)
                async with listener.lent() as lent:
                    assert lent is None
            assert await get(heard) is None
        finally:
            os.kill(pid, signal.SIGCONT)
        async with listener.lent() as again:
            assert again is not None
