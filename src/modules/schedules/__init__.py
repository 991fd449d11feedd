"""Schedules: what runs by itself and when, at ``/platform/v1/schedules``, in SQL and in ``monohull.toml``.

The relay keeps them (`monohull.kernel.schedules`); this room makes and steers
them, and shows what became of each tick.
"""

from __future__ import annotations

from modules.schedules.events import SCHEDULE_EVENTS

__all__ = ["SCHEDULE_EVENTS"]
