"""``saq tests.load.noop.plain.settings``: the same with SAQ alone."""

from __future__ import annotations

import os
from typing import Any

from saq.queue.redis import RedisQueue

QUEUE = "plain"


async def run(_: Any, *, n: int) -> None:
    """Do nothing."""


def settings() -> dict[str, Any]:
    """Return what SAQ's worker is made from."""
    queue = RedisQueue.from_url(os.environ["REDIS_URL"], name=QUEUE)
    return {"queue": queue, "functions": [run], "concurrency": int(os.environ["CONCURRENCY"])}
