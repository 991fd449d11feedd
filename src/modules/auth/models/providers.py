"""Providers that were configured while the server ran."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from modules.auth.models.columns import SCHEMA, changed_at, made_at, row_id
from monohull.kernel.database.base import Base


class CustomProvider(Base):
    """An OAuth 2 or OpenID provider by its addresses. ``client_secret`` is encrypted."""

    __tablename__ = "custom_oauth_providers"
    __table_args__ = (
        UniqueConstraint("identifier", name="custom_oauth_providers_identifier_key"),
        Index("ix_custom_oauth_providers_created_at", "created_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = row_id()
    provider_type: Mapped[str] = mapped_column(Text)
    identifier: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    client_id: Mapped[str] = mapped_column(Text)
    client_secret: Mapped[str] = mapped_column(Text)
    acceptable_client_ids: Mapped[list[str]] = mapped_column(
        ARRAY(Text), default=list, server_default=text("'{}'")
    )
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default=text("'{}'"))
    pkce_enabled: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    attribute_mapping: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'"))
    authorization_params: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'"))
    enabled: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    email_optional: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    issuer: Mapped[str | None] = mapped_column(Text)
    discovery_url: Mapped[str | None] = mapped_column(Text)
    skip_nonce_check: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    cached_discovery: Mapped[dict[str, Any] | None]
    discovery_cached_at: Mapped[datetime | None]
    authorization_url: Mapped[str | None] = mapped_column(Text)
    token_url: Mapped[str | None] = mapped_column(Text)
    userinfo_url: Mapped[str | None] = mapped_column(Text)
    jwks_uri: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = made_at()
    updated_at: Mapped[datetime] = changed_at()
