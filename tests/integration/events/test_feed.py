"""The feed: numbers in the order of commits, and readers that each do their work once."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from monohull.kernel.clock import now
from monohull.kernel.dispatch import relay_events
from monohull.kernel.feed import feed_end, feed_sequence_at, read_feed
from monohull.kernel.feed_reader import (
    FeedReader,
    forget_reader,
    lock_of,
    reader_lags,
    rewind_reader,
)
from monohull.kernel.housekeeping import find_event, purge
from monohull.kernel.ids import uuid7
from monohull.kernel.observation import Observer
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import asyncpg

    from monohull.kernel.events import Envelope
    from tests.workbench import Workbench

PUBLISH = (
    "insert into monohull.outbox (id, name, version, payload) "
    "select gen_random_uuid(), coalesce($3, 'test.thing_happened'), 1, json_build_object('n', n) "
    "from generate_series($1::int, $2::int) as n"
)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def bench(shared_bench: Workbench) -> Workbench:
    return shared_bench


@pytest.fixture
def connection(empty: asyncpg.Connection) -> asyncpg.Connection:
    return empty


async def happen(
    connection: asyncpg.Connection, bench: Workbench, first: int, last: int, name: str | None = None
) -> None:
    """Publish some events and relay them."""
    await connection.execute(PUBLISH, first, last, name)
    while await relay_events(connection, bench.runtime.events):
        pass


def numbers(events: Sequence[Envelope]) -> list[int]:
    return [json.loads(bytes(event.payload))["n"] for event in events]


async def test_events_of_rows_are_read_for_those_who_watch(
    bench: Workbench, connection: asyncpg.Connection
) -> None:
    await connection.execute(PUBLISH, 1, 4, None)
    await connection.execute(
        "update monohull.outbox as o set watchers = w.watchers "
        "from (values (2, '{hooks:1,sinks:1}'::text[]), (3, '{sinks:2}'), (4, '{}')) as w (n, watchers) "
        "where (o.payload ->> 'n')::int = w.n"
    )
    await relay_events(connection, bench.runtime.events)

    async def read(watcher: str | None) -> list[int]:
        return numbers(await read_feed(connection, after=0, watcher=watcher))

    assert await read(None) == [1, 2, 3, 4]
    assert await read("sinks:") == [1, 2, 3]
    assert await read("sinks:2") == [1, 3]
    assert await read("hooks:") == [1, 2]
    heard: list[int] = []

    async def handle(_: asyncpg.Connection, events: Sequence[Envelope]) -> None:
        heard.extend(numbers(events))

    reader = FeedReader(
        bench.runtime.database, Observer(), "test.hooks", handle, from_beginning=True, watcher="hooks:"
    )
    async with reader.running():
        await bench.until_rows(
            "select from monohull.feed_readers where name = 'test.hooks' and sequence = 4", bool
        )
    assert heard == [1, 2]


async def test_a_reader_looks_also_where_only_others_were_notified(
    bench: Workbench, connection: asyncpg.Connection
) -> None:
    heard: list[int] = []

    async def handle(_: asyncpg.Connection, events: Sequence[Envelope]) -> None:
        heard.extend(numbers(events))

    reader = FeedReader(bench.runtime.database, Observer(), "test.hooks", handle, watcher="hooks:")
    async with reader.running():
        await bench.until_rows("select from monohull.feed_readers where name = 'test.hooks'", bool)
        await connection.execute(PUBLISH, 1, 2, None)
        await connection.execute(
            "update monohull.outbox set watchers = case payload ->> 'n' when '1' then '{sinks:1}'::text[] "
            "else '{hooks:1}' end, sequence = (payload ->> 'n')::bigint, relayed_at = now()"
        )
        await connection.execute("update monohull.feed_end set sequence = 2")
        await connection.execute("select pg_notify('monohull_feed', 'sinks')")
        await bench.until_rows(
            "select from monohull.feed_readers where name = 'test.hooks' and sequence = 2", bool
        )
    assert heard == [2]


async def test_events_are_read_after_a_number(bench: Workbench, connection: asyncpg.Connection) -> None:
    assert await feed_end(connection) == 0
    assert await read_feed(connection, after=0) == []
    await happen(connection, bench, 1, 1203)
    assert await feed_end(connection) == 1203
    first = await read_feed(connection, after=0, limit=700)
    rest = await read_feed(connection, after=first[-1].sequence, limit=700)
    assert [event.sequence for event in (*first, *rest)] == list(range(1, 1204))
    assert numbers([*first, *rest]) == list(range(1, 1204))
    assert await read_feed(connection, after=1203) == []
    assert await find_event(bench.runtime.database, first[5].id) == first[5]


async def test_patterns_choose(bench: Workbench, connection: asyncpg.Connection) -> None:
    for n, name in enumerate(
        ("auth.user_left", "rows.inserted", "rows.deleted", "authors.born", "auth.x_y.z")
    ):
        await happen(connection, bench, n, n, name)

    async def chosen(*patterns: str) -> list[int]:
        return numbers(await read_feed(connection, after=0, patterns=patterns))

    assert await chosen("auth.*", "rows.deleted") == [0, 2, 4]
    assert await chosen("auth.user_left") == [0]
    assert await chosen("auth.*", "*") == [0, 1, 2, 3, 4]
    assert await chosen() == []


async def test_large_payloads_come_in_smaller_batches(
    bench: Workbench, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "insert into monohull.outbox (id, name, version, payload) select gen_random_uuid(), 'a.b', 1, "
        "(select to_json(string_agg(md5(random()::text), '')) from generate_series(1, 3000 + n * 0)) "
        "from generate_series(1, 5) as n"
    )
    await relay_events(connection, bench.runtime.events)
    sizes, after = [], 0
    while events := await read_feed(connection, after=after, max_bytes=150_000):
        sizes.append(len(events))
        after = events[-1].sequence
    assert sizes == [2, 2, 1]
    assert len(await read_feed(connection, after=0, max_bytes=1)) == 1


async def test_what_is_large_only_as_text_is_large(bench: Workbench, connection: asyncpg.Connection) -> None:
    await connection.execute(
        "insert into monohull.outbox (id, name, version, payload) select gen_random_uuid(), 'a.b', 1, "
        "to_json(repeat('x', 100000)) from generate_series(1, 5)"
    )
    await relay_events(connection, bench.runtime.events)
    assert len(await read_feed(connection, after=0, max_bytes=150_000)) == 2


async def test_a_time_has_its_number(bench: Workbench, connection: asyncpg.Connection) -> None:
    await happen(connection, bench, 1, 2)
    between = now()
    assert await feed_sequence_at(connection, between) == 2
    await happen(connection, bench, 3, 4)
    assert await feed_sequence_at(connection, between) == 2
    assert await feed_sequence_at(connection, between - timedelta(days=400)) == 0
    assert await feed_sequence_at(connection, now() + timedelta(days=1)) == 4
    await connection.execute("delete from monohull.outbox where sequence = 1")
    assert await feed_sequence_at(connection, between - timedelta(days=400)) == 1


async def test_numbers_follow_commits_under_many_writers(
    bench: Workbench, connection: asyncpg.Connection
) -> None:
    """A row that all of them change tells in which order they committed; the feed has to say the same."""
    writers, rounds = 6, 25
    await connection.execute("create table public.counter as select 0 as n, 0 as k union select 0, 1")

    async def write(writer: int) -> None:
        async with bench.runtime.database.connection() as own:
            for turn in range(rounds):
                async with own.transaction():
                    # an early number for the transaction, so that it says nothing of when it commits
                    await own.execute("select pg_current_xact_id()")
                    await asyncio.sleep(0.001 * ((writer * 7 + turn) % 5))
                    row = await own.fetchrow(
                        "update public.counter set n = n + 1 where k = $1 returning n, k", (writer + turn) % 2
                    )
                    await own.execute(
                        "insert into monohull.outbox (id, name, version, key, payload) "
                        "values ($1, 'test.counted', 1, $2, json_build_object('n', $3::int))",
                        uuid7(),
                        str(row["k"]),
                        row["n"],
                    )
                    await asyncio.sleep(0.001 * ((writer + turn) % 3))

    async with bench.worker():
        await asyncio.gather(*(write(writer) for writer in range(writers)))
        await bench.until_rows("select from monohull.outbox where sequence is null", lambda rows: not rows)
    events = await read_feed(connection, after=0)
    await connection.execute("drop table public.counter")
    assert [event.sequence for event in events] == list(range(1, writers * rounds + 1))
    for key in ("0", "1"):
        of_key = numbers([event for event in events if event.key == key])
        assert of_key == list(range(1, len(of_key) + 1))


async def test_what_an_older_relay_did_is_numbered(bench: Workbench, connection: asyncpg.Connection) -> None:
    """While processes are replaced, one that numbers nothing may still relay."""
    await connection.execute(PUBLISH, 1, 3, None)
    await connection.execute("update monohull.outbox set relayed_at = now() where payload->>'n' = '2'")
    await happen(connection, bench, 4, 4)
    assert numbers(await read_feed(connection, after=0)) == [1, 2, 3, 4]


@pytest.mark.usefixtures("connection")
async def test_two_relays_at_once_number_each_event_once(bench: Workbench) -> None:
    """The lock keeps them apart; should it not, the row with the end does."""
    database, events = bench.runtime.database, bench.runtime.events
    async with database.connection() as one, database.connection() as other:
        await one.execute(PUBLISH, 1, 2000, None)
        counts = await asyncio.gather(
            *(relay_events(connection, events) for connection in (one, other)),
        )
        counts += await asyncio.gather(*(relay_events(connection, events) for connection in (one, other)))
        assert sum(counts) == 2000
        read = await read_feed(one, after=0, limit=3000)
    assert numbers(read) == list(range(1, 2001))
    assert [event.sequence for event in read] == list(range(1, 2001))


class Reading:
    """A reader under test: what it did stands in a table, as a reader's work does."""

    def __init__(self, bench: Workbench, name: str = "test.reader", **options: Any) -> None:
        self.failures: list[Exception] = []
        self.seen: list[Any] = []
        self.heard: list[int] = []
        self._database = bench.runtime.database
        self._name = name
        self._options = options

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Reading]:
        reader = FeedReader(
            self._database, Observer(self.seen.append), self._name, self._handle, **self._options
        )
        async with reader.running():
            await self.until("feed.reader_leads")
            yield self

    async def until(self, event: str, *, times: int = 1) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while [seen.event for seen in self.seen].count(event) < times:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def until_heard(self, last: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while last not in self.heard:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def _handle(self, connection: asyncpg.Connection, events: Sequence[Envelope]) -> None:
        for event in events:
            await connection.execute("insert into public.done (id) values ($1)", event.id)
        if self.failures:
            raise self.failures.pop()
        self.heard += numbers(events)


@pytest_asyncio.fixture(loop_scope="module")
async def done(connection: asyncpg.Connection) -> AsyncIterator[None]:
    await connection.execute("create table public.done (id uuid primary key)")
    yield
    await connection.execute("drop table public.done")


async def place(connection: asyncpg.Connection, name: str = "test.reader") -> int | None:
    found: int | None = await connection.fetchval(
        "select sequence from monohull.feed_readers where name = $1", name
    )
    return found


@pytest.mark.usefixtures("done")
async def test_a_reader_does_its_work_once(bench: Workbench, connection: asyncpg.Connection) -> None:
    """A second insert of an event would break the primary key."""
    await happen(connection, bench, 1, 3)
    reading = Reading(bench, batch=4)
    async with reading.running():
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await place(connection) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await happen(connection, bench, 4, 13)
        await reading.until_heard(13)
        reading.failures.append(ValueError("not today"))
        await happen(connection, bench, 14, 15)
        await reading.until_heard(15)
    assert reading.heard == list(range(4, 16))
    (failed,) = [seen for seen in reading.seen if seen.event == "feed.reader_failed"]
    assert (failed.reader, failed.after, failed.reason) == ("test.reader", 13, "ValueError: not today")
    assert await connection.fetchval("select count(*) from public.done") == 12
    assert await place(connection) == 15
    await happen(connection, bench, 16, 16)
    async with reading.running():
        await reading.until_heard(16)
    assert reading.heard == list(range(4, 17))


@pytest.mark.usefixtures("done")
async def test_a_new_reader_may_begin_with_the_oldest(
    bench: Workbench, connection: asyncpg.Connection
) -> None:
    await happen(connection, bench, 1, 3)
    await happen(connection, bench, 4, 4, "other.thing")
    reading = Reading(bench, from_beginning=True, patterns=("test.*",))
    async with reading.running():
        await reading.until_heard(3)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await place(connection) != 4:  # noqa: ASYNC110 what it does not want is passed, too
                await asyncio.sleep(0.01)
    assert reading.heard == [1, 2, 3]


@pytest.mark.usefixtures("done")
async def test_another_process_takes_over(bench: Workbench, connection: asyncpg.Connection) -> None:
    first, second = Reading(bench, from_beginning=True), Reading(bench, from_beginning=True)
    async with first.running():
        taking_over = asyncio.create_task(take_part(second, 2))
        await happen(connection, bench, 1, 1)
        await first.until_heard(1)
        assert await eventually(lambda: place(connection)) == 1  # what was heard is written down
        assert second.seen == []
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted "
            "and objid = ($1 & 4294967295) and database = (select oid from pg_database "
            "where datname = current_database())",
            lock_of("test.reader"),
        )
        await first.until("feed.reader_stopped")
    await happen(connection, bench, 2, 2)
    await taking_over
    assert set(first.heard + second.heard) == {1, 2}
    assert len(first.heard + second.heard) == 2


