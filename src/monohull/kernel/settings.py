"""Environment, files and ``monohull.toml`` become frozen Structs, once, in the entry point.

A variable is found in this order: a command's option, ``MONOHULL_NAME``,
``MONOHULL_NAME_FILE`` (the path of a file that holds the value),
``monohull.toml`` (tables are joined by ``_``, so ``[rest] max_rows`` is
``MONOHULL_REST_MAX_ROWS``), the secrets generated in the home, the default.

Every module declares one Struct; its fields are the variables with the
module's prefix. Whatever does not fit stops the start with a line that names
the variable, where its value came from and what is allowed. Nothing else in
the product reads the environment.
"""

from __future__ import annotations

import difflib
import ipaddress
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar, get_type_hints

import msgspec
from msgspec import Meta, Struct

PREFIX: Final = "MONOHULL_"
PROJECT_FILE: Final = "monohull.toml"
PROJECT_TABLES: Final = frozenset({"project", "seed"})
"""Tables of ``monohull.toml`` that describe the project and are no settings."""

BUILTIN_MODULES: Final = (
    "modules.query",
    "modules.auth",
    "modules.api_keys",
    "modules.rest",
    "modules.platform",
)
"""Listed here and not in `modules`: a wheel that overwrote that package must fail loudly."""

KNOWN_SECRETS: Final = frozenset(
    {
        "super-secret-jwt-token-with-at-least-32-characters-long",
        "your-super-secret-jwt-token-with-at-least-32-characters-long",
        "your-super-secret-and-long-postgres-password",
        "reallyreallyreallyreallyverysafe",
    }
)
"""Secrets printed in public documentation; production refuses them."""

MIN_SECRET_CHARACTERS: Final = 32
MIN_SECRET_DISTINCT: Final = 10

S = TypeVar("S", bound=Struct)


class Secret(str):
    """A value that must not be shown: its ``repr`` is a mask, so that no log line or traceback has it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('…')"


class CoreSettings(Struct, frozen=True, kw_only=True):
    """What every process needs, whatever modules it loads."""

    prefix: ClassVar[str] = ""

    env: Annotated[
        Literal["development", "test", "production"], Meta(description="Where this runs.")
    ] = "development"
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
    database_replica_urls: Annotated[
        tuple[Secret, ...], Meta(description="Read replicas, comma-separated.")
    ] = ()
    redis_url: Annotated[
        Secret | None, Meta(description="External Redis or Valkey >= 6.2; unset: the embedded one.")
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
        Meta(description="OpenTelemetry collector (OTLP over HTTP)."),
    ] = None
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
    body_limit_bytes: Annotated[
        int, Meta(ge=1024, description="Largest request body, where a route sets no limit of its own.")
    ] = 10_000_000
    drain_seconds: Annotated[
        float, Meta(ge=0, le=3600, description="How long a stop waits for requests and jobs that run.")
    ] = 25.0
    worker_concurrency: Annotated[
        int, Meta(ge=1, le=1000, description="Jobs that one worker runs at the same time, per queue.")
    ] = 10
    worker_queues: Annotated[
        tuple[str, ...], Meta(description="Queues that a worker serves, comma-separated; unset: all.")
    ] = ()
    modules: Annotated[tuple[str, ...], Meta(description="Extra modules by dotted name.")] = ()

    @property
    def is_production(self) -> bool:
        return self.env == "production"

    @property
    def effective_log_format(self) -> Literal["json", "console"]:
        return self.log_format or ("console" if self.env == "development" else "json")

    @property
    def effective_cors_origins(self) -> tuple[str, ...]:
        if self.cors_origins is not None:
            return self.cors_origins
        return () if self.is_production else ("*",)


class JwtSettings(Struct, frozen=True, kw_only=True):
    """How tokens are verified. PostgREST's ``jwt-*`` settings of the same names."""

    prefix: ClassVar[str] = "JWT_"

    secret: Annotated[
        Secret | None,
        Meta(description="HS256 secret, 32 characters at least; generated in the home on first start."),
    ] = None
    audience: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="Value that a token's aud must contain; unset: not checked."),
    ] = None
    role_claim_key: Annotated[
        str, Meta(pattern=r"^\.", description="JSON path of the claim that names the database role.")
    ] = ".role"
    jwks: Annotated[
        Secret | None, Meta(description="JWK or JWK set whose keys are accepted beside the secret.")
    ] = None


