"""Read ``MONOHULL_REDIS_URL``: one server, a socket, sentinels or a cluster.

    redis://[user:password@]host[:6379][/db]            rediss:// with TLS
    unix://[user:password@]/path/to.sock[?db=1]
    redis+sentinel://[user:password@]host[:26379],host…/service[/db]
    redis+cluster://[user:password@]host[:6379],host…

``rediss+sentinel`` and ``rediss+cluster`` speak TLS. Options follow ``?``; they
are listed in `OPTIONS`. Nothing here connects, or imports what does: settings
are checked with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind: TypeAlias = Literal["single", "unix", "sentinel", "cluster"]
Host: TypeAlias = tuple[str, int]

OPTIONS: Final = frozenset(
    {
        "db",
        "sentinel_username",
        "sentinel_password",
        "ssl_ca_certs",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_cert_reqs",
        "ssl_check_hostname",
    }
)
"""What may follow ``?``. Time-outs are not among them: they belong to the one who opens."""

_SCHEMES: Final[Mapping[str, tuple[Kind, bool, int]]] = {
    "redis": ("single", False, 6379),
    "rediss": ("single", True, 6379),
    "unix": ("unix", False, 0),
    "redis+sentinel": ("sentinel", False, 26379),
    "rediss+sentinel": ("sentinel", True, 26379),
    "redis+cluster": ("cluster", False, 6379),
    "rediss+cluster": ("cluster", True, 6379),
}
_MAX_PORT: Final = 65535


class RedisUrlError(ValueError):
    """A Redis URL that cannot be read. Its text never repeats the URL, which may hold a password."""


class RedisAddress(Struct, frozen=True, kw_only=True):
    """What a URL says, parsed and not yet tried.

    Attributes:
        kind: Which sort of client reaches it.
        tls: Whether the connections are encrypted.
        hosts: ``(host, port)`` of the server, the sentinels, or some nodes of the cluster.
        path: Of the unix socket.
        service: The master's name among the sentinels.
        options: Connection arguments by the names that redis-py gives them.
        sentinel_options: The same, for the connections to the sentinels.
    """

    kind: Kind
    tls: bool = False
    hosts: tuple[Host, ...] = ()
    path: str = ""
    service: str = ""
    username: str | None = None
    password: str | None = None
    db: int = 0
    options: Mapping[str, Any] = {}
    sentinel_options: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        return f"RedisAddress({self.describe()})"

    def describe(self) -> str:
        """Return the address without user and password, for logs and ``doctor``."""
        where = self.path or ",".join(_join(host) for host in self.hosts)
        return f"{self.kind}{'+tls' if self.tls else ''} {where} db {self.db}"


def parse_redis_url(url: str) -> RedisAddress:
    """Read ``url``.

    Raises:
        RedisUrlError: It names no known scheme, host, port, service, database or option.
    """
    try:
        parts = _split(url)
    except ValueError:
        raise RedisUrlError("the Redis URL is not a URL") from None
    if parts.scheme not in _SCHEMES:
        raise RedisUrlError(f"the Redis URL must start with one of {', '.join(f'{s}://' for s in _SCHEMES)}")
    kind, tls, default_port = _SCHEMES[parts.scheme]
    options = _options(parts.query)
    path, service, db = _path(kind, parts)
    username, password, hosts = _authority(parts, default_port)
    if "db" in options:
        db = _number("database", options.pop("db"))
    sentinel_options = {
        name.removeprefix("sentinel_"): options.pop(name)
        for name in ("sentinel_username", "sentinel_password")
        if name in options
    }
    if kind == "cluster" and db:
        raise RedisUrlError("a Redis cluster has database 0 alone; leave the database away")
    if kind != "unix" and not hosts:
        raise RedisUrlError("the Redis URL names no host")
    return RedisAddress(
        kind=kind,
        tls=tls,
        hosts=hosts,
        path=path,
        service=service,
        username=username,
        password=password,
        db=db,
        options=options,
        sentinel_options=sentinel_options,
    )


def _options(query: str) -> dict[str, Any]:
    options: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(set(options) - OPTIONS):
        raise RedisUrlError(
            f"the Redis URL has an unknown option {unknown[0]!r}; known are {', '.join(sorted(OPTIONS))}"
        )
    if (check := options.get("ssl_check_hostname")) is not None:
        if check not in ("true", "false"):
            raise RedisUrlError("ssl_check_hostname in the Redis URL must be true or false")
        options["ssl_check_hostname"] = check == "true"
    if options.get("ssl_cert_reqs", "none") not in ("required", "optional", "none"):
        raise RedisUrlError("ssl_cert_reqs in the Redis URL must be required, optional or none")
    return options


def _authority(parts: SplitResult, default_port: int) -> tuple[str | None, str | None, tuple[Host, ...]]:
    """Split ``user:password@host:port,host:port``, which the standard library reads for one host only."""
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    found = tuple(_host(text, default_port) for text in hosts.split(",") if text)
    return unquote(username) or None, unquote(password) or None, found


def _host(text: str, default_port: int) -> Host:
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = text, str(default_port)
    host = host.removeprefix("[").removesuffix("]")
    number = _number("port", port)
    if not host or not 0 < number <= _MAX_PORT:
        raise RedisUrlError("a host in the Redis URL is not host or host:port")
    return unquote(host), number


def _split(url: str) -> SplitResult:
    """Do what `urlsplit` does, which in some releases refuses several hosts with an IPv6 address in them.

    Raises:
        ValueError: It is no URL.
    """
    scheme, mark, rest = url.partition("://")
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    if not mark:
        return urlsplit(url)
    if rest[:end].count("[") != rest[:end].count("]"):
        raise ValueError("a bracket is missing")
    return urlsplit(f"{scheme}://{rest[end:]}")._replace(netloc=rest[:end])


def _path(kind: Kind, parts: SplitResult) -> tuple[str, str, int]:
    """Return socket path, service and database, as far as the kind of URL has them."""
    if kind == "unix":
        if not parts.path or parts.netloc.rpartition("@")[2]:
            raise RedisUrlError("a unix:// URL needs the socket's path, unix:///run/redis.sock")
        return unquote(parts.path), "", 0
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    service = ""
    if kind == "sentinel":
        if not segments:
            raise RedisUrlError("a sentinel URL needs the service's name, redis+sentinel://host/service")
        service = segments.pop(0)
    if len(segments) > 1:
        raise RedisUrlError("the Redis URL's path has more parts than a database number")
    return "", service, _number("database", segments[0]) if segments else 0


def _number(what: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise RedisUrlError(f"the {what} in the Redis URL is not a number")
    return int(text)


def _join(host: Host) -> str:
    name, port = host
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
