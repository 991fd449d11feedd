"""What a sink may be, and how one is shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from modules.streams.dtos import Format, SinkRows, SinkState, SinkView
from modules.streams.errors import SinkInvalid
from modules.streams.matching import ROWS
from modules.streams.permissions import WRITE_CONDITIONS, WRITE_ROWS
from modules.streams.targets import (
    HIDDEN,
    KafkaTarget,
    Kind,
    KinesisTarget,
    NatsTarget,
    RabbitMqTarget,
    RedisPubSubTarget,
    secrets_of,
    template_of,
)
from modules.streams.transports import demand_library
from monohull.kernel.errors import Forbidden
from monohull.kernel.permissions import grants
from monohull.kernel.redis_url import RedisUrlError, parse_redis_url

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from modules.streams.models import StreamSink
    from modules.streams.repositories import Place
    from modules.streams.targets import AnyTarget, Target
    from monohull.kernel.principal import Principal

NO_SINK: Final = "There is no such sink."
MAX_TOPIC: Final = 100
"""Characters of a template for Kafka, whose topics have at most 249 with the event's name in it."""

_HOLES: Final = re.compile(r"\{(event|area)\}")
_SCHEMES: Final = {
    RabbitMqTarget: ("amqp", "amqps"),
    NatsTarget: ("nats", "tls"),
    KinesisTarget: ("http", "https"),
}


def demand_target(target: Target, form: Format) -> None:
    """Let a target pass that could be reached and has names that its broker allows.

    Raises:
        SinkInvalid, SinkKindUnavailable: 400.
    """
    demand_library(target.kind)
    only = target.only
    _demand_url(only)
    _demand_template(target)
    if HIDDEN in secrets_of(target):
        raise SinkInvalid(f"{HIDDEN} stands for a password that is not shown; give the true one.")
    if form == "binary" and isinstance(only, RedisPubSubTarget | KinesisTarget):
        raise SinkInvalid(f"Messages of {target.kind} have no headers; their format is structured.")
    if isinstance(only, KafkaTarget):
        _demand_kafka(only)
    if isinstance(only, KinesisTarget) and (only.access_key_id is None) != (only.secret_access_key is None):
        raise SinkInvalid("access_key_id and secret_access_key come together.")


def _demand_kafka(only: KafkaTarget) -> None:
    if len({only.mechanism is None, only.username is None, only.password is None}) > 1:
        raise SinkInvalid("mechanism, username and password come together.")
    if only.ca_certificates is not None and not only.has_tls:
        raise SinkInvalid("ca_certificates are for TLS; set has_tls.")
    _demand_pem(only)
    if any(int(broker.rpartition(":")[2]) not in range(1, 65_536) for broker in only.brokers):
        raise SinkInvalid("A port is a number from 1 to 65535.")


def _demand_pem(only: KafkaTarget) -> None:
    if only.ca_certificates is None:
        return
    from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415 memory, for few sinks have any

    try:
        load_pem_x509_certificates(only.ca_certificates.encode())
    except ValueError as error:
        raise SinkInvalid("ca_certificates are no certificates in PEM.") from error


def _demand_url(only: AnyTarget) -> None:
    if isinstance(only, KafkaTarget) or (isinstance(only, KinesisTarget) and only.endpoint_url is None):
        return
    if (schemes := _SCHEMES.get(type(only))) is None:
        _demand_redis_url(str(getattr(only, "url", "")))
        return
    url: str = only.endpoint_url or "" if isinstance(only, KinesisTarget) else only.url
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_right = False
    if not is_right:
        raise SinkInvalid(
            f"The URL is none of the form {' or '.join(f'{one}://host:port' for one in schemes)}."
        )


def _demand_redis_url(url: str) -> None:
    try:
        address = parse_redis_url(url)
    except RedisUrlError as error:
        raise SinkInvalid(f"{error}.") from error
    if address.kind == "cluster":
        raise SinkInvalid("A Redis cluster cannot be a sink; name a server or sentinels.")


def _demand_template(target: Target) -> None:
    template = template_of(target)
    if template is None:
        return
    plain = _HOLES.sub("", template)
    if "{" in plain or "}" in plain:
        raise SinkInvalid(f"{template!r} has braces around something else than event or area.")
    only = target.only
    if isinstance(only, KafkaTarget) and (set(plain) & set("/:") or len(template) > MAX_TOPIC):
        raise SinkInvalid(f"A topic of Kafka has no / or : and here at most {MAX_TOPIC} characters.")
    if isinstance(only, NatsTarget) and not all(template.split(".")):
        raise SinkInvalid("A subject of NATS has no empty parts between its dots.")


def demand_patterns(patterns: Iterable[str]) -> None:
    """Let patterns pass that name events of the product, and not rows of tables.

    Raises:
        SinkInvalid: 400.
    """
    for pattern in patterns:
        if pattern.startswith(ROWS):
            raise SinkInvalid(f"{pattern} is about rows of tables, which patterns do not choose.")


def demand_tables(rows: Iterable[Mapping[str, object]]) -> None:
    """Let tables pass that are named once each.

    Raises:
        SinkInvalid: 400.
    """
    names = [(row["schema"], row["table"]) for row in rows]
    if len(set(names)) < len(names):
        raise SinkInvalid("A table is named twice; make a sink for each way to watch it.")


def demand_rows(by: Principal, rows: Collection[SinkRows], watched: Iterable[SinkRows] = ()) -> None:
    """Let pass who may change a sink that is told of rows, and have those watched.

    Args:
        by: Who asks.
        rows: What the sink has of tables, before and after.
        watched: What is to be watched anew; a condition among it runs with the rights of the schema's owner.

    Raises:
        Forbidden: 403.
    """
    if rows and not grants(by.permissions, WRITE_ROWS.name):
        raise Forbidden(f"A sink that is told of rows takes the permission {WRITE_ROWS.name}.")
    is_asked = any(one.condition is not None for one in watched)
    if is_asked and not grants(by.permissions, WRITE_CONDITIONS.name):
        raise Forbidden(f"A condition in SQL takes the permission {WRITE_CONDITIONS.name}.")


def stored(rows: Iterable[SinkRows]) -> list[dict[str, object]]:
    """Return tables as they are stored."""
    return [msgspec.to_builtins(one) for one in rows]


def view(row: StreamSink, place: Place) -> SinkView:
    """Show a sink."""
    odd = {"kind", "events", "rows", "format", "state", "sequence", "lag_events", "lag_seconds"}
    plain = {name: getattr(row, name) for name in SinkView.__struct_fields__ if name not in odd}
    return SinkView(
        **plain,
        kind=msgspec.convert(row.kind, Kind),
        events=tuple(row.events),
        rows=msgspec.convert(row.rows, tuple[SinkRows, ...]),
        format=msgspec.convert(row.format, Format),
        state=_state(row),
        sequence=place.sequence,
        lag_events=place.lag_events,
        lag_seconds=place.lag_seconds,
    )


def _state(row: StreamSink) -> SinkState:
    if row.is_paused:
        return "paused"
    return "failing" if row.consecutive_failures else "running"
