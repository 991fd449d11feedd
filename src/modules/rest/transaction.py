"""What a request tells the database about itself, as settings of its transaction.

Policies and functions read them: ``current_setting('request.jwt.claims')``,
``request.headers``, ``request.cookies``, ``request.method``, ``request.path``.

Source: PostgREST, "Transactions", section "Request Headers, Cookies and JWT claims".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

import msgspec

from modules.query import Transaction
from modules.rest.request import PREFIX, ApiRequest
from monohull.kernel.principal import Principal

_HIDDEN: Final = frozenset({b"authorization", b"cookie", b"apikey"})
"""Credentials: their claims are there, and functions that log headers must not keep the keys."""


def begin_transaction(
    scope: Mapping[str, Any], request: ApiRequest, principal: Principal, search_path: str
) -> Transaction:
    """Return the settings of a read by ``principal``."""
    headers, cookies = _headers(scope["headers"])
    settings = [
        ("search_path", search_path),
        ("role", principal.role),
        ("request.jwt.claims", principal.claims_json),
        ("request.method", scope["method"]),
        ("request.path", scope["path"].removeprefix(PREFIX)),
        ("request.headers", headers),
        ("request.cookies", cookies),
        ("transaction_read_only", "on"),
    ]
    if request.preferences.timezone is not None:
        settings.append(("timezone", request.preferences.timezone))
    return Transaction(settings, f"{principal.role}.{request.read.schema}")


def search_path_of(schema: str, extra: Iterable[str]) -> str:
    """Write the search path of an exposed schema."""
    return ", ".join('"' + name.replace('"', '""') + '"' for name in (schema, *extra))


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> tuple[str, str]:
    """Return headers and cookies, each as a JSON object."""
    headers: dict[str, str] = {}
    cookies = "{}"
    for name, value in raw:
        if name == b"cookie":
            cookies = _cookies(value.decode("latin-1"))
        if name not in _HIDDEN:
            headers[name.decode("latin-1").lower()] = value.decode("utf-8", "replace").replace("\x00", "")
    return msgspec.json.encode(headers).decode(), cookies


def _cookies(header: str) -> str:
    try:
        parsed = SimpleCookie(header)
    except CookieError:
        return "{}"
    return msgspec.json.encode({name: morsel.value for name, morsel in parsed.items()}).decode()
