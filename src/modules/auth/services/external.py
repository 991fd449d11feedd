"""Send a browser to a provider, and take it back.

What comes back is a state that we made, works once and for ten minutes, and
leads to what we kept: which provider, where to go afterwards, the verifier
and the nonce that bind the code and the id token to this visit. Nothing else
that the browser brings is believed. The state is spent before the provider is
asked anything, and no transaction is open while it is.

Sources: RFC 6749, RFC 9700, RFC 9207; supabase/auth, ``internal/api/external.go``.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from msgspec import Struct

from modules.auth import one_time
from modules.auth.errors import UserAlreadyExists
from modules.auth.flow_errors import UserNotFound
from modules.auth.models import FlowState, OauthClientState, User
from modules.auth.providers.client import Errand
from modules.auth.providers.errors import BadOauthCallback, BadOauthState
from modules.auth.redirects import with_fragment, with_query
from modules.auth.repositories import FlowRepository, OneTimeTokenRepository
from modules.auth.services.new_users import refusals
from modules.auth.services.pkce import CodeChallenge, challenge_of
from modules.auth.services.provider_users import Arrival, ProviderUsers
from modules.auth.services.verification import arrive
from monohull.kernel import clock, ids
from monohull.kernel.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import Challenge, SessionView
    from modules.auth.origin import Origin
    from modules.auth.providers.profiles import Profile
    from modules.auth.providers.provider import Provider
    from modules.auth.providers.registry import Providers
    from modules.auth.services.sending import Sender
    from modules.auth.services.sessions import SessionIssuer
    from monohull.kernel.database.engine import Database

STATE_SECONDS: Final = 600
METHOD: Final = "oauth"
MAX_ERROR_CHARACTERS: Final = 300

_ERRORS: Final[Mapping[int, str]] = {
    400: "invalid_request",
    401: "unauthorized_client",
    500: "server_error",
    502: "server_error",
    503: "temporarily_unavailable",
}


class Wish(Struct, frozen=True, kw_only=True):
    """A request to ``/authorize``."""

    provider: str
    redirect_to: str
    challenge: Challenge
    scopes: str = ""
    invite_token: str = ""
    parameters: Mapping[str, str] = {}


class Callback(Struct, frozen=True, kw_only=True):
    """What a browser brings back from a provider; ``told`` is Apple's word on the person."""

    state: str = ""
    code: str = ""
    error: str = ""
    error_description: str = ""
    issuer: str = ""
    told: Mapping[str, Any] = {}


class Visit(Struct, frozen=True, kw_only=True):
    """What we kept while a browser was at a provider."""

    provider: str
    redirect_to: str
    verifier: str | None
    nonce: str | None
    challenge: CodeChallenge | None
    linking_user_id: UUID | None
    invite_hash: str | None


class Refused(BadOauthCallback):
    """The provider sent the browser back with an error of its own."""

    code = "bad_oauth_callback"

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description or error)
        self.error = error


