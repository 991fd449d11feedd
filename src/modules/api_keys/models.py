"""``monohull.api_keys``."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from monohull.kernel.clock import now
from monohull.kernel.database.base import Base, Identified, Timestamped


class ApiKey(Identified, Timestamped, Base):
    """One key. ``hash`` is the SHA-256 of the whole key, which is shown once and kept nowhere.

    ``previous_hash`` is that of the text before the last rotation, which holds until ``previous_ends_at``.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("name <> ''", name="name"),
        CheckConstraint("kind in ('publishable', 'secret')", name="kind"),
        CheckConstraint("rate_per_minute > 0", name="rate_per_minute"),
        CheckConstraint("quota > 0", name="quota"),
        CheckConstraint("quota_period in ('day', 'month')", name="quota_period"),
        CheckConstraint("(quota is null) = (quota_period is null)", name="quota_whole"),
        CheckConstraint(
            "(previous_hash is null) = (previous_ends_at is null)"
            " and (previous_hash is null) = (previous_prefix is null)",
            name="previous_whole",
        ),
        Index("ix_api_keys_created_at", "created_at"),
        Index("ix_api_keys_user_id", "user_id", postgresql_where=text("user_id is not null")),
        {"schema": "monohull"},
    )

    name: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Text)
    checksum: Mapped[str] = mapped_column(Text)
    hash: Mapped[str] = mapped_column(Text, unique=True)
    role: Mapped[str] = mapped_column(Text)
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    created_by: Mapped[str | None] = mapped_column(Text)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    user_id: Mapped[UUID | None]
    allowed_addresses: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    rate_per_minute: Mapped[int | None]
    quota: Mapped[int | None] = mapped_column(BigInteger)
    quota_period: Mapped[str | None] = mapped_column(Text)
    previous_hash: Mapped[str | None] = mapped_column(Text, unique=True)
    previous_prefix: Mapped[str | None] = mapped_column(Text)
    previous_ends_at: Mapped[datetime | None]
    rotated_at: Mapped[datetime | None]

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= now()
