"""Second factors: what is enrolled, what was asked for, and what helps when it is lost."""

from __future__ import annotations

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, mapped_column

from modules.auth.models.columns import SCHEMA, changed_at, enum, made_at, reference, row_id
from monohull.kernel.database.base import Base

FACTOR_TYPE: Final = enum("factor_type", "totp", "webauthn", "phone")
FACTOR_STATUS: Final = enum("factor_status", "unverified", "verified")


class Factor(Base):
    """A second factor of a user. ``secret`` is encrypted; ``last_used_step`` is the last TOTP step spent."""

    __tablename__ = "mfa_factors"
    __table_args__ = (
        Index("ix_mfa_factors_user_id", "user_id", "created_at"),
        Index(
            "mfa_factors_user_friendly_name_unique",
            "friendly_name",
            "user_id",
            unique=True,
            postgresql_where=text("trim(friendly_name) <> ''"),
        ),
        Index("unique_phone_factor_per_user", "user_id", "phone", unique=True),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = row_id()
    user_id: Mapped[UUID] = reference("users")
    friendly_name: Mapped[str | None] = mapped_column(Text)
    factor_type: Mapped[str] = mapped_column(FACTOR_TYPE)
    status: Mapped[str] = mapped_column(FACTOR_STATUS)
    created_at: Mapped[datetime] = made_at()
    updated_at: Mapped[datetime] = changed_at()
    secret: Mapped[str | None] = mapped_column(Text)
    phone: Mapped[str | None] = mapped_column(Text)
    last_challenged_at: Mapped[datetime | None]
    web_authn_credential: Mapped[dict[str, Any] | None]
    web_authn_aaguid: Mapped[UUID | None]
    last_webauthn_challenge_data: Mapped[dict[str, Any] | None]
    last_used_step: Mapped[int | None] = mapped_column(BigInteger)


class Challenge(Base):
    """A factor that was asked for. ``otp_code`` is a hash."""

    __tablename__ = "mfa_challenges"
    __table_args__ = (
        Index("ix_mfa_challenges_factor_id", "factor_id"),
        Index("ix_mfa_challenges_created_at", "created_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = row_id()
    factor_id: Mapped[UUID] = reference("mfa_factors")
    created_at: Mapped[datetime] = made_at()
    verified_at: Mapped[datetime | None]
    ip_address: Mapped[IPv4Address | IPv6Address] = mapped_column(INET)
    otp_code: Mapped[str | None] = mapped_column(Text)
    web_authn_session_data: Mapped[dict[str, Any] | None]


class RecoveryCode(Base):
    """A code for who lost the second factor, as a hash; it works once."""

    __tablename__ = "mfa_recovery_codes"
    __table_args__ = (
        UniqueConstraint("user_id", "code_hash", name="mfa_recovery_codes_user_id_code_hash_key"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = row_id()
    user_id: Mapped[UUID] = reference("users")
    code_hash: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = made_at()
    used_at: Mapped[datetime | None]
