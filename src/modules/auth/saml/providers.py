"""Organisations, as administrators keep them.

Source: supabase/auth, ``internal/api/ssoadmin.go``.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct
from sqlalchemy.exc import IntegrityError

from modules.auth.errors import ValidationFailed
from modules.auth.models import SamlProvider, SsoDomain, SsoProvider
from modules.auth.redirects import MAX_URL_CHARACTERS
from modules.auth.rules import check_storable
from modules.auth.saml.documents import NAME_ID_FORMATS, Unreadable
from modules.auth.saml.dtos import DomainView, Providers, ProviderView, SamlView
from modules.auth.saml.metadata import read_metadata
from modules.auth.saml.repository import DomainRepository, ProviderRepository, end_sessions
from modules.auth.sso_errors import (
    SamlEntityIdMismatch,
    SamlIdpAlreadyExists,
    SamlMetadataFetchFailed,
    SsoDomainAlreadyExists,
    SsoProviderNotFound,
)
from modules.auth.sso_events import SsoProviderAdded, SsoProviderChanged, SsoProviderRemoved
from monohull.kernel import clock, outbox
from monohull.kernel.database.repository import violated_constraint
from monohull.kernel.ids import uuid7
from monohull.kernel.outbound import OutboundFailed, OutboundLimits, OutboundRefused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.saml.dtos import AttributeMapping, ProviderIn, ProviderPatch
    from monohull.kernel.database.engine import Database
    from monohull.kernel.outbound import Outbound

LIMITS: Final = OutboundLimits(connect_seconds=5, read_seconds=5, total_seconds=10, redirects=2)
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_DOMAINS: Final = 100
OK: Final = 200

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")


class Metadata(Struct, frozen=True, kw_only=True):
    """Metadata that were read."""

    entity_id: str
    xml: str
    url: str | None


def provider_name(provider_id: UUID) -> str:
    """Return what identities of an organisation's people are called."""
    return f"sso:{provider_id}"


class Organisations:
    """Keeps them."""

    def __init__(self, database: Database, outbound: Outbound) -> None:
        self._database = database
        self._outbound = outbound

    async def list_all(self) -> Providers:
        """Return every organisation, oldest first."""
        async with self._database.unit_of_work() as work:
            found = await ProviderRepository(work).list_all()
            domains = await DomainRepository(work).list_of(*(provider.id for provider, _ in found))
            return Providers([view_provider(provider, saml, domains) for provider, saml in found])

    async def show(self, provider_id: str) -> ProviderView:
        """Return an organisation.

        Raises:
            ValidationFailed: 400, the id is no UUID. SsoProviderNotFound: 404. As all of these.
        """
        async with self._database.unit_of_work() as work:
            provider, saml = await _find(work, provider_id)
            return view_provider(provider, saml, await DomainRepository(work).list_of(provider.id))

    async def create(self, body: ProviderIn) -> ProviderView:
        """Add an organisation.

        Raises:
            ValidationFailed, SamlMetadataFetchFailed, SsoDomainAlreadyExists: 400.
            SamlIdpAlreadyExists: 422.
        """
        if body.type != "saml":
            raise ValidationFailed("Only 'saml' supported for SSO provider type")
        domains = check_domains(body.domains or ())
        name_id_format = check_name_id_format(body.name_id_format)
        mapping = check_mapping(body.attribute_mapping)
        metadata = await self._metadata(body)
        if metadata is None:
            raise ValidationFailed("Either metadata_xml or metadata_url must be set")
        with _conflicts():
            async with self._database.unit_of_work() as work:
                provider = SsoProvider(id=uuid7(), disabled=False)
                work.add(provider)
                await work.flush()
                saml = SamlProvider(
                    id=uuid7(),
                    sso_provider_id=provider.id,
                    entity_id=metadata.entity_id,
                    metadata_xml=metadata.xml,
                    metadata_url=metadata.url,
                    attribute_mapping=mapping,
                    name_id_format=name_id_format,
                )
                work.add(saml)
                rows = _add_domains(work, provider.id, domains)
                await work.flush()
                event = SsoProviderAdded(
                    provider_id=str(provider.id), entity_id=metadata.entity_id, domains=tuple(domains)
                )
                await outbox.publish(work, event, key=str(provider.id))
                return view_provider(provider, saml, rows)

    async def update(self, provider_id: str, body: ProviderPatch) -> ProviderView:
        """Change what ``body`` names.

        Raises:
            ValidationFailed, SamlMetadataFetchFailed, SamlEntityIdMismatch, SsoDomainAlreadyExists: 400.
        """
        if body.type not in (None, "saml"):
            raise ValidationFailed("Only 'saml' supported for SSO provider type")
        domains = check_domains(body.domains) if body.domains is not UNSET else None
        metadata = await self._metadata(body)
        with _conflicts():
            async with self._database.unit_of_work() as work:
                provider, saml = await _find(work, provider_id)
                changed = _change(provider, saml, body, metadata)
                rows = await DomainRepository(work).list_of(provider.id)
                if domains is not None:
                    for row in rows:
                        await work.delete(row)
                    await work.flush()
                    rows = _add_domains(work, provider.id, domains)
                    changed.append("domains")
                provider.updated_at = clock.now()
                await work.flush()
                event = SsoProviderChanged(provider_id=str(provider.id), changed=tuple(changed))
                await outbox.publish(work, event, key=str(provider.id))
                return view_provider(provider, saml, rows)

    async def delete(self, provider_id: str) -> ProviderView:
        """Remove an organisation; its people are there still, and signed out."""
        async with self._database.unit_of_work() as work:
            provider, saml = await _find(work, provider_id)
            view = view_provider(provider, saml, await DomainRepository(work).list_of(provider.id))
            ended = await end_sessions(work, provider_name(provider.id))
            await work.delete(provider)
            event = SsoProviderRemoved(provider_id=str(provider.id), sessions=ended)
            await outbox.publish(work, event, key=str(provider.id))
            return view

    async def _metadata(self, body: ProviderIn | ProviderPatch) -> Metadata | None:
        """Read the metadata that ``body`` brings or names, if it does either."""
        if body.metadata_xml and body.metadata_url:
            raise ValidationFailed("Only one of metadata_xml or metadata_url needs to be set")
        if not body.metadata_xml and not body.metadata_url:
            return None
        xml = body.metadata_xml or await self._fetch(body.metadata_url or "")
        try:
            check_storable(xml)
            found = read_metadata(xml)
        except Unreadable as error:
            raise ValidationFailed(f"SAML metadata cannot be used: {error}") from error
        return Metadata(entity_id=found.entity_id, xml=xml, url=body.metadata_url or None)

    async def _fetch(self, url: str) -> str:
        """Fetch metadata; over TLS, since who writes them decides who signs in."""
        try:
            parts = urlsplit(url)
            is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        except ValueError:
            is_safe = False
        if not is_safe or len(url) > MAX_URL_CHARACTERS or "\0" in url:
            raise ValidationFailed("metadata_url is not a valid HTTPS URL")
        try:
            reply = await self._outbound.request("GET", url, limits=LIMITS)
            if reply.status != OK:
                raise SamlMetadataFetchFailed(f"HTTP {reply.status} error fetching SAML metadata")
            return reply.body.decode("utf-8")
        except (OutboundFailed, OutboundRefused) as error:
            raise SamlMetadataFetchFailed(f"SAML metadata cannot be fetched: {error}") from error
        except UnicodeDecodeError as error:
            raise SamlMetadataFetchFailed("SAML Metadata XML contains invalid UTF-8 characters") from error


