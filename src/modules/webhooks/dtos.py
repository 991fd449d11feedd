"""Bodies of ``/platform/v1/webhooks``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from monohull.kernel.patterns import END

EndpointName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\ud800-\udfff]+" + END)
]
Url: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=2048, pattern=r"^[^\x00-\x20\ud800-\udfff]+" + END)
]
Pattern: TypeAlias = Annotated[
    str, Meta(max_length=200, pattern=r"^(\*|[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*)?)" + END)
]
Patterns: TypeAlias = Annotated[tuple[Pattern, ...], Meta(max_length=100)]
HeaderName: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}" + END)]
HeaderValue: TypeAlias = Annotated[str, Meta(max_length=4096, pattern=r"^[\t\x20-\x7e]*" + END)]
Headers: TypeAlias = Annotated[dict[HeaderName, HeaderValue], Meta(max_length=20)]
Field: TypeAlias = Annotated[
    str, Meta(max_length=200, pattern=r"^[^\x00-\x1f.\ud800-\udfff]+(\.[^\x00-\x1f.\ud800-\udfff]+)*" + END)
]
Identifier: TypeAlias = Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[^\x00\ud800-\udfff]+$")]
MAX_VALUES = 100

ConditionText: TypeAlias = Annotated[str, Meta(max_length=1000, pattern=r"^[^\x00\ud800-\udfff]*" + END)]
ConditionValue: TypeAlias = (
    ConditionText
    | int
    | float
    | bool
    | Annotated[list[ConditionText | int | float | bool | None], Meta(max_length=MAX_VALUES)]
    | None
)
SecretText: TypeAlias = Annotated[str, Meta(max_length=200, pattern=r"^whsec_[A-Za-z0-9+/]+=*" + END)]
Seconds: TypeAlias = Annotated[float, Meta(ge=1, le=86_400)]
State: TypeAlias = Literal["pending", "sending", "delivered", "dead"]
Kind: TypeAlias = Literal["event", "replay", "test"]
PayloadForm: TypeAlias = Literal["envelope", "database"]
Operation: TypeAlias = Literal["INSERT", "UPDATE", "DELETE"]
SqlExpression: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=2000, pattern=r"^[^\x00\ud800-\udfff]+$")
]
Operator: TypeAlias = Literal["eq", "ne", "in", "gt", "gte", "lt", "lte", "starts_with", "exists"]


class Condition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a field of the payload has to be: ``{"field": "record.status", "op": "eq", "value": "paid"}``."""

    field: Field
    op: Operator = "eq"
    value: ConditionValue = None

    def __post_init__(self) -> None:
        if (self.op == "in") is not isinstance(self.value, list):
            raise ValueError("in takes a list of values, and nothing else takes one")
        if self.op == "exists" and not isinstance(self.value, bool):
            raise ValueError("exists takes true or false")
        if self.op == "starts_with" and not isinstance(self.value, str):
            raise ValueError("starts_with takes a text")


