"""The Structs of the kernel: what every process needs, whatever modules it loads."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 read at run time
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal
from urllib.parse import unquote

from msgspec import Meta, Struct

from monohull.kernel.settings.secret import Secret  # noqa: TC001 read at run time

BUILTIN_MODULES: Final = (
    "modules.query",
    "modules.rbac",
    "modules.auth",
    "modules.api_keys",
    "modules.audit",
    "modules.teams",
    "modules.schedules",
    "modules.queues",
    "modules.webhooks",
    "modules.streams",
    "modules.ingest",
    "modules.rest",
    "modules.jobs",
    "modules.policy",
    "modules.platform",
    "modules.policy_tests",
)
"""Listed here and not in `modules`: a wheel that overwrote that package must fail loudly."""

LAME_DUCK_SECONDS: Final = 5.0
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


class CoreSettings(Struct, frozen=True, kw_only=True):
    """What every process needs, whatever modules it loads."""

    prefix: ClassVar[str] = ""

    env: Annotated[Literal["development", "test", "production"], Meta(description="Where this runs.")] = (
        "development"
    )
    home: Annotated[
        Path, Meta(description="State of the embedded services, generated secrets, local storage.")
    ] = Path(".monohull")
    host: Annotated[str, Meta(min_length=1, description="Address the API listens on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port of everything; 0 takes a free one.")] = 8000
    public_url: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?$",
            description="External address, for links, redirects and tokens' issuer.",
        ),
    ] = "http://127.0.0.1:8000"
    database_url: Annotated[
        Secret | None,
        Meta(description="Owner connection of an external PostgreSQL >= 14; unset: the embedded one."),
    ] = None
    database_authenticator_url: Annotated[
        Secret | None,
        Meta(
            description="Login of data requests, which switches to the role of each; unset: authenticator, "
            "with a password of its own, on the owner's server."
        ),
    ] = None
    database_replica_urls: Annotated[
        tuple[Secret, ...], Meta(description="Read replicas, comma-separated.")
    ] = ()
    redis_url: Annotated[
        Secret | None,
        Meta(
            description="External Redis or Valkey >= 6.2, also sentinels "
            "(`redis+sentinel://host,host/service`) and clusters (`redis+cluster://host,host`); "
            "unset: the embedded one."
        ),
    ] = None
    anon_key: Annotated[
        Secret | None, Meta(description="JWT of the role anon; derived from the secret when unset.")
    ] = None
    service_key: Annotated[
        Secret | None, Meta(description="JWT of the role service_role; derived from the secret when unset.")
    ] = None
    pool_size: Annotated[
        int, Meta(ge=1, le=1000, description="Database connections for data requests, per process.")
    ] = 8
    pool_timeout_seconds: Annotated[
        float, Meta(gt=0, le=300, description="How long a request waits for a connection before 503.")
    ] = 5.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severe line that is written.")
    ] = "info"
    log_format: Annotated[
        Literal["json", "console"] | None,
        Meta(description="Unset: console in development, json elsewhere."),
    ] = None
    otlp_endpoint: Annotated[
        Annotated[str, Meta(pattern=r"^https?://")] | None,
        Meta(
            description="OpenTelemetry collector that gets traces (OTLP over HTTP, `/v1/traces` is added); "
            "unset: none are recorded."
        ),
    ] = None
    otlp_headers: Annotated[
        Secret | None,
        Meta(description="Headers for it, `name=value` separated by commas, such as a key; percent-encoded."),
    ] = None
    otlp_sampler: Annotated[
        Literal["parentbased_traceidratio", "traceidratio"],
        Meta(
            description="Whether a caller whose request has a traceparent decides if it is recorded, "
            "or the ratio always does."
        ),
    ] = "parentbased_traceidratio"
    otlp_sample_ratio: Annotated[
        float, Meta(ge=0, le=1, description="Share of the traces that begin here that is recorded.")
    ] = 1.0
    otlp_queue_spans: Annotated[
        int,
        Meta(
            ge=512, le=1_000_000, description="Spans that may wait for it, per process; others are dropped."
        ),
    ] = 8192
    sql_trace_tags: Annotated[
        Literal["off", "recorded", "all"],
        Meta(
            description="Whose transactions have the trace's id in application_name, so that it is seen in "
            "pg_stat_activity and the server's log: of requests and jobs that are recorded, or of all."
        ),
    ] = "recorded"
    metrics_port: Annotated[
        Annotated[int, Meta(ge=1, le=65535)] | None,
        Meta(description="Serve /metrics on this port and not on the public one."),
    ] = None
    trusted_proxies: Annotated[
        tuple[str, ...], Meta(description="CIDRs whose X-Forwarded-* headers are believed.")
    ] = ()
    outbound_allowed: Annotated[
        tuple[str, ...],
        Meta(description="Private addresses, networks or host names that webhooks and the like may reach."),
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...] | None,
        Meta(description="Allowed origins. Unset: none in production, * without credentials elsewhere."),
    ] = None
    strict_transport_security: Annotated[
        Annotated[str, Meta(pattern=r"^max-age=\d{1,10}(; ?includeSubDomains)?(; ?preload)?$")] | None,
        Meta(
            description="Value of the header of that name, on every answer where public_url is https; "
            "empty: whatever ends TLS says it."
        ),
    ] = "max-age=31536000"
    http_server: Annotated[
        Literal["own", "granian"],
        Meta(
            description="What speaks HTTP: `own`, HTTP/1.1 in the loop of the process, which takes half of "
            "the processor time or less; or `granian`, in threads of its own, HTTP/2 without TLS and "
            "websockets too."
        ),
    ] = "own"
    body_limit_bytes: Annotated[
        int, Meta(ge=1024, description="Largest request body, where a route sets no limit of its own.")
    ] = 10_000_000
    drain_seconds: Annotated[
        float, Meta(ge=0, le=3600, description="How long a stop waits for requests and jobs that run.")
    ] = 25.0
    lame_duck_seconds: Annotated[
        Annotated[float, Meta(ge=0, le=300)] | None,
        Meta(
            description="How long a process of the API that was told to stop goes on serving, not ready any "
            "more and closing each connection with its answer, before it drains. Unset: 5 in production, "
            "0 elsewhere."
        ),
    ] = None
    worker_concurrency: Annotated[
        int, Meta(ge=1, le=1000, description="Jobs that one worker runs at the same time, per queue.")
    ] = 10
    worker_queues: Annotated[
        tuple[str, ...], Meta(description="Queues that a worker serves, comma-separated; unset: all.")
    ] = ()
    worker_health_port: Annotated[
        Annotated[int, Meta(ge=1, le=65535)] | None,
        Meta(
            description="Where a worker answers /health/live, /health/ready and /health/startup, on "
            "MONOHULL_HOST; each worker of a host needs a port of its own. Unset: nowhere."
        ),
    ] = None
    outbox_retention_days: Annotated[
        int, Meta(ge=1, le=365, description="Days for which events are kept, to be read again and replayed.")
    ] = 7
    job_retention_days: Annotated[
        int, Meta(ge=1, le=3650, description="How long jobs that succeeded or were cancelled are kept.")
    ] = 7
    dead_letter_retention_days: Annotated[
        int, Meta(ge=1, le=3650, description="How long jobs that were given up are kept.")
    ] = 90
    modules: Annotated[tuple[str, ...], Meta(description="Extra modules by dotted name.")] = ()

    @property
    def is_production(self) -> bool:
        return self.env == "production"

    @property
    def collector_headers(self) -> dict[str, str]:
        """`otlp_headers`, by name.

        Raises:
            ValueError: One of them is none.
        """
        pairs = (part.partition("=") for part in (self.otlp_headers or "").split(",") if part.strip())
        found = {name.strip(): unquote(value.strip()) for name, _, value in pairs}
        if not all(_HEADER.fullmatch(f"{name}={value}") for name, value in found.items()):
            raise ValueError("write name=value, several separated by commas, commas within a value as %2C")
        return found

    @property
    def effective_strict_transport_security(self) -> str | None:
        return self.strict_transport_security if self.public_url.startswith("https://") else None

    @property
    def effective_log_format(self) -> Literal["json", "console"]:
        return self.log_format or ("console" if self.env == "development" else "json")

    @property
    def effective_lame_duck_seconds(self) -> float:
        if self.lame_duck_seconds is not None:
            return self.lame_duck_seconds
        return LAME_DUCK_SECONDS if self.is_production else 0.0

    @property
    def effective_cors_origins(self) -> tuple[str, ...]:
        if self.cors_origins is not None:
            return self.cors_origins
        return () if self.is_production else ("*",)


class JwtSettings(Struct, frozen=True, kw_only=True):
    """How tokens are verified. PostgREST's ``jwt-*`` settings of the same names."""

    prefix: ClassVar[str] = "JWT_"
    other_names: ClassVar[Mapping[str, str]] = {
        "AUTH_JWT_SECRET": "secret",
        "AUTH_JWT_AUD": "aud",
        "AUTH_JWT_KEYS": "jwks",
    }
    """GoTrue's names of them, by the rule of its other settings."""

    secret: Annotated[
        Secret | None,
        Meta(
            description="HS256 secret, 32 characters at least; generated in the home on first start. "
            "A JWK or JWK set here is what `jwks` is, and the secret is generated all the same."
        ),
    ] = None
    secret_is_base64: Annotated[
        bool, Meta(description="Whether the secret is base64 of the bytes that are meant.")
    ] = False
    audience: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="Value that a token's aud must contain; unset: not checked."),
    ] = None
    aud: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="PostgREST's name of `audience`; wins when it is set."),
    ] = None
    issuers: Annotated[
        tuple[str, ...],
        Meta(
            description="Values of iss, comma-separated, that users' tokens may have beside our own; "
            "unset: not checked."
        ),
    ] = ()
    role_claim_key: Annotated[
        str, Meta(pattern=r"^\$?\.", description="JSON path of the claim that names the database role.")
    ] = ".role"
    jwks: Annotated[
        Secret | None,
        Meta(
            description="JWK, JWK set or list of JWKs whose keys are accepted beside the secret; a private "
            "one that is not symmetric signs. MONOHULL_AUTH_JWT_KEYS, as GoTrue calls it, is the same."
        ),
    ] = None
    cache_max_entries: Annotated[
        int, Meta(ge=0, description="Verified tokens that are remembered; 0: none.")
    ] = 1000
    legacy_keys: Annotated[
        bool,
        Meta(
            description="Whether the anon and service_role keys that are JWTs of the shared secret are "
            "accepted. `monohull keys legacy` lists who still uses them."
        ),
    ] = True

    @property
    def shared_secret(self) -> Secret | None:
        """The secret; None when there is none, or keys stand in its place."""
        return None if self._is_key_set else self.secret

    @property
    def key_set(self) -> Secret | None:
        """The JWK or JWK set, wherever it was given."""
        return self.jwks if self.jwks is not None or not self._is_key_set else self.secret

    @property
    def effective_audience(self) -> str | None:
        return self.aud if self.aud is not None else self.audience

    @property
    def _is_key_set(self) -> bool:
        return self.secret is not None and self.secret.lstrip().startswith(("{", "["))
