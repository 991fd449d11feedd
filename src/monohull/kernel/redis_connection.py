"""From ``MONOHULL_REDIS_URL`` to a client: one server, a socket, sentinels or a cluster.

    redis://[user:password@]host[:6379][/db]            rediss:// with TLS
    unix://[user:password@]/path/to.sock[?db=1]
    redis+sentinel://[user:password@]host[:26379],host…/service[/db]
    redis+cluster://[user:password@]host[:6379],host…

``rediss+sentinel`` and ``rediss+cluster`` speak TLS. Options follow ``?``; they
are listed in `OPTIONS`. Limits, broker and queues all connect through here, so
that time-outs and retries are decided once.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from msgspec import Struct
from redis.asyncio import (
    BlockingConnectionPool,
    Connection,
    Redis,
    RedisCluster,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from monohull.kernel.errors import RedisUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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

UNREACHABLE: Final = (
    RedisConnectionError,
    RedisTimeoutError,
    BusyLoadingError,
    ReadOnlyError,
    ClusterDownError,
    RedisClusterException,
    OSError,
)
"""What a client raises while Redis is away, starts, fails over or is full."""

_SCHEMES: Final[Mapping[str, tuple[Kind, bool, int]]] = {
    "redis": ("single", False, 6379),
    "rediss": ("single", True, 6379),
    "unix": ("unix", False, 0),
    "redis+sentinel": ("sentinel", False, 26379),
    "rediss+sentinel": ("sentinel", True, 26379),
    "redis+cluster": ("cluster", False, 6379),
    "rediss+cluster": ("cluster", True, 6379),
}
_EXPLANATIONS: Final = (
    (
        (AuthenticationError, AuthorizationError),
        "Redis refused the user or password in MONOHULL_REDIS_URL",
    ),
    (BusyLoadingError, "Redis is loading its data"),
    (ReadOnlyError, "this Redis is a replica and takes no writes"),
    (OutOfMemoryError, "Redis is full: it reached its maxmemory"),
    (MasterNotFoundError, "no sentinel answers, or none knows a master of that name"),
    ((RedisTimeoutError, TimeoutError), "Redis did not answer in time"),
)
_MAX_PORT: Final = 65535
_RETRY_BASE_SECONDS: Final = 0.02
_RETRY_CAP_SECONDS: Final = 0.5


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


class RedisTimeouts(Struct, frozen=True, kw_only=True):
    """How long a client waits, in seconds.

    Attributes:
        connect: For one connection to be made.
        read: For one answer; None for clients that block on purpose, such as a worker's.
        pool: For a connection to become free.
        retries: Further tries when a connection breaks. A time-out is never repeated:
            the second wait would be as long, and the command may have run.
    """

    connect: float = 1.0
    read: float | None = 5.0
    pool: float = 5.0
    retries: int = 1


def parse_redis_url(url: str) -> RedisAddress:
    """Read ``url``.

    Raises:
        RedisUrlError: It names no known scheme, host, port, service, database or option.
    """
    try:
        parts = urlsplit(url)
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


def open_redis(
    url: str, *, name: str = "monohull", max_connections: int = 64, timeouts: RedisTimeouts | None = None
) -> Redis:
    """Return a client for ``url``; it connects with its first command.

    A cluster's client is a `RedisCluster` under the type of `Redis`: both have
    the commands, and a command with several keys needs them in one ``{hash tag}``.
    Close it with `close_redis`.

    Args:
        url: In one of the forms above.
        name: What ``CLIENT LIST`` shows, ``monohull-api`` for example.
        max_connections: More commands at once than this wait for a free connection.
        timeouts: Seconds; `RedisTimeouts` has the defaults.

    Raises:
        RedisUrlError: ``url`` cannot be read.
    """
    address = parse_redis_url(url)
    limits = timeouts or RedisTimeouts()
    arguments = _arguments(address, name, limits)
    if address.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        arguments["retry"] = _retry(limits.retries)
        cluster = RedisCluster(
            startup_nodes=nodes, max_connections=max_connections, ssl=address.tls, **arguments
        )
        return cast("Redis", cluster)
    arguments["db"] = address.db
    if address.kind == "sentinel":
        return _sentinel_client(address, arguments, max_connections)
    if address.kind == "unix":
        arguments |= {"connection_class": UnixDomainSocketConnection, "path": address.path}
    else:
        host, port = address.hosts[0]
        arguments |= {
            "connection_class": SSLConnection if address.tls else Connection,
            "host": host,
            "port": port,
        }
    pool = BlockingConnectionPool(max_connections=max_connections, timeout=limits.pool, **arguments)
    return Redis.from_pool(pool)


async def close_redis(client: Redis) -> None:
    """Close every connection of ``client``, those to its sentinels too."""
    pool = getattr(client, "connection_pool", None)
    await client.aclose()
    if isinstance(pool, SentinelConnectionPool):
        await pool.sentinel_manager.aclose()


async def ping(client: Redis) -> str | None:
    """Return None when Redis answers and may write, else what is wrong in one sentence."""
    try:
        await client.ping()
    except (*UNREACHABLE, RedisError) as error:
        return explain_redis_error(error)
    return None


def explain_redis_error(error: BaseException) -> str:
    """Say in one sentence what an error of the client means for the person who runs this."""
    for kinds, sentence in _EXPLANATIONS:
        if isinstance(error, kinds):
            return sentence
    if isinstance(error, ResponseError):
        return f"Redis refused a command: {error}"
    return f"Redis is not reachable: {error}"


@contextmanager
def redis_or_unavailable(*, retry_after_seconds: int = 1) -> Iterator[None]:
    """Turn the client's errors about a Redis that is away into one refusal.

    Raises:
        RedisUnavailable: 503, Redis did not answer. What exactly was wrong is the cause, not the message.
    """
    try:
        yield
    except UNREACHABLE as error:
        raise RedisUnavailable("Redis is not available.", retry_after_seconds=retry_after_seconds) from error


def _sentinel_client(address: RedisAddress, arguments: dict[str, Any], max_connections: int) -> Redis:
    sentinel_arguments = {
        name: value for name, value in arguments.items() if name not in ("username", "password", "db")
    }
    sentinel = cast("Any", Sentinel)(  # not annotated by redis-py
        address.hosts,
        sentinel_kwargs={**sentinel_arguments, **address.sentinel_options, "ssl": address.tls},
    )
    client: Redis = sentinel.master_for(
        address.service, ssl=address.tls, max_connections=max_connections, **arguments
    )
    return client


def _arguments(address: RedisAddress, name: str, timeouts: RedisTimeouts) -> dict[str, Any]:
    """Return what every connection gets, in redis-py's words."""
    arguments: dict[str, Any] = {
        "client_name": name,
        "socket_connect_timeout": timeouts.connect,
        "socket_timeout": timeouts.read,
        "health_check_interval": 30,
        "retry": _retry(timeouts.retries),
        # A vendor's push messages about maintenance; other servers answer the handshake with an error.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        **address.options,
    }
    if address.kind != "unix":
        arguments["socket_keepalive"] = True
    if address.username is not None:
        arguments["username"] = address.username
    if address.password is not None:
        arguments["password"] = address.password
    return arguments


def _retry(retries: int) -> Retry:
    backoff = ExponentialWithJitterBackoff(base=_RETRY_BASE_SECONDS, cap=_RETRY_CAP_SECONDS)
    return Retry(backoff, retries, supported_errors=(RedisConnectionError,))


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
