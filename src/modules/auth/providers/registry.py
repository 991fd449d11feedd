"""Find providers by name: those of the settings, and ``custom:…`` among those of the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from modules.auth.providers.catalogue import CATALOGUE
from modules.auth.providers.errors import UnsupportedProvider
from modules.auth.providers.profiles import Paths
from modules.auth.providers.provider import Provider, built_in
from modules.auth.providers.repository import CustomProviderRepository

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.auth.models import CustomProvider
    from modules.auth.providers.client import ProviderClient
    from modules.auth.providers.settings import ProviderSettings
    from modules.auth.providers.vault import ProviderVault
    from monohull.kernel.database.engine import Database

CUSTOM: Final = "custom:"
MAX_NAME_CHARACTERS: Final = 100
SECRET_COLUMN: Final = "custom_oauth_providers.client_secret"


class Providers:
    """The providers of this installation.

    Args:
        settings: Which of the catalogue are on.
        database: Where the others are.
        client: Reads discovery documents.
        vault: Opens client secrets.
        callback_url: ``<public url>/auth/v1/callback``.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        database: Database,
        client: ProviderClient,
        vault: ProviderVault,
        callback_url: str,
    ) -> None:
        self.client = client
        self.vault = vault
        self.callback_url = callback_url
        self._database = database
        self._built_in = {
            name: provider
            for name, row in CATALOGUE.items()
            if (provider := built_in(row, settings, callback_url)) is not None
        }

    @property
    def enabled(self) -> Mapping[str, Provider]:
        """Those that the settings switch on."""
        return self._built_in

    async def find(self, name: str) -> Provider:
        """Return the provider, complete.

        Raises:
            UnsupportedProvider: 400. ProviderUnavailable: 503, its discovery document cannot be read.
        """
        if (provider := await self.look_up(name)) is None:
            is_known = name in CATALOGUE or name.startswith(CUSTOM)
            shown = "".join(char for char in name if char.isprintable())[:40]
            raise UnsupportedProvider(
                "provider is not enabled" if is_known else f"Provider {shown} could not be found"
            )
        return await self.client.complete(provider)

    async def look_up(self, name: str) -> Provider | None:
        """Return the provider as it was configured; None where nobody can sign in with it."""
        if (provider := self._built_in.get(name)) is not None:
            return provider
        if not name.startswith(CUSTOM) or len(name) > MAX_NAME_CHARACTERS or "\0" in name:
            return None
        async with self._database.unit_of_work() as work:
            row = await CustomProviderRepository(work).find_by_identifier(name)
        return self.of_row(row) if row is not None and row.enabled else None

    def of_row(self, row: CustomProvider) -> Provider:
        """Return the provider that a row describes."""
        scopes = tuple(row.scopes)
        if row.provider_type == "oidc" and "openid" not in scopes:
            scopes = ("openid", *scopes)
        return Provider(
            name=row.identifier,
            client_ids=(row.client_id, *row.acceptable_client_ids),
            secret=self.vault.open(row.client_secret, SECRET_COLUMN, row.id) or "",
            redirect_uri=self.callback_url,
            authorize_url=row.authorization_url or "",
            token_url=row.token_url or "",
            userinfo_url=row.userinfo_url,
            issuer=row.issuer,
            jwks_url=row.jwks_uri,
            discovery_url=row.discovery_url or discovery_of(row.issuer)
            if row.provider_type == "oidc"
            else None,
            is_oidc=row.provider_type == "oidc",
            scopes=scopes,
            paths=paths_of(row.attribute_mapping),
            parameters=row.authorization_params,
            uses_pkce=row.pkce_enabled,
            checks_nonce=not row.skip_nonce_check,
            email_optional=row.email_optional,
        )


def discovery_of(issuer: str | None) -> str | None:
    """Return where an issuer's discovery document is (OpenID Connect Discovery 1.0, section 4)."""
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration" if issuer else None


PATH_NAMES: Final = {
    "sub": "subject",
    "email": "email",
    "email_verified": "is_verified",
    "name": "name",
    "user_name": "username",
    "avatar_url": "picture",
}
"""What an attribute mapping may name, and what each is for us."""


def paths_of(mapping: Mapping[str, str]) -> Paths:
    """Return where a custom provider's answers have what: ``{"sub": "user.id"}``."""
    paths = {PATH_NAMES[name]: f".{path}" for name, path in mapping.items() if name in PATH_NAMES}
    return msgspec.convert(paths, Paths)
