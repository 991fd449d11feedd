"""Things that one process at a time leads for are spread over the processes that can."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

import asyncpg
import pytest

from monohull.kernel.claims import Claims
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.database.engine import Database
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

STILL_SECONDS = 6.0


class Turning:
    """Work of which can be seen that it is done."""

    def __init__(self, revision: int) -> None:
        self.revision = revision

    async def run(self) -> None:
        await asyncio.Event().wait()


class Wheels(Claims[Turning]):
    """A process that claims; ``things`` are shared with the others."""

    name: ClassVar[str] = "wheels"
    channel: ClassVar[str] = "monohull_wheels"

    def __init__(
        self, database: Database, things: dict[UUID, int], unable: frozenset[UUID] = frozenset()
    ) -> None:
        super().__init__(database)
        self.things = things
        self.unable = unable
        self.leads: list[UUID] = []
        self.errors: list[BaseException] = []

    async def wanted(self, connection: asyncpg.Connection) -> Mapping[UUID, int]:
        del connection
        return dict(self.things)

    async def begin(self, connection: asyncpg.Connection, thing_id: UUID) -> Turning | None:
        del connection
        return None if thing_id in self.unable else Turning(self.things[thing_id])

    def led(self, thing_id: UUID) -> None:
        self.leads.append(thing_id)

    def stalled(self, error: BaseException) -> None:
        self.errors.append(error)

    @property
    def number(self) -> int:
        return len(self.works)


def things(number: int) -> dict[UUID, int]:
    return {UUID(int=at): 1 for at in range(number)}


class Fleet:
    """Processes that claim, each with connections of its own."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self._url = url
        self._stack = stack
        self.members: list[Wheels] = []
        self._ends: dict[Wheels, AsyncExitStack] = {}

    async def start(self, wanted: dict[UUID, int], unable: frozenset[UUID] = frozenset()) -> Wheels:
        database = Database(self._url, pool_size=1)
        stack = await self._stack.enter_async_context(AsyncExitStack())
        stack.push_async_callback(database.close)
        member = Wheels(database, wanted, unable)
        await stack.enter_async_context(member.running())
        self.members.append(member)
        self._ends[member] = stack
        return member

    async def stop(self, member: Wheels) -> None:
        self.members.remove(member)
        await self._ends[member].aclose()

    def numbers(self) -> list[int]:
        return sorted(member.number for member in self.members)

    async def comes_to(self, *numbers: int) -> None:
        """Wait until that is how the things are spread, and none of them has moved for a while."""
        since, before = monotonic_seconds(), ([0], 0)
        deadline = since + PATIENCE_SECONDS
        while monotonic_seconds() < since + STILL_SECONDS or self.numbers() != list(numbers):
            assert monotonic_seconds() < deadline, (before, "they go to and fro, or are not spread so")
            now = self.numbers(), sum(len(member.leads) for member in self.members)
            if now != before:
                since, before = monotonic_seconds(), now
            await asyncio.sleep(0.02)
        assert not any(member.errors for member in self.members)


@pytest.fixture
async def fleet(platform_database: str) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        yield Fleet(platform_database, stack)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "processes", "expected"),
    [(6, 2, (3, 3)), (7, 3, (2, 2, 3)), (2, 3, (0, 1, 1)), (1, 2, (0, 1)), (4, 3, (1, 1, 2))],
)
async def test_those_that_start_later_get_their_share(
    fleet: Fleet, number: int, processes: int, expected: tuple[int, ...]
) -> None:
    wanted = things(number)
    await fleet.start(wanted)
    await eventually(lambda: fleet.numbers() == [number], said=fleet.numbers)
    for _ in range(processes - 1):
        await fleet.start(wanted)
    await fleet.comes_to(*expected)


@pytest.mark.slow
async def test_the_others_go_on_for_one_that_ends(fleet: Fleet) -> None:
    wanted = things(6)
    first = await fleet.start(wanted)
    await fleet.start(wanted)
    await eventually(lambda: fleet.numbers() == [3, 3], said=fleet.numbers)
    await fleet.stop(first)
    await eventually(lambda: fleet.numbers() == [6], said=fleet.numbers)


@pytest.mark.slow
async def test_a_lost_connection_is_a_lost_claim(fleet: Fleet, platform_database: str) -> None:
    wanted = things(4)
    first, second = await fleet.start(wanted), await fleet.start(wanted)
    await eventually(lambda: fleet.numbers() == [2, 2], said=fleet.numbers)
    connection = await asyncpg.connect(platform_database)
    lock = first.lock(next(iter(wanted)))
    holders = await connection.fetch(
        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objsubid = 1 "
        "and database = (select oid from pg_database where datname = current_database()) "
        "and ((classid::bigint << 32) | objid::bigint) = $1",
        lock,
    )
    await connection.close()
    assert len(holders) == 1
    await eventually(lambda: any(member.errors for member in fleet.members), said=fleet.numbers)
    first.errors.clear()
    second.errors.clear()
    await fleet.comes_to(2, 2)


@pytest.mark.slow
async def test_what_one_is_unable_to_do_others_do(fleet: Fleet) -> None:
    wanted = things(4)
    poor = await fleet.start(wanted, frozenset(wanted))
    rich = await fleet.start(wanted)
    await fleet.comes_to(0, 4)
    assert (poor.number, rich.number) == (0, 4)


@pytest.mark.slow
async def test_what_is_changed_or_gone_is_begun_anew_or_ended(fleet: Fleet) -> None:
    wanted = things(3)
    member = await fleet.start(wanted)
    await eventually(lambda: fleet.numbers() == [3], said=fleet.numbers)
    wanted[UUID(int=1)] = 2
    del wanted[UUID(int=2)]
    await eventually(lambda: sorted(work.revision for work in member.works) == [1, 2], said=fleet.numbers)
    wanted.clear()
    await eventually(lambda: fleet.numbers() == [0], said=fleet.numbers)
