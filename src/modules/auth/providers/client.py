"""Speak to a provider: where to send a browser, what its code is worth, who came.

Sources: RFC 6749, RFC 7636, RFC 9207; OpenID Connect Core and Discovery 1.0.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from modules.auth.providers.errors import (
    BadIdToken,
    BadOauthCallback,
    ProviderMisconfigured,
    ProviderUnavailable,
)
from modules.auth.providers.fetching import CLIENT_ERROR, fetch, post_form
from modules.auth.providers.id_tokens import KeyCache, algorithm_of, at_hash_fits, verify_id_token
from modules.auth.providers.profiles import Unreadable, pick_email, read_profile
from monohull.kernel import clock
from monohull.kernel.crypto import constant_time_equal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.auth.providers.profiles import Profile
    from modules.auth.providers.provider import Provider
    from monohull.kernel.outbound import Outbound

DISCOVERY_SECONDS: Final = 3600.0
MAX_TOKEN_CHARACTERS: Final = 16_384
RESERVED: Final = frozenset(
    {
        "apikey",
        "authorization",
        "client_id",
        "client_secret",
        "code",
        "code_challenge",
        "code_challenge_method",
        "code_verifier",
        "flow_state_id",
        "grant_type",
        "invite_token",
        "nonce",
        "provider",
        "redirect_to",
        "redirect_uri",
        "request",
        "request_uri",
        "response_mode",
        "response_type",
        "scope",
        "scopes",
        "skip_http_redirect",
        "state",
    }
)
"""Parameters that are ours to set; any other that a client adds passes through to the provider."""

MAX_PARAMETERS: Final = 20
MAX_PARAMETER_CHARACTERS: Final = 1000


class Errand(Struct, frozen=True, kw_only=True):
    """What a browser carries to a provider. ``challenge`` and ``nonce`` bind what comes back."""

    state: str
    challenge: str | None
    nonce: str | None
    scopes: str = ""
    parameters: Mapping[str, str] = {}


class Tokens(Struct, frozen=True, kw_only=True):
    """What a code was worth."""

    access_token: str
    refresh_token: str | None = None
    id_token: str | None = None


class ProviderClient:
    """Asks providers; remembers their keys and their discovery documents."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._keys = KeyCache(outbound)
        self._documents: dict[str, tuple[float, dict[str, Any]]] = {}

    async def complete(self, provider: Provider) -> Provider:
        """Return ``provider`` with what its discovery document says.

        Raises:
            ProviderUnavailable, ProviderMisconfigured: 503.
        """
        if provider.discovery_url is None:
            return provider
        document = await self.discover(provider.discovery_url, provider.issuer)
        return msgspec.structs.replace(
            provider,
            issuer=document["issuer"],
            jwks_url=provider.jwks_url or document["jwks_uri"],
            authorize_url=provider.authorize_url or document["authorization_endpoint"],
            token_url=provider.token_url or document["token_endpoint"],
            userinfo_url=provider.userinfo_url or document.get("userinfo_endpoint"),
        )

    async def discover(self, url: str, issuer: str | None) -> dict[str, Any]:
        """Return the discovery document at ``url``; its issuer has to be the one that is expected.

        Raises:
            ProviderUnavailable, ProviderMisconfigured: 503.
        """
        kept = self._documents.get(url)
        if kept is None or clock.monotonic_seconds() - kept[0] > DISCOVERY_SECONDS:
            document = check_discovery(await fetch(self._outbound, url))
            kept = (clock.monotonic_seconds(), document)
            self._documents[url] = kept
        if issuer is not None and kept[1]["issuer"] != issuer:
            raise ProviderMisconfigured("The provider's discovery document names another issuer")
        return kept[1]

    def forget(self, url: str | None) -> None:
        """Read the discovery document anew next time."""
        self._documents.pop(url or "", None)

    @staticmethod
    def authorize_url(provider: Provider, errand: Errand) -> str:
        """Return where a browser goes to sign in; ``provider`` is complete."""
        wanted = [scope for scope in errand.scopes.replace(",", " ").split() if scope not in provider.scopes]
        scopes = provider.separator.join((*provider.scopes, *wanted))
        query = {
            **{name: value for name, value in errand.parameters.items() if name not in RESERVED},
            **provider.parameters,
            "client_id": provider.client_id,
            "redirect_uri": provider.redirect_uri,
            "response_type": "code",
            "state": errand.state,
        }
        query |= {"scope": scopes} if scopes else {}
        query |= {"nonce": errand.nonce} if errand.nonce else {}
        if errand.challenge:
            query |= {"code_challenge": errand.challenge, "code_challenge_method": "S256"}
        joint = "&" if urlsplit(provider.authorize_url).query else "?"
        return f"{provider.authorize_url}{joint}{urlencode(query)}"

    async def exchange(self, provider: Provider, code: str, verifier: str | None) -> Tokens:
        """Return what ``code`` is worth.

        Raises:
            BadOauthCallback: 400, the provider does not take it. ProviderUnavailable: 503.
        """
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": provider.redirect_uri}
        headers = {}
        if provider.uses_basic:
            pair = f"{quote(provider.client_id, safe='')}:{quote(provider.secret, safe='')}"
            headers["Authorization"] = "Basic " + b64encode(pair.encode()).decode()
        else:
            form |= {"client_id": provider.client_id}
            form |= {"client_secret": provider.secret} if provider.secret else {}
        form |= {"code_verifier": verifier} if verifier else {}
        status, answer = await post_form(self._outbound, provider.token_url, form, headers)
        # GitHub refuses with 200
        if status >= CLIENT_ERROR or not isinstance(answer, dict) or "access_token" not in answer:
            raise BadOauthCallback("Unable to exchange external code")
        token = _token(answer, "access_token")
        if token is None:
            raise ProviderUnavailable("The provider's access token is unusable")
        return Tokens(
            access_token=token,
            refresh_token=_token(answer, "refresh_token"),
            id_token=_token(answer, "id_token"),
        )

    async def profile(
        self, provider: Provider, tokens: Tokens, nonce: str | None, told: Mapping[str, Any] | None = None
    ) -> Profile:
        """Return who came.

        Args:
            provider: Complete.
            tokens: Of the provider.
            nonce: That the id token has to carry.
            told: What the provider had the browser tell beside the code; Apple's name of the person.

        Raises:
            BadIdToken, BadOauthCallback: 400. ProviderUnavailable: 503.
        """
        if provider.is_oidc:
            if tokens.id_token is None:
                raise BadIdToken("The provider gave no ID token")
            claims = await self.verify(provider, tokens.id_token, tokens.access_token)
            if nonce is not None and not _same(claims.get("nonce"), nonce):
                raise BadIdToken("Nonces mismatch")
            return self.read(provider, {**(told or {}), **await self._more(provider, tokens, claims)})
        assert provider.userinfo_url is not None
        headers = {"Authorization": f"Bearer {tokens.access_token}", **provider.headers}
        answer = await fetch(self._outbound, provider.userinfo_url, headers)
        emails = None
        if provider.emails is not None:
            emails = pick_email(await fetch(self._outbound, provider.emails.url, headers), provider.emails)
        return self.read(provider, answer, emails)

    async def verify(
        self, provider: Provider, id_token: str, access_token: str | None = None
    ) -> dict[str, Any]:
        """Return the claims of an id token, which goes with the access token if there is one.

        Raises:
            BadIdToken: 400. ProviderUnavailable: 503.
        """
        claims = await verify_id_token(id_token, provider, self._keys)
        if access_token and not at_hash_fits(claims, algorithm_of(id_token), access_token):
            raise BadIdToken("ID token is not of this access token")
        return claims

    @staticmethod
    def read(provider: Provider, answer: Any, emails: tuple[Any, bool] | None = None) -> Profile:
        """Read a profile.

        Raises:
            ProviderUnavailable: 503, it names nobody.
        """
        issuer = answer.get("iss") if provider.is_oidc else provider.realm
        try:
            return read_profile(answer, provider.paths, issuer=str(issuer), emails=emails)
        except Unreadable as error:
            raise ProviderUnavailable("Error getting user profile from external provider") from error

    async def _more(self, provider: Provider, tokens: Tokens, claims: dict[str, Any]) -> dict[str, Any]:
        """Add what only the userinfo endpoint tells, where the token has no address; about the same subject.

        Source: OpenID Connect Core 1.0, section 5.3.2.
        """
        if "email" in claims or provider.userinfo_url is None:
            return claims
        headers = {"Authorization": f"Bearer {tokens.access_token}"}
        answer = await fetch(self._outbound, provider.userinfo_url, headers)
        if not isinstance(answer, dict) or answer.get("sub") != claims["sub"]:
            raise BadIdToken("The provider's profile is of somebody else")
        return {**answer, **claims}


def check_discovery(document: Any) -> dict[str, Any]:
    """Return a discovery document that has what we need.

    Raises:
        ProviderMisconfigured: 503.
    """
    needed = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
    if not isinstance(document, dict) or not all(_is_url(document.get(name)) for name in needed):
        raise ProviderMisconfigured("The provider's discovery document lacks one of " + ", ".join(needed))
    userinfo = document.get("userinfo_endpoint")
    return {name: document[name] for name in needed} | (
        {"userinfo_endpoint": userinfo} if _is_url(userinfo) else {}
    )


def passed_through(query: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a request to ``/authorize`` that are the provider's."""
    own = {
        name: value
        for name, value in query.items()
        if name.lower() not in RESERVED and len(name) + len(value) <= MAX_PARAMETER_CHARACTERS
    }
    return dict(list(own.items())[:MAX_PARAMETERS])


def _token(answer: dict[str, Any], name: str) -> str | None:
    value = answer.get(name)
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        return None
    return value if 0 < len(value) <= MAX_TOKEN_CHARACTERS else None


def _same(told: Any, nonce: str) -> bool:
    return isinstance(told, str) and constant_time_equal(told, nonce)


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://"))
