"""The timetable against a real ledger: time is what the test says, jobs end when it says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import pytest

from monohull.kernel.queues import Cron, job
from monohull.kernel.schedules import Timetable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections

NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)


@job("test.tick", queue="other")
async def tick(_: Any) -> None: ...


class Office:
    """One relay's timetable, and what it wrote down."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    def table(self, *crons: Cron) -> Timetable:
        return Timetable(crons, {tick.name: tick})

    async def begin(self, at: datetime = NOON, **options: Any) -> Timetable:
        """Declare a schedule of every minute at ``at``, and do what is due then."""
        table = self.table(Cron(job=tick, schedule="* * * * *", arguments={"n": 1}, **options))
        await table.declare(self.connection, at)
        await table.advance(self.connection, at)
        return table

    async def end_job(self, *, at: datetime, outcome: str = "succeeded", error: str | None = None) -> None:
        """End the oldest job that has not ended, as a worker would."""
        await self.connection.execute(
            "update monohull.jobs set started_at = $1, done_at = $1, outcome = $2, error = $3, attempts = 1 "
            "where id = (select id from monohull.jobs where done_at is null order by position limit 1)",
            at, outcome, error,
        )  # fmt: skip

    async def runs(self) -> list[tuple[str, str | None]]:
        """Return what became of each tick, by minutes from noon."""
        rows = await self.connection.fetch("select * from monohull.schedule_runs order by tick, id")
        return [(f"{(row['tick'] - NOON) / MINUTE:+.0f} {row['kind']}", row["outcome"]) for row in rows]

    async def events(self) -> list[tuple[str, str]]:
        rows = await self.connection.fetch(
            "select name, payload::text from monohull.outbox where name like 'schedules.%' order by position"
        )
        return [(row["name"].removeprefix("schedules."), row["payload"]) for row in rows]

    async def jobs(self) -> int:
        return int(await self.connection.fetchval("select count(*) from monohull.jobs"))


@pytest.fixture
async def office(shared_connections: Connections) -> AsyncIterator[Office]:
    connection = await asyncpg.connect(shared_connections.owner_url)
    await connection.execute(
        "truncate monohull.schedules, monohull.schedule_runs, monohull.jobs, monohull.outbox cascade"
    )
    yield Office(connection)
    await connection.close()


async def test_a_tick_happens_once_whoever_leads(office: Office) -> None:
    first = await office.begin()
    await first.advance(office.connection, NOON + timedelta(seconds=30))
    second = await office.begin(NOON + timedelta(seconds=50))  # another relay leads
    await second.advance(office.connection, NOON + timedelta(seconds=55))
    assert await office.runs() == [("+0 tick", None)]
    [row] = await office.connection.fetch("select * from monohull.jobs")
    assert (row["name"], row["queue"], row["arguments"], row["key"]) == (
        "test.tick", "other", '{"n": 1}', "cron:test.tick",
    )  # fmt: skip


async def test_a_relay_that_stopped_in_the_middle_left_nothing(office: Office) -> None:
    table = await office.begin(NOON - 2 * MINUTE, overlap="allow")
    transaction = office.connection.transaction()
    await transaction.start()
    await table.advance(office.connection, NOON)
    assert await office.jobs() == 2
    await transaction.rollback()  # as a lost connection does
    await (await office.begin(NOON, overlap="allow")).advance(office.connection, NOON + timedelta(seconds=1))
    assert await office.runs() == [("-2 tick", None), ("-1 tick", "superseded"), ("+0 tick", None)]


async def test_the_true_result_is_written_down(office: Office) -> None:
    table = await office.begin()
    await office.end_job(at=NOON + timedelta(seconds=2))
    await table.advance(office.connection, NOON + MINUTE)
    await office.end_job(at=NOON + MINUTE, outcome="dead", error="ValueError: no")
    await table.advance(office.connection, NOON + timedelta(seconds=61))
    assert await office.runs() == [("+0 tick", "succeeded"), ("+1 tick", "failed")]
    row = await office.connection.fetchrow("select * from monohull.schedule_runs order by tick limit 1")
    assert (row["late_seconds"], row["attempts"], row["started_at"]) == (2.0, 1, NOON + timedelta(seconds=2))
    [(name, payload)] = await office.events()
    assert name == "run_failed"
    assert '"error":"ValueError: no"' in payload


async def test_a_run_that_does_not_begin_is_late_once(office: Office) -> None:
    table = await office.begin(late_after_seconds=20, overlap="queue")
    for seconds in (10, 21, 30):
        await table.advance(office.connection, NOON + timedelta(seconds=seconds))
    [(name, payload)] = await office.events()
    assert (name, '"late_seconds":21.0' in payload) == ("run_late", True)
    await office.end_job(at=NOON + timedelta(seconds=40))
    await table.advance(office.connection, NOON + timedelta(seconds=41))
    assert await office.runs() == [("+0 tick", "succeeded")]
    assert len(await office.events()) == 1


