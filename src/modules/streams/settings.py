"""``MONOHULL_STREAMS_*``."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct


class StreamsSettings(Struct, frozen=True, kw_only=True):
    """How events are carried to message brokers."""

    prefix: ClassVar[str] = "STREAMS_"

    source: Annotated[
        Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[!-~]+$")] | None,
        Meta(description="`source` of every CloudEvent, a URI; unset: the public URL."),
    ] = None
    max_sinks: Annotated[int, Meta(ge=1, le=1000, description="Sinks of this instance.")] = 50
    batch: Annotated[int, Meta(ge=1, le=5000, description="Events that a sink is sent at a time.")] = 500
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=600, description="How long a broker may take to connect, or to take a batch.")
    ] = 30.0
    retry_base_seconds: Annotated[
        float,
        Meta(gt=0, le=3600, description="Wait after a sink's first failure; each further one doubles it."),
    ] = 1.0
    retry_max_seconds: Annotated[
        float, Meta(gt=0, le=86_400, description="Longest wait before a sink that fails is tried again.")
    ] = 60.0
