from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import UniqueConstraint
from sqlalchemy.exc import IntegrityError, MultipleResultsFound
from sqlalchemy.orm import Mapped, mapped_column

from monohull.kernel.database.base import Base, Identified, Timestamped
from monohull.kernel.database.engine import Database
from monohull.kernel.database.repository import Repository, violated_constraint
from monohull.kernel.errors import NotFound
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from sqlalchemy import Table


class GardenTool(Identified, Timestamped, Base):
    __tablename__ = "garden_tools"
    __table_args__ = (UniqueConstraint("name"),)

    name: Mapped[str] = mapped_column()
    kind: Mapped[str] = mapped_column(index=True)
    notes: Mapped[dict[str, Any] | None] = mapped_column(default=None)


class GardenTools(Repository[GardenTool]):
    model_type = GardenTool


@pytest.fixture
async def database(empty_url: str) -> AsyncIterator[Database]:
    table: Table = GardenTool.__table__  # type: ignore[assignment]
    database = Database(empty_url, pool_size=1)
    async with database.running():
        async with database.connected() as connection:
            await connection.run_sync(table.create)
            await connection.commit()
        yield database


async def planted(database: Database) -> UUID:
    async with database.unit_of_work() as session:
        tools = GardenTools(session)
        spade = await tools.add(GardenTool(name="spade", kind="iron"))
        await tools.add_many([GardenTool(name="rake", kind="iron"), GardenTool(name="pot", kind="clay")])
        return spade.id


async def test_get_raises_find_does_not_and_list_lists(database: Database) -> None:
    spade = await planted(database)
    async with database.unit_of_work() as session:
        tools = GardenTools(session)
        assert (await tools.get_by_id(spade)).name == "spade"
        assert (await tools.get_by(name="pot")).kind == "clay"
        assert await tools.find_by(name="hoe") is None
        assert await tools.find_by_id(uuid7()) is None
        names = [tool.name for tool in await tools.list_by(kind="iron", order_by=[GardenTool.name])]
        assert names == ["rake", "spade"]
        assert len(await tools.list_by(GardenTool.kind != "clay", limit=1)) == 1
        with pytest.raises(NotFound, match="no garden tool has the id"):
            await tools.get_by_id(uuid7())
        with pytest.raises(NotFound, match=r"^no such garden tool$"):
            await tools.get_by(name="hoe")
        with pytest.raises(MultipleResultsFound):
            await tools.find_by(kind="iron")


async def test_rows_know_when_they_were_made(database: Database) -> None:
    spade = await planted(database)
    async with database.unit_of_work() as session:
        tool = await GardenTools(session).get_by_id(spade)
        assert tool.id.version == 7
        assert tool.created_at.tzinfo is not None
        assert timedelta() <= tool.updated_at - tool.created_at < timedelta(seconds=1)
        made = tool.updated_at
        tool.kind = "steel"
    async with database.unit_of_work() as session:
        tool = await GardenTools(session).get_by_id(spade)
        assert tool.updated_at > made
        assert tool.notes is None


async def test_a_refused_row_names_its_constraint(database: Database) -> None:
    await planted(database)
    with pytest.raises(IntegrityError) as caught:
        async with database.unit_of_work() as session:
            await GardenTools(session).add(GardenTool(name="spade", kind="wood"))
    assert violated_constraint(caught.value) == "uq_garden_tools_name"


def test_names_of_constraints_follow_the_rule() -> None:
    table: Table = GardenTool.__table__  # type: ignore[assignment]
    assert table.primary_key.name == "pk_garden_tools"
    assert {index.name for index in table.indexes} == {"ix_garden_tools_kind"}
