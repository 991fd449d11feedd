"""Configuration that lives in the database, and how it reaches a running process.

    ALTER ROLE authenticator SET pgrst.db_max_rows = '100';
    ALTER ROLE anon SET statement_timeout = '3s';
    NOTIFY pgrst, 'reload config';

The first kind overrides `RestSettings`. The second kind is said anew in each
transaction, since PostgreSQL applies a role's own settings at login alone and
data requests switch to their role later. What cannot be read or does not fit
leaves everything as it was.

Source: PostgREST 16, ``Config/Database.hs``.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast, get_type_hints

import msgspec
from msgspec import Struct

from modules.rest.settings import RestSettings
from monohull.kernel.database.frames import PostgresError
from monohull.kernel.database.statements import Isolation, Rows, Statement
from monohull.kernel.errors import Problem
from monohull.kernel.observation import SILENT, Level, Observation, Observer
from monohull.kernel.settings.conversion import convert
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from modules.query import DataSource

RETRY_SECONDS: Final = 1.0
FIRST_READ_SECONDS: Final = 5.0
APP_SETTINGS: Final = "MONOHULL_REST_APP_SETTINGS_"
ISOLATION: Final = "default_transaction_isolation"
_ISOLATIONS: Final = ("read committed", "repeatable read", "serializable")

_OWN: Final = """
SELECT name, value FROM (
  SELECT DISTINCT ON (1) substr(s, 1, strpos(s, '=') - 1) AS name, substr(s, strpos(s, '=') + 1) AS value
  FROM pg_catalog.pg_db_role_setting d, unnest(d.setconfig) s
  WHERE d.setrole = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user)
    AND d.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
  ORDER BY 1, d.setdatabase DESC) AS stored
WHERE name LIKE 'pgrst.%'
"""
"""Settings of the login, those for this database first. What the connection itself has may be old."""

_IN_FORCE: Final = """
SELECT name, current_setting(name, true) FROM unnest($1::text[]) AS name
WHERE nullif(current_setting(name, true), '') IS NOT NULL
"""
"""Asked before and after the function ``db-pre-config``: what differs it has set."""

_ROLES: Final = """
SELECT r.rolname, lower(substr(s, 1, strpos(s, '=') - 1)) AS name, substr(s, strpos(s, '=') + 1)
FROM pg_catalog.pg_roles r, unnest(r.rolconfig) s
JOIN pg_catalog.pg_settings p ON p.name = lower(substr(s, 1, strpos(s, '=') - 1)) AND p.context = 'user'
"""
"""Settings of all roles that anybody may set."""


class RoleSettings(Struct, frozen=True):
    """What a role brings to each of its transactions."""

    settings: tuple[tuple[str, str], ...] = ()
    isolation: Isolation | None = None


NOTHING: Final = RoleSettings()


class Surroundings(Struct, frozen=True):
    """What the data API knows of the process that serves it.

    Attributes:
        address: Where clients reach it, for the description at the root.
        demands_key: Refuse requests without a credential.
        is_development: Tell developers about plans and times, unless the settings say otherwise.
    """

    address: str
    demands_key: bool = False
    is_development: bool = False


class Config(Struct, frozen=True, dict=True):
    """All that the data API goes by, at one moment.

    Attributes:
        settings: From the process and the database together.
        roles: Of roles that have settings of their own.
        app_settings: Names with ``app.settings.`` and values.
    """

    settings: RestSettings
    roles: Mapping[str, RoleSettings] = {}
    app_settings: tuple[tuple[str, str], ...] = ()

    def of_role(self, role: str) -> RoleSettings:
        return self.roles.get(role, NOTHING)

    def hoist(self, routine: Sequence[tuple[str, str]]) -> RoleSettings:
        """Return those settings of a function that hold for its whole transaction."""
        kept = [pair for pair in routine if pair[0] in self.settings.hoisted_tx_settings]
        return gather(kept)

    @cached_property
    def timeout_ms(self) -> int | None:
        """Of each statement; None for what the login says."""
        return round(self.settings.statement_timeout_seconds * 1000) or None

    @cached_property
    def pre_request(self) -> str | None:
        """The statement that runs before each request's."""
        return None if self.settings.pre_request is None else call_sql(self.settings.pre_request)

    @cached_property
    def read_isolation(self) -> Isolation | None:
        """Of reads; None for the server's default."""
        chosen = self.settings.tx_read_isolation
        return None if chosen == "read-committed" else cast("Isolation", chosen.replace("-", " "))


class ConfigLoaded(Observation, frozen=True, kw_only=True):
    """The configuration in the database was read."""

    event: ClassVar[str] = "config.loaded"

    overridden: tuple[str, ...]


class ConfigUnreadable(Observation, frozen=True, kw_only=True):
    """It could not be read, or holds a value that does not fit; what was in force still is."""

    event: ClassVar[str] = "config.unreadable"
    level: ClassVar[Level] = "warning"

    reason: str


