"""``MONOHULL_INGEST_*``."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct


class IngestSettings(Struct, frozen=True, kw_only=True):
    """How long ids of messages and dead letters are remembered, and how brokers are waited for."""

    prefix: ClassVar[str] = "INGEST_"

    seen_days: Annotated[
        int,
        Meta(
            ge=1,
            le=3650,
            description="Days for which ids of messages are kept; "
            "longer than any broker here holds a message back.",
        ),
    ] = 30
    letter_days: Annotated[
        int, Meta(ge=1, le=3650, description="Days for which dead and settled letters are kept.")
    ] = 90
    timeout_seconds: Annotated[
        float, Meta(ge=1, le=60, description="How long a broker may take to connect and to answer.")
    ] = 10.0
    backoff_max_seconds: Annotated[
        float,
        Meta(ge=0.1, le=3600, description="Longest wait before a source that fails is tried again."),
    ] = 60.0
    statement_timeout_seconds: Annotated[
        int, Meta(ge=1, le=600, description="How long putting a batch of messages into a table may take.")
    ] = 30
    max_sources: Annotated[int, Meta(ge=1, le=10_000, description="Sources of this instance.")] = 100
