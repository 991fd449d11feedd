"""What a request tells the database about itself, as settings of its transaction.

Policies and functions read them: ``current_setting('request.jwt.claims')``,
``request.headers``, ``request.cookies``, ``request.method``, ``request.path``.

Source: PostgREST, "Transactions", section "Request Headers, Cookies and JWT claims".
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any

from modules.query import Transaction
from modules.rest.request import PREFIX, ApiRequest
from monohull.kernel.database.role import COOKIE, request_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from monohull.kernel.principal import Principal


def begin_transaction(
    scope: Mapping[str, Any], request: ApiRequest, principal: Principal, search_path: str
) -> Transaction:
    """Return the settings of a read by ``principal``.

    Raises:
        InvalidRequest: A header holds a zero byte.
    """
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    timezone = request.preferences.timezone
    settings = request_settings(
        principal,
        method=scope["method"],
        path=scope["path"].removeprefix(PREFIX),
        headers=headers,
        cookies=read_cookies(headers),
        search_path=search_path,
        read_only=True,
        more=(("timezone", timezone),) if timezone is not None else (),
    )
    return Transaction(settings, f"{principal.role}.{request.read.schema}")


def read_cookies(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the cookies of a request; none where the header is malformed."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name == COOKIE:
            try:
                parsed = SimpleCookie(value.decode("latin-1"))
            except CookieError:
                continue
            found |= {key: morsel.value for key, morsel in parsed.items()}
    return found
