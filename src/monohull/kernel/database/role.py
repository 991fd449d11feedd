"""The settings a data request runs under: who asks, what was asked, and within what limits.

Policies and functions read them as ``current_setting('request.jwt.claims', true)``
and so on. All of them last for one transaction. Their order is fixed, so that a
connection needs one prepared statement for all requests of a kind.

Source: PostgREST documentation, "Transactions", and ``Query/PreQuery.hs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from monohull.kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from monohull.kernel.principal import Principal

COOKIE: Final = b"cookie"

_EMPTY: Final = "{}"
_encode: Final = msgspec.json.Encoder().encode


def request_settings(  # noqa: PLR0913 each is a setting
    principal: Principal,
    *,
    method: str,
    path: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
    cookies: Mapping[str, str] | None = None,
    search_path: str,
    read_only: bool,
    timeout_ms: int | None = None,
    more: Sequence[tuple[str, str]] = (),
) -> tuple[tuple[str, str], ...]:
    """Return the settings of one data request, in their order.

    All but the time-out are always said, so that a function that set one of them for its session (and not for
    its transaction) changes nothing for the next request. The role comes after them, for the login may set
    what the role may not; what the role brings itself comes after it.

    Args:
        principal: Who asks.
        method: HTTP's, in capitals.
        path: Decoded.
        headers: As ASGI has them. ``cookie`` is left out, `cookies` has it.
        cookies: By name.
        search_path: As `quoted_search_path` writes it.
        read_only: Whether a write is an error (25006).
        timeout_ms: Of each statement; 0 for none, None for the login's default.
        more: Settings of the role or the function that is called, or of the client's ``Prefer: timezone``.

    Raises:
        InvalidRequest: A value holds a zero byte, which PostgreSQL takes nowhere.
    """
    settings = (
        ("search_path", search_path),
        ("transaction_read_only", "on" if read_only else "off"),
        *(() if timeout_ms is None else (("statement_timeout", str(timeout_ms)),)),
        ("request.method", method),
        ("request.path", path),
        ("request.headers", headers_json(headers)),
        ("request.cookies", _cookies_json(cookies) if cookies else _EMPTY),
        ("request.jwt.claims", principal.claims_json),
        ("role", principal.role),
        *more,
    )
    for name, value in settings:
        if "\0" in value:
            raise InvalidRequest(f"The request holds a zero byte, in {name}; PostgreSQL takes none.")
    return settings


def headers_json(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return headers as a JSON object with lower-cased names; repeated ones are joined by commas (RFC 9110).

    Raises:
        InvalidRequest: A value holds a zero byte; JSON would hide it until a policy reads the setting.
    """
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name = raw_name.lower()
        if name == COOKIE:
            continue
        if b"\0" in raw_value:
            raise InvalidRequest("The request holds a zero byte, in a header; PostgreSQL does not take it.")
        text, value = name.decode("latin-1"), _header_text(raw_value)
        found[text] = f"{found[text]}, {value}" if text in found else value
    return _encode(found).decode() if found else _EMPTY


def quoted_search_path(schemas: Iterable[str]) -> str:
    """Return ``schemas`` as the setting ``search_path`` takes them.

    >>> quoted_search_path(["public", 'a"b'])
    '"public", "a""b"'
    """
    return ", ".join('"' + schema.replace('"', '""') + '"' for schema in schemas)


def _cookies_json(cookies: Mapping[str, str]) -> str:
    """A quoted cookie may spell a zero byte in octal digits."""
    if any("\0" in value for value in cookies.values()):
        raise InvalidRequest("The request holds a zero byte, in a cookie; PostgreSQL takes none.")
    return _encode(cookies).decode()


def _header_text(value: bytes) -> str:
    """Headers are UTF-8 where somebody meant anything, else Latin-1, which takes every byte."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
