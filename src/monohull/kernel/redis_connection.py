"""From a Redis URL to a client, and from its errors to words.

Limits, broker and queues all connect through here, so that time-outs and
retries are decided once. What a URL may look like stands in `redis_url`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import Struct
from redis.asyncio import (
    BlockingConnectionPool,
    Connection,
    Redis,
    RedisCluster,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.cluster import ClusterNode, ClusterPipeline
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
from monohull.kernel.redis_url import RedisAddress, parse_redis_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

UNREACHABLE: Final = (
    RedisConnectionError,
    RedisTimeoutError,
    BusyLoadingError,
    ReadOnlyError,
    OutOfMemoryError,
    ClusterDownError,
    RedisClusterException,
    OSError,
)
"""What a client raises while Redis is away, starts, fails over or is full."""

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
_RETRY_BASE_SECONDS: Final = 0.02
_RETRY_CAP_SECONDS: Final = 0.5


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


TIMEOUTS: Final = RedisTimeouts()
"""Of clients whose maker does not say."""


class Cluster(RedisCluster):
    """A cluster's client that answers a question for no keys as that of one server does, with nothing.

    It has no transactions: redis-py collects their commands in a thread and a loop of their own for each, and
    connections made there are dead in ours. What has to be done in one step is a script.
    """

    def pipeline(self, transaction: Any | None = None, shard_hint: Any | None = None) -> ClusterPipeline:
        if transaction:
            raise NotImplementedError("no transactions on a cluster: write a script")
        return super().pipeline(transaction, shard_hint)

    async def mget(self, keys: Any, *args: Any, **options: Any) -> Any:
        names = [keys, *args] if isinstance(keys, (str, bytes)) else [*keys, *args]
        return await super().mget(names, **options) if names else []


def open_redis(
    url: str, *, name: str = "monohull", max_connections: int = 64, timeouts: RedisTimeouts | None = None
) -> Redis:
    """Return a client for ``url``; it connects with its first command.

    A cluster's client is a `RedisCluster` under the type of `Redis`: both have
    the commands, and a command with several keys needs them in one ``{hash tag}``.
    Close it with `close_redis`.

    Args:
        url: In one of the forms of `redis_url`.
        name: What ``CLIENT LIST`` shows, ``monohull-api`` for example.
        max_connections: More commands at once than this wait for a free connection.
        timeouts: Seconds; `TIMEOUTS` unless given.

    Raises:
        RedisUrlError: ``url`` cannot be read.
    """
    address = parse_redis_url(url)
    limits = timeouts or TIMEOUTS
    arguments = _arguments(address, name, limits)
    if address.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        arguments["retry"] = _retry(limits.retries)
        cluster = Cluster(startup_nodes=nodes, max_connections=max_connections, ssl=address.tls, **arguments)
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


def is_cluster(client: Redis) -> bool:
    """Whether the keys of one command, script or transaction have to be in one slot."""
    return isinstance(client, RedisCluster)


async def get_each(client: Redis, keys: Sequence[str]) -> list[bytes | None]:
    """Return what ``keys`` hold, in one round trip, also where they are in several nodes of a cluster.

    Raises:
        RedisError: Redis is away.
    """
    if not keys:
        return []
    if not is_cluster(client):
        return cast("list[bytes | None]", await client.mget(keys))
    async with client.pipeline(transaction=False) as pipe:
        for key in keys:
            _ = pipe.get(key)
        return cast("list[bytes | None]", await pipe.execute())


async def server_infos(client: Redis, *sections: str) -> list[Mapping[str, Any]]:
    """Return what ``INFO`` says: one for a server, and one for each primary of a cluster.

    Raises:
        RedisError: One of them is away.
    """
    untyped: Any = client
    if not is_cluster(client):
        return [await untyped.info(*sections)]
    await untyped.initialize()
    return [await untyped.info(*sections, target_nodes=node) for node in untyped.get_primaries()]


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
