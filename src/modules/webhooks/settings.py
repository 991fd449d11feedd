"""``MONOHULL_WEBHOOKS_*``."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct


class WebhooksSettings(Struct, frozen=True, kw_only=True):
    """How webhooks are delivered where an endpoint says nothing else, and how long they are remembered."""

    prefix: ClassVar[str] = "WEBHOOKS_"

    concurrency: Annotated[
        int,
        Meta(
            ge=1,
            le=90,
            description="Requests that one worker has on their way at a time; "
            "it has 100 connections to other hosts in all.",
        ),
    ] = 80
    timeout_seconds: Annotated[
        int, Meta(ge=1, le=60, description="How long an endpoint may take to answer.")
    ] = 15
    retry_hours: Annotated[
        float, Meta(gt=0, le=720, description="How long a delivery is tried before it is given up.")
    ] = 72.0
    retry_base_seconds: Annotated[
        float,
        Meta(gt=0, le=3600, description="Wait after the first failure; each further one is thrice that."),
    ] = 5.0
    retry_max_seconds: Annotated[
        float, Meta(gt=0, le=86_400, description="Longest wait between two attempts.")
    ] = 21_600.0
    retry_after_max_seconds: Annotated[
        float, Meta(ge=0, le=86_400, description="As long as this an endpoint's Retry-After is obeyed.")
    ] = 3600.0
    disable_after_hours: Annotated[
        float,
        Meta(gt=0, le=8760, description="An endpoint that failed for so long without a break is disabled."),
    ] = 120.0
    retention_days: Annotated[
        int,
        Meta(ge=8, le=3650, description="Days for which finished deliveries and their attempts are kept."),
    ] = 30
    log_body_bytes: Annotated[
        int, Meta(ge=0, le=100_000, description="Bytes of each request's and answer's body that are logged.")
    ] = 4096
    max_body_bytes: Annotated[
        int, Meta(ge=1000, le=50_000_000, description="A larger body is not sent; its delivery fails.")
    ] = 5_000_000
    max_endpoints: Annotated[int, Meta(ge=1, le=100_000, description="Endpoints of this instance.")] = 1000
