"""Checks run at once, each under its own limit, and a failing one is named."""

from __future__ import annotations

import asyncio

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.health import Check, Health


async def fine() -> str | None:
    return None


async def wrong() -> str | None:
    return "the tank is empty"


async def hangs() -> str | None:
    await asyncio.sleep(60)
    return None


async def raises() -> str | None:
    raise OSError


async def test_each_check_says_how_it_went() -> None:
    health = Health([Check("fine", fine)])
    health.add(Check("wrong", wrong))
    health.add(Check("hangs", hangs, timeout_seconds=0.05))
    health.add(Check("raises", raises))
    began = monotonic_seconds()
    results = await health.run()
    assert monotonic_seconds() - began < 30, "half of what one of them would take"
    assert {name: (result.ok, result.message) for name, result in results.items()} == {
        "fine": (True, None),
        "wrong": (False, "the tank is empty"),
        "hangs": (False, "no answer within 0.05 s"),
        "raises": (False, "OSError"),
    }
