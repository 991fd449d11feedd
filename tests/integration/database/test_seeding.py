"""Seeds run once: modules' rows, copied files, SQL, in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from monohull.kernel.database.errors import MigrationRefused
from monohull.kernel.database.project import read_ledger
from monohull.kernel.database.seeding import pending_seeds, seed_project

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncSession

    from monohull.kernel.database.engine import Database
    from monohull.kernel.database.seeding import ModuleSeed

USERS: dict[str, Any] = {"users": [{"email": "ada@example.com"}]}


async def plant(session: AsyncSession, table: Mapping[str, Any]) -> None:
    for user in table.get("users", ()):
        await session.execute(text("insert into steps (step) values (:email)"), {"email": user["email"]})


async def steps(database: Database) -> list[str]:
    async with database.connection() as connection:
        return [row[0] for row in await connection.fetch("select step from steps order by id")]


@pytest.fixture
async def project(database: Database, tmp_path: Path) -> Path:
    async with database.connection() as connection:
        await connection.execute("create table steps (id serial, step text)")
    (tmp_path / "seed.sql").write_text("insert into steps (step) values ('seed.sql')")
    (tmp_path / "rows.csv").write_text("step\nrows.csv\n")
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed" / "more.sql").write_text("insert into steps (step) values ('more.sql')")
    return tmp_path


async def test_in_order_and_once(database: Database, project: Path) -> None:
    document = {"seed": USERS | {"copy": [{"table": "steps", "source": "rows.csv"}]}}
    modules: list[ModuleSeed] = [("auth", plant)]
    names = pending_seeds(project, (), document=document, modules=modules)
    assert names == ("[seed] auth", "copy steps from rows.csv", "seed.sql", "seed/more.sql")
    done = await seed_project(database, project, "shop", document=document, modules=modules)
    assert [one.name for one in done] == list(names)
    expected = ["ada@example.com", "rows.csv", "seed.sql", "more.sql"]
    assert await steps(database) == expected
    (project / "seed.sql").write_text("select nonsense")
    assert await seed_project(database, project, "shop", document=document, modules=modules) == ()
    assert await steps(database) == expected
    async with database.connection() as connection:
        applied = await read_ledger(connection, "shop")
    assert pending_seeds(project, applied, document=document, modules=modules) == ()


async def test_a_changed_table_goes_to_the_modules_again(database: Database, project: Path) -> None:
    modules: list[ModuleSeed] = [("auth", plant)]
    await seed_project(database, project, "shop", document={"seed": USERS}, modules=modules)
    more = {"seed": {"users": [{"email": "grace@example.com"}]}}
    done = await seed_project(database, project, "shop", document=more, modules=modules)
    assert [one.name for one in done] == ["[seed] auth"]
    assert (await steps(database))[-1] == "grace@example.com"


async def test_a_project_without_seeds(database: Database, tmp_path: Path) -> None:
    assert await seed_project(database, tmp_path, "shop", document={}, modules=[("auth", plant)]) == ()


async def test_a_module_that_fails_is_not_remembered(database: Database, project: Path) -> None:
    async def fail(session: AsyncSession, table: Mapping[str, Any]) -> None:
        await plant(session, table)
        raise MigrationRefused("this user cannot be")

    with pytest.raises(MigrationRefused, match="this user cannot be"):
        await seed_project(database, project, "shop", document={"seed": USERS}, modules=[("auth", fail)])
    assert await steps(database) == []
    done = await seed_project(database, project, "shop", document={"seed": USERS}, modules=[("auth", plant)])
    assert len(done) == 3
