"""What is cancelled from below is not taken; what we cancel ourselves is cancelled."""

from __future__ import annotations

import asyncio

import pytest

from modules.streams.transports.protocols import NotTaken
from modules.streams.transports.together import all_taken


async def acknowledged() -> None:
    await asyncio.sleep(0)


async def test_an_acknowledgement_that_a_library_cancels_did_not_come() -> None:
    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def publish() -> None:
        await waiting

    asyncio.get_running_loop().call_later(0.01, waiting.cancel)
    with pytest.raises(ExceptionGroup) as caught:
        await all_taken([publish(), acknowledged()])
    assert isinstance(caught.value.exceptions[0], NotTaken)


async def test_all_are_taken() -> None:
    await all_taken([acknowledged(), acknowledged()])


async def test_whoever_sends_may_be_cancelled() -> None:
    task = asyncio.create_task(all_taken([asyncio.sleep(30)]))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
