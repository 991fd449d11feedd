"""Statements of schedules on a real worker: as the role that is named, and never as the owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from modules.schedules.module import module
from modules.schedules.project import apply_declared, read_declared
from tests.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections

OPENED = """
create table public.heard (who text, claims text);
grant insert on public.heard to service_role;
create table public.closed (n integer);
revoke all on public.closed from anon, authenticated, service_role;
"""
BREAKING_OUT = "do $$ begin reset role; insert into public.closed values (1); end $$"


@pytest.fixture
async def bench(connections: Connections) -> AsyncIterator[Workbench]:
    bench = Workbench(module, connections)
    async with bench.runtime.running():
        await bench.rows("select 1")
        async with bench.runtime.database.connection() as connection:
            await connection.execute(OPENED)
        yield bench


async def test_statements_run_as_their_role(bench: Workbench) -> None:
    hear = "insert into heard values (current_user, auth.role())"
    statements = {
        "hears": (hear, "service_role"),
        "may_not": ("insert into closed values (1)", "service_role"),
        "breaks_out": (BREAKING_OUT, "service_role"),
        "two": ("select 1; select 2", "service_role"),
        "slow": ("select pg_sleep(30)", "service_role"),
        "stranger": ("select 1", "pg_monitor"),
    }
    async with bench.runtime.database.connection() as connection:
        for name, (sql, role) in statements.items():
            await connection.execute(
                "select monohull.schedule_statement($1, '0 0 1 1 *', $2, $3, timeout_seconds => $4)",
                name, sql, role, 1 if name == "slow" else 60,
            )  # fmt: skip
            await connection.execute("select monohull.run_schedule($1)", name)
    async with bench.worker():
        rows = await bench.until_rows(
            "select schedule, outcome, error from monohull.schedule_runs where kind = 'manual'",
            lambda rows: all(row["outcome"] for row in rows),
        )
    found = {row["schedule"]: (row["outcome"], str(row["error"])[:13]) for row in rows}
    assert found == {
        "hears": ("succeeded", "None"),
        "may_not": ("failed", "GiveUp: 42501"),
        "breaks_out": ("failed", "GiveUp: 42501"),
        "two": ("failed", "GiveUp: 42601"),
        "slow": ("failed", "GiveUp: 57014"),
        "stranger": ("failed", "GiveUp: 42501"),
    }
    assert [tuple(row) for row in await bench.rows("select * from heard")] == [
        ("service_role", "service_role")
    ]
    assert await bench.rows("select * from closed") == []


def entry(**more: Any) -> dict[str, Any]:
    return {"name": "report", "schedule": "30 2 * * *", "job": "a.b", **more}


async def test_the_project_declares_schedules(bench: Workbench) -> None:
    async def apply(*entries: Any) -> dict[str, str]:
        async with bench.runtime.database.connection() as connection:
            return dict(await apply_declared(connection, read_declared({"schedules": list(entries)})))

    async def names() -> list[str]:
        rows = await bench.rows("select name from monohull.schedules where source = 'project' order by name")
        return [row["name"] for row in rows]

    async with bench.runtime.database.connection() as connection:
        await connection.execute("select monohull.schedule('taken', '* * * * *', 'a.b')")
    statement = {"name": "forget", "schedule": "0 * * * *", "statement": "select 1", "role": "service_role"}
    assert await apply(entry(timezone="Europe/Berlin"), statement) == {}
    assert await names() == ["forget", "report"]
    faults = await apply(
        entry(schedule="never"),  # goes on as it was
        {**statement, "name": "as_owner", "role": "no_such_role"},
        entry(name="taken"),
        {"name": "both", "schedule": "* * * * *", "job": "a.b", "statement": "select 1"},
        entry(name="misspelt", time_zone="UTC"),
        7,
    )
    assert set(faults) == {"report", "as_owner", "taken", "both", "misspelt", "entry 6"}
    assert await names() == ["report"]
    assert await apply() == {}
    assert await names() == []
    assert read_declared({"schedules": {}}).faults
    assert read_declared({}).faults == {}
