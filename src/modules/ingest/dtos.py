"""Bodies of ``/platform/v1/ingest``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from modules.ingest.origins import Kind, Origin
from monohull.kernel.patterns import END

SourceName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\ud800-\udfff]+" + END)
]
Identifier: TypeAlias = Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[^\x00\ud800-\udfff]+$")]
FieldPath: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\ud800-\udfff]+" + END)
]
FieldName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x20\x7f\ud800-\udfff]+" + END)
]
BatchSize: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]
Attempts: TypeAlias = Annotated[int, Meta(ge=1, le=100)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0.05, le=86_400)]
LetterState: TypeAlias = Literal["retrying", "dead", "done"]
SourceState: TypeAlias = Literal["running", "failing", "paused"]


class TableDestination(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Each message becomes a row, inserted with the rights of ``role``.

    ``columns`` says what each column gets: a field of the message such as ``order.total``, ``$`` the whole
    message, ``$id``, ``$key``, ``$headers`` or ``$place``. A column whose field is absent gets its default.
    """

    schema: Identifier = "public"
    table: Identifier
    role: Identifier
    columns: Annotated[dict[Identifier, FieldPath], Meta(min_length=1, max_length=200)]


class JobDestination(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Each message has a job of the application run: as its arguments, or as the one called ``argument``."""

    job: Annotated[str, Meta(min_length=1, max_length=200)]
    argument: (
        Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[a-z_][a-z0-9_]*" + END)] | None
    ) = None


class Destination(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What becomes of messages: exactly one of these."""

    table: TableDestination | None = None
    job: JobDestination | None = None

    def __post_init__(self) -> None:
        if (self.table is None) is (self.job is None):
            raise ValueError("a destination is either a table or a job")


class CreateSource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A source to be made.

    ``id_field`` names the header, or with Redis the field, that holds the id by which a message has its
    effect once; without it that is the broker's own id, or the place of the message. A message is tried
    ``max_attempts`` times before it is a dead letter.
    """

    name: SourceName
    origin: Origin
    destination: Destination
    id_field: FieldName | None = None
    batch_size: BatchSize = 100
    max_attempts: Attempts = 5
    retry_base_seconds: Seconds = 5.0
    retry_max_seconds: Seconds = 3600.0
    is_paused: bool = False


class SourcePatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different. An origin is given whole, with its passwords."""

    name: SourceName | UnsetType = UNSET
    origin: Origin | UnsetType = UNSET
    destination: Destination | UnsetType = UNSET
    id_field: FieldName | UnsetType | None = UNSET
    batch_size: BatchSize | UnsetType = UNSET
    max_attempts: Attempts | UnsetType = UNSET
    retry_base_seconds: Seconds | UnsetType = UNSET
    retry_max_seconds: Seconds | UnsetType = UNSET
    is_paused: bool | UnsetType = UNSET


class SourceView(Struct, frozen=True, kw_only=True):
    """A source and how it stands. ``origin`` shows ``***`` for passwords.

    ``taken`` messages had their effect or were set aside, ``duplicates`` came again; ``lag`` is how many
    waited in the broker at ``lag_at``, null where the broker does not say.
    """

    id: UUID
    name: str
    kind: Kind
    address: str
    origin: dict[str, Any]
    destination: dict[str, Any]
    id_field: str | None
    batch_size: int
    max_attempts: int
    retry_base_seconds: float
    retry_max_seconds: float
    is_paused: bool
    state: SourceState
    taken: int
    duplicates: int
    last_taken_at: datetime | None
    lag: int | None
    lag_at: datetime | None
    consecutive_failures: int
    failing_since: datetime | None
    last_error: str | None
    last_error_at: datetime | None
    next_attempt_at: datetime | None
    retrying_letters: int
    dead_letters: int
    created_at: datetime
    updated_at: datetime


class LetterView(Struct, frozen=True, kw_only=True):
    """A message that was set aside. ``place`` is where in the broker it was."""

    id: UUID
    source_id: UUID
    message_id: str
    place: str
    key: str | None
    state: LetterState
    attempts: int
    due_at: datetime | None
    reason: str
    message: str
    bytes: int
    received_at: datetime
    finished_at: datetime | None


class LetterDetail(Struct, frozen=True, kw_only=True):
    """A letter with its content: ``body`` as text, or where it is none ``body_base64``."""

    letter: LetterView
    headers: dict[str, str]
    body: str | None
    body_base64: str | None


class ReplayLetters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters are tried again: of a source, with a ``reason``, the oldest first."""

    source_id: UUID
    reason: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00\ud800-\udfff]+$")] | None = (
        None
    )
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1000


class Replayed(Struct, frozen=True, kw_only=True):
    """How many letters are tried again."""

    letters: int


class SourcePage(Struct, frozen=True, kw_only=True):
    """A page of sources; ``next`` is the cursor of the following one."""

    sources: list[SourceView]
    next: str | None


class LetterPage(Struct, frozen=True, kw_only=True):
    """A page of letters; ``next`` is the cursor of the following one."""

    letters: list[LetterView]
    next: str | None
