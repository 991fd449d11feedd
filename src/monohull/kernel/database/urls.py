"""Read ``postgresql://`` URLs as libpq does, and say what asyncpg has to be told.

People paste the URL their provider shows them. asyncpg would send every
parameter it does not know to the server, which refuses with a message about
"configuration parameters", and reads ``connect_timeout`` as one of them; so the
parameters are sorted here, and one that nobody can honour is refused by name.

Source: PostgreSQL documentation, "Connection Strings" and "Parameter Key Words".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlencode

from msgspec import Struct

from monohull.kernel.refusals import WrongSetup

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PORT: Final = 5432
SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SESSION_KINDS: Final = ("any", "primary", "standby", "read-write", "read-only", "prefer-standby")

_URL: Final = re.compile(
    r"(?P<scheme>[a-z]+)://(?:(?P<login>[^/?#]*)@)?(?P<hosts>[^/?#@]*)(?:/(?P<database>[^?#]*))?(?:\?(?P<query>[^#]*))?"
)
_TLS_FILES: Final = (
    "sslcert",
    "sslkey",
    "sslrootcert",
    "sslcrl",
    "sslpassword",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "sslnegotiation",
)
_SERVER_SETTINGS: Final = ("application_name", "options", "search_path", "client_encoding")
_HARMLESS: Final = (
    "channel_binding",
    "gssencmode",
    "fallback_application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "load_balance_hosts",
    "sslcompression",
    "sslsni",
    "tcp_user_timeout",
)
"""libpq's way of doing something that asyncpg does by itself or that changes nothing about safety."""


class DatabaseUrlError(WrongSetup):
    """The URL cannot be used; the message says why and never holds the password."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"MONOHULL_DATABASE_URL cannot be used: {reason}")


class DatabaseUrl(Struct, frozen=True, kw_only=True):
    """A database URL in its parts.

    Attributes:
        user: Login role, or None for the account this process runs as.
        password: In clear, or None.
        hosts: Pairs of host and port; a host that begins with ``/`` is a socket's folder.
        database: Its name, or None for the user's.
        ssl_mode: One of `SSL_MODES`, or None: ``prefer`` over TCP, nothing over a socket.
        tls: libpq's other TLS parameters by name.
        session_kind: ``target_session_attrs``, one of `SESSION_KINDS`, or None.
        connect_timeout_seconds: None leaves it to the caller.
        server_settings: Sent when the session starts.
    """

    user: str | None = None
    password: str | None = None
    hosts: tuple[tuple[str, int], ...] = ()
    database: str | None = None
    ssl_mode: str | None = None
    tls: Mapping[str, str] = {}
    session_kind: str | None = None
    connect_timeout_seconds: float | None = None
    server_settings: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"DatabaseUrl({self.address}/{self.database or self.user})"

    @property
    def address(self) -> str:
        """Where the server is, for messages: ``host:port``, several joined by commas."""
        return ",".join(_address(host, port) for host, port in self.hosts) or "the local socket"

    def connect_arguments(self) -> dict[str, Any]:
        """Return keyword arguments of `asyncpg.connect`, time-out and settings left to the caller."""
        found: dict[str, Any] = {
            "user": self.user,
            "password": self.password,
            "database": self.database,
            "target_session_attrs": self.session_kind,
        }
        if self.hosts:
            found |= {"host": [host for host, _ in self.hosts], "port": [port for _, port in self.hosts]}
        if self.ssl_mode is not None:
            found["ssl"] = self.ssl_mode
        elif all(host.startswith("/") for host, _ in self.hosts):
            found["ssl"] = False
        else:
            found["ssl"] = "prefer"
        if self.tls:  # asyncpg takes these from a DSN alone
            found["dsn"] = f"postgresql://?{urlencode(self.tls, quote_via=quote)}"
        return {name: value for name, value in found.items() if value is not None}


def _address(host: str, port: int) -> str:
    if host.startswith("/"):
        return f"{host.rstrip('/')}/.s.PGSQL.{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_url(text: str) -> DatabaseUrl:
    """Take ``text`` apart.

    >>> parse_url("postgresql://me:s%40fe@db.example:6432/shop?sslmode=require").address
    'db.example:6432'
    >>> parse_url("postgres://me@/shop?host=/run/postgresql").hosts
    (('/run/postgresql', 5432),)

    Raises:
        DatabaseUrlError: It is no such URL, or asks for something that cannot be honoured.
    """
    match = _URL.fullmatch(text.strip())
    if match is None or "@" in f"{match['database']}{match['query']}":
        # nothing of it is repeated: what looks like a host or a port may be half of a password
        raise DatabaseUrlError(
            "it does not read as postgresql://user:password@host:port/database; "
            "the characters / ? # @ : % in a user or password have to be percent-encoded"
        )
    if match["scheme"] not in ("postgresql", "postgres"):
        raise DatabaseUrlError(
            f"it begins with {match['scheme']}://, and not with postgresql:// or postgres://"
        )
    parameters = _parameters(match["query"] or "")
    user, colon, password = (match["login"] or "").partition(":")
    hosts = _hosts(parameters.pop("host", "") or match["hosts"], parameters.pop("port", None))
    ssl_mode = _one_of("sslmode", parameters.pop("sslmode", None), SSL_MODES)
    session_kind = _one_of(
        "target_session_attrs", parameters.pop("target_session_attrs", None), SESSION_KINDS
    )
    timeout = _timeout(parameters.pop("connect_timeout", None))
    found = DatabaseUrl(
        user=parameters.pop("user", "") or _decode(user) or None,
        password=parameters.pop("password", "") or (_decode(password) if colon else None),
        hosts=hosts,
        database=parameters.pop("dbname", "") or _decode(match["database"] or "") or None,
        ssl_mode=ssl_mode,
        tls={name: parameters.pop(name) for name in _TLS_FILES if name in parameters},
        session_kind=session_kind,
        connect_timeout_seconds=timeout,
        server_settings={name: parameters.pop(name) for name in _SERVER_SETTINGS if name in parameters},
    )
    _refuse_rest(parameters)
    return found


def _parameters(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not equals:
            raise DatabaseUrlError("one of its parameters has no value")
        found[_decode(name)] = _decode(value)
    return found


def _decode(text: str) -> str:
    """Undo percent-encoding; a plus stays a plus, as in libpq."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise DatabaseUrlError("a % in it is not followed by two hexadecimal digits; write a plain % as %25")
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise DatabaseUrlError("its percent-encoding is not UTF-8") from None
    if "\0" in decoded:
        raise DatabaseUrlError("it holds a zero byte")
    return decoded


