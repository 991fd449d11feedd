"""Who can sign in, and by what they are recognised."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Computed,
    FetchedValue,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from modules.auth.models.columns import SCHEMA
from monohull.kernel.clock import now
from monohull.kernel.database.base import Base
from monohull.kernel.ids import uuid7


class User(Base):
    """A person, or what stands for one until it signs up."""

    __tablename__ = "users"
    __table_args__ = (
        Index("users_email_partial_key", "email", unique=True, postgresql_where=text("is_sso_user = false")),
        Index("ix_users_lower_email", text("lower(email)")),
        Index("ix_users_created_at", "created_at"),
        {"schema": SCHEMA},
    )
    __mapper_args__ = {"eager_defaults": True}  # what a trigger wrote is read back by the UPDATE itself

    instance_id: Mapped[UUID | None]
    id: Mapped[UUID] = mapped_column(
        primary_key=True, default=uuid7, server_default=text("gen_random_uuid()")
    )
    aud: Mapped[str | None] = mapped_column(String(255), server_default="authenticated")
    role: Mapped[str | None] = mapped_column(String(255), server_default="authenticated")
    email: Mapped[str | None] = mapped_column(String(255))
    encrypted_password: Mapped[str | None] = mapped_column(String(255))
    email_confirmed_at: Mapped[datetime | None]
    invited_at: Mapped[datetime | None]
    confirmation_token: Mapped[str | None] = mapped_column(String(255), server_default="")
    confirmation_sent_at: Mapped[datetime | None]
    recovery_token: Mapped[str | None] = mapped_column(String(255), server_default="")
    recovery_sent_at: Mapped[datetime | None]
    email_change_token_new: Mapped[str | None] = mapped_column(String(255), server_default="")
    email_change: Mapped[str | None] = mapped_column(String(255), server_default="")
    email_change_sent_at: Mapped[datetime | None]
    last_sign_in_at: Mapped[datetime | None]
    raw_app_meta_data: Mapped[dict[str, Any] | None]
    raw_user_meta_data: Mapped[dict[str, Any] | None]
    is_super_admin: Mapped[bool | None]
    created_at: Mapped[datetime | None] = mapped_column(default=now, server_default=func.now())
    updated_at: Mapped[datetime | None] = mapped_column(default=now, onupdate=now, server_default=func.now())
    phone: Mapped[str | None] = mapped_column(Text, unique=True)
    phone_confirmed_at: Mapped[datetime | None]
    phone_change: Mapped[str | None] = mapped_column(Text, server_default="")
    phone_change_token: Mapped[str | None] = mapped_column(String(255), server_default="")
    phone_change_sent_at: Mapped[datetime | None]
    confirmed_at: Mapped[datetime | None] = mapped_column(
        Computed("least(email_confirmed_at, phone_confirmed_at)", persisted=True)
    )
    email_change_token_current: Mapped[str | None] = mapped_column(String(255), server_default="")
    email_change_confirm_status: Mapped[int | None] = mapped_column(SmallInteger, server_default=text("0"))
    banned_until: Mapped[datetime | None]
    reauthentication_token: Mapped[str | None] = mapped_column(String(255), server_default="")
    reauthentication_sent_at: Mapped[datetime | None]
    is_sso_user: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    deleted_at: Mapped[datetime | None]
    is_anonymous: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    claims_version: Mapped[int] = mapped_column(
        BigInteger,
        server_default=text("(extract(epoch from clock_timestamp()) * 1000000)::bigint"),
        server_onupdate=FetchedValue(),
    )
    """When something last changed that tokens repeat, in microseconds since 1970; triggers keep it."""

    @property
    def is_banned(self) -> bool:
        return self.banned_until is not None and self.banned_until > now()


class Identity(Base):
    """One way in which a user can be recognised."""

    __tablename__ = "identities"
    __table_args__ = (
        UniqueConstraint("provider_id", "provider", name="identities_provider_id_provider_unique"),
        Index("ix_identities_user_id", "user_id"),
        Index("ix_identities_email", "email"),
        {"schema": SCHEMA},
    )

    provider_id: Mapped[str] = mapped_column(Text)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("auth.users.id", ondelete="CASCADE"))
    identity_data: Mapped[dict[str, Any]]
    provider: Mapped[str] = mapped_column(Text)
    last_sign_in_at: Mapped[datetime | None]
    created_at: Mapped[datetime | None] = mapped_column(default=now, server_default=func.now())
    updated_at: Mapped[datetime | None] = mapped_column(default=now, onupdate=now, server_default=func.now())
    email: Mapped[str | None] = mapped_column(
        Text, Computed("lower(identity_data ->> 'email')", persisted=True)
    )
    id: Mapped[UUID] = mapped_column(
        primary_key=True, default=uuid7, server_default=text("gen_random_uuid()")
    )
