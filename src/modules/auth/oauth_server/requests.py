"""``GET /oauth/authorize``: what an application asks for, as a value.

Until application and address are known to belong together nobody is sent
anywhere; from then on every refusal travels back to the application.

Sources: RFC 6749, section 4.1.1 and 4.1.2.1; RFC 7636; RFC 8707; RFC 9207; OpenID Connect Core 1.0,
section 3.1.2.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from uuid import UUID

from msgspec import Struct

from modules.auth.errors import ValidationFailed
from modules.auth.oauth_errors import UnknownOauthClient
from modules.auth.oauth_server.client_rules import SCOPES, split_scope
from modules.auth.oauth_server.id_tokens import OPENID
from modules.auth.redirects import MAX_URL_CHARACTERS, with_query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.auth.models import OauthClient

MAX_STATE_CHARACTERS: Final = 4096
MAX_NONCE_CHARACTERS: Final = 255

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
"""A SHA-256 in base64url."""

_UNSUPPORTED: Final[Mapping[str, str]] = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
}


class AccessRequest(Struct, frozen=True, kw_only=True):
    """A request that can be put before a user. ``scope`` is separated by spaces."""

    redirect_uri: str
    scope: str
    state: str | None
    nonce: str | None
    resource: str | None
    code_challenge: str


class Refused(Exception):
    """The application has to be told.

    Args:
        error: OAuth's code.
        description: One sentence.
    """

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


def client_id_of(query: Mapping[str, str]) -> UUID:
    """Return which application asks.

    Raises:
        ValidationFailed: 400, it does not say. UnknownOauthClient: 400, that is no id.
    """
    if "client_id" not in query:
        raise ValidationFailed("client_id is required")
    try:
        return UUID(query["client_id"])
    except ValueError:
        raise UnknownOauthClient from None


def redirect_uri_of(client: OauthClient, query: Mapping[str, str]) -> str:
    """Return where the answer goes: an address of the application, letter by letter.

    Raises:
        ValidationFailed: 400.
    """
    uri = query.get("redirect_uri")
    if uri is None:
        raise ValidationFailed("redirect_uri is required")
    if uri not in client.redirect_uris.split(","):
        raise ValidationFailed("redirect_uri is not registered for this client")
    return uri


def read_request(
    client: OauthClient, redirect_uri: str, query: Mapping[str, str], *, default_scope: str, has_openid: bool
) -> AccessRequest:
    """Read the rest of it.

    Args:
        client: Who asks.
        redirect_uri: Where the answer goes.
        query: Everything that was asked.
        default_scope: For requests that name none.
        has_openid: Whether ID tokens can be signed.

    Raises:
        Refused: With the code that the application is told.
    """
    _check_kind(client, query)
    if len(query.get("state", "")) > MAX_STATE_CHARACTERS:
        raise Refused("invalid_request", f"state must have at most {MAX_STATE_CHARACTERS} characters")
    if len(query.get("nonce", "")) > MAX_NONCE_CHARACTERS:
        raise Refused("invalid_request", f"nonce must have at most {MAX_NONCE_CHARACTERS} characters")
    resource = query.get("resource")
    if resource is not None and not _is_resource(resource):
        raise Refused("invalid_target", "resource must be an absolute URI without a fragment")
    return AccessRequest(
        redirect_uri=redirect_uri,
        scope=_scope(client, query.get("scope") or client.scope or default_scope, has_openid=has_openid),
        state=query.get("state"),
        nonce=query.get("nonce"),
        resource=resource,
        code_challenge=_challenge(query),
    )


def _check_kind(client: OauthClient, query: Mapping[str, str]) -> None:
    for name, error in _UNSUPPORTED.items():
        if name in query:
            raise Refused(error, f"{name} is not supported")
    if query.get("response_type") is None:
        raise Refused("invalid_request", "response_type is required")
    if query["response_type"] != "code":
        raise Refused("unsupported_response_type", "response_type must be code")
    if query.get("response_mode", "query") != "query":
        raise Refused("invalid_request", "response_mode must be query")
    if "authorization_code" not in client.grant_types.split(","):
        raise Refused("unauthorized_client", "The client was not registered for authorization_code")
    if "none" in query.get("prompt", "").split():
        raise Refused("interaction_required", "The user has to be asked; prompt=none cannot be served")
    if "max_age" in query:
        raise Refused("invalid_request", "max_age is not supported")


def _scope(client: OauthClient, wanted: str, *, has_openid: bool) -> str:
    names = split_scope(wanted)
    allowed = split_scope(client.scope) if client.scope else SCOPES
    if unknown := [name for name in names if name not in SCOPES or name not in allowed]:
        raise Refused("invalid_scope", f"The scope {unknown[0][:40]} is not supported for this client")
    if OPENID in names and not has_openid:
        raise Refused("invalid_scope", "openid takes an asymmetric signing key, and this server has none")
    return " ".join(names)


def _challenge(query: Mapping[str, str]) -> str:
    challenge, method = query.get("code_challenge"), query.get("code_challenge_method")
    if challenge is None or method is None:
        raise Refused(
            "invalid_request", "PKCE is required: send code_challenge and code_challenge_method=S256"
        )
    if method.upper() != "S256":
        raise Refused("invalid_request", "code_challenge_method must be S256")
    if not _CHALLENGE.fullmatch(challenge):
        raise Refused("invalid_request", "code_challenge must be a SHA-256 in base64url, 43 characters")
    return challenge


def _is_resource(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) and len(text) <= MAX_URL_CHARACTERS and "#" not in text


def answer_url(redirect_uri: str, issuer: str, state: str | None, values: Mapping[str, str]) -> str:
    """Return where the user's browser carries ``values`` back to; ``iss`` says from whom."""
    return with_query(redirect_uri, {**values, **({"state": state} if state else {}), "iss": issuer})
