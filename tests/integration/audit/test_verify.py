"""``audit verify`` against somebody who may do everything in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from modules.audit.entries import FIELDS, digest, month_of
from monohull.kernel import clock

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.audit.log import Log

COLUMNS = (
    "recorded_at, id, occurred_at, action, actor_kind, actor_id, actor_role, key_id, login, address, "
    "user_agent, object_kind, object_id, before, after, request_id, trace_id, previous_hash, hash"
)


async def test_an_untouched_log_holds(log: Log) -> None:
    await log.fill(50)
    verdict = await log.audit.verify()
    assert (verdict.ok, verdict.entries, verdict.fault) == (True, 50, None)


async def test_an_empty_log_holds(log: Log) -> None:
    assert (await log.audit.verify()).ok


@pytest.mark.parametrize(
    "change",
    [
        "actor_id = 'somebody else'",
        "action = 'test.nothing'",
        'after = \'{"case_id": "case-5","title":"","password":null}\'',
        "address = '192.0.2.1'",
        "occurred_at = occurred_at + interval '1 microsecond'",
        "request_id = ''",
        "hash = sha256(hash)",
    ],
    ids=["actor", "action", "white space", "address", "time", "empty for null", "hash"],
)
async def test_a_changed_field(log: Log, change: str) -> None:
    await log.fill(9)
    await log.tamper(f"update ENTRIES set {change} where sequence = 5")
    fault = await log.fault()
    assert (fault.kind, fault.sequence) == ("altered", 5)
    assert fault.id is not None
    assert fault.id in fault.message


async def test_a_changed_field_of_the_first_and_of_the_last_entry(log: Log) -> None:
    await log.fill(5)
    await log.tamper("update ENTRIES set actor_id = 'x' where sequence = 5")
    assert ((await log.fault()).kind, (await log.fault()).sequence) == ("altered", 5)
    await log.tamper("update ENTRIES set actor_id = 'x' where sequence = 1")
    assert ((await log.fault()).kind, (await log.fault()).sequence) == ("altered", 1)


async def test_a_changed_field_whose_hash_was_made_to_fit(log: Log) -> None:
    await log.fill(9)
    await rewrite(log, 5, 5)
    fault = await log.fault()
    assert (fault.kind, fault.sequence) == ("altered", 5)


@pytest.mark.parametrize("sequence", [1, 4, 8])
async def test_a_deleted_row(log: Log, sequence: int) -> None:
    await log.fill(9)
    await log.tamper(f"delete from ENTRIES where sequence = {sequence}")
    fault = await log.fault()
    assert (fault.kind, fault.sequence) == ("missing", sequence)


async def test_a_deleted_row_whose_gap_was_closed(log: Log) -> None:
    await log.fill(9)
    await log.tamper(
        "delete from ENTRIES where sequence = 4",
        "update ENTRIES set sequence = sequence + 1000 where sequence > 4",
        "update ENTRIES set sequence = sequence - 1001 where sequence > 1000",
    )
    fault = await log.fault()
    assert (fault.kind, fault.sequence) == ("missing", 4)


@pytest.mark.parametrize(("first", "second"), [(3, 7), (3, 4), (1, 2), (8, 9)])
async def test_two_swapped_rows(log: Log, first: int, second: int) -> None:
    await log.fill(9)
    await log.tamper(
        f"update ENTRIES set sequence = 1000 where sequence = {first}",
        f"update ENTRIES set sequence = {first} where sequence = {second}",
        f"update ENTRIES set sequence = {second} where sequence = 1000",
    )
    fault = await log.fault()
    assert (fault.kind, fault.sequence) == ("reordered", first)
    assert f"was recorded as entry {second}" in fault.message


async def test_an_inserted_row(log: Log) -> None:
    await log.fill(9)
    await make_room(log)
    await log.tamper(
        f"insert into ENTRIES (sequence, {COLUMNS}) select 5, {COLUMNS} from ENTRIES where sequence = 2"
    )
    fault = await log.fault()
    assert (fault.kind, fault.sequence) == ("inserted", 5)


async def test_an_inserted_row_that_is_chained_well(log: Log) -> None:
    await log.fill(9)
    await make_room(log)
    await log.tamper(
        f"insert into ENTRIES (sequence, {COLUMNS}) select 5, {COLUMNS} from ENTRIES where sequence = 2"
    )
    await rewrite(log, 5, 5)
    fault = await log.fault()
    assert (fault.kind, fault.sequence) == ("inserted", 5)


async def test_a_truncated_tail(log: Log) -> None:
    await log.fill(9)
    await log.audit.checkpoint()
    await log.tamper("delete from ENTRIES where sequence > 6")
    fault = await log.fault()
    assert (fault.kind, fault.sequence) == ("truncated", 7)


async def test_a_truncated_tail_that_was_written_over(log: Log) -> None:
    await log.fill(9)
    await log.audit.checkpoint()
    await log.tamper("delete from ENTRIES where sequence > 6")
    await log.fill(9, "other")
    fault = await log.fault()
    assert (fault.kind, fault.sequence) == ("rewritten", 1)
    assert "entry 9 is not the one" in fault.message


async def test_a_log_that_was_emptied(log: Log) -> None:
    await log.fill(3)
    await log.audit.checkpoint()
    await log.tamper("delete from ENTRIES")
    fault = await log.fault()
    assert (fault.kind, fault.sequence) == ("truncated", 1)


async def test_a_chain_that_was_written_anew_from_some_entry_on(log: Log) -> None:
    await log.fill(4)
    await log.audit.checkpoint()
    await log.fill(5)
    await log.audit.checkpoint()
    await rewrite(log, 6, 9)
    fault = await log.fault()
    assert (fault.kind, fault.sequence) == ("rewritten", 5)
    assert "one of 5 to 9" in fault.message


async def test_without_a_checkpoint_nobody_can_tell(log: Log) -> None:
    """Why checkpoints are made: the chain alone is as good as before."""
    await log.fill(9)
    await rewrite(log, 6, 9)
    assert (await log.audit.verify()).ok


async def test_a_checkpoint_that_was_made_to_fit(log: Log) -> None:
    await log.fill(9)
    await log.audit.checkpoint()
    await rewrite(log, 6, 9)
    (last,) = (row for row in await log.entries() if row["sequence"] == 9)
    async with log.runtime.database.connection() as connection:
        await connection.execute("alter table monohull.audit_checkpoints disable trigger all")
        await connection.execute("update monohull.audit_checkpoints set hash = $1", last["hash"].hex())
    fault = await log.fault()
    assert (fault.kind, fault.sequence) == ("checkpoint", 9)
    assert "does not hold" in fault.message


async def test_files_know_what_the_database_was_made_to_forget(filed: Log, tmp_path: Path) -> None:
    await filed.fill(9)
    await filed.audit.checkpoint()
    (file,) = tmp_path.iterdir()  # noqa: ASYNC240 a small folder
    assert file.name == f"{month_of(clock.now())}.jsonl"
    assert (await filed.audit.verify()).ok
    await filed.tamper("delete from ENTRIES where sequence > 6")
    async with filed.runtime.database.connection() as connection:
        await connection.execute("alter table monohull.audit_checkpoints disable trigger all")
        await connection.execute("delete from monohull.audit_checkpoints")
    fault = await filed.fault()
    assert (fault.kind, fault.sequence) == ("truncated", 7)


async def test_a_checkpoint_that_only_the_folder_has(filed: Log) -> None:
    await filed.fill(3)
    await filed.audit.checkpoint()
    async with filed.runtime.database.connection() as connection:
        await connection.execute("alter table monohull.audit_checkpoints disable trigger all")
        await connection.execute("delete from monohull.audit_checkpoints")
    fault = await filed.fault()
    assert (fault.kind, fault.sequence) == ("checkpoint", 3)


async def test_nothing_is_signed_twice(filed: Log, tmp_path: Path) -> None:
    assert await filed.audit.checkpoint() is None
    await filed.fill(3)
    assert await filed.audit.checkpoint() is not None
    assert await filed.audit.checkpoint() is None
    (file,) = tmp_path.iterdir()  # noqa: ASYNC240 a small folder
    assert len(file.read_bytes().splitlines()) == 1


async def make_room(log: Log) -> None:
    """Make place for an entry 5 by moving what is behind it."""
    await log.tamper(
        "update ENTRIES set sequence = sequence + 1000 where sequence >= 5",
        "update ENTRIES set sequence = sequence - 999 where sequence > 1000",
    )


async def rewrite(log: Log, first: int, last: int) -> None:
    """Change an entry and give it, and all up to ``last``, hashes that fit."""
    await log.tamper(f"update ENTRIES set actor_id = 'somebody else' where sequence = {first}")
    rows = {
        row["sequence"]: dict(row) | {"before": row["before_text"], "after": row["after_text"]}
        for row in await log.entries()
    }
    previous: bytes = rows[first - 1]["hash"]
    for sequence in range(first, last + 1):
        fields: dict[str, Any] = {name: rows[sequence][name] for name in FIELDS}
        own = digest(month_of(fields["recorded_at"]), fields, previous)
        await log.tamper(
            f"update ENTRIES set previous_hash = '\\x{previous.hex()}', hash = '\\x{own.hex()}' "
            f"where sequence = {sequence}"
        )
        previous = own
