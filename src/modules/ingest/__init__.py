"""Ingest: messages taken from brokers into jobs and tables, at ``/platform/v1/ingest``.

    broker → consumer (one worker a source) → id seen + effect, one transaction → acknowledged

A message has its effect exactly once, however often the broker delivers it. One that cannot have it is set
aside, tried again, and in the end kept as a dead letter, which can be replayed.
"""

from __future__ import annotations

from modules.ingest.events import INGEST_EVENTS

__all__ = ["INGEST_EVENTS"]