def _hosts(text: str, ports: str | None) -> tuple[tuple[str, int], ...]:
    if not text:
        return (("localhost", _port(ports)),) if ports else ()
    written = [_host(part) for part in text.split(",")]
    given = ports.split(",") if ports else []
    if len(given) not in (0, 1, len(written)):
        raise DatabaseUrlError(f"it names {len(written)} hosts and {len(given)} ports")
    default = given[0] if len(given) == 1 else None
    each = given if len(given) == len(written) else [default] * len(written)
    return tuple((host, _port(port or other)) for (host, port), other in zip(written, each, strict=True))


def _host(text: str) -> tuple[str, str | None]:
    text = _decode(text)
    if text.startswith("/"):
        return text, None
    match = re.fullmatch(r"(?:\[(?P<six>[0-9A-Fa-f:.%a-z]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>.*))?", text)
    if match is None:
        raise DatabaseUrlError("its host is not well-formed; write an IPv6 address in brackets")
    return match["six"] or match["name"], match["port"] or None


def _port(text: str | None) -> int:
    if text is None:
        return DEFAULT_PORT
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:  # noqa: PLR2004 ports have 16 bits
        raise DatabaseUrlError("its port is not a number from 1 to 65535")
    return int(text)


def _one_of(name: str, value: str | None, allowed: tuple[str, ...]) -> str | None:
    if value is not None and value not in allowed:
        raise DatabaseUrlError(f"{name}={value} is not one of {', '.join(allowed)}")
    return value


def _timeout(text: str | None) -> float | None:
    """Read ``connect_timeout``: whole seconds, and as in libpq zero or less means to wait for ever."""
    if text is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise DatabaseUrlError(f"connect_timeout={text} is not a whole number of seconds")
    return float(text) if int(text) > 0 else None


def _refuse_rest(parameters: Mapping[str, str]) -> None:
    if parameters.get("channel_binding") == "require":
        raise DatabaseUrlError(
            "channel_binding=require is not supported; leave it out, "
            "and say sslmode=verify-full to be sure of the server"
        )
    unknown = sorted(set(parameters) - set(_HARMLESS))
    if unknown:
        raise DatabaseUrlError(f"the parameter {unknown[0]!r} is not known here; remove it")
