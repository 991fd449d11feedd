"""``POST /sso`` and ``/sso/saml/acs``: leave for the identity provider, and come back as somebody.

Source: supabase/auth, ``internal/api/sso.go`` and ``samlacs.go``.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct

from modules.auth.errors import BannedBearer, SignupDisabled, UnknownBearer, ValidationFailed
from modules.auth.events import UserSignedUp
from modules.auth.hooks import once
from modules.auth.models import FlowState, Identity, SamlRelayState, User
from modules.auth.redirects import with_fragment, with_query
from modules.auth.repositories import FlowRepository, IdentityRepository, UserRepository
from modules.auth.saml.documents import Unreadable
from modules.auth.saml.metadata import read_metadata
from modules.auth.saml.people import somebody
from modules.auth.saml.providers import provider_name
from modules.auth.saml.repository import AssertionRepository, ProviderRepository, RelayStateRepository
from modules.auth.saml.requests import request_url
from modules.auth.saml.responses import Refused, read_response, verify
from modules.auth.services.new_users import refusals
from modules.auth.services.pkce import challenge_of
from modules.auth.settings import seconds
from modules.auth.sso_errors import (
    SamlAssertionRefused,
    SamlIdpNotFound,
    SamlRelayStateExpired,
    SamlRelayStateNotFound,
    SsoProviderDisabled,
    SsoProviderNotFound,
)
from modules.auth.sso_events import SamlAssertionReplayed
from modules.auth.views import view_user
from monohull.kernel import clock, outbox
from monohull.kernel.ids import hash_token, uuid7

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.models import SamlProvider, SsoProvider
    from modules.auth.origin import Origin
    from modules.auth.redirects import Redirects
    from modules.auth.saml.dtos import SsoBody
    from modules.auth.saml.keys import ServiceKey
    from modules.auth.saml.metadata import Service
    from modules.auth.saml.people import Somebody
    from modules.auth.saml.responses import Assertion
    from modules.auth.services import SessionIssuer
    from modules.auth.settings import AuthSettings
    from monohull.kernel.database.engine import Database

METHOD: Final = "sso/saml"
"""The ``amr`` of these sessions."""


class Ourselves(Struct, frozen=True):
    """This service provider: its addresses, the key that signs its requests, where sign-ins may end."""

    service: Service
    key: ServiceKey | None
    redirects: Redirects


class SignOn:
    """Brings people in."""

    def __init__(
        self, database: Database, issuer: SessionIssuer, settings: AuthSettings, ourselves: Ourselves
    ) -> None:
        self._database = database
        self._issuer = issuer
        self._settings = settings
        self._ourselves = ourselves
        self._patience = timedelta(seconds=seconds(settings.saml_relay_state_validity_period) or 0.0)

    async def begin(self, body: SsoBody, redirect_to: str) -> str:
        """Return where the browser goes to be recognised.

        Raises:
            ValidationFailed: 400. SsoProviderNotFound: 404. SsoProviderDisabled: 422.
        """
        challenge = challenge_of(body)
        request_id = f"id-{uuid4()}"
        async with self._database.unit_of_work() as work:
            provider, saml = await _chosen(work, body)
            flow_id = None
            if challenge is not None:
                flow_id = uuid4()
                await FlowRepository(work).add(
                    FlowState(
                        id=flow_id,
                        code_challenge=challenge.text,
                        code_challenge_method=challenge.method,
                        provider_type=METHOD,
                        authentication_method=METHOD,
                    )
                )
            relay = SamlRelayState(
                id=uuid4(),  # travels through browsers, so it is random and tells no time
                sso_provider_id=provider.id,
                request_id=request_id,
                redirect_to=redirect_to,
                flow_state_id=flow_id,
            )
            await RelayStateRepository(work).add(relay)
            return request_url(
                read_metadata(saml.metadata_xml),
                self._ourselves.service,
                request_id=request_id,
                relay_state=str(relay.id),
                name_id_format=saml.name_id_format,
                key=self._ourselves.key,
            )

    async def finish(self, response: str, relay_state: str, origin: Origin) -> str:
        """Take the identity provider's answer; return where the browser goes, with a session or a code.

        Raises:
            SamlAssertionRefused: 400. BannedBearer: 403. SamlIdpNotFound, SamlRelayStateNotFound: 404.
            SamlRelayStateExpired, SamlAssertionNoUserId, SamlAssertionNoEmail, SsoProviderDisabled: 422.
            HookRejected, HookTimeout, HookFailed: The project does not want this user, or cannot say.
        """
        if not response:
            raise ValidationFailed("SAMLResponse is missing")
        with refusals():
            outcome = await self._issuer.hooks.transact(
                self._database, lambda work: self._accept(work, response, relay_state, origin)
            )
        if outcome is None:  # after the commit: telling of it is part of refusing
            raise SamlAssertionRefused("it was used before")
        return outcome

    async def _accept(
        self, work: AsyncSession, response: str, relay_state: str, origin: Origin
    ) -> str | None:
        """Return where the browser goes, or None when the assertion had come before."""
        relay = await self._waiting(work, relay_state)
        provider, saml, assertion = await self._checked(work, response, relay)
        fresh = await AssertionRepository(work).is_first(provider.id, assertion.id, assertion.expires_at)
        if not fresh:
            event = SamlAssertionReplayed(
                provider_id=str(provider.id), assertion_id=assertion.id[:200], address=origin.address
            )
            await outbox.publish(work, event, key=str(provider.id))
            return None
        person = somebody(assertion, saml.attribute_mapping or {})
        user = await self._user(work, (provider, saml), person, origin)
        redirect_to = self._target(relay, relay_state)
        if relay is not None and relay.flow_state_id is not None:
            code = await _end_flow(work, relay.flow_state_id, user)
            return with_query(redirect_to, {"code": code})
        session = await self._issuer.open(work, user, method=METHOD, origin=origin)
        return with_fragment(
            redirect_to,
            {
                "access_token": session.access_token,
                "expires_at": str(session.expires_at),
                "expires_in": str(session.expires_in),
                "refresh_token": session.refresh_token,
                "sb": "",
                "token_type": session.token_type,
            },
        )

    async def _waiting(self, work: AsyncSession, relay_state: str) -> SamlRelayState | None:
        """Find the request that is answered; None when the sign-in began at the identity provider."""
        try:
            relay_id = UUID(relay_state)
        except ValueError:
            if not self._settings.saml_allow_idp_initiated:
                raise SamlRelayStateNotFound from None
            return None
        relay = await RelayStateRepository(work).take(relay_id)
        if relay is None:
            raise SamlRelayStateNotFound
        if relay.created_at + self._patience < clock.now():
            raise SamlRelayStateExpired
        return relay

    async def _checked(
        self, work: AsyncSession, response: str, relay: SamlRelayState | None
    ) -> tuple[SsoProvider, SamlProvider, Assertion]:
        try:
            arrived = await asyncio.to_thread(read_response, response)
            found = await ProviderRepository(work).find_by_entity_id(arrived.issuer.replace("\0", ""))
            if found is None:
                raise SamlIdpNotFound
            provider, saml = found
            if provider.disabled:
                raise SsoProviderDisabled
            if relay is not None and relay.sso_provider_id != provider.id:
                raise Refused("another identity provider was asked")  # noqa: TRY301 one way to refuse
            assertion = await asyncio.to_thread(
                verify,
                arrived,
                read_metadata(saml.metadata_xml),
                self._ourselves.service,
                request_id=relay.request_id if relay is not None else None,
                key=self._ourselves.key if self._settings.saml_allow_encrypted_assertions else None,
            )
        except (Refused, Unreadable) as refused:
            raise SamlAssertionRefused(str(refused)) from refused
        return provider, saml, assertion

    async def _user(
        self, work: AsyncSession, of: tuple[SsoProvider, SamlProvider], person: Somebody, origin: Origin
    ) -> User:
        provider, saml = of
        name = provider_name(provider.id)
        identity = await IdentityRepository(work).find_by(
            Identity.provider_id == person.subject, Identity.provider == name
        )
        data = _identity_data(saml, person)
        if identity is None:
            return await self._new_user(work, _new(name, person, data), data, origin)
        user = await UserRepository(work).lock(identity.user_id)
        if user is None:
            raise UnknownBearer
        if user.is_banned:
            raise BannedBearer
        identity.identity_data = data
        identity.last_sign_in_at = clock.now()
        user.email = person.email
        user.raw_user_meta_data = {**(user.raw_user_meta_data or {}), **data}
        return user

    async def _new_user(self, work: AsyncSession, user: User, data: dict[str, Any], origin: Origin) -> User:
        if self._settings.disable_signup:
            raise SignupDisabled
        hooks = self._issuer.hooks
        if hooks.has("before_user_created"):
            await hooks.before_user_created(msgspec.to_builtins(view_user(user, [])), origin, work)
        work.add(user)
        await work.flush()
        name = (user.raw_app_meta_data or {})["provider"]
        work.add(
            Identity(
                id=uuid7(),
                provider_id=data["sub"],
                user_id=user.id,
                identity_data=data,
                provider=name,
                last_sign_in_at=user.created_at,
            )
        )
        await work.flush()
        event = UserSignedUp(user_id=str(user.id), email=user.email, provider=name)
        await outbox.publish(work, event, key=str(user.id))
        return user

    def _target(self, relay: SamlRelayState | None, relay_state: str) -> str:
        """Return where the sign-in ends; an identity provider may name an address that is allowed."""
        wanted = relay.redirect_to if relay is not None else relay_state
        is_url = bool(wanted) and bool(urlsplit(wanted or "").scheme)
        return self._ourselves.redirects.choose(wanted if is_url else None)


def _new(name: str, person: Somebody, data: dict[str, Any]) -> User:
    at = clock.now()
    return User(
        id=once("user", uuid7),
        aud="authenticated",
        role="authenticated",
        email=person.email,
        email_confirmed_at=at,
        raw_app_meta_data={"provider": name, "providers": [name]},
        raw_user_meta_data=data,
        created_at=at,
        updated_at=at,
        is_sso_user=True,
        is_anonymous=False,
    )


async def _chosen(work: AsyncSession, body: SsoBody) -> tuple[SsoProvider, SamlProvider]:
    if bool(body.provider_id) == bool(body.domain):
        raise ValidationFailed("Either a provider_id or a domain is needed, and not both")
    repository = ProviderRepository(work)
    if body.provider_id:
        try:
            found = await repository.find(UUID(body.provider_id))
        except ValueError:
            raise ValidationFailed("provider_id must be an UUID") from None
        missing = SsoProviderNotFound("No such SSO provider")
    else:
        domain = (body.domain or "").strip().lower().replace("\0", "")
        found = await repository.find_by_domain(domain)
        missing = SsoProviderNotFound()
    if found is None:
        raise missing
    if found[0].disabled:
        raise SsoProviderDisabled
    return found


async def _end_flow(work: AsyncSession, flow_id: UUID, user: User) -> str:
    """Return the code of a flow; from now on it can be exchanged."""
    flow = await FlowRepository(work).find_by_id(flow_id)
    if flow is None:
        raise SamlRelayStateNotFound
    code = str(uuid4())
    flow.user_id = user.id
    flow.auth_code = hash_token(code)
    flow.auth_code_issued_at = clock.now()
    return code


def _identity_data(saml: SamlProvider, person: Somebody) -> dict[str, Any]:
    return {
        "iss": saml.entity_id,
        "sub": person.subject,
        "provider_id": person.subject,
        "email": person.email,
        "email_verified": True,
        "phone_verified": False,
        **({"custom_claims": person.claims} if person.claims else {}),
    }
