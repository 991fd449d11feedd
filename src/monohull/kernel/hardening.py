"""What production refuses: secrets that are printed somewhere, short, or left to chance.

Checked at every start with ``MONOHULL_ENV=production`` and, before that, by
``monohull config check --env production``. A refusal stops the start; an
advice is only said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from monohull.kernel.settings import Settings, SettingsFault, weakness

if TYPE_CHECKING:
    from collections.abc import Iterator

WEAK_PASSWORDS: Final = frozenset(
    {"", "admin", "changeme", "changeit", "default", "example", "monohull", "password", "postgres", "redis"}
    | {"root", "secret", "test", "your-super-secret-and-long-postgres-password"}
)
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Finding(Struct, frozen=True):
    """One thing about the configuration that production should not have.

    Attributes:
        severity: ``refused`` stops the start, ``advice`` does not.
        fault: The variable, its source and what to do.
    """

    severity: Literal["refused", "advice"]
    fault: SettingsFault


def inspect(settings: Settings) -> list[Finding]:
    """Return everything about ``settings`` that production should not have."""
    return [*_jwt(settings), *_database(settings), *_redis(settings), *_addresses(settings)]


def refusals(settings: Settings) -> list[SettingsFault]:
    """Return what stops a start in production."""
    return [finding.fault for finding in inspect(settings) if finding.severity == "refused"]


def _source(settings: Settings, variable: str) -> str:
    return settings.sources.get(variable, "default")


def _refused(settings: Settings, variable: str, message: str) -> Finding:
    return Finding("refused", SettingsFault(variable, _source(settings, variable), message))


def _advice(settings: Settings, variable: str, message: str) -> Finding:
    return Finding("advice", SettingsFault(variable, _source(settings, variable), message))


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
        if parts.hostname not in LOOPBACK | {None} and "sslmode=" not in parts.query:
            yield _advice(
                settings, variable, "add sslmode=verify-full, so that the connection is encrypted and checked"
            )


def _redis(settings: Settings) -> Iterator[Finding]:
    url = settings.core.redis_url
    if url is None or url.startswith("unix://"):
        return
    parts = urlsplit(url)
    variable = "MONOHULL_REDIS_URL"
    if parts.password is not None and unquote(parts.password).lower() in WEAK_PASSWORDS:
        yield _refused(settings, variable, "its password is one that everybody tries first; change it")
    elif parts.password is None and parts.hostname not in LOOPBACK:
        yield _advice(settings, variable, "add a password: whoever reaches this Redis can run jobs")


def _addresses(settings: Settings) -> Iterator[Finding]:
    host = urlsplit(settings.core.public_url).hostname
    if host in LOOPBACK:
        yield _advice(
            settings, "MONOHULL_PUBLIC_URL", "set the address that clients use; links and tokens carry it"
        )
    elif settings.core.public_url.startswith("http://"):
        yield _advice(settings, "MONOHULL_PUBLIC_URL", "use https://, tokens travel in every request")
    if "*" in settings.core.effective_cors_origins:
        yield _advice(settings, "MONOHULL_CORS_ORIGINS", "name the origins instead of *")
