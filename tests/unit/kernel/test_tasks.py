"""A task that is to end does end."""

from __future__ import annotations

import asyncio

import pytest

from monohull.kernel import tasks
from monohull.kernel.tasks import beside, end
from tests.patience import PATIENCE_SECONDS


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_task_that_listens() -> None:
    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()


async def test_a_task_that_swallows_the_first_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "INSIST_SECONDS", 0.01)
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        try:
            await forever()
        except asyncio.CancelledError:
            swallowed += 1
        await forever()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await asyncio.wait_for(end(task), PATIENCE_SECONDS)
    assert (swallowed, task.cancelled()) == (1, True)


async def test_a_task_that_was_over() -> None:
    async def done() -> int:
        return 1

    task = asyncio.create_task(done())
    await task
    await end(task)


async def test_a_failure_is_not_lost() -> None:
    async def fails() -> None:
        raise OSError("gone")

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="gone"):
        await end(task)


async def test_what_runs_beside_a_block_ends_with_it() -> None:
    async with beside(forever(), name="for ever") as task:
        await asyncio.sleep(0)
        assert (task.get_name(), task.done()) == ("for ever", False)
    assert task.cancelled()


async def test_a_failure_beside_a_block_is_raised_behind_it() -> None:
    async def fails() -> None:
        raise OSError("gone")

    block = []

    async def beside_it() -> None:
        async with beside(fails(), name="fails"):
            await asyncio.sleep(0)
            block.append("whole")

    with pytest.raises(OSError, match="gone"):
        await beside_it()
    assert block == ["whole"]


async def test_the_one_who_ends_a_block_may_be_cancelled() -> None:
    async def block() -> None:
        async with beside(forever(), name="for ever"):
            await forever()

    task = asyncio.create_task(block())
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()
