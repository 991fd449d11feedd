"""pgmq's verbs in SQL: order, visibility, several readers, and readers that die."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from monohull.kernel.clock import monotonic_seconds
from tests.patience import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections


@pytest.fixture
async def sql(shared_connections: Connections) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the owner, and an empty queue called ``work``."""
    connection = await asyncpg.connect(shared_connections.owner_url)
    await connection.execute("select pgmq.drop_queue('work')")
    await connection.execute("select pgmq.create('work')")
    yield connection
    await connection.close()


async def ids(connection: asyncpg.Connection, call: str, *arguments: Any) -> list[int]:
    return [row["msg_id"] for row in await connection.fetch(f"select * from pgmq.{call}", *arguments)]


async def test_first_in_first_out(sql: asyncpg.Connection) -> None:
    assert await sql.fetchval("select pgmq.send('work', '{\"n\": 1}')") == 1
    rows = await sql.fetch("select pgmq.send_batch('work', array['{\"n\": 2}', '{\"n\": 3}']::jsonb[])")
    assert [row[0] for row in rows] == [2, 3]
    assert await ids(sql, "read('work', 30, 2)") == [1, 2]
    assert await ids(sql, "pop('work')") == [3]
    assert await ids(sql, "pop('work')") == []


async def test_a_message_has_the_columns_of_pgmq(sql: asyncpg.Connection) -> None:
    await sql.execute("select pgmq.send('work', '{\"n\": 1}')")
    row = await sql.fetchrow("select * from pgmq.read('work', 30, 1)")
    assert list(row.keys()) == ["msg_id", "read_ct", "enqueued_at", "vt", "message"]
    assert (row["read_ct"], row["message"]) == (1, '{"n": 1}')
    assert 29 < (row["vt"] - row["enqueued_at"]).total_seconds() < 40


async def test_what_was_read_is_hidden_and_comes_back(sql: asyncpg.Connection) -> None:
    await sql.execute("select pgmq.send('work', '1')")
    assert await ids(sql, "read('work', 60, 5)") == [1]
    assert await ids(sql, "read('work', 60, 5)") == []
    assert await ids(sql, "set_vt('work', 1, 1)") == [1]
    # waits inside of the database until it is there again
    row = await sql.fetchrow("select * from pgmq.read_with_poll('work', 30, 1, 60, 20)")
    assert (row["msg_id"], row["read_ct"]) == (1, 2)
    assert await ids(sql, "set_vt('work', 1, 0)") == [1]
    assert await ids(sql, "read('work', 0, 1)") == [1]
    assert await ids(sql, "read_with_poll('work', 30, 1, 0, 20)") == [1]


async def test_a_delayed_message_waits(sql: asyncpg.Connection) -> None:
    await sql.execute("select pgmq.send('work', '1', 60)")
    assert await ids(sql, "read('work', 30, 1)") == []
    assert await ids(sql, "pop('work')") == []
    await sql.execute("select pgmq.set_vt('work', 1, 0)")
    assert await ids(sql, "pop('work')") == [1]


async def test_messages_are_deleted_and_archived(sql: asyncpg.Connection) -> None:
    began = monotonic_seconds()
    await sql.execute("select pgmq.send_batch('work', array['1', '2', '3', '4']::jsonb[])")
    assert await sql.fetchval("select pgmq.delete('work', 1)") is True
    assert await sql.fetchval("select pgmq.delete('work', 1)") is False
    assert await sql.fetchval("select pgmq.archive('work', 2)") is True
    rows = await sql.fetch("select pgmq.archive('work', array[3, 9]::bigint[])")
    assert [row[0] for row in rows] == [3]
    assert [row["message"] for row in await sql.fetch("select * from pgmq.a_work order by 1")] == ["2", "3"]
    found = await sql.fetchrow("select * from pgmq.metrics('work')")
    assert (found["queue_name"], found["queue_length"], found["total_messages"]) == ("work", 1, 4)
    assert 0 <= found["oldest_msg_age_sec"] <= round(monotonic_seconds() - began)
    assert await sql.fetchval("select pgmq.purge_queue('work')") == 1
    assert await sql.fetchval("select queue_length from pgmq.metrics_all()") == 0
    # the name of a queue's sequence may be that of another queue's table
    await sql.execute("select pgmq.create('x_msg_id_seq'), pgmq.create('x')")
    assert await sql.fetchval("select total_messages from pgmq.metrics('x')") == 0
    assert await sql.fetchval("select queue_name from pgmq.list_queues()") == "work"


async def test_names_cannot_leave_their_tables(sql: asyncpg.Connection) -> None:
    for name in ("", "a b", "x; drop table y", 'q"', "x" * 48, None):
        for call in ("pgmq.create($1)", "pgmq.send($1, '1')", "pgmq.drop_queue($1)"):
            with pytest.raises(asyncpg.PostgresError) as refused:
                await sql.execute(f"select {call}", name)
            assert refused.value.sqlstate == "22023"
    await sql.execute("select pgmq.create('work')")  # there already: nothing happens
    with pytest.raises(asyncpg.DuplicateObjectError):
        await sql.execute("select pgmq.create('WORK')")
    with pytest.raises(asyncpg.UndefinedTableError):
        await sql.execute("select pgmq.send('none', '1')")


async def test_ten_thousand_messages_with_four_readers(
    sql: asyncpg.Connection, shared_connections: Connections
) -> None:
    await sql.execute(
        "select count(*) from pgmq.send_batch('work', "
        "(select array_agg(to_jsonb(n) order by n) from generate_series(1, 10000) as n))"
    )

    async def reader() -> list[int]:
        connection = await asyncpg.connect(shared_connections.owner_url)
        mine: list[int] = []
        while rows := await connection.fetch("select * from pgmq.read('work', 600, 100)"):
            assert [row["read_ct"] for row in rows] == [1] * len(rows)
            batch = [row["msg_id"] for row in rows]
            mine += batch
            await connection.execute("select pgmq.delete('work', $1::bigint[])", batch)
        await connection.close()
        return mine

    shares = await asyncio.gather(*(reader() for _ in range(4)))
    assert sorted(message for share in shares for message in share) == list(range(1, 10_001))
    assert await sql.fetchval("select count(*) from pgmq.q_work") == 0


READER = """
import asyncio, sys, asyncpg
async def main():
    one, other = [await asyncpg.connect(sys.argv[1]) for _ in range(2)]
    await one.execute("begin")
    popped = await one.fetchrow("select * from pgmq.pop('work')")
    row = await other.fetchrow("select * from pgmq.read('work', 1, 1)")
    print(popped["msg_id"], row["msg_id"], flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_what_a_killed_reader_had_comes_back(
    sql: asyncpg.Connection, shared_connections: Connections
) -> None:
    await sql.execute("select pgmq.send_batch('work', array['1', '2']::jsonb[])")
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-c", READER, shared_connections.owner_url, stdout=asyncio.subprocess.PIPE
    )
    assert reader.stdout is not None
    assert await reader.stdout.readline() == b"1 2\n"
    reader.send_signal(signal.SIGKILL)
    await reader.wait()
    got: set[int] = set()

    async def have_come_back() -> bool:
        got.update(await ids(sql, "read_with_poll('work', 600, 2, 10, 20)"))
        return got == {1, 2}

    await eventually(have_come_back, said=lambda: got)
