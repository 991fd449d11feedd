"""Where a source's messages come from, by kind of broker. What is secret is never shown again.

Passwords stand in URLs or in fields of their own; `shown` returns an origin without them and `secrets_of`
what must not appear in any message.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import msgspec
from msgspec import Meta, Struct

from monohull.kernel.patterns import END

Text: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=2048, pattern=r"^[^\x00-\x20\x7f\ud800-\udfff]+" + END)
]
Word: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=2048, pattern=r"^[^\x00-\x1f\x7f\ud800-\udfff]+" + END)
]
Name: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x20\x7f\ud800-\udfff]+" + END)
]
Plain: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+" + END)]
Topic: TypeAlias = Annotated[str, Meta(min_length=1, max_length=249, pattern=r"^[A-Za-z0-9._-]+" + END)]
Pem: TypeAlias = Annotated[str, Meta(min_length=1, max_length=100_000, pattern=r"^[\t\n\r\x20-\x7e]+" + END)]
HostPort: TypeAlias = Annotated[str, Meta(max_length=300, pattern=r"^[^\s/@,]+:[0-9]{1,5}" + END)]
Mechanism: TypeAlias = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
Start: TypeAlias = Literal["earliest", "latest"]
Kind: TypeAlias = Literal["kafka", "rabbitmq", "nats", "redis_stream"]

KINDS: Final[tuple[Kind, ...]] = ("kafka", "rabbitmq", "nats", "redis_stream")
HIDDEN: Final = "***"
MIN_ACK_SECONDS: Final = 5


class KafkaOrigin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A topic of Kafka, read by a consumer group; without ``group`` the source has one of its own.

    ``start`` says where a group begins that has committed nothing.
    """

    brokers: Annotated[list[HostPort], Meta(min_length=1, max_length=50)]
    topic: Topic
    group: Topic | None = None
    start: Start = "earliest"
    has_tls: bool = False
    ca_certificates: Pem | None = None
    mechanism: Mechanism | None = None
    username: Word | None = None
    password: Word | None = None


class RabbitMqOrigin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A queue of RabbitMQ, which has to exist: ``amqp://user:password@host/vhost``."""

    url: Text
    queue: Annotated[
        str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f\ud800-\udfff]+" + END)
    ]


class NatsOrigin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stream of JetStream, which has to exist: ``nats://user:password@host``.

    ``consumer`` is the name of the durable consumer, which is made where it is missing; without it the
    source has one of its own. A message that was not acknowledged is delivered again after ``ack_seconds``.
    """

    url: Text
    stream: Plain
    subject: Name | None = None
    consumer: Plain | None = None
    start: Start = "earliest"
    ack_seconds: Annotated[int, Meta(ge=MIN_ACK_SECONDS, le=3600)] = 60
    token: Word | None = None


class RedisStreamOrigin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stream of Redis, read by a consumer group; without ``group`` the source has one of its own.

    ``url`` is as in ``MONOHULL_REDIS_URL``, no cluster.

    The message is the field ``body_field`` of an entry, or without it a JSON object of all its fields.
    """

    url: Text
    stream: Name
    group: Name | None = None
    start: Start = "earliest"
    body_field: Name | None = None


AnyOrigin: TypeAlias = KafkaOrigin | RabbitMqOrigin | NatsOrigin | RedisStreamOrigin


class Origin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where messages come from: exactly one of these."""

    kafka: KafkaOrigin | None = None
    rabbitmq: RabbitMqOrigin | None = None
    nats: NatsOrigin | None = None
    redis_stream: RedisStreamOrigin | None = None

    def __post_init__(self) -> None:
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise ValueError(f"an origin is exactly one of {', '.join(KINDS)}")

    @property
    def kind(self) -> Kind:
        """Which sort of broker it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def only(self) -> AnyOrigin:
        """The one that is given."""
        origin: AnyOrigin = getattr(self, self.kind)
        return origin


_SECRET_FIELDS: Final = ("token", "password")
_SECRET_OPTIONS: Final = frozenset({"sentinel_password"})


def shown(origin: Origin) -> dict[str, Any]:
    """Return an origin as it may be shown: with ``***`` in place of passwords.

    >>> shown(Origin(nats=NatsOrigin(url="nats://me:secret@broker", stream="s")))["nats"]["url"]
    'nats://me:***@broker'
    """
    only: dict[str, Any] = msgspec.to_builtins(origin.only)
    for name in _SECRET_FIELDS:
        if only.get(name) is not None:
            only[name] = HIDDEN
    if only.get("url") is not None:
        only["url"] = _without_password(only["url"])
    return {origin.kind: only}


def address_of(origin: Origin) -> str:
    """Say in one line where messages come from, without passwords."""
    only = origin.only
    if isinstance(only, KafkaOrigin):
        return f"{','.join(only.brokers)} {only.topic}"
    what = only.queue if isinstance(only, RabbitMqOrigin) else only.stream
    return f"{_without_password(only.url)} {what}"


def secrets_of(origin: Origin) -> frozenset[str]:
    """Return the texts that no message may hold."""
    only = origin.only
    found = {getattr(only, name, None) for name in _SECRET_FIELDS}
    if (url := getattr(only, "url", None)) is not None:
        parts = urlsplit(url)
        password = _password(parts)
        found |= {password, unquote(password or "")}
        found |= {value for option, value in parse_qsl(parts.query) if option in _SECRET_OPTIONS}
    return frozenset(secret for secret in found if secret)


def _password(parts: SplitResult) -> str | None:
    credentials, at, _ = parts.netloc.rpartition("@")
    if not at:
        return None
    user, colon, password = credentials.partition(":")
    # NATS takes a token in the user's place
    return password if colon else (user if parts.scheme in {"nats", "tls"} else None)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    netloc, query = parts.netloc, parts.query
    if _password(parts) is not None:
        credentials, _, host = netloc.rpartition("@")
        user, colon, _ = credentials.partition(":")
        netloc = f"{user}:{HIDDEN}@{host}" if colon else f"{HIDDEN}@{host}"
    if any(option in query for option in _SECRET_OPTIONS):
        pairs = parse_qsl(query, keep_blank_values=True)
        shown_pairs = [(name, HIDDEN if name in _SECRET_OPTIONS else value) for name, value in pairs]
        query = urlencode(shown_pairs, safe="*")
    return parts._replace(netloc=netloc, query=query).geturl()
