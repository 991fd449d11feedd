"""Large answers that are handed out while they come: pace, slow clients, and whatever can go wrong."""

from __future__ import annotations

import asyncio
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from monohull.kernel.database import stream
from monohull.kernel.database.data import DataPool, PostgresError, ResultExceedsCeiling, Rows, Statement
from monohull.kernel.database.exchange import ConnectionLost
from monohull.kernel.database.frames import LARGE_BYTES
from monohull.kernel.database.stream import (
    HEAD_BYTES,
    READ_AHEAD_BYTES,
    AnswerBrokenOff,
    TakenTooSlowly,
    ValueStream,
)
from tests.integration.data.test_sharing import at_rest, loads, settings, warm
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg

MIB: Final = 1024 * 1024
SIZE: Final = 24 * MIB
"""More than the read-ahead and all buffers of sockets on the way."""

LETTERS: Final = (
    "select 'first', null, substr(repeat('abcdefghijklmnopqrstuvwxyz', $1::int / 26 + 1), 1, $1::int)"
)
EXPECTED: Final = (b"abcdefghijklmnopqrstuvwxyz" * (SIZE // 26 + 1))[:SIZE]
ACTIVE: Final = (
    "select wait_event from pg_stat_activity"
    " where state = 'active' and application_name = 'monohull' and pid <> pg_backend_pid()"
    " and datname = current_database()"
)
END_ALL: Final = ACTIVE.replace("wait_event", "count(pg_terminate_backend(pid))")


@pytest.fixture(autouse=True)
def _patient_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no client be a slow one, unless its test says so: the machine may stall between any two lines."""
    monkeypatch.setattr(stream, "HOLD_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(stream, "HURRY_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(stream, "GRACE_SECONDS", 2 * PATIENCE_SECONDS)


async def ask(pool: DataPool, size: int = SIZE, **options: Any) -> Rows:
    options = {"settings": settings("ann"), **options}
    statements = (Statement(LETTERS, (str(size),), "letters"),)
    return (await pool.run_batch(statements, streams=True, **options))[-1]


async def start(pool: DataPool, **options: Any) -> ValueStream:
    rows = await ask(pool, **options)
    assert rows.rows == [(b"first", None)]
    assert rows.rest is not None
    return rows.rest


async def take(rest: ValueStream) -> bytes:
    return b"".join([piece async for piece in rest])


async def take_into(taken: list[bytes], rest: ValueStream) -> None:
    async for piece in rest:
        taken.append(piece)  # noqa: PERF401 what came before an error counts


async def until(connection: asyncpg.Connection[Any], wanted: list[str | None]) -> None:
    """Wait until the pool's backends that work wait for ``wanted``."""
    await eventually(lambda: connection.fetch(ACTIVE), lambda found: [row[0] for row in found] == wanted)


async def test_it_comes_in_pieces(pool: DataPool) -> None:
    for _ in range(3):
        rest = await start(pool)
        assert (len(rest), pool.in_use) == (SIZE, 1)
        pieces = [piece async for piece in rest]
        assert b"".join(pieces) == EXPECTED
        assert max(map(len, pieces)) < MIB
        await at_rest(pool)
    assert (pool.opened_total, await ask(pool, 3)) == (
        1,
        Rows(("?column?", "?column?", "substr"), [(b"first", None, b"abc")], "SELECT 1"),
    )


@pytest.mark.parametrize("size", [LARGE_BYTES - 100, LARGE_BYTES + 100, READ_AHEAD_BYTES + 5])
async def test_what_is_read_ahead_holds_no_connection(pool: DataPool, size: int) -> None:
    rows = await ask(pool, size)
    if size > LARGE_BYTES:
        assert rows.rest is not None
        await at_rest(pool)
        assert await take(rows.rest) == EXPECTED[:size]
    else:
        assert (rows.rest, len(rows.rows[0][-1] or b"")) == (None, size)


@pytest.mark.parametrize(
    "options",
    [
        {"settings": settings("ann", read_only=False)},
        {"commit": False},
        {"isolation": "serializable"},
        {"settings": ()},
    ],
)
async def test_what_the_end_of_the_transaction_decides_on_is_whole(
    pool: DataPool, options: dict[str, Any]
) -> None:
    rows = await ask(pool, **options)
    assert (rows.rest, rows.rows) == (None, [(b"first", None, EXPECTED)])
    await at_rest(pool)


async def test_so_is_what_nobody_asked_for_in_pieces(pool: DataPool) -> None:
    rows = await pool.run(LETTERS, (str(SIZE),), settings=settings("ann"))
    assert (rows.rest, rows.rows) == (None, [(b"first", None, EXPECTED)])


@pytest.mark.parametrize(
    ("sql", "sizes"),
    [
        ("select repeat('a', 3000000), repeat('b', 10)", [3_000_000, 10]),
        ("select repeat('a', 3000000), null", [3_000_000, None]),
        (f"select repeat('a', {HEAD_BYTES}), repeat('b', 3000000)", [HEAD_BYTES, 3_000_000]),
    ],
)
async def test_so_is_a_row_whose_other_values_are_large(
    pool: DataPool, sql: str, sizes: list[int | None]
) -> None:
    [rows] = await pool.run_batch((Statement(sql),), settings=settings("ann"), streams=True)
    assert rows.rest is None
    assert [value and len(value) for value in rows.rows[0]] == sizes


async def test_only_the_last_statement_comes_in_pieces(pool: DataPool) -> None:
    statements = [Statement("select repeat('b', 2000000)"), Statement(LETTERS, (str(SIZE),))]
    for isolation in (None, "repeatable read"):
        before, rows = await pool.run_batch(
            statements,
            settings=settings("ann"),
            streams=True,
            isolation=isolation,
        )
        assert before.rows == [(b"b" * 2_000_000,)]
        assert rows.rest is not None
        assert await take(rows.rest) == EXPECTED
        await at_rest(pool)


async def test_the_server_waits_for_the_client(pool: DataPool, admin: asyncpg.Connection[Any]) -> None:
    rest = await start(pool)
    await until(admin, ["ClientWrite"])
    assert rest._held < READ_AHEAD_BYTES + MIB
    assert await take(rest) == EXPECTED
    await at_rest(pool)


async def test_the_time_limit_of_the_statement_is_for_the_statement(pool: DataPool) -> None:
    limited = (*settings("ann"), ("statement_timeout", "1500"))

    async def started() -> ValueStream | None:
        try:
            return await start(pool, settings=limited)
        except PostgresError as error:  # the machine stalled for so long while it was run
            assert error.sqlstate == "57014"  # noqa: PT017 any other is a finding
            return None

    rest = await eventually(started)
    assert rest is not None
    await asyncio.sleep(1.7)
    assert await take(rest) == EXPECTED
    await at_rest(pool)
    with pytest.raises(PostgresError, match="57014"):
        await pool.run("select pg_sleep(600)", settings=limited)


async def test_a_slow_client_leaves_the_connection_to_others(
    single: DataPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HOLD_SECONDS", 0.2)
    rest = await start(single)
    taken = [await anext(rest) for _ in range(3)]
    await at_rest(single)
    left = SIZE - sum(map(len, taken))
    assert left <= single._spools.used_bytes <= SIZE, "what was left when it was found to be slow"
    assert (await single.run("select 1")).rows == [(b"1",)]
    assert rest._held < READ_AHEAD_BYTES + MIB
    async for piece in rest:
        taken.append(piece)
        await asyncio.sleep(0.001)
    assert b"".join(taken) == EXPECTED
    assert (single._spools.used_bytes, single.opened_total) == (0, 1)


async def test_a_client_that_becomes_slow_and_quick_again(
    single: DataPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HOLD_SECONDS", 0.0)
    for delay in (0.0, 0.002, 0.01):
        rest = await start(single)
        taken = []
        async for piece in rest:
            taken.append(piece)
            await asyncio.sleep(delay if len(taken) < 30 else 0)
        assert b"".join(taken) == EXPECTED
        await at_rest(single)
    assert single._spools.used_bytes == 0


@contextmanager
def no_large_files(limit: int) -> Iterator[None]:
    """Have every write beyond ``limit`` bytes of a file fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("lack", ["room", "disk"])
async def test_without_room_for_the_rest_the_slow_client_is_broken_off(single: DataPool, lack: str) -> None:
    if lack == "room":
        single._spools.limit_bytes = SIZE // 2
    with no_large_files(5 * MIB):
        rest = await start(single)
        first = await anext(rest)
        rest._stop_holding()
        await at_rest(single)
    assert EXPECTED.startswith(first)
    with pytest.raises(AnswerBrokenOff) as caught:
        await take(rest)
    assert isinstance(caught.value.__cause__, TakenTooSlowly)
    assert f"broken off after {len(first)} of {SIZE} bytes: the client is slow" in caught.value.message
    assert (single._spools.used_bytes, single.lost_total) == (0, 0)


async def test_a_client_that_takes_for_ever_is_broken_off(
    single: DataPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HOLD_SECONDS", 0.1)
    monkeypatch.setattr(stream, "GRACE_SECONDS", 0.4)
    monkeypatch.setattr(stream, "SLOWEST_BYTES_PER_SECOND", 1000 * MIB)
    rest = await start(single)
    await at_rest(single)
    await asyncio.sleep(0.5)
    with pytest.raises(AnswerBrokenOff, match="too slow"):
        await take(rest)
    assert single._spools.used_bytes == 0


@pytest.mark.parametrize("spooled", [False, True])
async def test_a_client_that_leaves(
    single: DataPool, admin: asyncpg.Connection[Any], monkeypatch: pytest.MonkeyPatch, spooled: bool
) -> None:
    monkeypatch.setattr(stream, "HOLD_SECONDS", 0.0 if spooled else 60.0)
    for count in (0, 1, 5, 40):
        rest = await start(single)
        for _ in range(count):
            await anext(rest)
        rest.close()
        assert [piece async for piece in rest] == []
        await at_rest(single)
        await until(admin, [])
    assert (single.lost_total, single.opened_total, single._spools.used_bytes) == (0, 1, 0)


async def test_one_that_leaves_at_any_moment(make_pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HOLD_SECONDS", 0.02)

    async def ask_for(pool: DataPool, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            rest = await start(pool)
            try:
                async for _ in rest:
                    await asyncio.sleep(seconds / 100)
            finally:
                rest.close()

    async with make_pool(size=3) as pool:
        tasks = (ask_for(pool, (number % 17) * 0.004) for number in range(150))
        await asyncio.gather(*tasks, return_exceptions=True)
        await at_rest(pool)
        assert pool._spools.used_bytes == 0
        assert await take(await start(pool)) == EXPECTED


async def test_one_that_leaves_in_the_turn_it_is_answered(single: DataPool) -> None:
    task = asyncio.create_task(ask(single))
    [wire] = single._wires
    async with asyncio.timeout(PATIENCE_SECONDS):
        while wire._exchange is None or wire._exchange.body is None:
            await asyncio.sleep(0)
            if task.done():
                pytest.fail("too late")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await at_rest(single)
    assert (single.lost_total, await take(await start(single))) == (0, EXPECTED)


async def test_a_backend_that_ends_meanwhile(single: DataPool, admin: asyncpg.Connection[Any]) -> None:
    rest = await start(single)
    taken = [await anext(rest)]
    await until(admin, ["ClientWrite"])
    assert await admin.fetchval(END_ALL) == 1
    with pytest.raises(AnswerBrokenOff) as caught:
        await take_into(taken, rest)
    assert isinstance(caught.value.__cause__, ConnectionLost)
    assert len(b"".join(taken)) < SIZE
    assert await take(await start(single)) == EXPECTED
    assert single.lost_total == 1


async def test_a_process_that_stops_meanwhile(make_pool: Any) -> None:
    async with make_pool(size=1) as pool:
        rest = await start(pool)
        await anext(rest)
    with pytest.raises(AnswerBrokenOff, match="the process stops"):
        await take(rest)


async def test_the_last_piece_waits_for_the_end_of_the_transaction(single: DataPool) -> None:
    """A read only transaction may write to temporary tables, and fail at its end because of that."""
    anon = (("role", "anon"),)
    await single.run("create temp table twice (id int unique deferrable initially deferred)", settings=anon)
    insert = "with w as (insert into twice values (1), (1) returning 1)"
    sql = f"{insert} select count(*), repeat('x', {SIZE}) from w"
    options: dict[str, Any] = {"settings": (*anon, ("transaction_read_only", "on")), "streams": True}
    [rows] = await single.run_batch((Statement(sql),), **options)
    assert rows.rows == [(b"2",)]
    assert rows.rest is not None
    taken: list[bytes] = []
    with pytest.raises(AnswerBrokenOff) as caught:
        await take_into(taken, rows.rest)
    assert isinstance(caught.value.__cause__, PostgresError)
    assert caught.value.__cause__.sqlstate == "23505"
    assert 0 < len(b"".join(taken)) < SIZE
    await at_rest(single)
    assert (await single.run("select count(*) from twice", settings=anon)).rows == [(b"0",)]


async def test_a_ceiling_on_the_result(make_pool: Any) -> None:
    async with make_pool(size=1, max_result_bytes=SIZE) as pool:
        with pytest.raises(ResultExceedsCeiling, match=f"more than {SIZE} bytes"):
            await ask(pool, SIZE)
        await at_rest(pool)
        assert await take(await start(pool, size=SIZE - 100)) == EXPECTED[:-100]
        assert (pool.opened_total, pool.lost_total) == (1, 0)


SHORT: Final = "select repeat($1, $2::int)"


async def ask_short(pool: DataPool, letter: str, size: int) -> Rows:
    statement = Statement(SHORT, (letter, str(size)), f"{SHORT}.False")
    return (await pool.run_batch((statement,), settings=settings("ann"), streams=True))[0]


async def test_nobody_is_sent_behind_it(single: DataPool) -> None:
    await warm(single, SHORT, "x", "1")
    rows = await ask_short(single, "x", SIZE)
    assert rows.rest is not None
    others = [asyncio.create_task(ask_short(single, letter, 3)) for letter in "abc"]
    await asyncio.sleep(0.1)
    assert (loads(single), single.waiting) == ([1], 3)
    rows.rest.close()
    assert [(await other).rows for other in others] == [[(letter * 3,)] for letter in (b"a", b"b", b"c")]
    await at_rest(single)
    assert not single.is_short(f"{SHORT}.False")


async def test_whoever_is_behind_already_does_not_wait_for_a_client(single: DataPool) -> None:
    await warm(single, SHORT, "x", "1")
    tasks = [asyncio.create_task(ask_short(single, "xabc"[n], 3 if n else SIZE)) for n in range(4)]
    await asyncio.sleep(0)
    assert loads(single) == [4]
    large, *others = await asyncio.gather(*tasks)
    assert (large.rest, large.rows) == (None, [(b"x" * SIZE,)])
    assert [other.rows for other in others] == [[(letter * 3,)] for letter in (b"a", b"b", b"c")]
    assert not single.is_short(f"{SHORT}.False")
    await at_rest(single)
