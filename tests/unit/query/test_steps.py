from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from modules.query import steps
from modules.query.steps import at_once, in_slices

if TYPE_CHECKING:
    from modules.query.steps import Steps


def count(to: int, seconds: float = 0.0) -> Steps[int]:
    total = 0
    for number in range(to):
        total += number
        time.sleep(seconds)
        yield
    return total


def twice(to: int) -> Steps[int]:
    return (yield from count(to)) + (yield from count(to))


def refuse() -> Steps[int]:
    yield
    raise LookupError("no such thing")


async def test_both_ways_give_the_result() -> None:
    assert at_once(twice(4)) == await in_slices(twice(4)) == 12
    assert at_once(count(0)) == await in_slices(count(0)) == 0


async def test_both_ways_raise_what_is_raised() -> None:
    with pytest.raises(LookupError, match="no such thing"):
        at_once(refuse())
    with pytest.raises(LookupError, match="no such thing"):
        await in_slices(refuse())


async def test_others_have_their_turn_after_each_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "SLICE_SECONDS", 0.001)
    monkeypatch.setattr(steps, "REST_SECONDS", 0.0)
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    await in_slices(count(20, seconds=0.002))
    other.cancel()
    assert turns >= 20


async def test_it_can_be_cancelled() -> None:
    def endless() -> Steps[None]:
        while True:
            time.sleep(0.002)
            yield

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await in_slices(endless())
