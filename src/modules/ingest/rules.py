"""What a source may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from modules.ingest.errors import SourceInvalid, UnknownIngestJob
from modules.ingest.mapping import MARKS, WHOLE
from modules.ingest.origins import HIDDEN, KafkaOrigin, NatsOrigin, RabbitMqOrigin, secrets_of
from modules.ingest.permissions import WRITE_TABLES
from monohull.kernel.errors import Forbidden
from monohull.kernel.permissions import grants
from monohull.kernel.redis_url import RedisUrlError, parse_redis_url

if TYPE_CHECKING:
    from collections.abc import Container

    from modules.ingest.dtos import Destination
    from modules.ingest.origins import AnyOrigin, Origin
    from monohull.kernel.principal import Principal

_SCHEMES: Final = {RabbitMqOrigin: ("amqp", "amqps"), NatsOrigin: ("nats", "tls")}
MAX_PORT: Final = 65_535


def demand_origin(origin: Origin) -> None:
    """Let an origin pass that could be reached.

    Raises:
        SourceInvalid: 400.
    """
    only = origin.only
    if isinstance(only, KafkaOrigin):
        _demand_kafka(only)
    else:
        _demand_url(only)
    if HIDDEN in secrets_of(origin):
        raise SourceInvalid(f"{HIDDEN} stands for a password that is not shown; give the true one.")


def demand_destination(destination: Destination, jobs: Container[str]) -> None:
    """Let a destination pass that names a job of the application, or marks that there are.

    Raises:
        SourceInvalid, UnknownIngestJob: 400.
    """
    if (job := destination.job) is not None and job.job not in jobs:
        raise UnknownIngestJob(f"No job of the application is called {job.job}.")
    if (table := destination.table) is not None:
        unknown = {path for path in table.columns.values() if path.startswith("$")} - {WHOLE, *MARKS}
        if unknown:
            known = ", ".join([WHOLE, *sorted(MARKS)])
            raise SourceInvalid(f"There is no {min(unknown)}; a column gets a field, or one of {known}.")


def demand_tables(by: Principal, *destinations: Destination) -> None:
    """Let pass who may have messages put into tables, where these do.

    Raises:
        Forbidden: 403.
    """
    is_asked = any(destination.table is not None for destination in destinations)
    if is_asked and not grants(by.permissions, WRITE_TABLES.name):
        raise Forbidden(f"A source that fills a table takes the permission {WRITE_TABLES.name}.")


def demand_wait(base_seconds: float, max_seconds: float) -> None:
    """Let waits pass that fit together.

    Raises:
        SourceInvalid: 400.
    """
    if base_seconds > max_seconds:
        raise SourceInvalid("retry_base_seconds is greater than retry_max_seconds.")


def _demand_kafka(only: KafkaOrigin) -> None:
    if len({only.mechanism is None, only.username is None, only.password is None}) > 1:
        raise SourceInvalid("mechanism, username and password come together.")
    if only.ca_certificates is not None and not only.has_tls:
        raise SourceInvalid("ca_certificates are for TLS; set has_tls.")
    if any(int(broker.rpartition(":")[2]) not in range(1, MAX_PORT + 1) for broker in only.brokers):
        raise SourceInvalid(f"A port is a number from 1 to {MAX_PORT}.")


def _demand_url(only: AnyOrigin) -> None:
    url: str = getattr(only, "url", "")
    if (schemes := _SCHEMES.get(type(only))) is None:
        _demand_redis(url)
        return
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_right = False
    if not is_right:
        forms = " or ".join(f"{scheme}://host:port" for scheme in schemes)
        raise SourceInvalid(f"The URL is none of the form {forms}.")


def _demand_redis(url: str) -> None:
    try:
        address = parse_redis_url(url)
    except RedisUrlError as error:
        raise SourceInvalid(f"{error}.") from error
    if address.kind == "cluster":
        raise SourceInvalid("A Redis cluster cannot be a source; name a server or sentinels.")
