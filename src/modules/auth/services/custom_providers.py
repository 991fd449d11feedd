"""Providers that administrators configure while the server runs.

An OpenID provider is believed once its discovery document names the issuer
that was written; its addresses come from there and are not typed. An OAuth 2
provider says who somebody is in words of its own, which the attribute mapping
translates. Client secrets go in and never come out.

Source: supabase/auth, ``internal/api/custom_oauth_admin.go``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from modules.auth.claims import parse_path
from modules.auth.errors import ValidationFailed
from modules.auth.events import CustomProviderChanged
from modules.auth.models import CustomProvider
from modules.auth.providers.errors import (
    CustomProviderExists,
    CustomProviderNotFound,
    ProviderUnavailable,
)
from modules.auth.providers.registry import CUSTOM, PATH_NAMES, SECRET_COLUMN, discovery_of
from modules.auth.providers.repository import CustomProviderRepository
from modules.auth.rules import check_storable
from monohull.kernel import clock, outbox
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import CustomProviderBody
    from modules.auth.providers.registry import Providers
    from monohull.kernel.database.engine import Database

MAX_PROVIDERS: Final = 200
MAX_TEXT_CHARACTERS: Final = 2048
MAX_LIST_ITEMS: Final = 50
TYPES: Final = ("oauth2", "oidc")
URLS: Final = ("issuer", "discovery_url", "authorization_url", "token_url", "userinfo_url", "jwks_uri")
TEXTS: Final = ("name", "client_id")
PLAIN: Final = ("pkce_enabled", "enabled", "email_optional", "skip_nonce_check")
LISTS: Final = ("acceptable_client_ids", "scopes")
MAPPINGS: Final = ("attribute_mapping", "authorization_params")
NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "oidc": ("issuer",),
    "oauth2": ("authorization_url", "token_url", "userinfo_url"),
}
_IDENTIFIER: Final = re.compile(r"custom:[a-z0-9][a-z0-9_-]{0,48}")


class CustomProviders:
    """Keeps them.

    Args:
        database: Where.
        providers: Seals secrets and reads discovery documents.
        allows_http: Whether addresses may be without TLS: not in production.
    """

    def __init__(self, database: Database, providers: Providers, *, allows_http: bool) -> None:
        self._database = database
        self._providers = providers
        self._allows_http = allows_http

    async def list_all(self, provider_type: str | None) -> Sequence[dict[str, Any]]:
        """Return them; of one type if it is named.

        Raises:
            ValidationFailed: 400, there is no such type.
        """
        if provider_type and provider_type not in TYPES:
            raise ValidationFailed("type must be oauth2 or oidc")
        async with self._database.unit_of_work() as work:
            rows = await CustomProviderRepository(work).list_all(provider_type, limit=MAX_PROVIDERS)
            return [view(row) for row in rows]

    async def show(self, identifier: str) -> dict[str, Any]:
        """Return one.

        Raises:
            CustomProviderNotFound: 404, as all of these.
        """
        async with self._database.unit_of_work() as work:
            return view(await _found(work, identifier))

    async def create(self, body: CustomProviderBody) -> dict[str, Any]:
        """Make one.

        Raises:
            ValidationFailed: 400, also when the discovery document cannot be read or names another issuer.
            CustomProviderExists: 409.
        """
        row = CustomProvider(
            id=uuid7(),
            provider_type=body.provider_type or "",
            identifier=body.identifier or "",
            acceptable_client_ids=[],
            scopes=[],
            attribute_mapping={},
            authorization_params={},
            pkce_enabled=True,
            enabled=True,
            email_optional=False,
            skip_nonce_check=False,
        )
        if row.provider_type not in TYPES:
            raise ValidationFailed("provider_type must be oauth2 or oidc")
        if not _IDENTIFIER.fullmatch(row.identifier):
            raise ValidationFailed(
                f"identifier must be {CUSTOM} and up to 49 small letters, digits, hyphens and underscores"
            )
        if not body.name or not body.client_id or not body.client_secret:
            raise ValidationFailed("name, client_id and client_secret are required")
        self._write(row, body)
        await self._discover(row)
        async with self._database.unit_of_work() as work:
            repository = CustomProviderRepository(work)
            if await repository.find_by_identifier(row.identifier) is not None:
                raise CustomProviderExists
            if len(await repository.list_all(None, limit=MAX_PROVIDERS)) >= MAX_PROVIDERS:
                raise ValidationFailed(
                    f"There are {MAX_PROVIDERS} custom providers already; delete one first"
                )
            await repository.add(row)
            await _tell(work, row, "created")
            return view(row)

    async def update(self, identifier: str, body: CustomProviderBody) -> dict[str, Any]:
        """Change what the body names; type and identifier stay.

        Raises:
            ValidationFailed: 400. CustomProviderNotFound: 404.
        """
        if body.provider_type is not None or body.identifier is not None:
            raise ValidationFailed("provider_type and identifier cannot be changed")
        async with self._database.unit_of_work() as work:
            row = await _found(work, identifier)
            self._providers.client.forget(row.discovery_url or discovery_of(row.issuer))
            work.expunge(row)  # judged before it is kept: the provider is asked with no transaction open
        self._write(row, body)
        await self._discover(row)
        row.updated_at = clock.now()
        async with self._database.unit_of_work() as work:
            if await CustomProviderRepository(work).lock(identifier) is None:
                raise CustomProviderNotFound
            row = await work.merge(row)
            await _tell(work, row, "changed")
            await work.flush()
            return view(row)

    async def delete(self, identifier: str) -> None:
        """Delete one; identities by it stay, and nobody can sign in with them any more."""
        async with self._database.unit_of_work() as work:
            row = await _found(work, identifier)
            await work.delete(row)
            await _tell(work, row, "deleted")

    def _write(self, row: CustomProvider, body: CustomProviderBody) -> None:
        given = {name: getattr(body, name) for name in (*TEXTS, *PLAIN, *LISTS, *MAPPINGS, *URLS)}
        given = {name: value for name, value in given.items() if value is not None}
        check_storable([given, body.client_secret])
        if body.custom_claims_allowlist:
            raise ValidationFailed("custom_claims_allowlist is not served; use attribute_mapping")
        _check_sizes(given)
        for name in URLS:
            if given.get(name):
                self._check_url(name, given[name])
        _check_mapping(given.get("attribute_mapping", {}))
        for name, value in given.items():
            setattr(row, name, value or None if name in URLS else value)
        missing = [name for name in NEEDED[row.provider_type] if not getattr(row, name)]
        if missing:
            raise ValidationFailed(f"a provider of type {row.provider_type} needs " + ", ".join(missing))
        if body.client_secret:
            if len(body.client_secret) > MAX_TEXT_CHARACTERS:
                raise ValidationFailed("client_secret is too long")
            row.client_secret = self._providers.vault.close(body.client_secret, SECRET_COLUMN, row.id)

    def _check_url(self, name: str, url: str) -> None:
        try:
            parts = urlsplit(url)
            is_fit = bool(parts.hostname) and parts.port != 0 and url.isascii() and url.isprintable()
        except ValueError:
            is_fit = False
            parts = urlsplit("")
        schemes = ("https", "http") if self._allows_http else ("https",)
        if not is_fit or parts.scheme not in schemes or "@" in parts.netloc or parts.fragment or " " in url:
            raise ValidationFailed(f"{name} must be an address with https")

    async def _discover(self, row: CustomProvider) -> None:
        """Keep the discovery document of an OpenID provider, for who looks at it."""
        if row.provider_type != "oidc":
            return
        url = row.discovery_url or discovery_of(row.issuer) or ""
        client = self._providers.client
        client.forget(url)
        try:
            row.cached_discovery = await client.discover(url, row.issuer)
        except ProviderUnavailable as error:
            raise ValidationFailed(f"The discovery document cannot be used: {error.message}") from error
        row.discovery_cached_at = clock.now()


def view(row: CustomProvider) -> dict[str, Any]:
    """Show a provider to administrators, without its secret."""
    named = ("id", "provider_type", "identifier", *TEXTS, *LISTS, *MAPPINGS, *PLAIN)
    shown = {name: getattr(row, name) for name in named}
    shown |= {name: value for name in URLS if (value := getattr(row, name)) is not None}
    if row.provider_type == "oidc":
        shown["discovery_document"] = row.cached_discovery
    return shown | {"created_at": row.created_at, "updated_at": row.updated_at}


async def _found(work: AsyncSession, identifier: str) -> CustomProvider:
    fits = _IDENTIFIER.fullmatch(identifier) is not None
    row = await CustomProviderRepository(work).find_by_identifier(identifier) if fits else None
    if row is None:
        raise CustomProviderNotFound
    return row


def _check_sizes(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        texts = [*value, *value.values()] if isinstance(value, dict) else value
        listed = [texts] if isinstance(texts, str) else texts if isinstance(texts, list) else []
        if len(listed) > 2 * MAX_LIST_ITEMS or any(len(text) > MAX_TEXT_CHARACTERS for text in listed):
            raise ValidationFailed(f"{name} is too long")


def _check_mapping(mapping: Mapping[str, str]) -> None:
    for name, path in mapping.items():
        if name not in PATH_NAMES:
            raise ValidationFailed("attribute_mapping may name " + ", ".join(PATH_NAMES))
        try:
            parse_path(f".{path}")
        except ValueError as error:
            raise ValidationFailed(f"attribute_mapping: {error}") from error


async def _tell(work: AsyncSession, row: CustomProvider, change: str) -> None:
    event = CustomProviderChanged(identifier=row.identifier, change=change)
    await outbox.publish(work, event, key=row.identifier)
