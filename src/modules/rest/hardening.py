"""What production should not have of the data API's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from modules.rest.cache.memcached_url import MemcachedUrlError, parse_memcached_url
from modules.rest.settings import RestSettings
from monohull.kernel.hardening import WEAK_PASSWORDS, Weak, is_internal, travels_openly
from monohull.kernel.redis_url import RedisUrlError, parse_redis_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from monohull.kernel.settings import Settings

CLOSED_SCHEMAS: Final = frozenset({"auth", "information_schema", "monohull", "pg_catalog", "pg_toast"})
"""They hold password hashes, sessions and the platform's own state, or describe the whole server."""

NOBODYS_ROLES: Final = frozenset(
    {"authenticated", "authenticator", "postgres", "service_role", "supabase_admin", "supabase_auth_admin"}
)
"""Roles that are more than a stranger."""


def weaknesses(settings: Settings) -> Iterator[Weak]:
    """Yield what takes a defence of the data API away."""
    rest = settings.of(RestSettings)
    yield from _who_may(rest, settings)
    yield from _what_is_told(rest)
    yield from _how_much(rest)
    yield from _where_answers_lie(rest)
    if rest.rolls_back:
        yield Weak("tx_end", "nothing that is written would be kept; say commit")
    elif rest.allows_override:
        yield Weak("tx_end", "a request may ask for its write to be undone; say commit", "advice")


def _who_may(rest: RestSettings, settings: Settings) -> Iterator[Weak]:
    owner = settings.core.database_url and unquote(urlsplit(settings.core.database_url).username or "")
    if rest.anon_role is not None and (rest.anon_role in NOBODYS_ROLES or rest.anon_role == owner):
        message = f"requests without a credential would be {rest.anon_role}; say anon, or leave it empty"
        yield Weak("anon_role", message)
    if found := sorted(CLOSED_SCHEMAS & set(rest.schemas)):
        message = f"{found[0]} is no schema for clients; take it out and expose views of what they need"
        yield Weak("schemas", message)
    if rest.expose == "grants":
        message = "tables without row security are open to whoever has a grant; say secure"
        yield Weak("expose", message, "advice")
    if rest.api_key_required is False:
        yield Weak("api_key_required", "strangers are served without a key; say true", "advice")


def _what_is_told(rest: RestSettings) -> Iterator[Weak]:
    if rest.allows_plan(is_development=False):
        field = "plan" if rest.plan_enabled is None else "plan_enabled"
        yield Weak(field, "plans tell how many rows there are that the caller may not see; say false")
    if rest.openapi_mode == "ignore-privileges":
        message = "everybody is told of tables that are closed to them; say follow-privileges or disabled"
        yield Weak("openapi_mode", message)
    for origin in rest.server_cors_allowed_origins or ():
        if origin == "*":
            yield Weak("server_cors_allowed_origins", "name the origins instead of *", "advice")
        elif travels_openly(origin):
            message = f"{origin} can be forged by whoever sits on its network; write https://"
            yield Weak("server_cors_allowed_origins", message)


def _how_much(rest: RestSettings) -> Iterator[Weak]:
    if rest.rate_limit == 0:
        yield Weak("rate_limit", "one client may take everything; say how many requests a minute are fair")
    if rest.statement_timeout_seconds == 0:
        yield Weak("statement_timeout_seconds", "one request may hold a connection for ever; say 60")
    if rest.max_rows is None:
        yield Weak("max_rows", "one request may read a whole table into memory; say 1000")


def _where_answers_lie(rest: RestSettings) -> Iterator[Weak]:
    """Look at the second level of the cache. What lies there is sealed: strangers may take, not read it."""
    try:
        if rest.cache_memcached is not None:
            memcached = parse_memcached_url(rest.cache_memcached)
            has_certificate = "ssl_certfile" in memcached.options
            yield from _of_servers(
                "cache_memcached", memcached.hosts, memcached.password, memcached.tls, has_certificate
            )
        if rest.cache_redis is not None and rest.cache_redis != "main":
            redis = parse_redis_url(rest.cache_redis)
            has_certificate = "ssl_certfile" in redis.options
            yield from _of_servers("cache_redis", redis.hosts, redis.password, redis.tls, has_certificate)
    except (MemcachedUrlError, RedisUrlError):
        return  # nothing starts with it, in whichever environment


def _of_servers(
    field: str, hosts: Sequence[tuple[str, int]], password: str | None, tls: bool, has_certificate: bool
) -> Iterator[Weak]:
    if password is not None and password.lower() in WEAK_PASSWORDS:
        yield Weak(field, "its password is one that everybody tries first; change it")
    public = [host for host, _ in hosts if not is_internal(host)]
    if public and not tls:
        scheme = "memcacheds://" if field == "cache_memcached" else "rediss://"
        yield Weak(field, f"what goes to {public[0]} crosses networks of others readable; write {scheme}")
    elif public and password is None and not has_certificate:
        yield Weak(field, f"whoever reaches {public[0]} may empty and fill it; add a password")
