"""A job that leaves a mark; processes load it by ``MONOHULL_MODULES=tests.integration.rolling``."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import Struct
from sqlalchemy import text

from monohull.kernel.module import Module
from monohull.kernel.queues import Backoff, job

_MARK = text("insert into public.done (n) values (:n)")


class Piece(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    n: int
    seconds: float = 0.0


@job(
    "rolling.work",
    max_attempts=20,
    arguments=Piece,
    is_public=True,
    backoff=Backoff(base_seconds=0.2, max_seconds=1),
)
async def work(runtime: Any, *, n: int, seconds: float) -> None:
    await asyncio.sleep(seconds)
    async with runtime.database.unit_of_work() as session:
        await session.execute(_MARK, {"n": n})


module = Module(name="rolling", jobs=(work,))
