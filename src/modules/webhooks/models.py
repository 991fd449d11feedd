"""``monohull.webhook_endpoints`` and ``webhook_secrets``; deliveries are asked for in SQL."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Float, ForeignKey, Index, Text, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from monohull.kernel.clock import now
from monohull.kernel.database.base import Base, Identified, Timestamped


class WebhookEndpoint(Identified, Timestamped, Base):
    """Who is told, of what and how; and how that went of late.

    Attributes:
        headers: Sealed JSON of header values; their names are in ``header_names``.
        active_from: Events with a greater number in the feed are for this endpoint as it is now.
        active_until: Those up to this number, where it was disabled since.
        consecutive_failures: Attempts that failed in a row; the circuit breaker counts them.
        opened_until: No attempt begins earlier.
        tokens: Requests that the rate allows at once, as of ``tokens_at``.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        CheckConstraint("name <> ''", name="name"),
        CheckConstraint("payload in ('envelope', 'database')", name="payload"),
        CheckConstraint("is_enabled = (disabled_at is null)", name="disabled"),
        Index("ix_webhook_endpoints_owner_id", "owner_id"),
        {"schema": "monohull"},
    )

    name: Mapped[str] = mapped_column(Text)
    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)
    filters: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list)
    rows: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list)
    payload: Mapped[str] = mapped_column(Text, default="envelope")
    header_names: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)
    headers: Mapped[str | None] = mapped_column(Text)
    is_ordered: Mapped[bool] = mapped_column(default=False)
    timeout_seconds: Mapped[int]
    max_attempts: Mapped[int | None]
    retry_base_seconds: Mapped[float] = mapped_column(Float)
    retry_max_seconds: Mapped[float] = mapped_column(Float)
    retry_window_seconds: Mapped[float] = mapped_column(Float)
    concurrency: Mapped[int]
    rate_per_second: Mapped[int | None]
    breaker_failures: Mapped[int]
    breaker_seconds: Mapped[float] = mapped_column(Float)
    is_enabled: Mapped[bool] = mapped_column(default=True)
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    owner_id: Mapped[UUID | None] = mapped_column(ForeignKey("auth.users.id", ondelete="SET NULL"))
    active_from: Mapped[int] = mapped_column(BigInteger, default=0)
    active_until: Mapped[int | None] = mapped_column(BigInteger)
    consecutive_failures: Mapped[int] = mapped_column(default=0)
    failing_since: Mapped[datetime | None]
    opened_until: Mapped[datetime | None]
    tokens: Mapped[float] = mapped_column(Float, default=0.0)
    tokens_at: Mapped[datetime] = mapped_column(server_default=func.now(), default=now)


class WebhookSecret(Identified, Base):
    """One of the secrets that an endpoint's requests are signed with, sealed for its row."""

    __tablename__ = "webhook_secrets"
    __table_args__ = (Index("ix_webhook_secrets_endpoint_id", "endpoint_id"), {"schema": "monohull"})

    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey("monohull.webhook_endpoints.id", ondelete="CASCADE"))
    secret: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), default=now)
    expires_at: Mapped[datetime | None]
