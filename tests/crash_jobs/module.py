"""Jobs that leave marks in the database; workers load them by ``MONOHULL_MODULES=tests.crash_jobs``."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from sqlalchemy import text

from monohull.kernel.events import Envelope, Event, Subscriber
from monohull.kernel.module import Module
from monohull.kernel.queues import Backoff, job

MARKS = "create table public.marks (what text not null, subject text not null, pid integer not null)"

_MARK = text("insert into public.marks (what, subject, pid) values (:what, :subject, :pid)")


class Happened(Event, frozen=True):
    name = "crash.thing_happened"

    n: int


class Entered(Event, frozen=True):
    name = "storm.entered"

    key: int
    n: int
    mark: str
    padding: str


async def mark(runtime: Any, what: str, subject: str) -> None:
    async with runtime.database.unit_of_work() as session:
        await session.execute(_MARK, {"what": what, "subject": subject, "pid": os.getpid()})


@job("crash.work", max_attempts=100, timeout_seconds=30, backoff=Backoff(base_seconds=0.2, max_seconds=1))
async def work(runtime: Any, *, n: int, seconds: float = 0.0) -> None:
    await mark(runtime, "begun", str(n))
    await asyncio.sleep(seconds)
    await mark(runtime, "ended", str(n))


@job("crash.tell", max_attempts=100, backoff=Backoff(base_seconds=0.2, max_seconds=1))
async def tell(runtime: Any, *, batch: dict[str, Any]) -> None:
    await mark(runtime, "told", str(batch["succeeded"]))


@job("crash.die", max_attempts=2)
async def die(runtime: Any) -> None:
    """Take the whole worker along, as a job does that needs more memory than there is."""
    await mark(runtime, "begun", "die")
    os.kill(os.getpid(), 9)


async def hear(runtime: Any, envelope: Envelope) -> None:
    await mark(runtime, "heard", str(envelope.id))


module = Module(
    name="crash_jobs",
    events=(Happened, Entered),
    subscribers=(Subscriber(name="crash.hear", events=("crash.*",), handle=hear),),
    jobs=(work, tell, die),
)
