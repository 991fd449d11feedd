"""Requests that share a connection: who may, and that neighbours do not notice each other."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from monohull.kernel.database.data import DataPool, PostgresError, ResultExceedsCeiling
from monohull.kernel.database.frames import encode_value
from monohull.kernel.database.pool import MAX_COSTS, SHARED_DEPTH, SHORT_SECONDS
from monohull.kernel.database.role import settings_template
from monohull.kernel.database.statements import BoundSettings, Statement
from monohull.kernel.errors import DatabaseUnavailable
from monohull.kernel.principal import Principal, PrincipalKind, anonymous
from tests.integration.backends import END_ASLEEP, HELD, asleep, until_asleep, until_held
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    import asyncpg

NOTES = "select coalesce(string_agg(body, ','), '-') from notes where $1 = 'x'"
BUSY = "select pg_sleep($1::float8)::text || $2"


def settings(subject: str | None = None, *, read_only: bool = True) -> BoundSettings:
    principal = anonymous("anon")
    if subject is not None:
        claims = {"role": "authenticated", "sub": subject}
        principal = Principal(kind=PrincipalKind.USER, role="authenticated", subject=subject, claims=claims)
    template = settings_template(method="GET", path="/notes", search_path='"public"', read_only=read_only)
    return template.fill(principal)


async def ask(
    pool: DataPool, sql: str, *args: str, subject: str | None = "ann", **options: Any
) -> bytes | None:
    rows = await pool.run(sql, args, settings=settings(subject), key=f"{sql}.{subject is None}", **options)
    return rows.rows[0][0]


async def warm(pool: DataPool, sql: str, *args: str, subject: str | None = "ann") -> None:
    """Have every connection know the statement, and the pool know that it is short."""
    key = f"{sql}.{subject is None}"
    for _ in range(100):
        await ask(pool, sql, *args, subject=subject)
        if pool.is_short(key):
            pool._costs[key] = SHORT_SECONDS * 0.99  # and not to be sent together, on whatever machine
            return
    raise AssertionError(pool._costs[key])


async def at_rest(pool: DataPool) -> None:
    await eventually(lambda: not pool.in_use and not pool.waiting)
    assert all(wire.load == 0 and wire.is_idle and not wire.is_settling for wire in pool._wires)
    assert not pool._shared


def loads(pool: DataPool) -> list[int]:
    return sorted(wire.load for wire in pool._wires)


async def test_short_reads_go_behind_one_another(single: DataPool) -> None:
    await warm(single, NOTES, "x")
    tasks = [asyncio.create_task(ask(single, NOTES, "x")) for _ in range(SHARED_DEPTH + 2)]
    await asyncio.sleep(0)
    assert (loads(single), single.waiting) == ([SHARED_DEPTH], 2)
    assert await asyncio.gather(*tasks) == [b"hers"] * (SHARED_DEPTH + 2)
    await at_rest(single)


async def test_each_runs_as_its_own_caller(make_pool: Any) -> None:
    """Hundreds of requests of three callers, all mixed on two connections: row security holds for each."""
    wanted = {"ann": b"hers", "bob": b"his", "cid": b"-"}
    async with make_pool() as pool:
        for subject in wanted:
            await warm(pool, NOTES, "x", subject=subject)
        people = list(wanted) * 150
        found = await asyncio.gather(*(ask(pool, NOTES, "x", subject=subject) for subject in people))
        assert found == [wanted[subject] for subject in people]
        await at_rest(pool)
        assert pool.opened_total == 2


async def test_nothing_of_a_neighbour_is_seen(single: DataPool) -> None:
    sql = "select current_setting('request.jwt.claims') || current_user || $1"
    await warm(single, sql, "x")
    await warm(single, sql, "x", subject=None)
    mixed = [None, "ann", None, "bob", None] * 20
    found = await asyncio.gather(*(ask(single, sql, "x", subject=subject) for subject in mixed))
    for subject, text in zip(mixed, found, strict=True):
        claims = settings(subject)
        assert text == (dict(claims)["request.jwt.claims"] + dict(claims)["role"] + "x").encode()


async def test_an_error_is_its_own(single: DataPool) -> None:
    sql = "select (10 / $1::int)::text"
    await warm(single, sql, "5")
    tasks = [ask(single, sql, number) for number in ("1", "0", "2", "0", "5")]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [one if isinstance(one, bytes) else type(one) for one in found] == [
        b"10",
        PostgresError,
        b"5",
        PostgresError,
        b"2",
    ]
    await at_rest(single)


async def test_what_is_not_known_to_be_short_has_a_connection_to_itself(single: DataPool) -> None:
    await warm(single, NOTES, "x")
    new = asyncio.create_task(ask(single, BUSY, "0.05", ""))
    await asyncio.sleep(0)
    short = asyncio.create_task(ask(single, NOTES, "x"))
    await asyncio.sleep(0)
    assert (loads(single), single.waiting) == ([1], 1)
    await asyncio.gather(new, short)
    assert not single.is_short(f"{BUSY}.False")
    await at_rest(single)


@pytest.mark.parametrize(
    "options",
    [{"commit": False}, {"settings": settings("ann", read_only=False)}, {"settings": tuple(settings("ann"))}],
)
async def test_what_may_write_or_is_a_transaction_does_not_share(
    single: DataPool, options: dict[str, Any]
) -> None:
    await warm(single, NOTES, "x")

    async def other() -> None:
        await single.run(NOTES, ("x",), **{"settings": settings("ann"), "key": f"{NOTES}.False", **options})

    await other()
    tasks = [asyncio.create_task(other()) for _ in range(3)]
    await asyncio.sleep(0)
    assert (loads(single), single.waiting) == ([1], 2)
    await asyncio.gather(*tasks)
    await at_rest(single)


async def test_several_statements_do_not_share(single: DataPool) -> None:
    await warm(single, NOTES, "x")
    statement = Statement(NOTES, ("x",), f"{NOTES}.False")
    batch = [
        asyncio.create_task(single.run_batch((statement, statement), settings=settings("ann")))
        for _ in range(2)
    ]
    await asyncio.sleep(0)
    assert (loads(single), single.waiting) == ([1], 1)
    await asyncio.gather(*batch)


async def test_large_arguments_do_not_share(single: DataPool) -> None:
    sql = "select length($1)::text"
    await warm(single, sql, "x")
    tasks = [asyncio.create_task(ask(single, sql, "x" * 400_000)) for _ in range(3)]
    await asyncio.sleep(0)
    assert (loads(single), single.waiting) == ([1], 2)
    assert await asyncio.gather(*tasks) == [b"400000"] * 3
    await at_rest(single)


async def test_who_does_not_share_is_not_starved(single: DataPool) -> None:
    await warm(single, NOTES, "x")
    stop = asyncio.Event()

    async def flood() -> None:
        while not stop.is_set():
            await ask(single, NOTES, "x")

    floods = [asyncio.create_task(flood()) for _ in range(3 * SHARED_DEPTH)]
    await asyncio.sleep(0.02)
    for number in range(5):
        rows = await asyncio.wait_for(
            single.run("select $1", (str(number),), settings=settings()), PATIENCE_SECONDS
        )
        assert rows.rows == [(str(number).encode(),)]
    stop.set()
    await asyncio.gather(*floods)
    await at_rest(single)


async def test_one_that_leaves_takes_nobody_along(single: DataPool) -> None:
    await warm(single, NOTES, "x")
    for leaver in range(SHARED_DEPTH):
        tasks = [asyncio.create_task(ask(single, NOTES, "x")) for _ in range(3 * SHARED_DEPTH)]
        await asyncio.sleep(0)
        tasks[leaver].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found.pop(leaver), asyncio.CancelledError)
        assert found == [b"hers"] * (3 * SHARED_DEPTH - 1)
        await at_rest(single)
    assert single.opened_total == 1


async def test_one_that_turned_slow_and_is_left_ends_on_the_server(
    single: DataPool, admin: asyncpg.Connection[Any]
) -> None:
    """Its neighbours may be hit by its CancelRequest; they are asked for again."""
    await warm(single, BUSY, "0", "")
    slow = asyncio.create_task(ask(single, BUSY, "600", ""))
    await asyncio.sleep(0)
    others = [asyncio.create_task(ask(single, BUSY, "0", str(n))) for n in range(SHARED_DEPTH - 1)]
    await asyncio.sleep(0.05)
    assert loads(single) == [SHARED_DEPTH]
    began = perf_counter()
    slow.cancel()
    assert await asyncio.gather(*others) == [str(n).encode() for n in range(SHARED_DEPTH - 1)]
    assert perf_counter() - began < 300, "half of what it would sleep"
    await at_rest(single)
    running = (
        "select count(*) from pg_stat_activity"
        " where query like '%pg_sleep($1%' and state = 'active' and pid <> pg_backend_pid()"
        " and datname = current_database()"
    )
    assert await admin.fetchval(running) == 0
    assert not single.is_short(f"{BUSY}.False"), "a second like this one has a connection to itself"


async def test_a_lost_connection_is_made_good_for_all(
    single: DataPool, admin: asyncpg.Connection[Any]
) -> None:
    waits = "select pg_advisory_xact_lock_shared($1::bigint)::text || $2"
    await warm(single, waits, "0", "")
    await admin.execute("select pg_advisory_lock($1)", HELD)
    tasks = [asyncio.create_task(ask(single, waits, str(HELD), str(n))) for n in range(SHARED_DEPTH)]
    pid = await until_held(admin)
    assert loads(single) == [SHARED_DEPTH]
    await admin.execute("select pg_terminate_backend($1)", pid)
    await until_held(admin, but=pid)
    await admin.execute("select pg_advisory_unlock($1)", HELD)
    assert await asyncio.gather(*tasks) == [str(n).encode() for n in range(SHARED_DEPTH)]
    await at_rest(single)
    assert (single.lost_total, single.opened_total) == (1, 2)


async def test_a_statement_that_went_stale_is_parsed_again_for_all(
    single: DataPool, admin: asyncpg.Connection[Any]
) -> None:
    await admin.execute("drop table if exists shifting; create table shifting (v int)")
    await admin.execute("insert into shifting values (7); grant select on shifting to authenticated")
    sql = "select v from shifting where $1 = 'x'"
    await warm(single, sql, "x")
    await admin.execute("alter table shifting alter v type text")
    found = await asyncio.gather(*(ask(single, sql, "x") for _ in range(2 * SHARED_DEPTH)))
    assert found == [b"7"] * (2 * SHARED_DEPTH)
    await at_rest(single)


async def test_a_result_above_the_ceiling_disturbs_no_neighbour(make_pool: Any) -> None:
    sql = "select repeat('x', $1::int)"
    async with make_pool(size=1, max_result_bytes=10_000) as pool:
        await warm(pool, sql, "5")
        sizes = ["5", "50000", "6", "50000", "7"]
        found = await asyncio.gather(*(ask(pool, sql, size) for size in sizes), return_exceptions=True)
        assert [type(one) if isinstance(one, Exception) else one for one in found] == [
            b"xxxxx",
            ResultExceedsCeiling,
            b"xxxxxx",
            ResultExceedsCeiling,
            b"xxxxxxx",
        ]
        await at_rest(pool)


async def test_large_answers_arrive_whole_and_in_order(single: DataPool) -> None:
    sql = "select repeat($1, 100000)"
    await warm(single, sql, "a")
    letters = "abcdefghij" * 3
    found = await asyncio.gather(*(ask(single, sql, letter) for letter in letters))
    assert [one[:1] * 100_000 == one for one in found if one] == [True] * len(letters)
    assert b"".join(one[:1] for one in found if one).decode() == letters


@pytest.mark.parametrize(("seconds", "expected"), [(0.0095, [3, 3]), (0.005, [2, 4]), (0.0005, [0, 6])])
async def test_brief_reads_are_sent_together_and_others_fill_the_pool_first(
    make_pool: Any, seconds: float, expected: list[int]
) -> None:
    async with make_pool(size=2) as pool:
        await warm(pool, NOTES, "x")
        assert pool.opened == 1
        await asyncio.gather(*(pool.run("select pg_sleep(0.3)") for _ in range(2)))
        await eventually(lambda: pool.opened == 2)
        pool._costs.update(dict.fromkeys(pool._costs, seconds))
        tasks = [asyncio.create_task(ask(pool, NOTES, "x")) for _ in range(6)]
        await asyncio.sleep(0)
        assert sorted(loads(pool)) == expected
        await asyncio.gather(*tasks)
        await at_rest(pool)


async def test_costs_are_bounded_and_follow_what_happens(single: DataPool) -> None:
    await warm(single, BUSY, "0", "")
    await ask(single, BUSY, "0.2", "")
    assert not single.is_short(f"{BUSY}.False")
    await warm(single, BUSY, "0", "")
    single._costs.update({str(number): 0.0 for number in range(MAX_COSTS + 1)})
    assert not single.is_short("anything")
    assert len(single._costs) == 0


async def test_a_statement_that_the_connection_does_not_know_goes_the_usual_way(single: DataPool) -> None:
    await warm(single, NOTES, "x")
    settings = BoundSettings(("role",), encode_value("anon"), is_read_only=True)
    for number in range(5):
        key = f"unknown {number}"
        single._costs[key] = 0.0
        rows = await single.run_known(Statement("select $1::text", [f"{number}"], key), settings)
        assert rows.rows == [(f"{number}".encode(),)]
        assert (single.in_use, len(single._idle)) == (0, 1)


KNOWN = BoundSettings(("role",), encode_value("anon"), is_read_only=True)


async def known(pool: DataPool, sql: str, *args: str) -> bytes | None:
    """Ask for what the connection knows and the pool thinks brief; the first time ask twice."""
    statement = Statement(sql, list(args), sql)
    if sql not in pool._costs:
        await pool.run_batch((statement,), settings=KNOWN)
    pool._costs[sql] = 0.0
    return (await pool.run_known(statement, KNOWN)).rows[0][0]


async def test_a_known_statement_that_is_stale_is_parsed_again(
    single: DataPool, admin: asyncpg.Connection[Any]
) -> None:
    await admin.execute("create table changing (a int); insert into changing values (1)")
    await admin.execute("grant select on changing to anon")
    sql = "select * from changing"
    assert await known(single, sql) == b"1"
    await admin.execute("alter table changing alter a type text using 'now ' || a")
    assert await known(single, sql) == b"now 1"
    assert single.in_use == 0


async def test_a_known_statement_that_is_refused_says_so(single: DataPool) -> None:
    assert await known(single, "select 1 / $1::int", "1") == b"1"
    with pytest.raises(PostgresError, match="division by zero"):
        await known(single, "select 1 / $1::int", "0")
    assert single.in_use == 0


async def test_a_known_statement_that_is_left_is_cancelled(
    single: DataPool, admin: asyncpg.Connection[Any]
) -> None:
    sql = "select pg_sleep($1::float)::text"
    await known(single, sql, "0")
    task = asyncio.create_task(known(single, sql, "600"))
    await until_asleep(admin)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await at_rest(single)
    assert await asleep(admin) == 0


async def test_a_known_read_is_repeated_when_its_backend_ends(
    single: DataPool, admin: asyncpg.Connection[Any]
) -> None:
    sql = "select 'mine' || pg_advisory_xact_lock_shared($1::bigint)::text"
    await known(single, sql, "0")
    await admin.execute("select pg_advisory_lock($1)", HELD)
    task = asyncio.create_task(known(single, sql, str(HELD)))
    pid = await until_held(admin)
    assert await admin.fetchval("select pg_terminate_backend($1)", pid)
    await until_held(admin, but=pid)
    await admin.execute("select pg_advisory_unlock($1)", HELD)
    assert await task == b"mine"
    assert single.lost_total == 1


async def test_a_known_answer_has_its_ceiling(make_pool: Any) -> None:
    sql = "select repeat('x', $1::int)"
    async with make_pool(size=1, max_result_bytes=10_000) as pool:
        await known(pool, sql, "1")
        with pytest.raises(ResultExceedsCeiling):
            await known(pool, sql, "20000")
        await at_rest(pool)
        assert await known(pool, sql, "1") == b"x"


WRITE = BoundSettings(("role",), encode_value("anon"), is_read_only=False)
ADD = "insert into ledger select $1 from (select pg_sleep($2::float)) as slept returning entry"


@pytest.fixture
async def ledger(admin: asyncpg.Connection[Any]) -> asyncpg.Connection[Any]:
    await admin.execute(
        "drop table if exists ledger; create table ledger (entry text); grant all on ledger to anon"
    )
    return admin


async def add(pool: DataPool, entry: str, seconds: float = 0.0) -> bytes | None:
    """Write what the connection knows and the pool thinks brief; the first time write twice."""
    statement = Statement(ADD, [entry, str(seconds)], ADD)
    if ADD not in pool._costs:
        await pool.run_batch((Statement(ADD, ["first", "0"], ADD),), settings=WRITE)
    pool._costs[ADD] = 0.0
    return (await pool.run_known(statement, WRITE)).rows[0][0]


async def entries(admin: asyncpg.Connection[Any]) -> list[str]:
    return [row[0] for row in await admin.fetch("select entry from ledger order by entry")]


async def test_known_writes_share_when_every_connection_is_taken(
    single: DataPool, ledger: asyncpg.Connection[Any]
) -> None:
    await add(single, "second")
    tasks = [asyncio.create_task(add(single, f"x{number}")) for number in range(SHARED_DEPTH + 2)]
    await asyncio.sleep(0)
    assert (loads(single), single.waiting) == ([SHARED_DEPTH], 2)
    names = [f"x{number}" for number in range(SHARED_DEPTH + 2)]
    assert await asyncio.gather(*tasks) == [name.encode() for name in names]
    await at_rest(single)
    assert await entries(ledger) == ["first", "second", *names]


async def test_a_known_write_behind_one_that_was_left_happens_once(
    single: DataPool, ledger: asyncpg.Connection[Any]
) -> None:
    await add(single, "second")
    left = asyncio.create_task(add(single, "left", 600))
    await until_asleep(ledger)
    behind = [asyncio.create_task(add(single, f"x{number}")) for number in range(2)]
    await eventually(lambda: loads(single) == [3])
    left.cancel()
    assert await asyncio.gather(*behind) == [b"x0", b"x1"]
    with pytest.raises(asyncio.CancelledError):
        await left
    await at_rest(single)
    assert await entries(ledger) == ["first", "second", "x0", "x1"]


async def test_a_known_write_whose_backend_ended_is_not_repeated(
    single: DataPool, ledger: asyncpg.Connection[Any]
) -> None:
    await add(single, "second")
    task = asyncio.create_task(add(single, "lost", 600))
    await until_asleep(ledger)
    assert await ledger.fetchval(END_ASLEEP) == 1
    with pytest.raises(DatabaseUnavailable):
        await task
    await at_rest(single)
    assert await entries(ledger) == ["first", "second"]


async def test_a_known_write_that_is_refused_or_stale_leaves_nothing_twice(
    single: DataPool, ledger: asyncpg.Connection[Any]
) -> None:
    await add(single, "second")
    await ledger.execute("alter table ledger add check (entry <> 'no')")
    with pytest.raises(PostgresError, match="check"):
        await add(single, "no")
    await ledger.execute("alter table ledger alter entry type varchar(20)")
    assert await add(single, "third") == b"third"
    assert await entries(ledger) == ["first", "second", "third"]