async def take_part(reading: Reading, last: int) -> None:
    async with reading.running():
        await reading.until_heard(last)


@pytest.mark.usefixtures("done")
async def test_a_reader_is_rewound(bench: Workbench, connection: asyncpg.Connection) -> None:
    await happen(connection, bench, 1, 4)
    reading = Reading(bench, from_beginning=True)
    async with reading.running():
        await reading.until_heard(4)
        await connection.execute("truncate public.done")
        assert await rewind_reader(connection, "test.reader", 2)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(reading.heard) < 6:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert reading.heard == [1, 2, 3, 4, 3, 4]
    assert not await rewind_reader(connection, "test.nobody", 2)
    assert await rewind_reader(connection, "test.reader", 99)
    assert await place(connection) == 4


async def test_lags_are_visible(bench: Workbench, connection: asyncpg.Connection) -> None:
    await happen(connection, bench, 1, 5)
    await connection.execute(
        "insert into monohull.feed_readers (name, sequence) values ('test.done', 5), ('test.behind', 2)"
    )
    await connection.execute(
        "update monohull.outbox set relayed_at = now() - interval '50 s' where sequence < 4"
    )
    behind, done = await reader_lags(bench.runtime.database)
    assert (behind.name, behind.sequence, behind.events) == ("test.behind", 2, 3)
    assert 49 < behind.oldest_seconds < 80
    assert (done.name, done.events, done.oldest_seconds) == ("test.done", 0, 0.0)
    await until_scraped(bench, 'monohull_feed_reader_lag_events{reader="test.behind"} 3.0')
    await forget_reader(connection, "test.behind")
    text = await until_scraped(bench, 'monohull_feed_reader_lag_events{reader="test.done"} 0.0')
    assert "test.behind" not in text


