"""A module as an application has one, with a job of its own."""

from __future__ import annotations

from typing import Any

from monohull.kernel.module import Module
from monohull.kernel.queues import Cron, job


@job("shop.count")
async def count(_: Any, **__: Any) -> None: ...


module = Module(name="shop", jobs=(count,), cron=(Cron(job=count, schedule="0 4 * * *"),))
