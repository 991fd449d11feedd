"""The four brokers, each behind the same four verbs."""

from __future__ import annotations

from modules.ingest.brokers.opening import Asked, open_intake

__all__ = ["Asked", "open_intake"]
