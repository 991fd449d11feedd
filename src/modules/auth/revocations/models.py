"""``monohull.revocations``, filled by triggers on ``auth.sessions`` and ``auth.users``."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from monohull.kernel.database.base import Base


class Revocation(Base):
    """A session that ended, or a user as it is since its last change.

    ``state`` of a user: ``deleted``, ``banned_until`` (unix time or null), ``version``
    (its ``claims_version`` since then), and ``role`` and ``app_metadata`` where they changed.
    """

    __tablename__ = "revocations"
    __table_args__ = (
        CheckConstraint("kind in ('session', 'user')", name="kind"),
        Index("ix_revocations_transaction_id", "transaction_id"),
        Index("ix_revocations_occurred_at", "occurred_at"),
        {"schema": "monohull"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    transaction_id: Mapped[int] = mapped_column(
        BigInteger, server_default=text("pg_current_xact_id()::text::bigint")
    )
    kind: Mapped[str] = mapped_column(Text)
    subject: Mapped[UUID]
    occurred_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    state: Mapped[dict[str, Any] | None]
