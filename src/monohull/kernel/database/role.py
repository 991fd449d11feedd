"""The settings a data request runs under: who asks, what was asked, and within what limits.

Policies and functions read them as ``current_setting('request.jwt.claims', true)``
and so on. All of them last for one transaction. Their order is fixed, so that a
connection needs one prepared statement for all requests of a kind.

Source: PostgREST documentation, "Transactions", and ``Query/PreQuery.hs``.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from monohull.kernel.database.frames import encode_value
from monohull.kernel.database.statements import BoundSettings
from monohull.kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from monohull.kernel.principal import Principal

COOKIE: Final = b"cookie"
COOKIE_NAME: Final = "cookie"

_EMPTY: Final = "{}"
_NO_COOKIES: Final = encode_value(_EMPTY)
_json: Final = msgspec.json.Encoder().encode
T = TypeVar("T")


def request_settings(  # noqa: PLR0913 each is a setting
    principal: Principal,
    *,
    method: str,
    path: str,
    headers: Sequence[tuple[bytes, bytes]] = (),
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
    refuse_zero_bytes(settings)
    return settings


def refuse_zero_bytes(settings: Iterable[tuple[str, str]]) -> None:
    """Let settings pass that PostgreSQL takes.

    Raises:
        InvalidRequest: A value holds a zero byte.
    """
    for name, value in settings:
        if "\0" in value:
            raise InvalidRequest(f"The request holds a zero byte, in {name}; PostgreSQL takes none.")


class SettingsTemplate(Struct, frozen=True):
    """The settings of all requests of a kind to one address, as far as they do not depend on who asks.

    Attributes:
        names: Of all settings, in their order.
        head: Encoded values of the first, up to the request's own headers.
        more: Names and values of the last.
        is_read_only: Whether a write is an error.
    """

    names: tuple[str, ...]
    head: bytes
    more: tuple[tuple[str, str], ...]
    is_read_only: bool

    def fill(
        self,
        principal: Principal,
        headers: Sequence[tuple[bytes, bytes]] = (),
        cookies: Mapping[str, str] | None = None,
    ) -> BoundSettings:
        """Return the settings of one request; what a principal brings is encoded once.

        Raises:
            InvalidRequest: A value holds a zero byte, which PostgreSQL takes nowhere.
        """
        claims = principal.claims_json
        key = (claims, principal.role, self.more)
        tail = _tails.get(key)
        if tail is None:
            tail = _encode((("request.jwt.claims", claims), ("role", principal.role), *self.more))
            _tails.put(key, tail, len(tail))
        own = _encode_headers(headers)
        found = encode_value(_cookies_json(cookies)) if cookies else _NO_COOKIES
        values = b"".join((self.head, len(own).to_bytes(4, "big"), own, found, tail))
        return BoundSettings(self.names, values, self.is_read_only)


def settings_template(  # noqa: PLR0913 each is a setting
    *,
    method: str,
    path: str,
    search_path: str,
    read_only: bool,
    timeout_ms: int | None = None,
    more: tuple[tuple[str, str], ...] = (),
) -> SettingsTemplate:
    """Return what the settings have in common that `request_settings` returns for these arguments, encoded.

    Templates are kept by all that they depend on, so that nothing can be found under another's name.

    Raises:
        InvalidRequest: A value holds a zero byte, which PostgreSQL takes nowhere.
    """
    key = (search_path, read_only, timeout_ms, method, path, more)
    template = _templates.get(key)
    if template is None:
        timeout = () if timeout_ms is None else (("statement_timeout", str(timeout_ms)),)
        mode = ("transaction_read_only", "on" if read_only else "off")
        request = (("request.method", method), ("request.path", path))
        first = (("search_path", search_path), mode, *timeout, *request)
        names = (*(name for name, _ in first), *_OWN_NAMES, *(name for name, _ in more))
        template = SettingsTemplate(names, _encode(first), more, read_only)
        _templates.put(key, template, len(template.head))
    return template


def _encode(settings: Sequence[tuple[str, str]]) -> bytes:
    refuse_zero_bytes(settings)
    return b"".join(encode_value(value) for _, value in settings)


class _Kept(Generic[T]):
    """Values by all that they depend on, the least recently used of them first.

    Args:
        most_bytes: Values of more bytes than this, all together, are not kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[Any, tuple[T, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Any) -> T | None:
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: Any, value: T, size: int) -> None:
        """Keep ``value``, which has ``size`` bytes."""
        self._kept[key] = value, size
        self._bytes += size + _ENTRY_BYTES
        while self._bytes > self._most_bytes:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._bytes -= dropped + _ENTRY_BYTES


_ENTRY_BYTES: Final = 1000
"""What an entry takes beside its values, its key among it; generously."""
_templates: Final[_Kept[SettingsTemplate]] = _Kept(1_000_000)
_tails: Final[_Kept[bytes]] = _Kept(8_000_000)
_OWN_NAMES: Final = ("request.headers", "request.cookies", "request.jwt.claims", "role")


def headers_json(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Return headers as a JSON object with lower-cased names; repeated ones are joined by commas (RFC 9110).

    Raises:
        InvalidRequest: A value holds a zero byte; JSON would hide it until a policy reads the setting.
    """
    return _encode_headers(headers).decode()


def _encode_headers(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    found = _decode_plainly(headers) or _decode_carefully(headers)
    encoded = _json(found)
    if b"\\u0000" in encoded and any(b"\0" in value for name, value in headers if name.lower() != COOKIE):
        raise InvalidRequest("The request holds a zero byte, in a header; PostgreSQL does not take it.")
    return encoded


def _decode_plainly(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str] | None:
    """Decode all at once; None where one is repeated, is no UTF-8, or is to be left out."""
    try:
        names = b"\n".join([name for name, _ in headers]).lower().decode("ascii").split("\n")
        values = b"\n".join([value for _, value in headers]).decode().split("\n")
    except UnicodeDecodeError:
        return None
    found = dict(zip(names, values, strict=False))
    is_plain = len(found) == len(names) == len(values) == len(headers)
    return found if is_plain and COOKIE_NAME not in found else None


def _decode_carefully(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name = raw_name.lower().decode("latin-1")
        if name == COOKIE_NAME:
            continue
        try:
            value = raw_value.decode()
        except UnicodeDecodeError:
            # UTF-8 where somebody meant anything, else Latin-1, which takes every byte
            value = raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def quoted_search_path(schemas: Iterable[str]) -> str:
    """Return ``schemas``, each once, as the setting ``search_path`` takes them.

    >>> quoted_search_path(["public", 'a"b'])
    '"public", "a""b"'
    """
    return ", ".join('"' + schema.replace('"', '""') + '"' for schema in dict.fromkeys(schemas))


def _cookies_json(cookies: Mapping[str, str]) -> str:
    """A quoted cookie may spell a zero byte in octal digits."""
    if any("\0" in value for value in cookies.values()):
        raise InvalidRequest("The request holds a zero byte, in a cookie; PostgreSQL takes none.")
    return _json(cookies).decode()
