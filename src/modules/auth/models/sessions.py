"""Sign-ins, what renews them and how they came about."""

from __future__ import annotations

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint, func, text
from sqlalchemy import Identity as IdentityColumn
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, mapped_column

import modules.rbac  # noqa: F401 has the table that a key of ours names
from modules.auth.models.columns import SCHEMA, enum
from monohull.kernel.clock import now
from monohull.kernel.database.base import Base
from monohull.kernel.ids import uuid7

AAL: Final = enum("aal_level", "aal1", "aal2", "aal3")


class Session(Base):
    """One sign-in of one user on one device; deleting it ends it."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_user_id", "user_id", "created_at"),
        Index("ix_sessions_not_after", "not_after"),
        Index("ix_sessions_oauth_client_id", "oauth_client_id"),
        Index("ix_sessions_team_id", "team_id", postgresql_where=text("team_id is not null")),
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
    oauth_client_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("auth.oauth_clients.id", ondelete="CASCADE")
    )
    scopes: Mapped[str | None] = mapped_column(Text)
    team_id: Mapped[UUID | None] = mapped_column(ForeignKey("monohull.teams.id", ondelete="SET NULL"))


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
