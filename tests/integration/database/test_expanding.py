"""Revisions that only add: code of the version before goes on with the database, until one takes away."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from monohull.kernel.database import platform_version
from monohull.kernel.database.engine import Database
from monohull.kernel.database.migrations import Login, downgrade, head, upgrade
from monohull.kernel.database.platform_version import demand_of, read_demand, schema_state, write_demand
from monohull.kernel.database.revisions import locate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LOGIN = Login("a-password-for-tests")
REVISION = """
from alembic import op
revision = "{number}"
down_revision = "{before}"
branch_labels = depends_on = None
{says}

def upgrade():
    op.execute("create table monohull.made_by_{number} (id int)")

def downgrade():
    op.execute("drop table monohull.made_by_{number}")
"""


@pytest.fixture
async def database(platform_database: str) -> AsyncIterator[Database]:
    database = Database(platform_database, pool_size=1)
    async with database.running():
        yield database


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The revisions of a version to come: two that expand, one that does not, one that does."""
    folder = tmp_path / "migrations"
    shutil.copytree(locate(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = head()
    for number, says in (
        ("9001", "expands = True"),
        ("9002", "expands = True"),
        ("9003", ""),
        ("9004", "expands = True"),
    ):
        text = REVISION.format(number=number, before=before, says=says)
        (folder / "versions" / f"{number}_made.py").write_text(text)
        before = number
    return folder


async def demanded(database: Database, revision: str) -> str | None:
    async with database.connected() as connection:
        return await connection.run_sync(read_demand, revision)


async def test_this_code_goes_on_while_revisions_expand(database: Database, newer: Path) -> None:
    assert await demanded(database, head()) == head()
    for number in ("9001", "9002"):
        await upgrade(database, LOGIN, folder=newer, target=number)
        assert await demanded(database, number) == head()
        assert await schema_state(database) == "current"
    for number in ("9003", "9004"):
        await upgrade(database, LOGIN, folder=newer, target=number)
        assert await demanded(database, number) == "9003"
        assert await schema_state(database) == "newer"


async def test_all_at_once_demands_the_same(database: Database, newer: Path) -> None:
    await upgrade(database, LOGIN, folder=newer)
    assert await demanded(database, "9004") == "9003"
    assert await schema_state(database) == "newer"


async def test_the_way_back(database: Database, newer: Path) -> None:
    await upgrade(database, LOGIN, folder=newer)
    await downgrade(database, "9002", folder=newer)
    # which of the revisions that are left expand was not kept: nobody older is let in
    assert await demanded(database, "9002") == "9002"
    assert await schema_state(database) == "newer"
    await downgrade(database, head(), folder=newer)
    assert await schema_state(database) == "current"


async def test_a_comment_of_another_revision_says_nothing(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("update monohull.platform_version set version_num = '9001'")
    assert await schema_state(database) == "newer"
    async with database.connection() as connection:
        await connection.execute("comment on table monohull.platform_version is 'anything; at all'")
    assert await schema_state(database) == "newer"
    async with database.connected() as connection:
        with pytest.raises(ValueError, match="it's"):
            await connection.run_sync(write_demand, "9001", "it's")


def test_what_a_revision_demands() -> None:
    assert demand_of("0002", "0001", "0001", expands=False) == "0002"
    assert demand_of("0003", "0002", "0002", expands=True) == "0002"
    assert demand_of("0004", "0003", "0002", expands=True) == "0002"
    # a database that was migrated before this was kept
    assert demand_of("0004", "0003", None, expands=True) == "0003"
    assert demand_of("0001", None, None, expands=True) == "0001"
    assert platform_version.DEMANDED.fullmatch(platform_version.DEMAND.format("1", "2"))
