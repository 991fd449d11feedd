"""What happened to sources. Single messages are no events: the source and its letters tell of them."""

from __future__ import annotations

from typing import ClassVar, Final

from monohull.kernel.events import Event


class IngestSourceCreated(Event, frozen=True):
    """Messages are taken from a broker from now on."""

    name: ClassVar[str] = "ingest.source_created"

    source_id: str
    source_name: str
    kind: str
    address: str


class IngestSourceUpdated(Event, frozen=True):
    """A source is another, paused or resumed; ``fields`` were changed."""

    name: ClassVar[str] = "ingest.source_updated"

    source_id: str
    source_name: str
    fields: tuple[str, ...]
    address: str
    is_paused: bool


class IngestSourceDeleted(Event, frozen=True):
    """A source is gone with its letters."""

    name: ClassVar[str] = "ingest.source_deleted"

    source_id: str
    source_name: str
    address: str


class IngestLettersReplayed(Event, frozen=True):
    """Somebody had dead letters tried again."""

    name: ClassVar[str] = "ingest.letters_replayed"

    source_id: str
    letters: int
    letter_id: str | None = None


class IngestLetterDiscarded(Event, frozen=True):
    """Somebody threw a letter away."""

    name: ClassVar[str] = "ingest.letter_discarded"

    source_id: str
    letter_id: str


INGEST_EVENTS: Final = (
    IngestSourceCreated,
    IngestSourceUpdated,
    IngestSourceDeleted,
    IngestLettersReplayed,
    IngestLetterDiscarded,
)
