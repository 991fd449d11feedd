"""Loaded by ``MONOHULL_MODULES=tests.load.noop``."""

from __future__ import annotations

from typing import Any

from monohull.kernel.module import Module
from monohull.kernel.queues import job


@job("noop.run")
async def run(_: Any, *, n: int) -> None:
    """Do nothing."""


module = Module(name="noop", jobs=(run,))
