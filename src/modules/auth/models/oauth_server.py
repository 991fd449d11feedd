"""Applications that sign their users in here, and what users allowed them."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from modules.auth.models.columns import (
    CHALLENGE_METHOD,
    SCHEMA,
    changed_at,
    enum,
    made_at,
    reference,
    row_id,
)
from monohull.kernel.database.base import Base

REGISTRATION_TYPE: Final = enum("oauth_registration_type", "dynamic", "manual")
CLIENT_TYPE: Final = enum("oauth_client_type", "public", "confidential")
AUTHORIZATION_STATUS: Final = enum("oauth_authorization_status", "pending", "approved", "denied", "expired")
RESPONSE_TYPE: Final = enum("oauth_response_type", "code")


class OauthClient(Base):
    """An application. Lists are separated by commas; the secret is a hash."""

    __tablename__ = "oauth_clients"
    __table_args__ = (
        Index("ix_oauth_clients_deleted_at", "deleted_at"),
        Index("ix_oauth_clients_created_at", "created_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = row_id()
    client_secret_hash: Mapped[str | None] = mapped_column(Text)
    registration_type: Mapped[str] = mapped_column(REGISTRATION_TYPE)
    redirect_uris: Mapped[str] = mapped_column(Text)
    grant_types: Mapped[str] = mapped_column(Text)
    client_name: Mapped[str | None] = mapped_column(Text)
    client_uri: Mapped[str | None] = mapped_column(Text)
    logo_uri: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = made_at()
    updated_at: Mapped[datetime] = changed_at()
    deleted_at: Mapped[datetime | None]
    client_type: Mapped[str] = mapped_column(
        CLIENT_TYPE, default="confidential", server_default="confidential"
    )
    token_endpoint_auth_method: Mapped[str] = mapped_column(Text)
    scope: Mapped[str | None] = mapped_column(Text)


class OauthAuthorization(Base):
    """A client's request for access to somebody's account. The code is a hash."""

    __tablename__ = "oauth_authorizations"
    __table_args__ = (
        UniqueConstraint("authorization_id", name="oauth_authorizations_authorization_id_key"),
        UniqueConstraint("authorization_code", name="oauth_authorizations_authorization_code_key"),
        Index("ix_oauth_authorizations_client_id", "client_id"),
        Index("ix_oauth_authorizations_user_id", "user_id"),
        Index("ix_oauth_authorizations_expires_at", "expires_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = row_id()
    authorization_id: Mapped[str] = mapped_column(Text)
    client_id: Mapped[UUID] = reference("oauth_clients")
    user_id: Mapped[UUID | None] = reference("users")
    redirect_uri: Mapped[str] = mapped_column(Text)
    scope: Mapped[str] = mapped_column(Text)
    state: Mapped[str | None] = mapped_column(Text)
    resource: Mapped[str | None] = mapped_column(Text)
    code_challenge: Mapped[str | None] = mapped_column(Text)
    code_challenge_method: Mapped[str | None] = mapped_column(CHALLENGE_METHOD)
    response_type: Mapped[str] = mapped_column(RESPONSE_TYPE, default="code", server_default="code")
    status: Mapped[str] = mapped_column(AUTHORIZATION_STATUS, default="pending", server_default="pending")
    authorization_code: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = made_at()
    expires_at: Mapped[datetime] = mapped_column(server_default=text("now() + interval '3 minutes'"))
    approved_at: Mapped[datetime | None]
    nonce: Mapped[str | None] = mapped_column(Text)


class OauthConsent(Base):
    """What a user allowed a client."""

    __tablename__ = "oauth_consents"
    __table_args__ = (
        UniqueConstraint("user_id", "client_id", name="oauth_consents_user_client_unique"),
        Index("ix_oauth_consents_client_id", "client_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = row_id()
    user_id: Mapped[UUID] = reference("users")
    client_id: Mapped[UUID] = reference("oauth_clients")
    scopes: Mapped[str] = mapped_column(Text)
    granted_at: Mapped[datetime] = made_at()
    revoked_at: Mapped[datetime | None]
