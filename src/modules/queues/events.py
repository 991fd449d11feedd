"""What happened to queues; messages are no events."""

from __future__ import annotations

from typing import ClassVar, Final

from monohull.kernel.events import Event


class QueueCreated(Event, frozen=True):
    """A queue was made over the API."""

    name: ClassVar[str] = "queues.queue_created"

    queue: str
    is_unlogged: bool


class QueuePurged(Event, frozen=True):
    """All messages of a queue were deleted over the API; its archive stays."""

    name: ClassVar[str] = "queues.queue_purged"

    queue: str
    messages: int


class QueueDropped(Event, frozen=True):
    """A queue was dropped over the API, with its messages and its archive."""

    name: ClassVar[str] = "queues.queue_dropped"

    queue: str


QUEUE_EVENTS: Final = (QueueCreated, QueuePurged, QueueDropped)
