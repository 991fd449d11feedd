"""The brokers: each kind has a file of its own, which imports its library when a sink needs it."""

from __future__ import annotations

from modules.streams.transports.opening import demand_library, open_transport
from modules.streams.transports.protocols import NotTaken, Transport

__all__ = ["NotTaken", "Transport", "demand_library", "open_transport"]
