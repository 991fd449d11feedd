"""Whatever is done to the policies of two projects, the matrix in git is no longer true."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest
from msgspec import Struct

from modules.policy_tests.differences import Difference, cells_that_differ, compare
from modules.policy_tests.matrix import read
from monohull.kernel.database.server import quote_name
from tests.integration.policy_tests.conftest import CLUBS, call, look, run_migrations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncpg

    from monohull.kernel.home import Connections

LEAST: Final = {"storefront": 12, "clubs": 20}


class Existing(Struct, frozen=True):
    """One policy of the database."""

    table: str
    name: str
    using: str | None
    check: str | None

    @property
    def place(self) -> str:
        return f"{quote_name(self.name)} on public.{quote_name(self.table)}"

    @property
    def is_open(self) -> bool:
        return {self.using, self.check} <= {"true", None}


async def policies(connection: asyncpg.Connection) -> list[Existing]:
    rows = await connection.fetch(
        "select tablename::text, policyname::text, qual, with_check from pg_policies "
        "where schemaname = 'public' order by 1, 2"
    )
    return [Existing(*row) for row in rows]


@asynccontextmanager
async def undone(connection: asyncpg.Connection, *statements: str) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        for statement in statements:
            await connection.execute(statement)
        yield
    finally:
        await transaction.rollback()


async def differences(database: asyncpg.Connection, project: Path, *statements: str) -> list[Difference]:
    """Return the cells alone that differ once ``statements`` are done."""
    kept = read(project / "policies.toml")
    async with undone(database, *statements):
        now = await look(database, project)
    found = cells_that_differ(kept, now)
    assert {d.text.partition("\n")[0] for d in found} <= {
        d.text.partition("\n")[0] for d in compare(kept, now)
    }
    return found


async def test_the_file_is_current(database: asyncpg.Connection, project: Path) -> None:
    kept = read(project / "policies.toml")
    assert compare(kept, await look(database, project)) == []
    assert kept.count > 200


@pytest.mark.slow
async def test_without_any_one_policy(database: asyncpg.Connection, project: Path) -> None:
    every = await policies(database)
    assert len(every) >= LEAST[project.name]
    for policy in every:
        found = await differences(database, project, f"drop policy {policy.place}")
        causes = [cause for d in found if d.table == f"public.{policy.table}" for cause in d.causes]
        assert any(cause.startswith(f'policy "{policy.name}" is gone: ') for cause in causes), policy


@pytest.mark.slow
async def test_with_any_one_policy_widened(database: asyncpg.Connection, project: Path) -> None:
    for policy in await policies(database):
        using = " using (true)" if policy.using is not None else ""
        check = " with check (true)" if policy.check is not None else ""
        found = await differences(database, project, f"alter policy {policy.place}{using}{check}")
        causes = [cause for d in found if d.table == f"public.{policy.table}" for cause in d.causes]
        named = any(cause.startswith(f'policy "{policy.name}" changed: ') for cause in causes)
        assert named is not policy.is_open, policy


@pytest.mark.slow
async def test_with_row_security_switched_off(database: asyncpg.Connection, project: Path) -> None:
    for table in sorted({policy.table for policy in await policies(database)}):
        found = await differences(
            database, project, f"alter table public.{quote_name(table)} disable row level security"
        )
        assert any("row security: on → off" in d.causes for d in found), table


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("grant insert on clubs to authenticated", "own · insert: no grant → refused"),
        ("grant select on clubs to anon", "own · select: no grant → hidden"),
        ("revoke select on posts from authenticated", "own · select: allow → no grant"),
        (
            "revoke execute on function my_clubs() from public, authenticated",
            "own · select: allow → no grant",
        ),
        ("create policy new on treasury for delete to anon using (true)", "own · delete: hidden → blind"),
        ("alter function my_clubs() security invoker", "raises 54001"),
    ],
)
async def test_what_else_opens_or_closes(database: asyncpg.Connection, statement: str, expected: str) -> None:
    await run_migrations(database, CLUBS)
    found = await differences(database, CLUBS, statement)
    assert any(expected in difference.text for difference in found), [d.text for d in found]


async def test_a_grant_of_one_column_is_told(database: asyncpg.Connection) -> None:
    await run_migrations(database, CLUBS)
    kept = read(CLUBS / "policies.toml")
    async with undone(database, "grant select (phone) on profiles to authenticated"):
        (found,) = compare(kept, await look(database, CLUBS))
    assert found.what == "grants of authenticated"
    assert "phone" in found.now


async def test_the_command_fails_and_names_the_policy(
    database: asyncpg.Connection, project: Path, connections: Connections
) -> None:
    arguments = ("test", "--project", str(project))
    passed = await call(connections, *arguments)
    assert passed.exit_code == 0, passed.output
    assert "are as in" in passed.output
    policy = (await policies(database))[-1]
    await database.execute(f"drop policy {policy.place}")
    failed = await call(connections, *arguments)
    assert failed.exit_code == 1
    assert f'policy "{policy.name}" is gone: ' in failed.output
    assert "differences from" in failed.output


@pytest.mark.slow
async def test_mutate_reports_what_nobody_would_miss(
    database: asyncpg.Connection, project: Path, connections: Connections, tmp_path: Path
) -> None:
    arguments = ("test", "--project", str(project), "--mutate")
    passed = await call(connections, *arguments)
    assert passed.exit_code == 0, passed.output
    count = len(await policies(database))
    assert f"{count} of {count} policies would be missed" in passed.output
    table = (await policies(database))[0].table
    await database.execute(f"create policy superfluous on public.{table} to anon using (false)")
    file = tmp_path / "policies.toml"
    written = await call(connections, "matrix", "--project", str(project), "--out", str(file))
    assert written.exit_code == 0, written.output
    failed = await call(connections, *arguments, "--file", str(file))
    assert failed.exit_code == 1
    assert f'public.{table}: policy "superfluous" could go and no cell would change' in failed.output
    assert f"{count} of {count + 1} policies would be missed" in failed.output
    assert len(await policies(database)) == count + 1
