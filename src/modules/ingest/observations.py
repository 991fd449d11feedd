"""What consumers notice, for log and metrics."""

from __future__ import annotations

from typing import ClassVar

from monohull.kernel.observation import Level, Observation


class MessagesTaken(Observation, frozen=True, kw_only=True):
    """A batch had its effect and was acknowledged; ``duplicates`` of it had it before."""

    event: ClassVar[str] = "ingest.messages_taken"
    level: ClassVar[Level] = "debug"

    source_id: str
    taken: int
    duplicates: int


class MessageSetAside(Observation, frozen=True, kw_only=True):
    """A message could not have its effect; ``state`` says whether it is tried again."""

    event: ClassVar[str] = "ingest.message_set_aside"
    level: ClassVar[Level] = "warning"

    source_id: str
    letter_id: str
    message_id: str
    state: str
    attempts: int
    reason: str


class SourceLed(Observation, frozen=True, kw_only=True):
    """This process takes the messages of a source from now on."""

    event: ClassVar[str] = "ingest.source_led"
    level: ClassVar[Level] = "info"

    source_id: str


class SourceFailed(Observation, frozen=True, kw_only=True):
    """A source could not go on; it is tried again in ``retry_seconds``."""

    event: ClassVar[str] = "ingest.source_failed"
    level: ClassVar[Level] = "warning"

    source_id: str
    failures: int
    retry_seconds: float
    reason: str


class IngestStalled(Observation, frozen=True, kw_only=True):
    """This process could not look after its sources, mostly because the database is away."""

    event: ClassVar[str] = "ingest.stalled"
    level: ClassVar[Level] = "warning"

    reason: str
