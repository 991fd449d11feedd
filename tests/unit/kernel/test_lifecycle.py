"""Start in order, stop in reverse, finish what was accepted."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from monohull.kernel.lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager


def recorded(
    log: list[str], name: str, *, fails: bool = False
) -> Callable[[], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def resource() -> AsyncIterator[None]:
        if fails:
            raise RuntimeError(name)
        log.append(f"+{name}")
        try:
            yield
        finally:
            log.append(f"-{name}")

    return resource


async def test_order() -> None:
    log: list[str] = []
    lifecycle = Lifecycle()
    lifecycle.add("pool", recorded(log, "pool"))
    lifecycle.add("relay", recorded(log, "relay"))
    started = [lifecycle.is_started]
    async with lifecycle.running():
        started.append(lifecycle.is_started)
        log.append("work")
    assert log == ["+pool", "+relay", "work", "-relay", "-pool"]
    assert [*started, lifecycle.is_started] == [False, True, False]


async def test_what_had_started_is_stopped_when_the_next_one_fails() -> None:
    log: list[str] = []
    lifecycle = Lifecycle()
    lifecycle.add("pool", recorded(log, "pool"))
    lifecycle.add("relay", recorded(log, "relay", fails=True))
    with pytest.raises(RuntimeError, match="relay"):
        async with lifecycle.running():
            pass
    assert log == ["+pool", "-pool"]


async def test_drain_waits_for_work_and_refuses_more() -> None:
    lifecycle = Lifecycle()
    release = asyncio.Event()

    async def work() -> None:
        with lifecycle.working():
            await release.wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    assert lifecycle.in_flight == 1
    draining = asyncio.create_task(lifecycle.drain(5))
    await asyncio.sleep(0)
    assert lifecycle.is_draining
    assert not draining.done()
    release.set()
    assert await draining is True
    await task
    assert lifecycle.in_flight == 0


async def test_drain_gives_up_at_the_deadline() -> None:
    lifecycle = Lifecycle()
    with lifecycle.working():
        assert await lifecycle.drain(0.01) is False
        assert await lifecycle.drain(0) is False


async def test_drain_of_an_idle_process_is_immediate() -> None:
    assert await Lifecycle().drain(0) is True