class LiveConfig:
    """Holds the current configuration and keeps it fresh.

    Args:
        base: Settings of the process.
        app_settings: `read_app_settings` of the process.
        source: The pool of data requests; its login's settings are meant.
        changed: Called with each new configuration.
        observer: Told of every read.
    """

    def __init__(
        self,
        base: RestSettings,
        app_settings: tuple[tuple[str, str], ...],
        source: DataSource,
        changed: Callable[[Config], None],
        observer: Observer = SILENT,
    ) -> None:
        self._base = base
        self._source = source
        self._changed = changed
        self._observer = observer
        self._wanted = asyncio.Event()
        self._tried = asyncio.Event()
        self.current = Config(base, {}, app_settings)

    def request_reload(self) -> None:
        """Have it read again soon."""
        self._wanted.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep it fresh while the block runs; it begins when a first read was tried."""
        async with beside(self._keep(), name="configuration"):
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_READ_SECONDS):
                    await self._tried.wait()
            yield

    async def _keep(self) -> None:
        while True:
            self._wanted.clear()
            try:
                await self._read()
            except (PostgresError, ValueError) as error:
                self._observer.observe(ConfigUnreadable(reason=str(error)))
            except Problem as problem:
                self._observer.observe(ConfigUnreadable(reason=problem.message))
                self._tried.set()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._tried.set()
            await self._wanted.wait()

    async def _read(self) -> None:
        statements = [Statement(_ROLES), Statement(_OWN)]
        if self._base.pre_config is not None:
            in_force = Statement(_IN_FORCE, (_array(f"pgrst.{name}" for name in stored_names()),))
            statements += [in_force, Statement(call_sql(self._base.pre_config)), in_force]
        results = await self._source.run_batch(statements, commit=False)
        found = _pairs(results[1]) if self._base.config else {}
        if self._base.pre_config is not None:
            before = _pairs(results[2])
            found |= {name: value for name, value in _pairs(results[4]).items() if before.get(name) != value}
        settings, names = overlay(self._base, found)
        self.current = Config(settings, read_roles(results[0]), self.current.app_settings)
        self._changed(self.current)
        self._observer.observe(ConfigLoaded(overridden=names))


def call_sql(function: str) -> str:
    """Return the statement that calls ``function``, which may have its schema in front.

    >>> call_sql("test.switch_role"), call_sql("custom_headers")
    ('select "test"."switch_role"()', 'select "custom_headers"()')
    """
    schema, dot, name = function.partition(".")
    parts = (schema, name) if dot else (schema,)
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in parts)
    return f"select {quoted}()"


def read_app_settings(free: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return ``MONOHULL_REST_APP_SETTINGS_…`` as the settings they become.

    >>> read_app_settings({"MONOHULL_REST_APP_SETTINGS_APP_HOST": "localhost"})
    (('app.settings.app_host', 'localhost'),)
    """
    return tuple(
        (f"app.settings.{name.removeprefix(APP_SETTINGS).lower()}", value)
        for name, value in sorted(free.items())
        if name.startswith(APP_SETTINGS)
    )


def stored_names() -> dict[str, str]:
    """Return the fields of `RestSettings` by the name they have in the database, ``db_`` and all."""
    fields = [field.name for field in msgspec.structs.fields(RestSettings)]
    plain = {name: name for name in fields}
    return plain | {f"db_{name}": name for name in fields}


def overlay(base: RestSettings, found: Mapping[str, str]) -> tuple[RestSettings, tuple[str, ...]]:
    """Return ``base`` with what the database says, and the names of what it says.

    Names that mean nothing here are passed over: they may be for another product.

    Raises:
        ValueError: A value does not fit.
    """
    fields = stored_names()
    hints = get_type_hints(RestSettings, include_extras=True)
    values: dict[str, Any] = {}
    for name, raw in found.items():
        field = fields.get(name.removeprefix("pgrst."))
        if field is None:
            continue
        try:
            values[field] = convert(raw, hints[field])
        except msgspec.ValidationError as error:
            raise ValueError(f"{name} = {raw!r} in the database: {error}") from error
    return msgspec.structs.replace(base, **values), tuple(sorted(values))


def read_roles(rows: Rows) -> dict[str, RoleSettings]:
    """Gather settings by role."""
    found: dict[str, list[tuple[str, str]]] = {}
    for role, name, value in _texts(rows):
        found.setdefault(role, []).append((name, value))
    return {role: gather(pairs) for role, pairs in found.items()}


def gather(pairs: Iterable[tuple[str, str]]) -> RoleSettings:
    """Set the isolation level apart: a transaction begins with it, it cannot be set later."""
    settings: list[tuple[str, str]] = []
    isolation: Isolation | None = None
    for name, value in pairs:
        if name != ISOLATION:
            settings.append((name, value))
        elif value.lower() in _ISOLATIONS:
            isolation = cast("Isolation", value.lower())
    return RoleSettings(tuple(settings), isolation)


def _texts(rows: Rows) -> Iterable[tuple[str, ...]]:
    return (tuple((value or b"").decode() for value in row) for row in rows.rows)


def _pairs(rows: Rows) -> dict[str, str]:
    return {name: value for name, value in _texts(rows)}  # noqa: C416  mypy knows the length no other way


def _array(names: Iterable[str]) -> str:
    """Write plain names as PostgreSQL's array literal."""
    return "{" + ",".join(names) + "}"
