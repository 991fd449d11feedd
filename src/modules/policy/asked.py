"""The request that is to be explained, as text: ``GET /rest/v1/orders?id=eq.1`` → an ASGI scope."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from modules.policy.errors import RequestNotUnderstood
from modules.rest import PREFIX
from monohull.kernel.header_sets import HeaderSets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monohull.kernel.authentication import Authentication
    from monohull.kernel.principal import Principal

METHODS: Final = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE")
MAX_CHARACTERS: Final = 16_384

_LINE: Final = re.compile(r"\s*(?:(?P<method>[A-Za-z]+)\s+)?(?:https?://[^/\s]+)?(?P<target>/\S*)\s*")
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_LEFT_OUT: Final = frozenset({"authorization", "apikey", "cookie", "content-length", "host", "connection"})
"""Headers that say who asks, which is said otherwise here, or that belong to a connection."""


def parse_line(text: str) -> tuple[str, str]:
    """Return method and target of a request line; without a method it is GET.

    >>> parse_line("GET /rest/v1/orders?id=eq.1")
    ('GET', '/rest/v1/orders?id=eq.1')

    Raises:
        RequestNotUnderstood: 400.
    """
    found = _LINE.fullmatch(text)
    if found is None or len(text) > MAX_CHARACTERS:
        raise RequestNotUnderstood("The request does not read METHOD /rest/v1/…")
    method = (found["method"] or "GET").upper()
    target = found["target"]
    if method not in METHODS:
        raise RequestNotUnderstood(f"{method} is no method of the data API.")
    path = target.partition("?")[0]
    if not path.startswith(f"{PREFIX}/") or path == f"{PREFIX}/":
        raise RequestNotUnderstood(f"Requests to {PREFIX}/… are explained, and {path[:100]} is none.")
    if not target.isascii():
        raise RequestNotUnderstood("The address has characters that have to be percent-encoded.")
    return method, target


def scope_of(
    line: tuple[str, str],
    headers: Mapping[str, str],
    principal: Principal,
    authentication: Authentication,
    *,
    has_body: bool,
) -> dict[str, Any]:
    """Return the scope that a server would make of the request.

    Raises:
        RequestNotUnderstood: 400, a header cannot be sent.
    """
    method, target = line
    raw_path, _, query = target.partition("?")
    pairs: list[tuple[bytes, bytes]] = []
    for name, value in headers.items():
        if _HEADER.fullmatch(name) is None or any(c in value for c in "\r\n\0"):
            raise RequestNotUnderstood(f"{name[:100]!r} is no header that can be sent.")
        if name.lower() not in _LEFT_OUT:
            pairs.append((name.lower().encode(), value.encode()))
    if has_body and not any(name == b"content-type" for name, _ in pairs):
        pairs.append((b"content-type", b"application/json"))
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": unquote(raw_path),
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "headers": pairs,
        "client": None,
        "state": {},
    }
    scope["state"] = {
        "headers": HeaderSets(authentication).read(scope),
        "principal": principal,
        "address": None,
    }
    return scope
