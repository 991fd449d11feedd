"""What can be done with sinks."""

from __future__ import annotations

from modules.streams.services.sinks import Sinks
from modules.streams.services.testing import Testing

__all__ = ["Sinks", "Testing"]