class ExternalSignIn:
    """Sign-in by way of a provider's own pages."""

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
        self._site_url = sender.site_url

    async def begin(self, wish: Wish, *, linking: UUID | None = None) -> str:
        """Return where the browser goes.

        Args:
            wish: Of the client.
            linking: The user who will have the identity; without one it finds its own.

        Raises:
            UnsupportedProvider, ValidationFailed: 400. UserNotFound: 404, nobody has this invitation.
            ProviderUnavailable: 503.
        """
        challenge = challenge_of(wish.challenge)
        provider = await self._providers.find(wish.provider)
        verifier = ids.token() if provider.uses_pkce else None
        nonce = ids.token() if provider.is_oidc else None
        kept = OauthClientState(id=uuid4(), provider_type=provider.name, nonce=nonce, code_verifier=verifier)
        flow = FlowState(
            id=uuid4(),
            provider_type=provider.name,
            authentication_method=METHOD,
            code_challenge=challenge.text if challenge else None,
            code_challenge_method=challenge.method if challenge else None,
            referrer=wish.redirect_to,
            invite_token=ids.hash_token(wish.invite_token) if wish.invite_token else None,
            oauth_client_state_id=kept.id,
            linking_target_id=linking,
            email_optional=provider.email_optional,
        )
        await self._remember(kept, flow)
        errand = Errand(
            state=str(flow.id),
            challenge=_s256(verifier) if verifier else None,
            nonce=nonce,
            scopes=wish.scopes,
            parameters=wish.parameters,
        )
        return self._providers.client.authorize_url(provider, errand)

    async def arrive(self, callback: Callback, origin: Origin) -> str:
        """Take a browser back; return where it goes, with a session, a code, or what was wrong."""
        redirect_to = self._site_url
        try:
            visit = await self._take(callback)
            redirect_to = visit.redirect_to
            return await self._sign_in(visit, callback, origin)
        except Problem as problem:
            return arrive(redirect_to, refusal(problem), in_query=True)

    async def _remember(self, kept: OauthClientState, flow: FlowState) -> None:
        """Keep what the visit needs.

        Raises:
            UserNotFound: 404, nobody has the invitation.
        """
        async with self._database.unit_of_work() as work:
            if flow.invite_token is not None:
                tokens = OneTimeTokenRepository(work)
                wanted = {"token_hash": flow.invite_token, "token_type": one_time.CONFIRMATION}
                if not await tokens.list_by(**wanted, limit=1):
                    raise UserNotFound("User identified by token not found")
            work.add(kept)
            await work.flush()
            await FlowRepository(work).add(flow)

    async def _take(self, callback: Callback) -> Visit:
        """Return what the state leads to; from now on it leads to nothing."""
        if not callback.state:
            raise BadOauthCallback("OAuth state parameter missing")
        try:
            flow_id = UUID(callback.state)
        except ValueError:
            raise BadOauthState from None
        async with self._database.unit_of_work() as work:
            taken = await FlowRepository(work).take_visit(flow_id)
        if taken is None:
            raise BadOauthState
        flow, kept = taken
        if flow.created_at + timedelta(seconds=STATE_SECONDS) < clock.now():
            raise BadOauthState
        challenge = (
            CodeChallenge(flow.code_challenge, flow.code_challenge_method or "s256")
            if flow.code_challenge
            else None
        )
        return Visit(
            provider=flow.provider_type,
            redirect_to=flow.referrer or self._site_url,
            verifier=kept.code_verifier,
            nonce=kept.nonce,
            challenge=challenge,
            linking_user_id=flow.linking_target_id,
            invite_hash=flow.invite_token,
        )

    async def _sign_in(self, visit: Visit, callback: Callback, origin: Origin) -> str:
        if callback.error:
            raise Refused(_plain(callback.error), _plain(callback.error_description))
        if not callback.code:
            raise BadOauthCallback("OAuth callback with missing authorization code missing")
        provider = await self._providers.find(visit.provider)
        if callback.issuer and provider.is_oidc and callback.issuer != provider.issuer:
            raise BadOauthCallback("OAuth callback is of another issuer")
        client = self._providers.client
        tokens = await client.exchange(provider, callback.code, visit.verifier)
        profile = await client.profile(provider, tokens, visit.nonce, callback.told)
        given = {"provider_token": tokens.access_token}
        given |= {"provider_refresh_token": tokens.refresh_token} if tokens.refresh_token else {}
        try:
            return await self._settle(visit, provider, profile, given, origin)
        except UserAlreadyExists:  # the same person came twice at once, and the other was first
            return await self._settle(visit, provider, profile, given, origin)

    async def _settle(
        self, visit: Visit, provider: Provider, profile: Profile, given: Mapping[str, str], origin: Origin
    ) -> str:
        """Find or make the user and open what the client asked for: a session, or a code for one."""
        arrival = Arrival(
            provider=provider,
            profile=profile,
            origin=origin,
            redirect_to=visit.redirect_to,
            challenge=visit.challenge,
            invite_hash=visit.invite_hash,
        )

        async def admit(work: AsyncSession) -> str:
            if visit.linking_user_id is not None:
                user = await self._users.link(work, visit.linking_user_id, arrival)
            else:
                admission = await self._users.admit(work, arrival)
                if not isinstance(admission, User):
                    return arrive(visit.redirect_to, refusal(admission), in_query=True)
                user = admission
            if visit.challenge is None:
                session = await self._issuer.open(work, user, method=METHOD, origin=origin)
                return with_fragment(visit.redirect_to, _fragment(session, given))
            code = await self._keep(work, user, visit, visit.challenge, given)
            return with_query(visit.redirect_to, {"code": code})

        with refusals():
            return await self._issuer.hooks.transact(self._database, admit)

    async def _keep(
        self, work: Any, user: User, visit: Visit, challenge: CodeChallenge, given: Mapping[str, str]
    ) -> str:
        """Return a code; what the provider gave lies sealed until it is exchanged."""
        code = str(uuid4())
        flow_id = uuid4()
        vault = self._providers.vault
        sealed = {name: vault.close(token, name, flow_id) for name, token in given.items()}
        await FlowRepository(work).add(
            FlowState(
                id=flow_id,
                user_id=user.id,
                auth_code=ids.hash_token(code),
                auth_code_issued_at=clock.now(),
                code_challenge=challenge.text,
                code_challenge_method=challenge.method,
                provider_type=visit.provider,
                authentication_method=METHOD,
                provider_access_token=sealed.get("provider_token"),
                provider_refresh_token=sealed.get("provider_refresh_token"),
            )
        )
        return code


def refusal(problem: Problem) -> dict[str, str]:
    """Return what a redirect says of a refusal, in OAuth's words and ours."""
    error = problem.error if isinstance(problem, Refused) else _ERRORS.get(problem.status, "access_denied")
    return {"error": error, "error_code": problem.code, "error_description": problem.message, "sb": ""}


def _fragment(session: SessionView, given: Mapping[str, str]) -> dict[str, str]:
    return {
        "access_token": session.access_token,
        "expires_at": str(session.expires_at),
        "expires_in": str(session.expires_in),
        **given,
        "refresh_token": session.refresh_token,
        "sb": "",
        "token_type": session.token_type,
    }


def _s256(verifier: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _plain(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:MAX_ERROR_CHARACTERS]
