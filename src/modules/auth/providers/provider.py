"""`Provider`: one that people may sign in with, and everything that is needed for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from modules.auth.providers.profiles import EmailList, Paths
from modules.auth.providers.settings import ProviderSettings, setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.auth.providers.catalogue import Description

SHARED_TENANTS: Final = ("common", "organizations", "consumers")
"""Where Azure lets in everybody's tenants, whose administrators write any address into a token."""


class Provider(Struct, frozen=True, kw_only=True):
    """Where it is, who we are there, and how it tells who somebody is.

    Attributes:
        name: ``google``, ``custom:acme``.
        client_ids: Ours there; the first asks, an id token may be for any.
        secret: Ours there.
        redirect_uri: What the provider sends browsers back to.
        authorize_url, token_url: Empty until `discovery_url` was read.
        checks_nonce: Whether an id token at ``/token`` needs the nonce that it was made for.
        email_optional: Whether somebody without an address may come.
    """

    name: str
    client_ids: tuple[str, ...]
    secret: str
    redirect_uri: str
    authorize_url: str = ""
    token_url: str = ""
    userinfo_url: str | None = None
    emails: EmailList | None = None
    issuer: str | None = None
    jwks_url: str | None = None
    discovery_url: str | None = None
    is_oidc: bool = False
    scopes: tuple[str, ...] = ()
    separator: str = " "
    paths: Paths = Paths()
    parameters: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    uses_pkce: bool = True
    uses_basic: bool = False
    checks_nonce: bool = True
    email_optional: bool = False

    @property
    def client_id(self) -> str:
        return self.client_ids[0]

    @property
    def realm(self) -> str:
        """What identities have as ``iss`` when no id token says it."""
        parts = urlsplit(self.userinfo_url or self.authorize_url)
        return self.issuer or f"{parts.scheme}://{parts.netloc}"


def built_in(row: Description, settings: ProviderSettings, callback_url: str) -> Provider | None:
    """Return a provider of the catalogue as it was configured; None when it is switched off."""
    client_ids = setting(settings, row.name, "client_id")
    own = setting(settings, row.name, "url")
    if not setting(settings, row.name, "enabled") or not client_ids or not (own or row.url):
        return None
    emails = row.emails and msgspec.structs.replace(row.emails, url=_move(row, own, row.emails.url))
    return Provider(
        name=row.name,
        client_ids=client_ids,
        secret=setting(settings, row.name, "secret") or "",
        redirect_uri=setting(settings, row.name, "redirect_uri") or callback_url,
        authorize_url=_move(row, own, row.authorize),
        token_url=_move(row, own, row.token),
        userinfo_url=_move(row, own, row.userinfo) if row.userinfo else None,
        emails=emails,
        issuer=own.rstrip("/") if own and row.issuer else row.issuer,
        jwks_url=_move(row, own, row.jwks) if row.jwks else None,
        discovery_url=_move(row, own, row.discovery) if row.discovery else None,
        is_oidc=row.is_oidc,
        scopes=row.scopes,
        separator=row.separator,
        paths=_paths(row, own),
        parameters=row.parameters,
        headers={name: value.replace("{client_id}", client_ids[0]) for name, value in row.headers.items()},
        uses_pkce=row.uses_pkce,
        uses_basic=row.uses_basic,
        checks_nonce=not setting(settings, row.name, "skip_nonce_check", default=False),
        email_optional=setting(settings, row.name, "email_optional"),
    )


def _move(row: Description, own: str | None, address: str) -> str:
    """Return ``address`` under the host that was configured, or where it is for everybody.

    >>> from modules.auth.providers.catalogue import CATALOGUE
    >>> _move(CATALOGUE["github"], "https://git.example.com", "https://api.github.com/user")
    'https://git.example.com/api/v3/user'
    """
    if address.startswith("/"):
        return (own or row.url).rstrip("/") + address
    if own is None:
        return address
    parts = urlsplit(address)
    query = f"?{parts.query}" if parts.query else ""
    return f"{own.rstrip('/')}{row.api}{parts.path}{query}"


def _paths(row: Description, own: str | None) -> Paths:
    """One tenant of one's own vouches for its addresses, unless it says that it does not."""
    if row.name == "azure" and own and own.rstrip("/").rpartition("/")[2] not in SHARED_TENANTS:
        return msgspec.structs.replace(row.paths, assumes_verified=True)
    return row.paths
