"""Streams: events carried from the feed to message brokers, at ``/platform/v1/streams``.

    feed → sink (a place of its own in the feed) → CloudEvents 1.0 → Kafka, RabbitMQ, NATS, Redis, Kinesis

Each event reaches each sink at least once, with the same id, and in order per key. A sink that is down
holds up no other.
"""

from __future__ import annotations

from modules.streams.events import STREAM_EVENTS

__all__ = ["STREAM_EVENTS"]
