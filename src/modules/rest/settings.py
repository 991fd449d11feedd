"""Settings of the data API. Names and meanings are those of PostgREST's configuration.

The rule: ``db-`` is dropped, the rest is written in capitals with underscores.
``db-aggregates-enabled`` and ``db-plan-enabled`` have a shorter name beside the
one that the rule gives.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from monohull.kernel.settings import Secret

TxEnd = Literal["commit", "commit-allow-override", "rollback", "rollback-allow-override"]
OpenApiMode = Literal["follow-privileges", "ignore-privileges", "disabled"]


class RestSettings(Struct, frozen=True, kw_only=True):
    """``MONOHULL_REST_*``; ``MONOHULL_REST_APP_SETTINGS_<NAME>`` becomes ``app.settings.<name>``."""

    prefix: ClassVar[str] = "REST_"
    open_prefixes: ClassVar[tuple[str, ...]] = ("REST_APP_SETTINGS_",)

    schemas: Annotated[
        tuple[str, ...], Meta(min_length=1, description="Exposed schemas; the first is the default one.")
    ] = ("public",)
    extra_search_path: Annotated[
        tuple[str, ...], Meta(description="Schemas that follow the exposed one in the search path.")
    ] = ("public", "extensions")
    anon_role: Annotated[
        str | None,
        Meta(min_length=1, description="Database role of requests without a credential; empty: none may."),
    ] = "anon"
    max_rows: Annotated[
        int | None, Meta(ge=0, description="Most rows of one answer and of each embed; empty: no ceiling.")
    ] = 1000
    aggregates: Annotated[bool, Meta(description="Whether sum(), avg(), count() and so on may be used.")] = (
        True
    )
    aggregates_enabled: Annotated[
        bool | None, Meta(description="PostgREST's name of `aggregates`; wins when it is set.")
    ] = None
    plan: Annotated[
        bool | None, Meta(description="Whether execution plans are given out. Unset: in development.")
    ] = None
    plan_enabled: Annotated[
        bool | None, Meta(description="PostgREST's name of `plan`; wins when it is set.")
    ] = None
    pre_request: Annotated[
        str | None, Meta(description="Function without arguments that runs before each request's statement.")
    ] = None
    pre_config: Annotated[
        str | None,
        Meta(
            description="Function without arguments that runs before the settings in the database are read."
        ),
    ] = None
    config: Annotated[
        bool, Meta(description="Whether pgrst.* settings of the data login in the database are honoured.")
    ] = True
    prepared_statements: Annotated[
        bool, Meta(description="Keep statements prepared; no behind poolers that cannot.")
    ] = True
    root_spec: Annotated[
        str | None, Meta(description="Function without arguments whose result describes the API at the root.")
    ] = None
    tx_end: Annotated[
        TxEnd, Meta(description="How transactions end; allow-override: unless Prefer: tx= says otherwise.")
    ] = "commit"
    hoisted_tx_settings: Annotated[
        tuple[str, ...],
        Meta(
            description="Settings of a called function (ALTER FUNCTION … SET) that hold for its transaction."
        ),
    ] = ("statement_timeout", "plan_filter.statement_cost_limit", "default_transaction_isolation")
    tx_read_isolation: Annotated[
        Literal["read-committed", "repeatable-read", "serializable"],
        Meta(description="Isolation of reads, where neither role nor function says otherwise."),
    ] = "read-committed"
    statement_timeout_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="Longest statement; statement_timeout of a role or function wins. 0: no end.",
        ),
    ] = 60.0
    openapi_mode: Annotated[
        OpenApiMode, Meta(description="Which relations and functions the root describes.")
    ] = "follow-privileges"
    openapi_security_active: Annotated[
        bool, Meta(description="Whether the root's description says how to send a token.")
    ] = False
    openapi_server_proxy_uri: Annotated[
        Annotated[str, Meta(pattern=r"^https?://[^/?#\s]+")] | None,
        Meta(description="External address of the data API, for the root's description."),
    ] = None
    server_cors_allowed_origins: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="Origins that may read answers below /rest/v1. Unset: those of MONOHULL_CORS_ORIGINS."
        ),
    ] = None
    server_trace_header: Annotated[
        str | None, Meta(description="Header of the request that the answer repeats.")
    ] = "X-Request-Id"
    server_timing_enabled: Annotated[
        bool | None, Meta(description="Whether answers have Server-Timing. Unset: in development.")
    ] = None
    client_error_verbosity: Annotated[
        Literal["verbose", "minimal"], Meta(description="minimal: errors say code and message alone.")
    ] = "verbose"
    url_use_legacy_target_names: Annotated[
        bool, Meta(description="Whether an embed that has an alias is also known by its own name in filters.")
    ] = True
    expose: Annotated[
        Literal["secure", "grants"],
        Meta(description="secure: what has no row level security is closed until it is declared public."),
    ] = "secure"
    public_tables: Annotated[
        tuple[str, ...],
        Meta(description="Relations declared public, as schema.name; public.name may be name."),
    ] = ()
    rate_limit: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000_000,
            description="Requests a minute of one user, or of one address without a user. 0: no limit.",
        ),
    ] = 60_000
    guard: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[^,=]+:(cost|rows|depth)=([0-9]{1,15}|none)\Z")], ...],
        Meta(
            description=(
                "Ceilings of requests as who:what=number. Who is a database role, the id of an API key, "
                "or *; what is cost (as the planner reckons), rows, or depth of embeds."
            )
        ),
    ] = ()
    guard_seconds: Annotated[
        int,
        Meta(ge=0, le=86_400, description="How long what the planner expects of a kind of request counts."),
    ] = 60
    idempotency_seconds: Annotated[
        int,
        Meta(
            ge=60,
            le=2_592_000,
            description="How long the answer to a write with an Idempotency-Key is given again.",
        ),
    ] = 86_400
    batch_steps: Annotated[int, Meta(ge=1, le=10_000, description="Most requests of one batch.")] = 100
    batch_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="Longest batch; longer ones are undone.")
    ] = 30.0
    nested_rows: Annotated[
        int, Meta(ge=1, le=100_000, description="Most rows of one nested write, all relations together.")
    ] = 1000
    nested_depth: Annotated[
        int,
        Meta(ge=1, le=16, description="Levels that rows of a nested write may be below the top."),
    ] = 8
    async_timeout_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=3600,
            description="Longest statement of a call with Prefer: respond-async; 0: all are waited for.",
        ),
    ] = 600
    cache_bound_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=60,
            description="An answer from the response cache lacks no commit that is older than this.",
        ),
    ] = 1.0
    cache_memory_bytes: Annotated[
        int,
        Meta(ge=0, le=2**36, description="Most memory of a process for answers to cached reads; 0: none."),
    ] = 64 * 2**20
    cache_entry_bytes: Annotated[
        int, Meta(ge=0, le=2**30, description="Largest body that is kept for cached reads.")
    ] = 2**20
    cache_redis: Annotated[
        Secret | None,
        Meta(
            description="Second level of the response cache: the URL of a Redis, or main for the one of the "
            "instance; unset: every process keeps its own answers alone."
        ),
    ] = None
    cache_memcached: Annotated[
        Secret | None,
        Meta(
            description="Memcached instead of Redis as second level of the response cache: "
            "`memcached://[user:password@]host[:11211],host…`, with TLS `memcacheds://`."
        ),
    ] = None
    api_key_required: Annotated[
        bool | None,
        Meta(description="Whether a key or token is demanded. Unset: in production."),
    ] = None

    def demands_key(self, *, is_production: bool) -> bool:
        """Say whether a request without a credential is refused."""
        return is_production if self.api_key_required is None else self.api_key_required

    @property
    def allows_aggregates(self) -> bool:
        return self.aggregates if self.aggregates_enabled is None else self.aggregates_enabled

    def allows_plan(self, *, is_development: bool) -> bool:
        """Say whether execution plans are given out."""
        chosen = self.plan if self.plan_enabled is None else self.plan_enabled
        return is_development if chosen is None else chosen

    def is_timed(self, *, is_development: bool) -> bool:
        """Say whether answers have ``Server-Timing``."""
        return is_development if self.server_timing_enabled is None else self.server_timing_enabled

    @property
    def allows_override(self) -> bool:
        """``Prefer: tx=`` is honoured."""
        return self.tx_end.endswith("-allow-override")

    @property
    def rolls_back(self) -> bool:
        """Transactions end with ROLLBACK unless something else was asked for and may be."""
        return self.tx_end.startswith("rollback")

    @property
    def public_keys(self) -> frozenset[tuple[str, str]]:
        """`public_tables` as schema and name."""
        pairs = (name.partition(".") for name in self.public_tables)
        return frozenset((schema, name) if dot else ("public", schema) for schema, dot, name in pairs)
