"""What a well-formed configuration can still have wrong: unknown names, values that cannot work."""

from __future__ import annotations

import difflib
import ipaddress
from typing import TYPE_CHECKING, TypeAlias

from monohull.kernel.addresses import parse_allowed
from monohull.kernel.redis_url import RedisUrlError, parse_redis_url
from monohull.kernel.settings.core import CoreSettings
from monohull.kernel.settings.declaration import PREFIX, variable_name, variables
from monohull.kernel.settings.faults import SettingsFault, Value
from monohull.kernel.settings.names import without_effect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from msgspec import Struct

Contradiction: TypeAlias = tuple[str, str]
"""A field of `CoreSettings` and what is wrong with its value."""


def unknown(shapes: Iterable[type[Struct]], values: Mapping[str, Value]) -> list[SettingsFault]:
    """Find the names that nobody declares, each with the name that was probably meant.

    A Struct's class variable ``open_prefixes`` names families that cannot be
    listed, such as ``REST_APP_SETTINGS_``; ``without_effect`` names what is known and does nothing.
    """
    shapes = tuple(shapes)
    known = {name for shape in shapes for name in variables(shape)}
    free = families(shapes)
    faults: list[SettingsFault] = []
    for name in sorted(set(values) - known - without_effect(shapes)):
        if free and name.startswith(free):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        faults.append(SettingsFault(name, values[name].source, f"there is no such setting{hint}"))
    return faults


def families(shapes: Iterable[type[Struct]]) -> tuple[str, ...]:
    """Return what the variables of open families begin with."""
    return tuple(f"{PREFIX}{prefix}" for shape in shapes for prefix in vars(shape).get("open_prefixes", ()))


def contradictions(core: CoreSettings, values: Mapping[str, Value]) -> list[SettingsFault]:
    """Find values that are well-formed and cannot work."""
    faults: list[SettingsFault] = []
    for field, message in (*_network(core), *_services(core)):
        name = variable_name(CoreSettings, field)
        source = values[name].source if name in values else "default"
        faults.append(SettingsFault(name, source, message))
    return faults


def _network(core: CoreSettings) -> Iterator[Contradiction]:
    for cidr in core.trusted_proxies:
        try:
            ipaddress.ip_network(cidr)
        except ValueError as error:
            yield "trusted_proxies", f"{error}; write 10.0.0.0/8 or 192.0.2.7"
    for entry in core.outbound_allowed:
        try:
            parse_allowed((entry,))
        except ValueError as error:
            yield "outbound_allowed", str(error)
    for origin in core.cors_origins or ():
        if origin != "*" and not origin.startswith(("http://", "https://")):
            yield "cors_origins", f"{origin!r} is not an origin; write https://app.example.com, or * for all"
    if core.metrics_port is not None and core.metrics_port == core.port:
        yield "metrics_port", f"{core.metrics_port} is the public port already; take another one"
    if core.worker_health_port is not None and core.worker_health_port == core.metrics_port:
        yield (
            "worker_health_port",
            f"{core.worker_health_port} is the metrics' port already; take another one",
        )


def _services(core: CoreSettings) -> Iterator[Contradiction]:
    urls = (
        ("database_url", core.database_url),
        ("database_authenticator_url", core.database_authenticator_url),
        *(("database_replica_urls", u) for u in core.database_replica_urls),
    )
    for field, url in urls:
        if url is not None and not url.startswith(("postgresql://", "postgres://")):
            yield field, "the value is not allowed: it must start with postgresql:// or postgres://"
    try:
        _ = core.collector_headers
    except ValueError as error:
        yield "otlp_headers", f"the value is not allowed: {error}"
    if core.redis_url is not None:
        try:
            parse_redis_url(core.redis_url)
        except RedisUrlError as error:
            yield "redis_url", f"the value is not allowed: {error}"
