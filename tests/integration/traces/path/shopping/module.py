"""A job that asks PostgreSQL what it shows of it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from monohull.kernel.module import Module
from monohull.kernel.queues import job


class Order(Struct, frozen=True, kw_only=True):
    number: int


@job("shopping.pack", arguments=Order, is_public=True)
async def pack(runtime: Any, *, number: int) -> str:
    """Return what ``pg_stat_activity`` has of this job."""
    row = await runtime.database.run(
        "select application_name from pg_stat_activity where pid = pg_backend_pid() and $1::int > 0", number
    )
    shown: str = row["application_name"]
    return shown


module = Module(name="shopping", jobs=(pack,))
