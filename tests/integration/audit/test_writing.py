"""From the transaction that causes something to the entry that says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import msgspec
import pytest

from modules.audit.entries import COLUMNS, FIELDS, GENESIS, digest, month_of
from modules.audit.module import module
from modules.audit.writer import LOCK, ChainDisturbed, Writer
from monohull.kernel import clock
from monohull.kernel.outbox import publish
from tests.application import running_app, service_key
from tests.integration.audit.log import CaseGlanced, CaseOpened, make_log
from tests.patience import PATIENCE_SECONDS
from tests.workbench import Workbench

if TYPE_CHECKING:
    from monohull.kernel.home import Connections
    from monohull.kernel.observation import Observation
    from tests.integration.audit.log import Log

SERVICE = {"apikey": service_key()}


async def test_an_event_becomes_an_entry(log: Log) -> None:
    await log.say("case-7", old_title="Old", title="New", password="hunter2")
    assert await log.write() == 1
    (entry,) = await log.entries()
    assert (entry["action"], entry["object_kind"], entry["object_id"]) == (
        "test.case_opened",
        "case",
        "case-7",
    )
    assert msgspec.json.decode(entry["before_text"]) == {"title": "Old"}
    assert msgspec.json.decode(entry["after_text"]) == {
        "case_id": "case-7",
        "title": "New",
        "password": "[removed]",
    }
    assert (entry["actor_kind"], entry["sequence"], entry["previous_hash"]) == ("system", 1, GENESIS)


async def test_entries_are_chained_in_order(log: Log) -> None:
    await log.fill(3, "first")
    await log.fill(3, "second")
    entries = await log.entries()
    assert [entry["sequence"] for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert [entry["previous_hash"] for entry in entries[1:]] == [entry["hash"] for entry in entries[:-1]]
    assert [entry["object_id"] for entry in entries][:4] == ["first-1", "first-2", "first-3", "second-1"]


async def test_what_was_rolled_back_or_is_not_audited_leaves_nothing(log: Log) -> None:
    async with log.runtime.database.unit_of_work() as work:
        await publish(work, CaseGlanced(case_id="1"))
    with pytest.raises(ZeroDivisionError):
        await fail(log)
    assert await log.write() == 0


async def fail(log: Log) -> None:
    async with log.runtime.database.unit_of_work() as work:
        await publish(work, CaseOpened(case_id="1"))
        raise ZeroDivisionError


async def test_two_writers_write_everything_once(log: Log) -> None:
    """What one is cut off from is written by the other, once."""
    database, observer = log.runtime.database, log.runtime.observer
    async with Writer(database, observer).running(), Writer(database, observer).running():
        for number in range(20):
            await log.say(*(f"{number}-{n}" for n in range(25)))
            if number % 5 == 2:
                await end_the_writer(log)
            await asyncio.sleep(0.05)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await waiting(log):  # noqa: ASYNC110 the database tells
                await asyncio.sleep(0.05)
    entries = await log.entries()
    assert len(entries) == 500
    assert len({entry["object_id"] for entry in entries}) == 500
    assert (await log.audit.verify()).ok


async def end_the_writer(log: Log) -> None:
    async with log.runtime.database.connection() as connection:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted "
            "and objid = ($1 & 4294967295)::oid "
            "and database = (select oid from pg_database where datname = current_database())",
            LOCK,
        )


async def waiting(log: Log) -> int:
    async with log.runtime.database.connection() as connection:
        return int(await connection.fetchval("select count(*) from monohull.audit_queue"))


async def test_the_worker_writes(connections: Connections) -> None:
    bench = Workbench(module, connections)
    log = make_log(connections)
    async with bench.runtime.running(), log.runtime.running(), bench.worker():
        await log.say("case-1")
        await bench.until_rows("select from monohull.audit_entries", bool)
    assert "audit.entries_recorded" in bench.names()


async def test_what_cannot_be_read_stops_nothing(log: Log) -> None:
    async with log.runtime.database.connection() as connection:
        await connection.execute(
            "insert into monohull.audit_queue (source, content) values "
            '(\'event\', \'17\'), (\'event\', \'{"name": "a.b", "payload": {"x_id": "\\u0000"}}\'), '
            "('row', '{}'), ('event', '{\"name\": \"a.b\", \"payload\": \"\\ud800\"}')"
        )
    await log.say("case-1")
    assert await log.write() == 5
    actions = [entry["action"] for entry in await log.entries()]
    assert actions == ["audit.unreadable", "a.b", "audit.unreadable", "audit.unreadable", "test.case_opened"]
    assert (await log.audit.verify()).ok


async def test_a_request_says_who_as_what_and_from_where(connections: Connections) -> None:
    async with running_app(connections) as served:
        headers = SERVICE | {"user-agent": "shop/1.2", "x-request-id": "order-66"}
        created = await served.client.post("/platform/v1/api-keys", json={"name": "ci"}, headers=headers)
        assert created.status_code == 201
        key = created.json()
        await served.client.delete(f"/platform/v1/api-keys/{key['id']}", headers={"apikey": key["key"]})
    log = make_log(connections)
    async with log.runtime.running():
        assert await log.write() == 2
        made, revoked = await log.entries()
    assert (made["action"], made["object_kind"], made["object_id"]) == (
        "api_keys.key_created",
        "api_key",
        key["id"],
    )
    assert (made["actor_kind"], made["actor_role"], made["address"]) == (
        "service",
        "service_role",
        "127.0.0.1",
    )
    assert (made["user_agent"], made["request_id"]) == ("shop/1.2", "order-66")
    assert made["trace_id"] is not None
    assert (revoked["actor_kind"], revoked["actor_id"], revoked["key_id"]) == ("key", key["id"], key["id"])
    assert key["key"] not in str([dict(made), dict(revoked)])


@pytest.mark.parametrize(
    "statement",
    [
        "update monohull.audit_entries set actor_id = 'x'",
        "delete from monohull.audit_entries",
        "truncate monohull.audit_entries",
        "truncate PARTITION",
        "update PARTITION set actor_id = 'x'",
        "delete from PARTITION where sequence = 1",
        "update monohull.audit_checkpoints set hash = ''",
        "delete from monohull.audit_checkpoints",
        "truncate monohull.audit_checkpoints",
    ],
)
@pytest.mark.parametrize("before", ["", "set session_replication_role = replica"], ids=["plain", "replica"])
async def test_nobody_changes_an_entry(log: Log, statement: str, before: str) -> None:
    await log.fill(3)
    await log.audit.checkpoint()
    async with log.runtime.database.connection() as connection:
        await connection.execute(before or "select 1")
        table = f"monohull.audit_entries_{month_of(clock.now())}"
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match=r"append-only|permission denied"):
            await connection.execute(statement.replace("PARTITION", table))


async def test_an_owner_who_is_no_superuser_lacks_the_rights(log: Log) -> None:
    async with log.runtime.database.connection() as connection:
        rights = await connection.fetchval(
            "select relacl::text from pg_class where oid = 'monohull.audit_entries'::regclass"
        )
    granted = rights.split("=")[1].split("/")[0]
    assert not {"w", "d", "D"} & set(granted)


async def test_a_chain_goes_on_in_the_next_month(log: Log) -> None:
    """The clock of the database cannot be turned, so the first month is moved back by who may do anything."""
    await log.fill(4)
    month = month_of(clock.now())
    async with log.runtime.database.connection() as connection:
        await connection.execute("select monohull.add_audit_partition('2020-01-15')")
    await move_back(log, month)
    await log.fill(3, "later")
    entries = await log.entries()
    assert [entry["sequence"] for entry in entries] == [1, 2, 3, 4, 1, 2, 3]
    assert entries[4]["previous_hash"] == entries[3]["hash"]
    verdict = await log.audit.verify()
    assert (verdict.ok, verdict.entries) == (True, 7)
    assert (await log.audit.verify("2020_01")).entries == 4
    assert (await log.audit.verify(month)).ok
    with pytest.raises(ValueError, match="there is no partition 2019_01"):
        await log.audit.verify("2019_01")


async def move_back(log: Log, month: str) -> None:
    """Have the entries recorded in January 2020, as if they had been."""
    rows = [dict(row) for row in await log.entries()]
    await log.tamper("delete from ENTRIES")
    previous, records = GENESIS, []
    for row in rows:
        fields = {name: row[name] for name in FIELDS}
        fields |= {"before": row["before_text"], "after": row["after_text"]}
        fields["recorded_at"] = row["recorded_at"].replace(year=2020, month=1, day=15)
        own = digest("2020_01", fields, previous)
        records.append((*(fields[name] for name in FIELDS), previous, own))
        previous = own
    async with log.runtime.database.connection() as connection:
        await connection.copy_records_to_table(
            "audit_entries", schema_name="monohull", columns=COLUMNS, records=records
        )
    assert month != "2020_01"


async def test_a_chain_that_somebody_else_was_at_is_reported(log: Log) -> None:
    seen: list[Observation] = []
    log.runtime.observer.add_reader(seen.append)
    writer = Writer(log.runtime.database, log.runtime.observer)
    await log.say("1", "2", "3")
    async with log.runtime.database.connection() as connection:
        await writer.add_batch(connection)
        await log.say("4")
        await writer.add_batch(connection)
        assert not [one for one in seen if isinstance(one, ChainDisturbed)]
        await log.tamper("delete from ENTRIES where sequence = 4")
        await log.say("5")
        await writer.add_batch(connection)
    (disturbed,) = [one for one in seen if isinstance(one, ChainDisturbed)]
    assert (disturbed.expected, disturbed.found) == (4, 3)
