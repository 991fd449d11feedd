"""Loaded by ``MONOHULL_MODULES=tests.load.noop``."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from monohull.kernel.module import Module
from monohull.kernel.queues import job


class Number(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    n: int


@job("noop.run")
async def run(_: Any, *, n: int) -> None:
    """Do nothing."""


@job("noop.asked", arguments=Number, is_public=True)
async def asked(_: Any, *, n: int) -> None:
    """Do nothing, for whoever asks by ``/platform/v1/jobs``."""


module = Module(name="noop", jobs=(run, asked))
