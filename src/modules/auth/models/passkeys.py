"""Passkeys and what they were asked to sign."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from modules.auth.models.columns import SCHEMA, changed_at, made_at, reference, row_id
from monohull.kernel.database.base import Base


class Passkey(Base):
    """A public key whose private half opens sessions of the user."""

    __tablename__ = "webauthn_credentials"
    __table_args__ = (
        UniqueConstraint("credential_id", name="webauthn_credentials_credential_id_key"),
        Index("ix_webauthn_credentials_user_id", "user_id", "created_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = row_id()
    user_id: Mapped[UUID] = reference("users")
    credential_id: Mapped[bytes] = mapped_column(LargeBinary)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    attestation_type: Mapped[str] = mapped_column(Text, default="none", server_default="none")
    aaguid: Mapped[UUID | None]
    sign_count: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    transports: Mapped[list[str]] = mapped_column(JSONB, default=list, server_default=text("'[]'"))
    backup_eligible: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    backed_up: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    friendly_name: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = made_at()
    updated_at: Mapped[datetime] = changed_at()
    last_used_at: Mapped[datetime | None]


class PasskeyChallenge(Base):
    """What a passkey was asked to sign; without a user when anybody's passkey may answer."""

    __tablename__ = "webauthn_challenges"
    __table_args__ = (
        Index("ix_webauthn_challenges_user_id", "user_id"),
        Index("ix_webauthn_challenges_expires_at", "expires_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = row_id()
    user_id: Mapped[UUID | None] = reference("users")
    challenge_type: Mapped[str] = mapped_column(Text)
    session_data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = made_at()
    expires_at: Mapped[datetime]
