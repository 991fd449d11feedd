"""``grant_type=id_token``: a session for a token that a provider gave to an application on its own.

The application drew a nonce, gave the provider its SHA-256 and gives us the
nonce itself: so who catches the token on its way cannot use it.

Source: supabase/auth, ``internal/api/token_oidc.go``.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from modules.auth.errors import AuthProblem, UserAlreadyExists, ValidationFailed
from modules.auth.models import User
from modules.auth.providers.catalogue import CATALOGUE
from modules.auth.providers.errors import BadIdToken, ManualLinkingDisabled, ProviderDisabled
from modules.auth.providers.id_tokens import issuer_in
from modules.auth.services.external import METHOD
from modules.auth.services.identities import linking_user
from modules.auth.services.new_users import refusals
from modules.auth.services.provider_users import Arrival, ProviderUsers
from monohull.kernel.crypto import constant_time_equal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import IdTokenGrant, SessionView
    from modules.auth.origin import Origin
    from modules.auth.providers.provider import Provider
    from modules.auth.providers.registry import Providers
    from modules.auth.services.sending import Sender
    from modules.auth.services.sessions import SessionIssuer
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal


class IdTokenSignIn:
    """Opens sessions for id tokens."""

    def __init__(
        self,
        database: Database,
        providers: Providers,
        users: ProviderUsers,
        issuer: SessionIssuer,
        sender: Sender,
    ) -> None:
        self._database = database
        self._providers = providers
        self._users = users
        self._issuer = issuer
        self._settings = sender.settings

    async def open_session(
        self, grant: IdTokenGrant, origin: Origin, principal: Principal, redirect_to: str
    ) -> SessionView:
        """Open a session of the user whom the token names, who is made if need be.

        Args:
            grant: The token, and whose it is.
            origin: Of the request.
            principal: Who asks; with ``link_identity`` the user who gets the identity.
            redirect_to: Where the link of a confirmation ends.

        Raises:
            ValidationFailed, BadIdToken, ProviderDisabled, EmailAddressNotProvided: 400.
            BannedBearer: 403. ManualLinkingDisabled: 404. ProviderUnavailable: 503.
            SignupDisabled, ProviderEmailNeedsVerification, IdentityAlreadyExists: 422.
        """
        if grant.link_identity and not self._settings.security_manual_linking_enabled:
            raise ManualLinkingDisabled
        provider = await self._find(grant)
        claims = await self._verify(provider, grant)
        profile = self._providers.client.read(provider, claims)
        arrival = Arrival(provider=provider, profile=profile, origin=origin, redirect_to=redirect_to)
        linking = principal if grant.link_identity else None
        try:
            return await self._open(arrival, linking)
        except UserAlreadyExists:  # the same person came twice at once, and the other was first
            return await self._open(arrival, linking)

    async def _open(self, arrival: Arrival, linking: Principal | None) -> SessionView:
        async def admit(work: AsyncSession) -> SessionView | AuthProblem:
            if linking is not None:
                user_id = (await linking_user(work, linking)).id
                user = await self._users.link(work, user_id, arrival)
                return await self._issuer.open(work, user, method=METHOD, origin=arrival.origin)
            admission = await self._users.admit(work, arrival)
            if isinstance(admission, User):
                return await self._issuer.open(work, admission, method=METHOD, origin=arrival.origin)
            return admission

        with refusals():
            outcome = await self._issuer.hooks.transact(self._database, admit)
        if isinstance(outcome, AuthProblem):
            raise outcome
        return outcome

    async def _find(self, grant: IdTokenGrant) -> Provider:
        """Return the provider that the request names, by its name or by its issuer."""
        if not grant.id_token:
            raise ValidationFailed("id_token required")
        if not grant.provider and not (grant.client_id and grant.issuer):
            raise ValidationFailed("provider or client_id and issuer required")
        name = grant.provider or self._by_issuer(grant)
        provider = await self._providers.look_up(name)
        if provider is not None and provider.is_oidc:
            return await self._providers.client.complete(provider)
        if provider is None and ((row := CATALOGUE.get(name)) is None or row.is_oidc):
            is_known = name in CATALOGUE
            raise ProviderDisabled(name) if is_known else _not_allowed(name)
        raise _not_allowed(name)

    def _by_issuer(self, grant: IdTokenGrant) -> str:
        for provider in self._providers.enabled.values():
            if provider.is_oidc and provider.issuer == grant.issuer:
                return provider.name
        raise _not_allowed(grant.issuer or "")

    async def _verify(self, provider: Provider, grant: IdTokenGrant) -> Mapping[str, Any]:
        token = grant.id_token or ""
        if grant.client_id and grant.client_id not in provider.client_ids:
            raise BadIdToken("Unacceptable audience in id_token")
        if grant.issuer and grant.issuer != issuer_in(token):
            raise BadIdToken("The ID token is of another issuer")
        claims = await self._providers.client.verify(provider, token, grant.access_token)
        if provider.checks_nonce:
            _check_nonce(claims.get("nonce"), grant.nonce)
        return claims


def _check_nonce(told: Any, given: str | None) -> None:
    """Compare the token's nonce with the SHA-256 of the one that the application drew."""
    if bool(told) != bool(given):
        raise BadIdToken("Passed nonce and nonce in id_token should either both exist or not.")
    if not given:
        return
    digest = hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()
    if not isinstance(told, str) or not constant_time_equal(told, digest):
        raise BadIdToken("Nonces mismatch")


def _not_allowed(name: str) -> ValidationFailed:
    shown = "".join(char for char in name if char.isprintable())[:60]
    return ValidationFailed(f'Custom OIDC provider "{shown}" not allowed')