async def until_scraped(bench: Workbench, line: str) -> str:
    """Scrape until ``line`` is there: on a machine that is busy, numbers may not come in time once."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while line not in (text := (await bench.runtime.metrics.exposition()).decode()):
            pass
    return text


async def test_events_are_kept_for_readers_but_not_for_ever(
    bench: Workbench, connection: asyncpg.Connection
) -> None:
    await happen(connection, bench, 1, 6)
    await connection.execute(
        "update monohull.outbox set relayed_at = now() - make_interval(days => "
        "case when sequence < 3 then 40 when sequence < 6 then 10 else 1 end)"
    )
    await connection.execute(
        "insert into monohull.feed_readers (name, sequence) values ('test.quick', 6), ('test.slow', 1)"
    )
    seen: list[Any] = []
    bench.runtime.observer.add_reader(seen.append)
    await purge(bench.runtime)
    assert numbers(await read_feed(connection, after=0)) == [3, 4, 5, 6]
    assert [(one.event, one.events) for one in seen] == [("feed.unread_events_deleted", 1)]
    await connection.execute("update monohull.feed_readers set sequence = 4 where name = 'test.slow'")
    await purge(bench.runtime)
    assert numbers(await read_feed(connection, after=0)) == [5, 6]
    await forget_reader(connection, "test.slow")
    await purge(bench.runtime)
    assert numbers(await read_feed(connection, after=0)) == [6]