async def test_overlapping_runs_are_skipped(office: Office) -> None:
    table = await office.begin(overlap="skip")
    await table.advance(office.connection, NOON + MINUTE)
    assert await office.runs() == [("+0 tick", None), ("+1 tick", "skipped")]
    assert [name for name, _ in await office.events()] == ["run_missed"]
    await office.end_job(at=NOON + MINUTE)
    await table.advance(office.connection, NOON + 2 * MINUTE)
    assert (await office.runs())[2] == ("+2 tick", None)
    assert await office.jobs() == 2


async def test_overlapping_runs_queue(office: Office) -> None:
    table = await office.begin(overlap="queue")
    await table.advance(office.connection, NOON + MINUTE)
    await table.advance(office.connection, NOON + 2 * MINUTE)
    assert await office.jobs() == 1
    for count in (2, 3):
        await office.end_job(at=NOON + 2 * MINUTE)
        await table.advance(office.connection, NOON + 2 * MINUTE)
        assert await office.jobs() == count
    await office.end_job(at=NOON + 2 * MINUTE)
    await table.advance(office.connection, NOON + 2 * MINUTE)
    assert [outcome for _, outcome in await office.runs()] == ["succeeded"] * 3


async def test_overlapping_runs_are_allowed(office: Office) -> None:
    table = await office.begin(overlap="allow")
    await table.advance(office.connection, NOON + MINUTE)
    assert (await office.jobs(), await office.runs()) == (2, [("+0 tick", None), ("+1 tick", None)])


@pytest.mark.parametrize(
    ("missed", "runs", "jobs", "told"),
    [
        ("skip", ["missed", "missed", "missed", None], 1, ["run_missed"]),
        ("once", ["superseded", "superseded", "superseded", None], 1, []),
        ("all", ["missed", "missed", None, None], 1, ["run_missed"]),
    ],
)
async def test_ticks_that_came_while_nobody_was_there(
    office: Office, missed: Any, runs: list[str | None], jobs: int, told: list[str]
) -> None:
    await office.begin(missed=missed, catch_up_limit=1)
    await office.end_job(at=NOON)
    table = await office.begin(NOON + 4 * MINUTE, missed=missed, catch_up_limit=1)
    assert [outcome for _, outcome in await office.runs()] == ["succeeded", *runs]
    assert await office.jobs() == 1 + jobs
    assert [name for name, _ in await office.events()] == told
    await office.end_job(at=NOON + 4 * MINUTE)
    await table.advance(office.connection, NOON + 4 * MINUTE)
    assert await office.jobs() == 1 + runs.count(None)


async def test_a_job_that_nobody_knows_fails_at_once(office: Office) -> None:
    table = office.table()
    await office.connection.execute("select monohull.schedule('x', '* * * * *', 'no.such')")
    await office.connection.execute(
        "update monohull.schedules set ticked_until = $1, next_at = null where name = 'x'", NOON - MINUTE
    )
    await table.advance(office.connection, NOON)
    assert await office.runs() == [("+0 tick", "failed")]
    assert [name for name, _ in await office.events()] == ["run_failed"]


async def test_a_job_that_the_ledger_forgot_is_lost(office: Office) -> None:
    table = await office.begin()
    await office.connection.execute("delete from monohull.jobs")
    await table.advance(office.connection, NOON + timedelta(seconds=1))
    assert await office.runs() == [("+0 tick", "lost")]
    assert [name for name, _ in await office.events()] == ["run_failed"]


async def test_one_that_cannot_be_read_keeps_no_other_from_running(office: Office) -> None:
    await office.connection.execute("set session_replication_role = replica")  # past the schema's own look
    await office.connection.execute(
        "insert into monohull.schedules (name, source, fields, job) "
        "values ('bad', 'sql', 'never', 'test.tick')"
    )
    await office.connection.execute("set session_replication_role = origin")
    await office.begin()
    assert await office.runs() == [("+0 tick", None)]
    fault = await office.connection.fetchval("select fault from monohull.schedules where name = 'bad'")
    assert "five fields" in fault


async def test_schedules_of_code_that_is_gone_rest_and_are_forgotten(office: Office) -> None:
    await office.begin()
    other = office.table()  # a process of another version
    await other.declare(office.connection, NOON)
    await other.advance(office.connection, NOON + MINUTE)
    assert await office.jobs() == 1
    await office.connection.execute("update monohull.schedules set seen_at = now() - interval '8 days'")
    await other.declare(office.connection, NOON)
    assert await office.connection.fetchval("select count(*) from monohull.schedules") == 0


