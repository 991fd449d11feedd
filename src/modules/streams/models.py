"""``monohull.stream_sinks``; a sink's place in the feed is in ``monohull.feed_readers``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from monohull.kernel.database.base import Base, Identified, Timestamped


class StreamSink(Identified, Timestamped, Base):
    """Where events go, which, and how that went of late.

    Attributes:
        target: As it may be shown.
        sealed_target: With passwords, sealed for this row.
        revision: Raised with each change; whoever carries events begins anew.
        delivered: Events that the broker has acknowledged.
    """

    __tablename__ = "stream_sinks"
    __table_args__ = (
        CheckConstraint("name <> ''", name="name"),
        CheckConstraint("format in ('structured', 'binary')", name="format"),
        {"schema": "monohull"},
    )

    name: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(Text)
    target: Mapped[dict[str, Any]] = mapped_column(JSONB)
    sealed_target: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)
    rows: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list)
    format: Mapped[str] = mapped_column(Text, default="structured")
    is_paused: Mapped[bool] = mapped_column(default=False)
    revision: Mapped[int] = mapped_column(default=1)
    delivered: Mapped[int] = mapped_column(BigInteger, default=0)
    last_delivered_at: Mapped[datetime | None]
    consecutive_failures: Mapped[int] = mapped_column(default=0)
    failing_since: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    last_error_at: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime | None]
