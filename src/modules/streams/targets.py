"""Where a sink's events go, by kind of broker. What is secret is never shown again.

Passwords stand in URLs or in fields of their own; `shown` returns a target without them and `secrets_of`
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
Pem: TypeAlias = Annotated[str, Meta(min_length=1, max_length=100_000, pattern=r"^[\t\n\r\x20-\x7e]+" + END)]
Template: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_.:/{}-]+" + END)
]
HostPort: TypeAlias = Annotated[str, Meta(max_length=300, pattern=r"^[^\s/@,]+:[0-9]{1,5}" + END)]
Kind: TypeAlias = Literal["redis_stream", "redis_pubsub", "rabbitmq", "nats", "kafka", "kinesis"]
Mechanism: TypeAlias = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

KINDS: Final[tuple[Kind, ...]] = ("redis_stream", "redis_pubsub", "rabbitmq", "nats", "kafka", "kinesis")
HIDDEN: Final = "***"


class RedisStreamTarget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stream in Redis, cut at about ``max_length``; ``url`` is as in ``MONOHULL_REDIS_URL``, no cluster."""

    url: Text
    stream: Template = "monohull"
    max_length: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = 1_000_000


class RedisPubSubTarget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A channel in Redis: whoever does not listen at that moment never hears of it."""

    url: Text
    channel: Template = "monohull.{event}"


class RabbitMqTarget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An exchange of RabbitMQ, ``amqp://user:password@host/vhost``.

    With ``is_mandatory`` an event that no queue is bound for counts as not taken.
    """

    url: Text
    exchange: Annotated[str, Meta(max_length=200, pattern=r"^[A-Za-z0-9_.:-]*" + END)] = ""
    routing_key: Template = "monohull.{event}"
    is_mandatory: bool = True


class NatsTarget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Subjects of NATS that a stream of JetStream keeps, ``nats://user:password@host``.

    With ``stream`` it has to be this one.
    """

    url: Text
    subject: Template = "monohull.{event}"
    stream: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+" + END)] | None = None
    token: Word | None = None


class KafkaTarget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A topic of Kafka; the event's key is the record's.

    ``is_idempotent`` has the broker refuse what the producer sends twice; some that speak Kafka's protocol
    do not know it.
    """

    brokers: Annotated[tuple[HostPort, ...], Meta(min_length=1, max_length=50)]
    topic: Template = "monohull"
    has_tls: bool = False
    ca_certificates: Pem | None = None
    mechanism: Mechanism | None = None
    username: Word | None = None
    password: Word | None = None
    is_idempotent: bool = True
    max_message_bytes: Annotated[int, Meta(ge=1000, le=100_000_000)] = 1_048_576


class KinesisTarget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A data stream of AWS Kinesis; without keys those of the machine are used."""

    region: Annotated[str, Meta(min_length=1, max_length=50, pattern=r"^[a-z0-9-]+" + END)]
    stream: Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.-]+" + END)]
    endpoint_url: Text | None = None
    access_key_id: Text | None = None
    secret_access_key: Text | None = None
    session_token: Text | None = None


AnyTarget: TypeAlias = (
    RedisStreamTarget | RedisPubSubTarget | RabbitMqTarget | NatsTarget | KafkaTarget | KinesisTarget
)


class Target(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where events go: exactly one of these."""

    redis_stream: RedisStreamTarget | None = None
    redis_pubsub: RedisPubSubTarget | None = None
    rabbitmq: RabbitMqTarget | None = None
    nats: NatsTarget | None = None
    kafka: KafkaTarget | None = None
    kinesis: KinesisTarget | None = None

    def __post_init__(self) -> None:
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise ValueError(f"a target is exactly one of {', '.join(KINDS)}")

    @property
    def kind(self) -> Kind:
        """Which sort of broker it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def only(self) -> AnyTarget:
        """The one that is given."""
        target: AnyTarget = getattr(self, self.kind)
        return target


_SECRET_FIELDS: Final = ("token", "password", "secret_access_key", "session_token")
_SECRET_OPTIONS: Final = frozenset({"sentinel_password"})


def shown(target: Target) -> dict[str, Any]:
    """Return a target as it may be shown: with ``***`` in place of passwords.

    >>> shown(Target(nats=NatsTarget(url="nats://me:secret@broker:4222")))["nats"]["url"]
    'nats://me:***@broker:4222'
    """
    only: dict[str, Any] = msgspec.to_builtins(target.only)
    for name in _SECRET_FIELDS:
        if only.get(name) is not None:
            only[name] = HIDDEN
    for name in ("url", "endpoint_url"):
        if only.get(name) is not None:
            only[name] = _without_password(only[name])
    return {target.kind: only}


def address_of(target: Target) -> str:
    """Say in one line where events go, without passwords."""
    only = target.only
    if isinstance(only, KafkaTarget):
        return f"{','.join(only.brokers)} {only.topic}"
    if isinstance(only, KinesisTarget):
        return f"{only.endpoint_url or only.region} {only.stream}"
    url = _without_password(only.url)
    if isinstance(only, RabbitMqTarget):
        return f"{url} {only.exchange or '(default)'} {only.routing_key}"
    if isinstance(only, NatsTarget):
        return f"{url} {only.subject}"
    return f"{url} {only.stream if isinstance(only, RedisStreamTarget) else only.channel}"


def secrets_of(target: Target) -> frozenset[str]:
    """Return the texts that no message may hold."""
    only = target.only
    found = {getattr(only, name, None) for name in _SECRET_FIELDS}
    for name in ("url", "endpoint_url"):
        if (url := getattr(only, name, None)) is None:
            continue
        parts = urlsplit(url)
        password = _password(parts)
        found |= {password, unquote(password or "")}
        found |= {value for option, value in parse_qsl(parts.query) if option in _SECRET_OPTIONS}
    return frozenset(secret for secret in found if secret)


def template_of(target: Target) -> str | None:
    """Return the template of the names that events are sent to; None where the name is fixed."""
    only = target.only
    for name in ("channel", "routing_key", "subject", "topic"):
        if (template := getattr(only, name, None)) is not None:
            return str(template)
    return only.stream if isinstance(only, RedisStreamTarget) else None


def destination(template: str, event: str) -> str:
    """Fill in the name of an event.

    >>> destination("shop.{area}:{event}", "auth.user_signed_in")
    'shop.auth:auth.user_signed_in'
    """
    return template.replace("{event}", event).replace("{area}", event.partition(".")[0])


def _password(parts: SplitResult) -> str | None:
    credentials, at, _ = parts.netloc.rpartition("@")
    if not at:
        return None
    user, colon, password = credentials.partition(":")
    # NATS takes a token in the user's place
    return password if colon else (user if parts.scheme in {"nats", "tls", "ws", "wss"} else None)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    netloc = parts.netloc
    if _password(parts) is not None:
        credentials, _, host = netloc.rpartition("@")
        user, colon, _ = credentials.partition(":")
        netloc = f"{user}:{HIDDEN}@{host}" if colon else f"{HIDDEN}@{host}"
    query = parts.query
    if any(option in query for option in _SECRET_OPTIONS):
        pairs = parse_qsl(query, keep_blank_values=True)
        query = urlencode(
            [(name, HIDDEN if name in _SECRET_OPTIONS else value) for name, value in pairs], safe="*"
        )
    return parts._replace(netloc=netloc, query=query).geturl()
