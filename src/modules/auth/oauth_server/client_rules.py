"""What an application has to look like.

Sources: supabase/auth, ``internal/api/oauthserver/handlers.go: validate``; RFC 7591, section 2;
draft-ietf-oauth-v2-1, sections 2.3 and 8.4.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from modules.auth.redirects import MAX_URL_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Sequence

GRANT_TYPES: Final = ("authorization_code", "refresh_token")
RESPONSE_TYPES: Final = ("code",)
AUTH_METHODS: Final = ("client_secret_basic", "client_secret_post", "none")
SCOPES: Final = ("openid", "email", "profile", "phone")
MAX_REDIRECT_URIS: Final = 10
MAX_NAME_CHARACTERS: Final = 1024
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_UNFIT: Final = re.compile(r"[\x00-\x20\x7f\\,<>\"^`{|}]|[^\x00-\x7f]")


class Unfit(ValueError):
    """A value that cannot be used.

    Args:
        field: Its name on the wire.
        reason: What is wrong with it.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field = field


def check_name(name: str | None) -> str:
    """Return the name.

    Raises:
        Unfit: As all of these.
    """
    if name is None or not name.strip():
        raise Unfit("client_name", "is required")
    if len(name) > MAX_NAME_CHARACTERS or "\0" in name:
        raise Unfit("client_name", f"must have at most {MAX_NAME_CHARACTERS} characters and no U+0000")
    return name


def check_redirect_uris(uris: Sequence[str] | None) -> list[str]:
    """Return the addresses that codes may be sent to."""
    if not uris:
        raise Unfit("redirect_uris", "is required")
    if len(uris) > MAX_REDIRECT_URIS:
        raise Unfit("redirect_uris", f"must have at most {MAX_REDIRECT_URIS} entries")
    for uri in uris:
        check_redirect_uri(uri)
    return list(dict.fromkeys(uris))


def check_redirect_uri(uri: str) -> None:
    """Refuse an address that is not https, or http on this host, or that two readers may read in two ways."""
    field = "redirect_uris"
    if not uri or len(uri) > MAX_URL_CHARACTERS or _UNFIT.search(uri):
        raise Unfit(
            field, f"must be absolute URIs of at most {MAX_URL_CHARACTERS} characters, escaped, and no commas"
        )
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise Unfit(field, f"must be valid URIs, and {uri[:100]} is none") from None
    if "#" in uri or "@" in parts.netloc:
        raise Unfit(field, "must have neither fragments nor user names")
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)):
        raise Unfit(field, "must use https, or http on localhost, 127.0.0.1 or [::1]")


def check_link(field: str, uri: str | None) -> str | None:
    """Return an address that is shown to users, or None for an empty one."""
    if not uri:
        return None
    try:
        parts = urlsplit(uri)
        is_web = parts.scheme in ("https", "http") and bool(parts.hostname)
    except ValueError:
        is_web = False
    if not is_web or len(uri) > MAX_URL_CHARACTERS or _UNFIT.search(uri):
        raise Unfit(field, "must be an http or https address")
    return uri


def check_grant_types(grant_types: Sequence[str] | None) -> list[str]:
    """Return the grants, both when none is named."""
    if not grant_types:
        return list(GRANT_TYPES)
    if any(name not in GRANT_TYPES for name in grant_types):
        raise Unfit("grant_types", "must be among " + ", ".join(GRANT_TYPES))
    return list(dict.fromkeys(grant_types))


def check_response_types(response_types: Sequence[str] | None) -> None:
    """Refuse anything but ``code``."""
    if any(name not in RESPONSE_TYPES for name in response_types or ()):
        raise Unfit("response_types", "must be code")


def check_auth_method(method: str | None, client_type: str | None) -> tuple[str, str]:
    """Return how the application proves who it is, and its type, which follow from each other."""
    if method and method not in AUTH_METHODS:
        raise Unfit("token_endpoint_auth_method", "must be one of " + ", ".join(AUTH_METHODS))
    if client_type and client_type not in ("public", "confidential"):
        raise Unfit("client_type", "must be public or confidential")
    if not method:
        method = "none" if client_type == "public" else "client_secret_basic"
    actual = "public" if method == "none" else "confidential"
    if client_type and client_type != actual:
        raise Unfit("token_endpoint_auth_method", f"does not fit the client_type {client_type}")
    return method, actual


def check_scope(scope: str | None) -> str | None:
    """Return the scopes that the application may ask for at most, or None when it may ask for any."""
    if not scope:
        return None
    names = split_scope(scope)
    if unknown := [name for name in names if name not in SCOPES]:
        raise Unfit("scope", f"must be among {', '.join(SCOPES)}, and {unknown[0][:40]} is not")
    return " ".join(names)


def split_scope(scope: str) -> list[str]:
    """Return the names in a scope, each once.

    >>> split_scope("openid  email openid")
    ['openid', 'email']
    """
    return list(dict.fromkeys(scope.split()))
