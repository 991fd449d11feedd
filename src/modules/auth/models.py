"""Tables of the schema ``auth``, under the column names that Supabase projects refer to in their SQL.

Three things differ from the original, none of them visible to a policy or a
join: refresh tokens are hashes, ``refresh_tokens.user_id`` is a uuid with a
foreign key, and times are always with zone. Columns that later features fill
(confirmation, recovery, change of address) are here already, because seeds and
dumps written for Supabase insert into them.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Computed,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy import (
    Identity as IdentityColumn,
)
from sqlalchemy.dialects.postgresql import ENUM, INET
from sqlalchemy.orm import Mapped, mapped_column

from monohull.kernel.clock import now
from monohull.kernel.database.base import Base
from monohull.kernel.ids import uuid7

SCHEMA: Final = "auth"

AAL: Final = ENUM("aal1", "aal2", "aal3", name="aal_level", schema=SCHEMA, create_type=False)


class User(Base):
    """A person, or what stands for one until it signs up."""

    __tablename__ = "users"
    __table_args__ = (
        Index("users_email_partial_key", "email", unique=True, postgresql_where=text("is_sso_user = false")),
        Index("ix_users_lower_email", text("lower(email)")),
        Index("ix_users_created_at", "created_at"),
        {"schema": SCHEMA},
    )

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


class Session(Base):
    """One sign-in of one user on one device; deleting it ends it."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_user_id", "user_id", "created_at"),
        Index("ix_sessions_not_after", "not_after"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(
        primary_key=True, default=uuid7, server_default=text("gen_random_uuid()")
    )
    user_id: Mapped[UUID] = mapped_column(ForeignKey("auth.users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=now, server_default=func.now())
    updated_at: Mapped[datetime | None] = mapped_column(default=now, onupdate=now, server_default=func.now())
    factor_id: Mapped[UUID | None]
    aal: Mapped[str] = mapped_column(AAL, default="aal1", server_default="aal1")
    not_after: Mapped[datetime | None]
    refreshed_at: Mapped[datetime | None]
    user_agent: Mapped[str | None] = mapped_column(Text)
    ip: Mapped[IPv4Address | IPv6Address | None] = mapped_column(INET)
    tag: Mapped[str | None] = mapped_column(Text)


class RefreshToken(Base):
    """One link of a session's chain. ``token`` and ``parent`` are hashes; one link at most is not revoked."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (
        UniqueConstraint("token", name="refresh_tokens_token_unique"),
        Index("ix_refresh_tokens_session_id", "session_id", "revoked"),
        Index(
            "refresh_tokens_one_active",
            "session_id",
            unique=True,
            postgresql_where=text("revoked is not true"),
        ),
        Index("ix_refresh_tokens_user_id", "user_id"),
        Index("ix_refresh_tokens_parent", "parent"),
        {"schema": SCHEMA},
    )

    instance_id: Mapped[UUID | None]
    id: Mapped[int] = mapped_column(BigInteger, IdentityColumn(), primary_key=True)
    token: Mapped[str] = mapped_column(String(255))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("auth.users.id", ondelete="CASCADE"))
    revoked: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(default=now, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(default=now, server_default=func.now())
    parent: Mapped[str | None] = mapped_column(String(255))
    session_id: Mapped[UUID] = mapped_column(ForeignKey("auth.sessions.id", ondelete="CASCADE"))


class AmrClaim(Base):
    """How a session was authenticated, and when: the ``amr`` claim of its tokens."""

    __tablename__ = "mfa_amr_claims"
    __table_args__ = (
        UniqueConstraint(
            "session_id",
            "authentication_method",
            name="mfa_amr_claims_session_id_authentication_method_pkey",
        ),
        {"schema": SCHEMA},
    )

    session_id: Mapped[UUID] = mapped_column(ForeignKey("auth.sessions.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=now, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now, server_default=func.now())
    authentication_method: Mapped[str] = mapped_column(Text)
    id: Mapped[UUID] = mapped_column(
        primary_key=True, default=uuid7, server_default=text("gen_random_uuid()")
    )