class SettingsFault(Struct, frozen=True):
    """One thing wrong with the configuration."""

    variable: str
    source: str
    message: str

    def __str__(self) -> str:
        return f"{self.variable} ({self.source}): {self.message}"


class SettingsError(Exception):
    """The configuration does not hold; every fault is one line."""

    def __init__(self, faults: Iterable[SettingsFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class Value(Struct, frozen=True):
    """A raw value and where it was found."""

    raw: Any
    source: str


class Settings(Struct, frozen=True):
    """All Structs of one process, and where each value came from."""

    core: CoreSettings
    jwt: JwtSettings
    structs: Mapping[type[Struct], Struct]
    sources: Mapping[str, str]
    project: Path

    def of(self, shape: type[S]) -> S:
        """Return the Struct of class ``shape``.

        Raises:
            LookupError: No loaded module declares ``shape``.
        """
        try:
            found = self.structs[shape]
        except KeyError:
            raise LookupError(f"no loaded module declares the settings {shape.__name__}") from None
        assert isinstance(found, shape)
        return found

    @property
    def home(self) -> Path:
        """The home as an absolute path; a relative one is relative to the project."""
        return self.core.home if self.core.home.is_absolute() else self.project / self.core.home


def variable_name(shape: type[Struct], field: str) -> str:
    """Return the environment variable that holds ``field`` of ``shape``."""
    prefix: str = vars(shape)["prefix"]
    return f"{PREFIX}{prefix}{field.upper()}"


def collect(
    environ: Mapping[str, str], document: Mapping[str, Any], options: Mapping[str, str]
) -> tuple[dict[str, Value], list[SettingsFault]]:
    """Bring environment, ``monohull.toml`` and command options under one set of names."""
    values = {
        f"{PREFIX}{name.upper()}": Value(raw, PROJECT_FILE)
        for name, raw in flatten(document)
        if name.split("_")[0] not in PROJECT_TABLES
    }
    faults: list[SettingsFault] = []
    for name, raw in environ.items():
        if not name.startswith(PREFIX):
            continue
        plain = name.removesuffix("_FILE")
        if plain == name:
            values[name] = Value(raw, "environment")
        elif plain in environ:
            faults.append(SettingsFault(name, "environment", f"{plain} is set too; set one of the two"))
        else:
            try:
                values[plain] = Value(Path(raw).read_text(encoding="utf-8").rstrip("\n"), f"file {raw}")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "not UTF-8"
                faults.append(SettingsFault(name, "environment", f"cannot read {raw}: {reason}"))
    values |= {f"{PREFIX}{name.upper()}": Value(raw, f"option --{name}") for name, raw in options.items()}
    return values, faults


def flatten(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Join the names of nested tables by ``_``.

    >>> list(flatten({"port": 1, "rest": {"max_rows": 5}}))
    [('port', 1), ('rest_max_rows', 5)]
    """
    for name, value in document.items():
        if isinstance(value, dict) and not (not prefix and name in PROJECT_TABLES):
            yield from flatten(value, f"{prefix}{name}_")
        else:
            yield f"{prefix}{name}", value


def read_project(directory: Path) -> dict[str, Any]:
    """Return ``monohull.toml`` of ``directory``, empty when there is none.

    Raises:
        SettingsError: The file is there and is not TOML.
    """
    path = directory / PROJECT_FILE
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError([SettingsFault(PROJECT_FILE, str(path), str(error))]) from error


def load_settings(
    shapes: Callable[[CoreSettings], Iterable[type[Struct]]],
    *,
    environ: Mapping[str, str],
    project: Path,
    options: Mapping[str, str] | None = None,
) -> Settings:
    """Read and check every setting.

    Args:
        shapes: Given the core settings, the Structs of the modules it names.
        environ: The process' environment.
        project: Folder of ``monohull.toml``.
        options: Command options by setting name, ``{"home": "/data"}``.

    Raises:
        SettingsError: With a line for every fault.
    """
    document = read_project(project)
    values, faults = collect(environ, document, options or {})
    core, core_faults = decode(CoreSettings, values)
    if core is None:
        raise SettingsError([*faults, *core_faults])
    jwt, jwt_faults = decode(JwtSettings, values)
    faults += jwt_faults
    structs: dict[type[Struct], Struct] = {CoreSettings: core}
    if jwt is not None:
        structs[JwtSettings] = jwt
    module_shapes = list(shapes(core))
    for shape in module_shapes:
        found, found_faults = decode(shape, values)
        faults += found_faults
        if found is not None:
            structs[shape] = found
    faults += unknown([CoreSettings, JwtSettings, *module_shapes], values)
    faults += contradictions(core, values)
    if faults or jwt is None:
        raise SettingsError(faults)
    sources = {name: value.source for name, value in values.items()}
    return Settings(core, jwt, structs, sources, project)


def load_core(
    *, environ: Mapping[str, str], project: Path, options: Mapping[str, str] | None = None
) -> Settings:
    """Read only what the kernel needs, for processes that load no module.

    Unknown names are not looked for: they may be settings of a module. The
    processes that load the modules say so.

    Raises:
        SettingsError: A setting of the kernel does not fit.
    """
    values, faults = collect(environ, read_project(project), options or {})
    core, core_faults = decode(CoreSettings, values)
    jwt, jwt_faults = decode(JwtSettings, values)
    faults += [*core_faults, *jwt_faults, *(contradictions(core, values) if core is not None else ())]
    if core is None or jwt is None or faults:
        raise SettingsError(faults)
    sources = {name: value.source for name, value in values.items()}
    return Settings(core, jwt, {CoreSettings: core, JwtSettings: jwt}, sources, project)


def decode(shape: type[S], values: Mapping[str, Value]) -> tuple[S | None, list[SettingsFault]]:
    """Build ``shape`` from ``values``, or say for each field what is wrong with it."""
    hints = get_type_hints(shape, include_extras=True)
    found: dict[str, Any] = {}
    faults: list[SettingsFault] = []
    for field in msgspec.structs.fields(shape):
        name = variable_name(shape, field.name)
        if (value := values.get(name)) is None:
            continue
        try:
            found[field.name] = convert(value.raw, hints[field.name])
        except msgspec.ValidationError as error:
            faults.append(SettingsFault(name, value.source, explain(value.raw, hints[field.name], error)))
    return (None, faults) if faults else (shape(**found), [])


def convert(raw: Any, hint: Any) -> Any:
    """Convert a raw value to a field's type; text with commas becomes a tuple.

    Raises:
        msgspec.ValidationError: It does not fit.
    """
    if isinstance(raw, str):
        if raw.strip() == "" and _allows_none(hint):
            return None
        if _is_tuple(hint):
            raw = [part.strip() for part in raw.split(",") if part.strip()]
    return msgspec.convert(raw, _plain(hint), strict=False, dec_hook=_decode_own)


def _plain(hint: Any) -> Any:
    """Take None out of a union, where msgspec refuses the constraints that are meant for the rest of it."""
    if not hasattr(hint, "__metadata__"):
        return hint
    parts = [part for part in getattr(hint.__origin__, "__args__", ()) if part is not type(None)]
    if not _allows_none(hint) or len(parts) != 1:
        return hint
    return Annotated[(parts[0], *hint.__metadata__)]


def _decode_own(kind: type[Any], raw: Any) -> Any:
    if kind in (Secret, Path) and isinstance(raw, str) and raw:
        return kind(raw)
    raise ValueError("expected some text")


def _arguments(hint: Any) -> list[Any]:
    inner = getattr(hint, "__origin__", hint) if hasattr(hint, "__metadata__") else hint
    return [inner, *getattr(inner, "__args__", ())]


def _allows_none(hint: Any) -> bool:
    return type(None) in _arguments(hint)


def _is_tuple(hint: Any) -> bool:
    return any(getattr(part, "__origin__", part) is tuple for part in _arguments(hint))


def _is_secret(hint: Any) -> bool:
    return "Secret" in repr(hint)


def explain(raw: Any, hint: Any, error: msgspec.ValidationError) -> str:
    """Turn msgspec's sentence into one that shows the value (unless secret) and what is allowed."""
    shown = "the value" if _is_secret(hint) else repr(raw)
    return f"{shown} is not allowed: {allowed(hint) or error}"


def allowed(hint: Any) -> str:
    """Describe in words what a field takes, for errors and for the reference."""
    schema = msgspec.json.schema(_plain(hint), schema_hook=lambda _: {"type": "string"})
    schema = next((s for s in schema.get("anyOf", ()) if s.get("type") != "null"), schema)
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"] if value is not None)
    kind = schema.get("type")
    if kind in ("integer", "number"):
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        span = f" from {low} to {high}" if None not in (low, high) else f" of at least {low}" if low is not None else ""
        return f"{'a whole number' if kind == 'integer' else 'a number'}{span}"
    if kind == "boolean":
        return "true or false"
    if kind == "array":
        return "values separated by commas"
    if "pattern" in schema:
        return f"text that matches {schema['pattern']}"
    return "text"


def unknown(shapes: Iterable[type[Struct]], values: Mapping[str, Value]) -> list[SettingsFault]:
    """Find the names that nobody declares, each with the name that was probably meant."""
    shapes = list(shapes)
    known = {variable_name(shape, f.name) for shape in shapes for f in msgspec.structs.fields(shape)}
    free = tuple(f"{PREFIX}{p}" for shape in shapes for p in vars(shape).get("open_prefixes", ()))
    faults: list[SettingsFault] = []
    for name in sorted(set(values) - known):
        if free and name.startswith(free):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        faults.append(SettingsFault(name, values[name].source, f"there is no such setting{hint}"))
    return faults


def contradictions(core: CoreSettings, values: Mapping[str, Value]) -> list[SettingsFault]:
    """Find values that are well-formed and cannot work."""
    faults: list[SettingsFault] = []

    def fault(field: str, message: str) -> None:
        name = variable_name(CoreSettings, field)
        source = values[name].source if name in values else "default"
        faults.append(SettingsFault(name, source, message))

    for cidr in core.trusted_proxies:
        try:
            ipaddress.ip_network(cidr)
        except ValueError as error:
            fault("trusted_proxies", f"{error}; write 10.0.0.0/8 or 192.0.2.7")
    for field, url in (("database_url", core.database_url), *(("database_replica_urls", u) for u in core.database_replica_urls)):
        if url is not None and not url.startswith(("postgresql://", "postgres://")):
            fault(field, "the value is not allowed: it must start with postgresql:// or postgres://")
    schemes = ("redis://", "rediss://", "unix://", "redis+sentinel://", "rediss+sentinel://", "redis+cluster://", "rediss+cluster://")
    if core.redis_url is not None and not core.redis_url.startswith(schemes):
        fault("redis_url", "the value is not allowed: it must start with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")
    if core.metrics_port is not None and core.metrics_port == core.port:
        fault("metrics_port", f"{core.metrics_port} is the public port already; take another one")
    for origin in core.cors_origins or ():
        if origin != "*" and not origin.startswith(("http://", "https://")):
            fault("cors_origins", f"{origin!r} is not an origin; write https://app.example.com, or * for all")
    return faults


def weakness(secret: str) -> str | None:
    """Say why ``secret`` is no secret for production, or None when it is one."""
    if len(secret) < MIN_SECRET_CHARACTERS:
        return f"it has {len(secret)} characters; {MIN_SECRET_CHARACTERS} are needed"
    if secret in KNOWN_SECRETS:
        return "it is printed in public documentation"
    if len(set(secret)) < MIN_SECRET_DISTINCT:
        return f"it has fewer than {MIN_SECRET_DISTINCT} different characters"
    return None
