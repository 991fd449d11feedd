"""The owner's connections: commit at the edge, and a server that is away is a 503 with a reason."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from monohull.kernel.database.engine import Database
from monohull.kernel.database.session import AfterCommitFailed, after_commit
from monohull.kernel.errors import DatabaseUnavailable, PoolExhausted, Unavailable
from monohull.kernel.home import with_login
from monohull.kernel.observation import Observation, Observer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def database(empty_url: str) -> AsyncIterator[Database]:
    database = Database(empty_url, pool_size=1, timeout_seconds=0.3)
    async with database.running():
        async with database.connection() as connection:
            await connection.execute("create table t (id int primary key)")
        yield database


async def count(database: Database) -> int:
    async with database.connection() as connection:
        found: int = await connection.fetchval("select count(*) from t")
        return found


async def test_work_is_committed_when_the_block_ends(database: Database) -> None:
    async with database.unit_of_work() as session:
        await session.execute(text("insert into t values (1)"))
        assert await count(database) == 0
    assert await count(database) == 1


async def test_work_is_rolled_back_when_the_block_raises(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 the block is what is tested
        async with database.unit_of_work() as session:
            await session.execute(text("insert into t values (1)"))
            raise ZeroDivisionError
    assert await count(database) == 0


async def test_what_happens_after_a_commit(database: Database) -> None:
    heard: list[int] = []

    async def listen() -> None:
        heard.append(await count(database))

    async with database.unit_of_work() as session:
        after_commit(session, listen)
        after_commit(session, listen)
        await session.execute(text("insert into t values (1)"))
    assert heard == [1]
    with pytest.raises(IntegrityError):  # noqa: PT012 the block is what is tested
        async with database.unit_of_work() as session:
            after_commit(session, listen)
            await session.execute(text("insert into t values (1)"))
    assert heard == [1]


async def test_what_fails_after_a_commit_is_observed(empty_url: str) -> None:
    seen: list[Observation] = []
    database = Database(empty_url, observer=Observer(seen.append))

    async def fail() -> None:
        raise RuntimeError("no relay")

    async with database.running(), database.unit_of_work() as session:
        after_commit(session, fail)
        await session.execute(text("select 1"))
    (found,) = seen
    assert isinstance(found, AfterCommitFailed)
    assert found.callback.endswith("fail")
    assert found.error == "RuntimeError: no relay"


async def test_statements_that_are_wrong_stay_what_they_are(database: Database) -> None:
    with pytest.raises(ProgrammingError, match="nonsense"):
        async with database.unit_of_work() as session:
            await session.execute(text("select nonsense"))
    with pytest.raises(asyncpg.UndefinedColumnError):
        async with database.connection() as connection:
            await connection.execute("select nonsense")


async def test_the_session_names_itself(empty_url: str) -> None:
    for url, name in ((empty_url, "monohull-test"), (f"{empty_url}?application_name=shop", "shop")):
        database = Database(url, application_name="monohull-test")
        async with database.running(), database.connected() as connection:
            found = await connection.exec_driver_sql("select current_setting('application_name')")
            assert found.scalar_one() == name


async def test_a_busy_pool(database: Database) -> None:
    async with database.connected(), database.connected():
        with pytest.raises(PoolExhausted) as caught:
            async with database.connected():
                raise AssertionError("unreachable")
    assert caught.value.status == 503
    assert caught.value.headers["Retry-After"] == "1"


async def test_reasons_name_the_address_and_never_the_password(empty_url: str, tmp_path: Path) -> None:
    port = urlsplit(empty_url).port
    cases = {
        with_login(empty_url, "monohull", "wr0ng"): "password authentication failed",
        urlsplit(empty_url)._replace(path="/nowhere").geturl(): 'database "nowhere" does not exist',
        f"{empty_url}?sslmode=require": "rejected SSL upgrade",
        "postgresql://me:wr0ng@127.0.0.1:1/d": "connection refused; is PostgreSQL running there?",
        f"postgresql://me:wr0ng@/d?host={tmp_path}": "No such file or directory",
    }
    for url, says in cases.items():
        database = Database(url)
        with pytest.raises(DatabaseUnavailable) as caught:
            await database.open()
        await database.close()
        problem = caught.value
        assert says in problem.message
        assert database.address in problem.message
        assert "wr0ng" not in f"{problem.message}{problem.details}{problem.hint}"
        assert (problem.status, problem.headers["Retry-After"]) == (503, "2")
    assert f"127.0.0.1:{port}" in Database(empty_url).address


async def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        database = Database(f"postgresql://me@127.0.0.1:{port}/d?connect_timeout=1")
        with pytest.raises(DatabaseUnavailable, match="no answer within 1 s"):
            await database.open()


async def end_others(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "select pg_terminate_backend(pid, 60000) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )


async def test_connections_that_were_ended_are_replaced(database: Database) -> None:
    await database.open()
    await end_others(database)
    await database.open()


async def test_a_connection_lost_in_the_middle(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable):  # noqa: PT012 the block is what is tested
        async with database.unit_of_work() as session:
            await session.execute(text("insert into t values (1)"))
            await end_others(database)
            await session.execute(text("insert into t values (2)"))
    with pytest.raises(DatabaseUnavailable):  # noqa: PT012 the block is what is tested
        async with database.connection() as connection:
            await end_others(database)
            await connection.execute("select 1")
    assert await count(database) == 0


async def test_a_table_that_changes_under_a_prepared_statement(database: Database) -> None:
    async def read() -> list[object]:
        async with database.unit_of_work() as session:
            return list((await session.execute(text("select * from t"))).all())

    assert await read() == []
    async with database.connection() as connection:
        await connection.execute("alter table t add column name text")
    with pytest.raises(Unavailable, match="schema changed") as caught:
        await read()
    assert caught.value.headers["Retry-After"] == "1"
    assert await read() == []


async def test_a_statement_that_somebody_cancels_is_not_the_server_away(database: Database) -> None:
    async with database.connection() as connection:
        with pytest.raises(asyncpg.QueryCanceledError):
            await connection.execute("set statement_timeout = 10; select pg_sleep(5)")
