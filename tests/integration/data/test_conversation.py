"""One transaction over several round trips: what holds between them, and how it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from monohull.kernel.database.data import AS_LOGIN, PostgresError, Statement
from monohull.kernel.errors import DatabaseUnavailable
from tests.patience import eventually

if TYPE_CHECKING:
    import asyncpg

    from monohull.kernel.database.data import DataPool

AS_ANON = (("role", "anon"),)


def said(sql: str, *args: str) -> tuple[Statement]:
    return (Statement(sql, args, sql),)


async def one(source: Any, sql: str, *args: str, **options: Any) -> bytes | None:
    [rows] = await source.run_batch(said(sql, *args), **options)
    value: bytes | None = rows.rows[0][0]
    return value


async def idle(pool: DataPool) -> None:
    await eventually(lambda: not pool.in_use)


@pytest.fixture
async def single(single: DataPool, admin: asyncpg.Connection[Any]) -> DataPool:
    await admin.execute("drop table if exists said; create table said (id int primary key)")
    await admin.execute("grant all on said to public")
    return single


async def test_its_steps_are_one_transaction(single: DataPool) -> None:
    async with single.conversation() as talk:
        began = await one(talk, "select pg_current_xact_id()::text", settings=AS_LOGIN)
        assert await one(talk, "select current_user", settings=AS_ANON) == b"anon"
        assert await one(talk, "select current_user") == b"anon"
        await talk.run_batch(said("insert into said values ($1)", "1"))
        assert await one(talk, "select current_user = session_user", settings=AS_LOGIN) == b"t"
        [rows] = await talk.finish(said("select pg_current_xact_id()::text"))
        assert rows.rows[0][0] == began
    assert single.in_use == 0
    assert await one(single, "select count(*) from said") == b"1"
    assert await one(single, "select current_user = session_user") == b"t"


async def test_without_an_end_nothing_of_it_took_effect(single: DataPool) -> None:
    async with single.conversation() as talk:
        await talk.run_batch(said("insert into said values (1)"), settings=AS_ANON)
    assert await one(single, "select count(*) from said") == b"0"
    await idle(single)
    assert single.opened_total == 1


async def insert_twice(pool: DataPool) -> None:
    async with pool.conversation() as talk:
        await talk.run_batch(said("insert into said values (1)"), settings=AS_ANON)
        await talk.run_batch(said("insert into said values (1)"))


async def test_an_error_ends_it(single: DataPool) -> None:
    with pytest.raises(PostgresError) as caught:
        await insert_twice(single)
    assert caught.value.sqlstate == "23505"
    assert single.in_use == 0
    assert await one(single, "select count(*) from said") == b"0"
    assert single.opened_total == 1


async def insert_and_fail(pool: DataPool) -> None:
    async with pool.conversation() as talk:
        await talk.run_batch(said("insert into said values (1)"), settings=AS_ANON)
        raise ZeroDivisionError


async def test_an_error_of_its_user_ends_it(single: DataPool) -> None:
    with pytest.raises(ZeroDivisionError):
        await insert_and_fail(single)
    await idle(single)
    assert await one(single, "select count(*) from said") == b"0"
    assert single.opened_total == 1


async def test_a_wish_to_roll_back_holds_to_the_end(single: DataPool) -> None:
    async with single.conversation() as talk:
        await talk.run_batch(said("insert into said values (1)"), settings=AS_ANON, commit=False)
        assert await one(talk, "select count(*) from said") == b"1"
        assert not talk.commits
        await talk.finish()
    assert await one(single, "select count(*) from said") == b"0"


async def test_its_isolation(single: DataPool) -> None:
    async with single.conversation(isolation="serializable") as talk:
        assert await one(talk, "select current_setting('transaction_isolation')") == b"serializable"
        await talk.finish()


async def test_one_that_is_left_while_it_asks(single: DataPool) -> None:
    async def ask() -> None:
        async with single.conversation() as talk:
            await talk.run_batch(said("insert into said values (1)"), settings=AS_ANON)
            await talk.run_batch(said("select pg_sleep(600)"))

    task = asyncio.create_task(ask())
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await idle(single)
    assert await one(single, "select count(*) from said") == b"0"
    assert single.opened_total == 1


@pytest.mark.parametrize("turns", range(6))
async def test_one_that_is_left_in_any_turn(single: DataPool, turns: int) -> None:
    async def ask() -> None:
        async with single.conversation() as talk:
            await talk.run_batch(said("insert into said values (1)"), settings=AS_ANON)
            await asyncio.sleep(30)

    task = asyncio.create_task(ask())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await idle(single)
    assert await one(single, "select count(*) from said") == b"0"


async def test_one_whose_connection_ends(single: DataPool, admin: asyncpg.Connection[Any]) -> None:
    async with single.conversation() as talk:
        pid = await one(talk, "select pg_backend_pid()")
        assert pid is not None
        await talk.run_batch(said("insert into said values (1)"), settings=AS_ANON)
        await admin.fetchval("select pg_terminate_backend($1, 60000)", int(pid))
        with pytest.raises(DatabaseUnavailable):
            await talk.finish()
    assert await one(single, "select count(*) from said") == b"0"


async def test_what_it_knows_is_parsed_again_when_the_server_forgot(single: DataPool) -> None:
    for _ in range(2):
        async with single.conversation() as talk:
            await one(talk, "select 1", settings=AS_ANON)
            await talk.finish()
    await single.run("discard plans", key="discard plans")
    await single.run("deallocate all")
    async with single.conversation() as talk:
        assert await one(talk, "select 1", settings=AS_ANON) == b"1"
        await talk.finish()


async def test_nobody_shares_its_connection(single: DataPool) -> None:
    read = (("role", "anon"), ("transaction_read_only", "on"))
    for _ in range(3):
        await single.run("select 2", settings=read, key="two")
    async with single.conversation() as talk:
        await one(talk, "select 1")
        other = asyncio.create_task(single.run("select 2", settings=read, key="two"))
        await asyncio.sleep(0.05)
        assert not other.done()
        assert single.waiting == 1
        await talk.finish()
    assert (await other).rows == [(b"2",)]
