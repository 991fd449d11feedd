"""``MONOHULL_SCHEDULES_*``."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct


class SchedulesSettings(Struct, frozen=True, kw_only=True):
    """How long the history of schedules is kept."""

    prefix: ClassVar[str] = "SCHEDULES_"

    retention_days: Annotated[
        int, Meta(ge=1, le=3650, description="How long is kept what became of a schedule's runs.")
    ] = 30
