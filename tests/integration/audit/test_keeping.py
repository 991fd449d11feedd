"""Months made ahead and let go, checkpoints by the clock, doctor, and the commands."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from msgspec import Struct

from modules.audit.cli import audit
from modules.audit.entries import month_of
from modules.audit.looks import lag_seconds, look
from modules.audit.partitions import list_months
from monohull.kernel import clock
from monohull.kernel.configuration import Configuration, load
from monohull.kernel.runtime import Runtime
from tests.application import JWT_SECRET
from tests.integration.audit.log import make_log
from tests.integration.audit.test_writing import move_back

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from monohull.kernel.home import Connections
    from tests.integration.audit.log import Log


async def months(log: Log) -> list[str]:
    async with log.runtime.database.connection() as connection:
        return list(await list_months(connection))


async def test_months_are_made_ahead(log: Log) -> None:
    kept = await log.audit.keep()
    assert len(kept.made) == 1  # the migration made the current and the next one
    assert len(await months(log)) == 3
    assert (await log.audit.keep()).made == ()


async def test_old_months_leave_and_the_chain_still_holds(connections: Connections) -> None:
    log = make_log(connections, audit_retention_months="12")
    async with log.runtime.running():
        await log.fill(4)
        async with log.runtime.database.connection() as connection:
            await connection.execute("select monohull.add_audit_partition('2020-01-15')")
        await move_back(log, month_of(clock.now()))
        await log.fill(3, "later")
        kept = await log.audit.keep()
        assert kept.dropped == ("2020_01",)
        assert "2020_01" not in await months(log)
        verdict = await log.audit.verify()
        assert (verdict.ok, verdict.entries) == (True, 3)
        await log.tamper("delete from ENTRIES where sequence = 1")
        assert (await log.fault()).kind == "missing"


async def test_a_month_that_somebody_dropped_is_missed(log: Log) -> None:
    await log.fill(4)
    async with log.runtime.database.connection() as connection:
        await connection.execute("select monohull.add_audit_partition('2020-01-15')")
    await move_back(log, month_of(clock.now()))
    await log.audit.checkpoint()
    await log.fill(3, "later")
    async with log.runtime.database.connection() as connection:
        await connection.execute("drop table monohull.audit_entries_2020_01")
    fault = await log.fault()
    assert (fault.kind, fault.partition) == ("missing", "2020_01")


async def test_the_end_is_signed_by_the_clock(log: Log) -> None:
    assert (await log.audit.keep()).checkpoint is None
    await log.fill(2)
    made = (await log.audit.keep()).checkpoint
    assert made is not None
    assert made.sequence == 2
    await log.fill(2)
    assert (await log.audit.keep()).checkpoint is None  # not yet


async def test_doctor_and_lag(log: Log) -> None:
    assert (await look(log.runtime)).state == "ok"
    assert await lag_seconds(log.runtime.database) == 0
    await log.say("case-1")
    lag = await lag_seconds(log.runtime.database)
    assert lag is not None
    assert 0 <= lag < 60
    async with log.runtime.database.connection() as connection:
        await connection.execute("update monohull.audit_queue set occurred_at = now() - interval '1 hour'")
        assert "is a worker running" in (await look(log.runtime)).message
        await connection.execute("delete from monohull.audit_queue")
        table = f"monohull.audit_entries_{month_of(clock.now())}"
        await connection.execute(f"alter table {table} disable trigger monohull_append_only")
    assert "missing or off" in (await look(log.runtime)).message


class Context(Struct, frozen=True):
    """What the ``monohull`` command hands over, for one database."""

    connections: Connections
    environ: dict[str, str]

    def load(self, home: Path | None = None, project: Path | None = None) -> Configuration:
        del home
        return load(self.environ, project=project or Path("/"))

    def run(self, loaded: Configuration, work: Callable[[Runtime], Awaitable[Any]]) -> Any:
        async def inner() -> Any:
            runtime = Runtime(loaded.settings, loaded.modules, self.connections, process="cli")
            async with runtime.running():
                return await work(runtime)

        return asyncio.run(inner())


ENVIRON = {"MONOHULL_ENV": "test", "MONOHULL_JWT_SECRET": JWT_SECRET, "MONOHULL_LOG_LEVEL": "error"}


def call(connections: Connections, *arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(audit, arguments, obj=Context(connections, ENVIRON | environ))


def printed(result: Result) -> str:
    """What the command itself wrote: without its entry point, log lines go to stdout too."""
    lines = result.stdout.splitlines()
    return "\n".join(line for line in lines if not re.match(r"\d{4}-\d\d-\d\d \S+ \[", line))


@pytest.fixture
def there(connections: Connections) -> Connections:
    """Five entries. Not async: each command runs a loop of its own."""

    async def fill() -> None:
        log = make_log(connections)
        async with log.runtime.running():
            await log.fill(5)

    asyncio.run(fill())
    return connections


def test_commands_check_sign_and_show(there: Connections, tmp_path: Path) -> None:
    folder = {"MONOHULL_AUDIT_CHECKPOINT_FOLDER": str(tmp_path / "checkpoints")}
    result = call(there, "verify", **folder)
    assert (result.exit_code, printed(result).split(" ")[0]) == (0, "5")
    result = call(there, "checkpoint", "--json", **folder)
    assert json.loads(printed(result))["sequence"] == 5
    assert "nothing was added" in printed(call(there, "checkpoint", **folder))
    listed = json.loads(printed(call(there, "list", "--object", "case:case-2", "--json")))
    assert [entry["sequence"] for entry in listed] == [2]
    assert "test.case_opened case:case-5  by system" in printed(call(there, "list", "--limit", "1"))
    out = tmp_path / "out.csv"
    assert call(there, "export", "--format", "csv", "-o", str(out)).exit_code == 0
    assert len(out.read_text().splitlines()) == 6


def test_verify_leaves_with_one_and_names_the_entry(there: Connections) -> None:
    async def tamper() -> None:
        log = make_log(there)
        async with log.runtime.running():
            await log.tamper("update ENTRIES set action = 'a.b' where sequence = 3")

    asyncio.run(tamper())
    result = call(there, "verify", "--json")
    assert result.exit_code == 1
    fault = json.loads(printed(result))["fault"]
    assert (fault["kind"], fault["sequence"], fault["partition"]) == ("altered", 3, month_of(clock.now()))
    assert "altered: entry 3" in call(there, "verify").stderr
    assert call(there, "verify", "--partition", "1999_01").exit_code == 2


def test_a_folder_that_cannot_be_written_is_said_in_one_line(there: Connections, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = call(there, "checkpoint", MONOHULL_AUDIT_CHECKPOINT_FOLDER=str(tmp_path / "file" / "below"))
    assert result.exit_code == 2
    assert "cannot" in result.stderr
    assert call(there, "checkpoint").exit_code == 0  # nothing was half done


def test_a_table_is_tracked_by_command(there: Connections) -> None:
    result = call(there, "track", "public.nothing")
    assert result.exit_code == 2
    assert "there is no table" in result.stderr
    assert printed(call(there, "track")) == ""
