"""Organisations that vouch for their people, and the SAML they speak."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from modules.auth.models.columns import SCHEMA, changed_at, made_at, reference, row_id
from monohull.kernel.database.base import Base


class SsoProvider(Base):
    """An organisation."""

    __tablename__ = "sso_providers"
    __table_args__ = (
        Index("sso_providers_resource_id_idx", text("lower(resource_id)"), unique=True),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = row_id()
    resource_id: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = made_at()
    updated_at: Mapped[datetime] = changed_at()
    disabled: Mapped[bool] = mapped_column(default=False, server_default=text("false"))


class SsoDomain(Base):
    """A domain whose addresses an organisation vouches for."""

    __tablename__ = "sso_domains"
    __table_args__ = (
        Index("sso_domains_domain_idx", text("lower(domain)"), unique=True),
        Index("ix_sso_domains_sso_provider_id", "sso_provider_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = row_id()
    sso_provider_id: Mapped[UUID] = reference("sso_providers")
    domain: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = made_at()
    updated_at: Mapped[datetime] = changed_at()


class SamlProvider(Base):
    """How to speak SAML 2.0 with an organisation."""

    __tablename__ = "saml_providers"
    __table_args__ = (
        UniqueConstraint("entity_id", name="saml_providers_entity_id_key"),
        Index("ix_saml_providers_sso_provider_id", "sso_provider_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = row_id()
    sso_provider_id: Mapped[UUID] = reference("sso_providers")
    entity_id: Mapped[str] = mapped_column(Text)
    metadata_xml: Mapped[str] = mapped_column(Text)
    metadata_url: Mapped[str | None] = mapped_column(Text)
    attribute_mapping: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = made_at()
    updated_at: Mapped[datetime] = changed_at()
    name_id_format: Mapped[str | None] = mapped_column(Text)


class SamlRelayState(Base):
    """A SAML request that was not answered yet."""

    __tablename__ = "saml_relay_states"
    __table_args__ = (
        Index("ix_saml_relay_states_sso_provider_id", "sso_provider_id"),
        Index("ix_saml_relay_states_flow_state_id", "flow_state_id"),
        Index("ix_saml_relay_states_for_email", "for_email"),
        Index("ix_saml_relay_states_created_at", "created_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = row_id()
    sso_provider_id: Mapped[UUID] = reference("sso_providers")
    request_id: Mapped[str] = mapped_column(Text)
    for_email: Mapped[str | None] = mapped_column(Text)
    redirect_to: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = made_at()
    updated_at: Mapped[datetime] = changed_at()
    flow_state_id: Mapped[UUID | None] = reference("flow_state")


class SamlAssertion(Base):
    """An assertion that was accepted, kept until it has expired so that none is accepted twice."""

    __tablename__ = "saml_assertions"
    __table_args__ = (Index("ix_saml_assertions_expires_at", "expires_at"), {"schema": SCHEMA})

    sso_provider_id: Mapped[UUID] = mapped_column(
        ForeignKey("auth.sso_providers.id", ondelete="CASCADE"), primary_key=True
    )
    assertion_id: Mapped[str] = mapped_column(Text, primary_key=True)
    expires_at: Mapped[datetime]
