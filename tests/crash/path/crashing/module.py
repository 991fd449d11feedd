"""A job whose every run must leave its mark, whatever dies meanwhile."""

from __future__ import annotations

from typing import Any

from monohull.kernel.module import Module
from monohull.kernel.queues import Backoff, job


@job("crashing.mark", max_attempts=1000, timeout_seconds=10, backoff=Backoff(base_seconds=0.2, max_seconds=1))
async def mark(runtime: Any, *, number: int) -> None:
    async with runtime.database.connection() as connection:
        await connection.execute("insert into public.marks values ($1) on conflict do nothing", number)


module = Module(name="crashing", jobs=(mark,))