def _change(
    provider: SsoProvider, saml: SamlProvider, body: ProviderPatch, metadata: Metadata | None
) -> list[str]:
    changed = []
    if metadata is not None:
        if metadata.entity_id != saml.entity_id:
            raise SamlEntityIdMismatch
        saml.metadata_xml, saml.metadata_url = metadata.xml, metadata.url
        changed.append("metadata")
    if body.attribute_mapping is not UNSET:
        saml.attribute_mapping = check_mapping(body.attribute_mapping)
        changed.append("attribute_mapping")
    if body.name_id_format is not UNSET:
        saml.name_id_format = check_name_id_format(body.name_id_format)
        changed.append("name_id_format")
    if body.disabled is not UNSET:
        provider.disabled = body.disabled
        changed.append("disabled")
    return changed


def check_domains(domains: Sequence[str]) -> list[str]:
    """Return the domains in lower case.

    Raises:
        ValidationFailed: 400, one of them is none.
    """
    found = list(dict.fromkeys(domain.strip().lower() for domain in domains))
    if len(found) > MAX_DOMAINS:
        raise ValidationFailed(f"An SSO provider has at most {MAX_DOMAINS} domains")
    for domain in found:
        if not _DOMAIN.fullmatch(domain):
            raise ValidationFailed(f"{domain[:100]!r} is no domain")
    return found


def check_name_id_format(name: str | None) -> str | None:
    """Return the kind of name that is asked for.

    Raises:
        ValidationFailed: 400.
    """
    if name and name not in NAME_ID_FORMATS:
        raise ValidationFailed("name_id_format must be one of " + ", ".join(NAME_ID_FORMATS))
    return name or None


def check_mapping(mapping: AttributeMapping | None) -> dict[str, Any]:
    """Return the mapping as it is stored.

    Raises:
        ValidationFailed: 400.
    """
    found: dict[str, Any] = msgspec.to_builtins(mapping) if mapping is not None else {}
    check_storable(found)
    return found


def _add_domains(work: AsyncSession, provider_id: UUID, domains: Sequence[str]) -> list[SsoDomain]:
    rows = [SsoDomain(id=uuid7(), sso_provider_id=provider_id, domain=domain) for domain in domains]
    work.add_all(rows)
    return rows


async def _find(work: AsyncSession, provider_id: str) -> tuple[SsoProvider, SamlProvider]:
    try:
        parsed = UUID(provider_id)
    except ValueError:
        raise ValidationFailed("The SSO provider's id must be an UUID") from None
    if (found := await ProviderRepository(work).find(parsed)) is None:
        raise SsoProviderNotFound("No such SSO provider")
    return found


@contextmanager
def _conflicts() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        match violated_constraint(error):
            case "saml_providers_entity_id_key":
                raise SamlIdpAlreadyExists from error
            case "sso_domains_domain_idx":
                raise SsoDomainAlreadyExists from error
            case _:
                raise


def view_provider(provider: SsoProvider, saml: SamlProvider, domains: Sequence[SsoDomain]) -> ProviderView:
    """Show an organisation; of ``domains`` those that are its own."""
    return ProviderView(
        id=provider.id,
        resource_id=provider.resource_id,
        disabled=provider.disabled or None,
        saml=SamlView(
            entity_id=saml.entity_id,
            metadata_xml=saml.metadata_xml,
            metadata_url=saml.metadata_url,
            attribute_mapping=saml.attribute_mapping or {},
            name_id_format=saml.name_id_format,
        ),
        domains=[
            DomainView(id=row.id, domain=row.domain, created_at=row.created_at, updated_at=row.updated_at)
            for row in domains
            if row.sso_provider_id == provider.id
        ],
        created_at=provider.created_at,
        updated_at=provider.updated_at,
    )