class RowSubscription(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table whose changed rows are told.

    With ``columns`` an update is told when one of them changed; ``condition`` is a boolean SQL expression
    over ``new`` and ``old``, asked as the owner of the platform's schema.
    """

    schema: Identifier = "public"
    table: Identifier
    # a list, for the description of a tuple of any length would not fit its own default
    operations: Annotated[list[Operation], Meta(min_length=1, max_length=3)] = field(
        default_factory=lambda: ["INSERT", "UPDATE", "DELETE"]
    )
    columns: Annotated[tuple[Identifier, ...], Meta(min_length=1, max_length=100)] | None = None
    condition: SqlExpression | None = None


Rows: TypeAlias = Annotated[tuple[RowSubscription, ...], Meta(max_length=50)]
Filters: TypeAlias = Annotated[tuple[Condition, ...], Meta(max_length=20)]
Timeout: TypeAlias = Annotated[int, Meta(ge=1, le=60)]
Concurrency: TypeAlias = Annotated[int, Meta(ge=1, le=100)]
Rate: TypeAlias = Annotated[int, Meta(ge=1, le=10_000)]
Attempts: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]
Failures: TypeAlias = Annotated[int, Meta(ge=1, le=10_000)]
Window: TypeAlias = Annotated[float, Meta(gt=0, le=2_592_000)]


class CreateEndpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An endpoint to be made; what is left out is as the settings say.

    ``events`` are names or patterns such as ``auth.*``, ``rows`` tables; ``payload`` ``database`` sends rows
    as Supabase's database webhooks do. ``secret`` is one that the receiver has already;
    without it one is made and shown once. ``is_ordered`` has events of one key wait for each other.
    ``max_attempts`` null leaves the end of the attempts to ``retry_window_seconds`` alone.
    """

    name: EndpointName
    url: Url
    events: Patterns = ()
    rows: Rows = ()
    filters: Filters = ()
    payload: PayloadForm = "envelope"
    headers: Headers = {}
    secret: SecretText | None = None
    is_ordered: bool = False
    is_enabled: bool = True
    timeout_seconds: Timeout | None = None
    max_attempts: Attempts | None = 50
    retry_base_seconds: Seconds | None = None
    retry_max_seconds: Seconds | None = None
    retry_window_seconds: Window | None = None
    concurrency: Concurrency = 10
    rate_per_second: Rate | None = None
    breaker_failures: Failures = 10
    breaker_seconds: Seconds = 30.0


class EndpointPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different. ``headers`` replaces all of them. Enabling closes the circuit breaker."""

    name: EndpointName | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    events: Patterns | UnsetType = UNSET
    rows: Rows | UnsetType = UNSET
    filters: Filters | UnsetType = UNSET
    payload: PayloadForm | UnsetType = UNSET
    headers: Headers | UnsetType = UNSET
    is_ordered: bool | UnsetType = UNSET
    is_enabled: bool | UnsetType = UNSET
    timeout_seconds: Timeout | UnsetType = UNSET
    max_attempts: Attempts | UnsetType | None = UNSET
    retry_base_seconds: Seconds | UnsetType = UNSET
    retry_max_seconds: Seconds | UnsetType = UNSET
    retry_window_seconds: Window | UnsetType = UNSET
    concurrency: Concurrency | UnsetType = UNSET
    rate_per_second: Rate | UnsetType | None = UNSET
    breaker_failures: Failures | UnsetType = UNSET
    breaker_seconds: Seconds | UnsetType = UNSET


class RowProblem(Struct, frozen=True):
    """Why a table's condition is not asked: its rows come whether it holds or not."""

    table: str
    problem: str


class EndpointView(Struct, frozen=True, kw_only=True):
    """An endpoint; of its headers the names are shown alone.

    ``circuit`` is ``open`` after too many failures in a row, and ``half_open`` while one request tries again.
    """

    id: UUID
    name: str
    url: str
    events: tuple[str, ...]
    rows: tuple[RowSubscription, ...]
    row_problems: list[RowProblem]
    filters: tuple[Condition, ...]
    payload: PayloadForm
    header_names: tuple[str, ...]
    is_ordered: bool
    is_enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    timeout_seconds: int
    max_attempts: int | None
    retry_base_seconds: float
    retry_max_seconds: float
    retry_window_seconds: float
    concurrency: int
    rate_per_second: int | None
    breaker_failures: int
    breaker_seconds: float
    circuit: Literal["closed", "open", "half_open"]
    consecutive_failures: int
    failing_since: datetime | None
    owner_id: UUID | None
    created_at: datetime
    updated_at: datetime


class CreatedEndpoint(Struct, frozen=True, kw_only=True):
    """A new endpoint and its secret, which is not shown again."""

    endpoint: EndpointView
    secret: str


class EndpointPage(Struct, frozen=True, kw_only=True):
    """Endpoints, the oldest first; ``next`` is the ``cursor`` of the page behind."""

    endpoints: tuple[EndpointView, ...]
    next: str | None


class SecretView(Struct, frozen=True, kw_only=True):
    """That a secret holds, and until when."""

    id: UUID
    created_at: datetime
    expires_at: datetime | None


class RotateSecret(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A further secret, made here or given; those before it hold for ``overlap_hours`` more."""

    secret: SecretText | None = None
    overlap_hours: Annotated[float, Meta(ge=0, le=720)] = 24.0


class NewSecret(Struct, frozen=True, kw_only=True):
    """A secret, which is not shown again."""

    id: UUID
    secret: str
    created_at: datetime


class DeliveryView(Struct, frozen=True, kw_only=True):
    """That an endpoint is told of an event; ``event_id`` is the ``webhook-id`` of its requests."""

    id: UUID
    endpoint_id: UUID
    event_id: UUID
    event: str
    key: str | None
    kind: Kind
    replay_of: UUID | None
    state: State
    attempts: int
    status: int | None
    reason: str | None
    created_at: datetime
    due_at: datetime | None
    finished_at: datetime | None


class DeliveryPage(Struct, frozen=True, kw_only=True):
    """Deliveries, the newest first; ``next`` is the ``cursor`` of the page behind."""

    deliveries: tuple[DeliveryView, ...]
    next: str | None


class AttemptView(Struct, frozen=True, kw_only=True):
    """One request and what came of it. Bodies are cut; secret headers are stars."""

    number: int
    outcome: Literal["delivered", "failed", "lost"]
    reason: str | None
    message: str | None
    started_at: datetime
    duration_seconds: float | None
    url: str | None
    request_headers: msgspec.Raw | None
    request_body: str | None
    request_bytes: int | None
    status: int | None
    response_headers: msgspec.Raw | None
    response_body: str | None


class DeliveryDetail(Struct, frozen=True, kw_only=True):
    """A delivery, the event's payload, and every attempt."""

    delivery: DeliveryView
    occurred_at: datetime
    payload: msgspec.Raw
    attempts: tuple[AttemptView, ...]


class Replay(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which deliveries are to be made again, the oldest first: all conditions have to hold.

    ``since`` and ``until`` are times of the event. Only finished deliveries are repeated, and repetitions
    and tests are not. ``cursor`` goes on behind an earlier answer.
    """

    endpoint_id: UUID | None = None
    state: Literal["delivered", "dead"] | None = None
    event: Pattern | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    cursor: Annotated[str, Meta(pattern=r"^[0-9]{1,18}" + END)] | None = None


class Replayed(Struct, frozen=True, kw_only=True):
    """How many deliveries are made again, and the ``cursor`` to go on with where there are more."""

    deliveries: int
    next: str | None
