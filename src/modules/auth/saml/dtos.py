"""Bodies of single sign-on; the field names are the wire's."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from modules.auth.dtos import Challenge


class SsoBody(Challenge, frozen=True, kw_only=True):
    """``POST /sso``: which organisation, by id or by domain."""

    provider_id: str | None = None
    domain: str | None = None
    redirect_to: str | None = None
    skip_http_redirect: bool | None = None


class SsoUrl(Struct, frozen=True):
    """Where to send the browser."""

    url: str


class MappedClaim(Struct, frozen=True, omit_defaults=True):
    """Which attributes a claim is taken from: the first that is there, or ``default``."""

    name: str | None = None
    names: list[str] | None = None
    default: Any = None
    array: bool = False


class AttributeMapping(Struct, frozen=True):
    """Claims by their name."""

    keys: dict[str, MappedClaim] = {}


class ProviderIn(Struct, frozen=True, kw_only=True):
    """``POST /admin/sso/providers``."""

    type: str | None = None
    metadata_url: str | None = None
    metadata_xml: str | None = None
    domains: list[str] | None = None
    attribute_mapping: AttributeMapping | None = None
    name_id_format: str | None = None


class ProviderPatch(Struct, frozen=True, kw_only=True):
    """``PUT /admin/sso/providers/{id}``: what is left out stays."""

    type: str | None = None
    metadata_url: str | None = None
    metadata_xml: str | None = None
    domains: list[str] | UnsetType = UNSET
    attribute_mapping: AttributeMapping | None | UnsetType = UNSET  # noqa: RUF036
    name_id_format: str | None | UnsetType = UNSET  # noqa: RUF036
    disabled: bool | UnsetType = UNSET


class DomainView(Struct, frozen=True, kw_only=True):
    """A domain whose people the organisation vouches for."""

    id: UUID
    domain: str
    created_at: datetime
    updated_at: datetime


class SamlView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How SAML is spoken with an organisation."""

    entity_id: str
    metadata_xml: str
    metadata_url: str | None = None
    attribute_mapping: dict[str, Any]
    name_id_format: str | None = None


class ProviderView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An organisation."""

    id: UUID
    resource_id: str | None = None
    disabled: bool | None = None
    saml: SamlView
    domains: list[DomainView]
    created_at: datetime
    updated_at: datetime


class Providers(Struct, frozen=True):
    """Every organisation."""

    items: list[ProviderView]
