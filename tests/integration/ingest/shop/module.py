"""A module as an application has one, with a job that messages are for."""

from __future__ import annotations

from typing import Any

import msgspec

from monohull.kernel.module import Module
from monohull.kernel.queues import job


class Order(msgspec.Struct):
    id: int
    total: float


@job("shop.receive", arguments=Order)
async def receive(_: Any, **__: Any) -> None: ...


module = Module(name="shop", jobs=(receive,))
