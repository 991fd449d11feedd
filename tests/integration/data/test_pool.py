"""Waiting, losing and regaining connections, and requests that were left."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from monohull.kernel.database.pool import PROBE_INTERVAL_SECONDS
from monohull.kernel.embedded import EmbeddedPostgres, discard
from monohull.kernel.errors import DatabaseUnavailable, Draining, PoolExhausted
from tests.integration.backends import END_ASLEEP, HELD, WAIT_SECONDS, until_asleep, until_held
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg

    from monohull.kernel.database.data import DataPool

READ = (("role", "anon"), ("transaction_read_only", "on"))
WRITE = (("role", "anon"),)
REFUSAL_SECONDS = 0.05


async def idle(pool: DataPool) -> None:
    await eventually(lambda: not pool.in_use and not pool.waiting)


async def first(pool: DataPool, sql: str, **options: Any) -> bytes | None:
    return (await pool.run(sql, **options)).rows[0][0]


async def answered(pool: DataPool) -> bytes | None:
    with suppress(DatabaseUnavailable):
        return await first(pool, "select 1")
    return None


async def test_connections_are_opened_when_needed(pool: DataPool) -> None:
    assert (pool.opened, pool.in_use, pool.waiting, pool.size) == (1, 0, 0, 2)
    for _ in range(5):
        await pool.run("select 1")
    assert pool.opened_total == 1
    await asyncio.gather(*(pool.run("select pg_sleep(0.02)") for _ in range(8)))
    await eventually(lambda: (pool.opened_total, pool.in_use, pool.waiting) == (2, 0, 0))
    assert pool.waited_total >= 7
    assert pool.waited_seconds_total > 0


async def test_first_come_first_served(single: DataPool) -> None:
    served: list[int] = []

    async def ask(number: int) -> None:
        await single.run("select pg_sleep(0.005)")
        served.append(number)

    await asyncio.gather(*(ask(number) for number in range(20)))
    assert served == list(range(20))


async def test_a_wait_ends_with_503(make_pool: Any, seen: Any) -> None:
    async with make_pool(size=1) as pool:
        wire = await pool.take()
        pool._expiry.cancel()  # it began with the first connection, which may take its time
        pool._expiry, pool.timeout_seconds = None, 0.1
        with pytest.raises(PoolExhausted) as caught:
            await pool.run("select 1")
        assert (caught.value.status, caught.value.headers["Retry-After"]) == (503, "1")
        pool.put(wire)
        assert await first(pool, "select 1") == b"1"
        await idle(pool)
    assert "database.pool_wait_expired" in seen.events


async def test_a_waiter_that_leaves_takes_nothing_along(single: DataPool) -> None:
    slow = asyncio.create_task(single.run("select pg_sleep(0.1)"))
    await asyncio.sleep(0.02)
    waiters = [asyncio.create_task(single.run("select 1")) for _ in range(5)]
    await asyncio.sleep(0)
    for task in waiters[:3]:
        task.cancel()
    await slow
    assert [(await task).tag for task in waiters[3:]] == ["SELECT 1"] * 2
    await idle(single)


async def test_a_waiter_cancelled_in_the_turn_it_is_served(single: DataPool) -> None:
    wire = await single.take()
    waiter = asyncio.create_task(single.take())
    await asyncio.sleep(0)
    single.put(wire)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert single.in_use == 0


async def test_a_cancelled_request_is_cancelled_on_the_server(
    pool: DataPool, admin: asyncpg.Connection[Any]
) -> None:
    task = asyncio.create_task(pool.run("select pg_sleep(600) /* mark */"))
    await until_asleep(admin)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pool.in_use == 1
    await idle(pool)
    running = (
        "select count(*) from pg_stat_activity where state = 'active' and datname = current_database()"
        " and query like '%/* mark */%' and pid <> pg_backend_pid()"
    )
    assert await admin.fetchval(running) == 0
    assert (pool.lost_total, await first(pool, "select 1")) == (0, b"1")


async def test_a_time_limit_around_a_request(pool: DataPool) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await pool.run("select pg_sleep(600)")
    await idle(pool)


async def storm(pool: DataPool, count: int) -> None:
    """``count`` requests of all lengths, cancelled after all sorts of time; some are let through."""

    async def ask(number: int) -> None:
        limit = (number % 13) * 0.0007
        request = pool.run(
            "select $1::int, pg_sleep($2::float8)", [str(number), str((number % 7) * 0.002)], key="s"
        )
        try:
            async with asyncio.timeout(limit):
                rows = await request
        except TimeoutError:
            return
        assert rows.rows[0][0] == str(number).encode()

    for start in range(0, count, 50):
        await asyncio.gather(*(ask(number) for number in range(start, start + 50)))
    await idle(pool)


async def test_the_pool_is_idle_after_many_cancelled_requests(pool: DataPool) -> None:
    await storm(pool, 400)
    assert (pool.in_use, pool.waiting, pool.lost_total) == (0, 0, 0)
    assert [await first(pool, "select $1", args=[str(n)], key="e") for n in range(20)] == [
        str(n).encode() for n in range(20)
    ]


@pytest.mark.slow
async def test_the_pool_is_idle_after_ten_thousand_cancelled_requests(make_pool: Any) -> None:
    async with make_pool(size=4) as pool:
        await storm(pool, 10_000)
        assert (pool.in_use, pool.waiting, pool.lost_total, pool.opened) == (0, 0, 0, 4)


async def test_a_request_left_while_it_was_written_costs_its_connection(single: DataPool) -> None:
    body = b"y" * (64 * 1024 * 1024)
    task = asyncio.create_task(single.run("select length($1)", [body]))
    await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await idle(single)
    assert await first(single, "select 1") == b"1"


async def test_a_backend_that_was_ended_between_requests(
    single: DataPool, admin: asyncpg.Connection[Any]
) -> None:
    for lost, settings in enumerate((READ, WRITE), start=1):
        pid = int(await first(single, "select pg_backend_pid()") or 0)
        assert await admin.fetchval("select pg_terminate_backend($1, 30000)", pid)
        await eventually(lambda: single.lost_total, lost.__eq__)
        assert await first(single, "select pg_backend_pid()", settings=settings) != str(pid).encode()


async def test_a_backend_that_ends_during_a_write(pool: DataPool, admin: asyncpg.Connection[Any]) -> None:
    task = asyncio.create_task(pool.run("insert into plain select 1, pg_sleep(600)::text", settings=WRITE))
    await until_asleep(admin)
    assert await admin.fetchval(END_ASLEEP) == 1
    with pytest.raises(DatabaseUnavailable) as caught:
        await task
    assert caught.value.headers["Retry-After"] == "1"
    assert await first(pool, "select count(*) from plain", settings=WRITE) == b"0"


async def test_a_read_is_repeated_when_its_backend_ends(
    pool: DataPool, admin: asyncpg.Connection[Any]
) -> None:
    sql = f"select 'mine', pg_advisory_xact_lock_shared({HELD})"
    await admin.execute("select pg_advisory_lock($1)", HELD)
    task = asyncio.create_task(pool.run(sql, settings=READ))
    pid = await until_held(admin)
    assert await admin.fetchval("select pg_terminate_backend($1)", pid)
    await until_held(admin, but=pid)
    await admin.execute("select pg_advisory_unlock($1)", HELD)
    assert (await task).rows[0][0] == b"mine"
    await admin.execute("select pg_advisory_lock($1)", HELD)
    task = asyncio.create_task(pool.run(sql, settings=READ))
    for _ in range(2):
        pid = await until_held(admin, but=pid)
        assert await admin.fetchval("select pg_terminate_backend($1)", pid)
    with pytest.raises(DatabaseUnavailable):
        await task


async def test_all_backends_ended_under_load(
    make_pool: Any, admin: asyncpg.Connection[Any], place: Any
) -> None:
    async with make_pool(size=4) as pool:
        stop = asyncio.Event()

        async def load() -> int:
            done = 0
            while not stop.is_set():
                assert await first(pool, "select 1", settings=READ, key="l") == b"1"
                done += 1
            return done

        tasks = [asyncio.create_task(load()) for _ in range(8)]
        for _ in range(5):
            await asyncio.sleep(0.1)
            await admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", place.login
            )
        await asyncio.sleep(0.1)
        stop.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(o, int | DatabaseUnavailable) for o in outcomes)
        assert await eventually(lambda: answered(pool)) == b"1"  # a backend may end later than it was told to
        await idle(pool)


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    state = tmp_path_factory.mktemp("postgres")
    server = EmbeddedPostgres(state, password="own", durable=False)
    server.start()
    yield server
    server.stop()
    discard(state)


async def test_a_server_that_restarts(own_server: EmbeddedPostgres, make_pool: Any, seen: Any) -> None:
    own_server.start()
    async with make_pool(own_server.url, size=3) as pool:
        await asyncio.gather(*(pool.run("select pg_sleep(0.02)") for _ in range(6)))
        running = asyncio.create_task(
            pool.run("select pg_sleep(30)", settings=(("transaction_read_only", "on"),))
        )
        await asyncio.sleep(0.05)
        await asyncio.to_thread(own_server.stop)
        with pytest.raises(DatabaseUnavailable):
            await running
        since = perf_counter()
        outcomes = await asyncio.gather(*(pool.run("select 1") for _ in range(300)), return_exceptions=True)
        assert all(isinstance(outcome, DatabaseUnavailable) for outcome in outcomes)
        assert perf_counter() - since < WAIT_SECONDS / 2, "they wait for no connection"
        with pytest.raises(DatabaseUnavailable):
            await pool.run("select 1")
        assert (pool.opened, pool.in_use, pool.waiting) == (0, 0, 0)
        await asyncio.to_thread(own_server.start)
        assert await eventually(lambda: answered(pool)) == b"1"
        await asyncio.gather(*(pool.run("select pg_sleep(0.02)") for _ in range(6)))
        await eventually(lambda: pool.opened == 3)
    assert [event for event in seen.events if event.startswith("dependency")] == [
        "dependency.lost",
        "dependency.back",
    ]


async def test_a_server_that_is_killed(own_server: EmbeddedPostgres, make_pool: Any) -> None:
    own_server.start()
    async with make_pool(own_server.url) as pool:
        running = [asyncio.create_task(pool.run("select pg_sleep(30)")) for _ in range(2)]
        await asyncio.sleep(0.1)
        await asyncio.to_thread(own_server.kill)
        outcomes = await asyncio.gather(*running, return_exceptions=True)
        assert all(isinstance(outcome, DatabaseUnavailable) for outcome in outcomes)
        await asyncio.to_thread(own_server.start)
        await asyncio.sleep(0.2)
        assert await first(pool, "select 1") == b"1"


async def test_while_the_server_is_away_one_request_probes(make_pool: Any) -> None:
    attempts = 0

    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        await asyncio.sleep(REFUSAL_SECONDS)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, make_pool(f"postgresql://x:y@127.0.0.1:{port}/z?sslmode=disable", size=10) as pool:
        before, began = attempts, perf_counter()
        refused = 0
        while perf_counter() < began + 0.6 or refused <= 1000:
            outcomes = await asyncio.gather(
                *(pool.run("select 1") for _ in range(50)), return_exceptions=True
            )
            assert all(isinstance(outcome, DatabaseUnavailable) for outcome in outcomes)
            refused += len(outcomes)
            await asyncio.sleep(0.005)
        lasted = perf_counter() - began
        assert attempts - before <= 2 + lasted / (PROBE_INTERVAL_SECONDS + REFUSAL_SECONDS)


async def test_a_server_that_says_nothing_is_given_up(
    make_pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monohull.kernel.database.dial.CONNECT_TIMEOUT_SECONDS", 0.2)
    hanging: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: hanging.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    since = perf_counter()
    async with server, make_pool(f"postgresql://x:y@127.0.0.1:{port}/z?sslmode=disable") as pool:
        assert perf_counter() - since < WAIT_SECONDS / 2
        assert pool.opened == 0
    for writer in hanging:
        writer.close()


async def test_more_connections_than_the_server_gives(
    make_pool: Any, admin: asyncpg.Connection[Any], place: Any
) -> None:
    others = "select count(*) from pg_stat_activity where usename = $1"
    await eventually(lambda: admin.fetchval(others, place.login), lambda count: count == 0)
    await admin.execute(f"alter role {place.login} connection limit 2")
    await admin.execute("select pg_advisory_lock($1)", HELD)
    try:
        async with make_pool(size=6) as pool:
            sql = f"select pg_advisory_xact_lock_shared({HELD})"
            requests = [asyncio.create_task(pool.run(sql)) for _ in range(12)]
            await eventually(lambda: pool.opened == 2)
            await admin.execute("select pg_advisory_unlock($1)", HELD)
            assert len(await asyncio.gather(*requests)) == 12
            assert pool.opened == 2
    finally:
        await admin.execute(f"alter role {place.login} connection limit -1")


async def test_a_connection_that_ends_as_it_is_made_takes_no_place(
    single: DataPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = single._dial

    async def dial_and_lose(url: str) -> Any:
        wire = await real(url)
        wire.abort("gone")
        await asyncio.sleep(0.01)
        return wire

    monkeypatch.setattr(single, "_dial", dial_and_lose)
    (await single.take()).abort("make room")
    await asyncio.sleep(0.01)
    with pytest.raises(DatabaseUnavailable):
        await single.run("select 1")
    assert single.opened == 0
    monkeypatch.undo()
    await asyncio.sleep(0.15)
    assert await first(single, "select 1") == b"1"


async def test_old_connections_are_replaced(single: DataPool, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await first(single, "select pg_backend_pid()")
    monkeypatch.setattr("monohull.kernel.database.pool.MAX_AGE_SECONDS", 0.0)
    await single.run("select 1")
    assert await first(single, "select pg_backend_pid()") != before
    assert single.lost_total == 0


async def test_a_closing_pool_finishes_what_it_took(make_pool: Any) -> None:
    async with make_pool(size=1) as pool:
        running = [asyncio.create_task(pool.run("select pg_sleep(0.05)")) for _ in range(3)]
        await asyncio.sleep(0.01)
        closing = asyncio.create_task(pool.close(PATIENCE_SECONDS))
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            await pool.run("select 1")
        assert [(await task).tag for task in running] == ["SELECT 1"] * 3
        await closing
        assert (pool.opened, pool.in_use) == (0, 0)


async def test_a_closing_pool_does_not_wait_for_ever(make_pool: Any, admin: asyncpg.Connection[Any]) -> None:
    async with make_pool(size=1) as pool:
        running = [asyncio.create_task(pool.run("select pg_sleep(600) /* stuck */")) for _ in range(2)]
        await until_asleep(admin)
        since = perf_counter()
        await pool.close(0.1)
        assert perf_counter() - since < 300, "half of what the request sleeps"
        outcomes = await asyncio.gather(*running, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [DatabaseUnavailable, Draining]
    await admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where query like '%/* stuck */%' and datname = current_database() and pid <> pg_backend_pid()"
    )


async def test_nothing_is_left_for_the_collector(make_pool: Any) -> None:
    async with make_pool(size=3) as pool:
        await asyncio.gather(*(pool.run("select pg_sleep(0.01)") for _ in range(6)))
        gc.collect()
        assert await first(pool, "select 1") == b"1"
    gc.collect()
