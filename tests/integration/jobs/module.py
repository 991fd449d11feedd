"""A shop with jobs that may be asked for; applications load it by ``MONOHULL_MODULES``."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import Struct

from monohull.kernel.module import Module
from monohull.kernel.progress import progress
from monohull.kernel.queues import Backoff, GiveUp, job

QUICK = Backoff(base_seconds=0.05, max_seconds=0.05)

RAN: list[Any] = []
BATCHES: list[dict[str, Any]] = []
HELD: list[str] = []
"""What lingers does not end while something stands here."""


class Number(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    n: int
    text: str = ""


class Seconds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    seconds: float


class Counts(Struct, frozen=True, kw_only=True):
    id: str
    total: int
    succeeded: int
    dead: int
    cancelled: int


class Told(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    batch: Counts
    to: str = ""


@job("shop.count", max_attempts=2, arguments=Number, is_public=True, backoff=QUICK)
async def count(_: Any, *, n: int, text: str) -> dict[str, Any]:
    """Count one."""
    RAN.append(n)
    return {"n": n, "text": text}


@job("shop.fail", max_attempts=2, arguments=Number, is_public=True, backoff=QUICK)
async def fail(_: Any, *, n: int, text: str) -> None:
    """Fail every time."""
    RAN.append(n)
    if text == "for good":
        raise GiveUp(text)
    raise ValueError(f"no {n}")


@job("shop.linger", arguments=Seconds, is_public=True, timeout_seconds=60)
async def linger(_: Any, *, seconds: float) -> None:
    """Take a while, and say so."""
    await progress(0.5, "half")
    await progress(0.75, "three quarters")
    RAN.append("begun")
    try:
        await asyncio.sleep(seconds)
        while HELD:  # noqa: ASYNC110 an event would belong to the loop of one test
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        RAN.append("stopped")
        raise
    RAN.append("ended")


@job("shop.urgent", arguments=Number, is_public=True, queue="urgent", priority=9)
async def urgent(_: Any, *, n: int, text: str) -> None:
    """Run in a queue of its own."""
    RAN.append(f"{text}{n}")


@job("shop.tell", arguments=Told, is_public=True)
async def tell(_: Any, *, batch: Counts, to: str) -> None:
    """Say what became of a batch."""
    BATCHES.append({"to": to, "total": batch.total, "succeeded": batch.succeeded, "dead": batch.dead})


@job("shop.secretive")
async def secretive(_: Any, *, word: str) -> str:
    RAN.append(word)
    return "x" * 100_000


module = Module(name="shop", jobs=(count, fail, linger, urgent, tell, secretive))
