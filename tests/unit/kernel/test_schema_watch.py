"""A schema that does not fit refuses requests, says why, and stops refusing by itself."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from monohull.kernel import schema
from monohull.kernel.errors import DatabaseUnavailable, SchemaOutdated
from monohull.kernel.observation import Observation, Observer, SchemaChecked
from monohull.kernel.schema import SchemaWatch
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from monohull.kernel.schema import SchemaState


class Database:
    """Answers what the test says."""

    def __init__(self, state: SchemaState | None) -> None:
        self.state = state

    async def read(self) -> SchemaState:
        if self.state is None:
            raise DatabaseUnavailable("away")
        return self.state


def watch(database: Database) -> tuple[SchemaWatch, list[Observation]]:
    seen: list[Observation] = []
    return SchemaWatch(database.read, Observer(seen.append)), seen


@pytest.mark.parametrize(
    ("state", "problem", "says"),
    [
        (None, DatabaseUnavailable, "has not answered"),
        ("pending", SchemaOutdated, "monohull migrate"),
        ("newer", SchemaOutdated, "newer version"),
    ],
)
async def test_refusals(
    state: SchemaState | None, problem: type[DatabaseUnavailable | SchemaOutdated], says: str
) -> None:
    watched, _ = watch(Database(state))
    await watched.check()
    with pytest.raises(problem, match=says) as refused:
        watched.demand()
    assert refused.value.status == 503
    assert int(refused.value.headers["Retry-After"]) >= 1


async def test_current_lets_pass_also_when_the_database_goes_away_later() -> None:
    database = Database("current")
    watched, seen = watch(database)
    assert await watched.probe() is None
    database.state = None
    await watched.check()
    watched.demand()
    assert seen == []


async def test_recovers_without_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "RETRY_SECONDS", 0.01)
    database = Database("pending")
    watched, seen = watch(database)
    async with watched.watching():
        await asyncio.sleep(0.05)
        with pytest.raises(SchemaOutdated):
            watched.demand()
        database.state = "current"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                with suppress(SchemaOutdated):
                    watched.demand()
                    break
                await asyncio.sleep(0.01)
    assert [type(observation) for observation in seen] == [SchemaChecked]