async def test_pausing_survives_the_next_relay_and_resuming_makes_up_for_nothing(office: Office) -> None:
    now = datetime.now(UTC)
    await office.begin(now)
    before = len(await office.runs())
    await office.connection.execute("select monohull.pause_schedule('test.tick')")
    table = await office.begin(now + 5 * MINUTE)
    assert len(await office.runs()) == before
    await office.connection.execute("select monohull.resume_schedule('test.tick')")
    ticked = await office.connection.fetchval("select ticked_until from monohull.schedules")
    assert ticked >= now
    await table.advance(office.connection, ticked + timedelta(milliseconds=1))
    assert len(await office.runs()) == before


async def test_a_run_asked_for_waits_for_its_turn(office: Office) -> None:
    table = await office.begin(overlap="queue")
    await office.connection.execute("select monohull.run_schedule('test.tick')")
    await table.advance(office.connection, NOON + timedelta(seconds=1))
    assert await office.jobs() == 1
    await office.end_job(at=NOON + timedelta(seconds=2))
    await table.advance(office.connection, NOON + timedelta(seconds=3))
    assert await office.jobs() == 2
    await office.connection.execute("delete from monohull.schedules")
    assert await office.connection.fetchval("select count(*) from monohull.schedule_runs") == 2


@pytest.mark.parametrize(
    "call",
    [
        "monohull.schedule('x', '60 * * * *', 'a.b')",
        "monohull.schedule('x', '* * * *', 'a.b')",
        "monohull.schedule('x', '* * * * fri-mon', 'a.b')",
        "monohull.schedule('x', '1,,2 * * * *', 'a.b')",
        "monohull.schedule('x', '* * * * *', 'a.b', timezone => 'Europe/Nowhere')",
        "monohull.schedule('x', '* * * * *', 'a.b', missed => 'never')",
        "monohull.schedule('x', '* * * * *', 'a.b', '[]')",
        "monohull.schedule('no name', '* * * * *', 'a.b')",
        "monohull.schedule('test.tick', '* * * * *', 'a.b')",
        "monohull.schedule_statement('x', '* * * * *', 'select 1', 'nobody_is_called_so')",
        "monohull.schedule_statement('x', '* * * * *', 'select 1', current_user)",
        "monohull.run_schedule('x')",
    ],
)
async def test_sql_refuses(office: Office, call: str) -> None:
    await office.begin()
    with pytest.raises(asyncpg.PostgresError) as refused:
        await office.connection.execute(f"select {call}")
    assert refused.value.sqlstate in ("22023", "23514", "MH409", "42704")


async def test_sql_makes_changes_and_deletes(office: Office) -> None:
    run = office.connection.fetchval
    made = (
        "select monohull.schedule('x', '*/5  8-10 1,15 jan-mar MON', 'a.b', '{}', timezone => 'Asia/Tokyo')"
    )
    assert await run(made) == "x"
    assert await run("select fields from monohull.schedules") == "*/5 8-10 1,15 jan-mar MON"
    assert await run(made.replace("a.b", "a.c")) == "x"
    assert await run("select job from monohull.schedules") == "a.c"
    assert await run("select monohull.unschedule('x')") is True
    assert await run("select monohull.unschedule('x')") is False


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
async def test_roles_of_requests_steer_nothing(office: Office, role: str) -> None:
    await office.begin()
    calls = (
        "monohull.schedule('x', '* * * * *', 'a.b')",
        "monohull.schedule_statement('x', '* * * * *', 'select 1', 'service_role')",
        "monohull.run_schedule('test.tick')",
        "monohull.pause_schedule('test.tick')",
        "monohull.unschedule('x')",
        "count(*) from monohull.schedules",
        "count(*) from monohull.schedule_runs",
    )
    for call in calls:
        async with office.connection.transaction():
            await office.connection.execute(f"set local role {role}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with office.connection.transaction():
                    await office.connection.execute(f"select {call}")


async def test_a_role_that_may_schedule_may_not_schedule_statements(office: Office) -> None:
    connection = office.connection
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(
        "grant execute on function monohull.schedule to service_role;"
        "grant execute on function monohull.schedule_statement to service_role"
    )
    await connection.execute("set local role service_role")
    await connection.execute("select monohull.schedule('x', '* * * * *', 'a.b')")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(
            "select monohull.schedule_statement('y', '* * * * *', 'select 1', 'service_role')"
        )
    await transaction.rollback()
