"""What production refuses: weak secrets, open ways, and settings that take a defence away.

Checked at every start with ``MONOHULL_ENV=production`` and, before that, by
``monohull config check --env production``. A refusal stops the start; an
advice is only said. Modules judge their own settings by `Module.weaknesses`.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from monohull.kernel.addresses import is_public, parse_allowed
from monohull.kernel.redis_url import parse_redis_url
from monohull.kernel.settings import Settings, SettingsFault, variable_name, weakness
from monohull.kernel.token_hardening import token_weaknesses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from monohull.kernel.addresses import Network
    from monohull.kernel.module import Module
    from monohull.kernel.redis_url import RedisAddress

WEAK_PASSWORDS: Final = frozenset(
    {"", "admin", "changeme", "changeit", "default", "example", "monohull", "password", "postgres", "redis"}
    | {"root", "secret", "test", "your-super-secret-and-long-postgres-password", "change-this-password"}
)
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
INTERNAL_SUFFIXES: Final = (".internal", ".lan", ".local", ".localhost", ".home.arpa", ".svc", ".test")
"""Ends of names that no public resolver knows (RFC 6761, 6762, 8375, and Kubernetes' services)."""

METADATA: Final = tuple(map(ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128")))
"""Where clouds hand out credentials of the machine."""
METADATA_HOSTS: Final = frozenset({"metadata.google.internal", "metadata"})
MIN_PREFIX: Final = {4: 8, 6: 7}
"""The widest private networks: 10.0.0.0/8 and fc00::/7. What is wider holds strangers."""

MAX_BODY_BYTES: Final = 100_000_000


class Finding(Struct, frozen=True):
    """One thing about the configuration that production should not have.

    Attributes:
        severity: ``refused`` stops the start, ``advice`` does not.
        fault: The variable, its source and what to do.
    """

    severity: Literal["refused", "advice"]
    fault: SettingsFault


class Weak(Struct, frozen=True):
    """What a module says about one of its own settings.

    Attributes:
        field: Of its Struct.
        message: What is wrong and what to do, without the value of a secret.
        severity: As `Finding.severity`.
    """

    field: str
    message: str
    severity: Literal["refused", "advice"] = "refused"


def inspect(settings: Settings, modules: Iterable[Module] = ()) -> list[Finding]:
    """Return everything about ``settings`` that production should not have.

    Args:
        settings: All of them.
        modules: Those that are loaded; without them the kernel's own settings are judged.
    """
    return [
        *_jwt(settings),
        *(_refused(settings, variable, message) for variable, message in token_weaknesses(settings)),
        *_database(settings),
        *_redis(settings),
        *_addresses(settings),
        *_networks(settings),
        *_of_modules(settings, modules),
    ]


def refusals(settings: Settings, modules: Iterable[Module] = ()) -> list[SettingsFault]:
    """Return what stops a start in production."""
    return [finding.fault for finding in inspect(settings, modules) if finding.severity == "refused"]


def _source(settings: Settings, variable: str) -> str:
    return settings.sources.get(variable, "default")


def _refused(settings: Settings, variable: str, message: str) -> Finding:
    return Finding("refused", SettingsFault(variable, _source(settings, variable), message))


def _advice(settings: Settings, variable: str, message: str) -> Finding:
    return Finding("advice", SettingsFault(variable, _source(settings, variable), message))


def _of_modules(settings: Settings, modules: Iterable[Module]) -> Iterator[Finding]:
    for module in modules:
        if module.weaknesses is None or module.settings is None:
            continue
        for weak in module.weaknesses(settings):
            variable = variable_name(module.settings, weak.field)
            fault = SettingsFault(variable, _source(settings, variable), weak.message)
            yield Finding(weak.severity, fault)


def is_internal(host: str | None) -> bool:
    """Say whether ``host`` is this machine, or a name or address of a network of one's own.

    >>> is_internal("postgres"), is_internal("10.0.0.7"), is_internal("db.example.com")
    (True, True, False)
    """
    if host is None:
        return True
    try:
        return not is_public(ip_address(host))
    except ValueError:
        return "." not in host.rstrip(".") or host.lower().endswith(INTERNAL_SUFFIXES)


def travels_openly(url: str | None) -> bool:
    """Say whether what is sent to ``url`` crosses networks of others without encryption."""
    return url is not None and url.startswith("http://") and not is_internal(urlsplit(url).hostname)


def _jwt(settings: Settings) -> Iterator[Finding]:
    variable = "MONOHULL_JWT_SECRET"
    secret = settings.jwt.shared_secret
    if secret is None:
        if settings.core.database_url is not None:
            yield _refused(
                settings,
                variable,
                "it must be set when the database is external: every host would make up one of its own; "
                "make one with `openssl rand -base64 48`",
            )
    elif (reason := weakness(secret)) is not None:
        yield _refused(settings, variable, f"{reason}; make one with `openssl rand -base64 48`")


def _database(settings: Settings) -> Iterator[Finding]:
    urls = [("MONOHULL_DATABASE_URL", settings.core.database_url)]
    urls += [("MONOHULL_DATABASE_AUTHENTICATOR_URL", settings.core.database_authenticator_url)]
    urls += [("MONOHULL_DATABASE_REPLICA_URLS", url) for url in settings.core.database_replica_urls]
    for variable, url in urls:
        if url is None:
            continue
        parts = urlsplit(url)
        if parts.password is not None and unquote(parts.password).lower() in WEAK_PASSWORDS:
            yield _refused(settings, variable, "its password is one that everybody tries first; change it")
        if parts.hostname in LOOPBACK | {None}:
            continue
        if "sslmode=" not in parts.query:
            yield _advice(
                settings, variable, "add sslmode=verify-full, so that the connection is encrypted and checked"
            )
        elif {"sslmode=disable", "sslmode=allow"} & set(parts.query.split("&")):
            where = "in your own network" if is_internal(parts.hostname) else "across the network"
            judge = _advice if is_internal(parts.hostname) else _refused
            message = f"its sslmode lets passwords and rows travel readable {where}; say sslmode=verify-full"
            yield judge(settings, variable, message)


def _redis(settings: Settings) -> Iterator[Finding]:
    url = settings.core.redis_url
    if url is None or url.startswith("unix://"):
        return
    address = parse_redis_url(url)
    variable = "MONOHULL_REDIS_URL"
    if address.password is not None and address.password.lower() in WEAK_PASSWORDS:
        yield _refused(settings, variable, "its password is one that everybody tries first; change it")
    elif address.password is None and not _is_guarded(address):
        yield _refused(settings, variable, "add a password: whoever reaches this Redis can run jobs")
    if address.tls and address.options.get("ssl_cert_reqs") in ("none", "optional"):
        yield _refused(
            settings, variable, "its ssl_cert_reqs takes any server for yours; say ssl_cert_reqs=required"
        )


def _is_guarded(address: RedisAddress) -> bool:
    """Say whether only this host, or who holds a certificate, is let in."""
    return all(host in LOOPBACK for host, _ in address.hosts) or "ssl_certfile" in address.options


def _addresses(settings: Settings) -> Iterator[Finding]:
    host = urlsplit(settings.core.public_url).hostname
    if host in LOOPBACK:
        yield _advice(
            settings, "MONOHULL_PUBLIC_URL", "set the address that clients use; links and tokens carry it"
        )
    elif settings.core.public_url.startswith("http://"):
        judge = _refused if travels_openly(settings.core.public_url) else _advice
        yield judge(settings, "MONOHULL_PUBLIC_URL", "use https://, tokens travel in every request")
    if "*" in settings.core.effective_cors_origins:
        yield _advice(settings, "MONOHULL_CORS_ORIGINS", "name the origins instead of *")
    for origin in settings.core.effective_cors_origins:
        if travels_openly(origin):
            message = f"{origin} can be forged by whoever sits on its network; write https://"
            yield _refused(settings, "MONOHULL_CORS_ORIGINS", message)
    if host not in LOOPBACK and settings.core.metrics_port is None:
        message = "set it: without it everybody who reaches the API reads /metrics"
        yield _advice(settings, "MONOHULL_METRICS_PORT", message)


def _networks(settings: Settings) -> Iterator[Finding]:
    core = settings.core
    for cidr in core.trusted_proxies:
        if _is_wide(ip_network(cidr)):
            message = f"{cidr} believes what strangers say of their address; name your proxies' networks"
            yield _refused(settings, "MONOHULL_TRUSTED_PROXIES", message)
    networks, hosts = parse_allowed(core.outbound_allowed)
    for network in networks:
        if _is_wide(network):
            message = f"{network} lets webhooks reach all that is private here; name single networks"
            yield _refused(settings, "MONOHULL_OUTBOUND_ALLOWED", message)
        elif any(_meet(network, each) for each in METADATA):
            message = f"{network} holds a cloud's metadata service, which hands out credentials; take it out"
            yield _refused(settings, "MONOHULL_OUTBOUND_ALLOWED", message)
    if found := sorted(hosts & METADATA_HOSTS):
        message = f"{found[0]} is a cloud's metadata service, which hands out credentials; take it out"
        yield _refused(settings, "MONOHULL_OUTBOUND_ALLOWED", message)
    if core.body_limit_bytes > MAX_BODY_BYTES:
        message = f"bodies of this size fill the memory; at most {MAX_BODY_BYTES} is sensible"
        yield _refused(settings, "MONOHULL_BODY_LIMIT_BYTES", message)


def _meet(one: Network, other: Network) -> bool:
    return (
        one.network_address in other or other.network_address in one
    )  # of two that meet, one holds the other


def _is_wide(network: Network) -> bool:
    return network.prefixlen < MIN_PREFIX[network.version]
