"""What `monohull doctor` looks at: each finding says what is wrong and how to mend it."""

from __future__ import annotations

import importlib.metadata
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

from monohull.kernel.clock import now
from monohull.kernel.database import ddl
from monohull.kernel.errors import Problem
from monohull.kernel.hardening import inspect
from monohull.kernel.redis_connection import server_infos
from monohull.kernel.settings import weakness

if TYPE_CHECKING:
    from monohull.kernel.runtime import Runtime

MIN_POSTGRES: Final = 140000
MIN_REDIS: Final = (6, 2)
MAX_CLOCK_DIFFERENCE: Final = timedelta(seconds=5)
OTHERS_MAY: Final = 0o077


class Diagnosis(Struct, frozen=True):
    """The result of looking at one thing.

    Attributes:
        name: What was looked at.
        state: ``ok``, ``advice``, ``wrong``, or ``away`` when it could not be asked.
        message: What was found, and for everything but ``ok`` what to do.
    """

    name: str
    state: Literal["ok", "advice", "wrong", "away"]
    message: str


Look: TypeAlias = Callable[["Runtime"], Awaitable[Diagnosis]]


async def examine(runtime: Runtime) -> AsyncIterator[Diagnosis]:
    """Look at everything, one after the other; what cannot be asked is ``away`` and stops nothing."""
    looks = LOOKS | {name: look for module in runtime.modules for name, look in module.looks.items()}
    for name, look in looks.items():
        try:
            yield await look(runtime)
        except Problem as problem:
            yield Diagnosis(name, "away", problem.message)


async def packages(_: Runtime) -> Diagnosis:
    """Find another wheel that ships a package called ``modules``: it would overwrite ours."""
    owners = importlib.metadata.packages_distributions().get("modules", [])
    strangers = sorted({owner for owner in owners if owner.lower() != "monohull"})
    if strangers:
        names = ", ".join(strangers)
        message = f"{names} ships a package `modules` too; install Monohull into an environment of its own"
        return Diagnosis("packages", "wrong", message)
    return Diagnosis("packages", "ok", "no other distribution ships `modules`")


async def secrets(runtime: Runtime) -> Diagnosis:
    """Weigh the JWT secret and look at the mode of the files in the home."""
    settings = runtime.settings
    secret = settings.jwt.shared_secret
    if secret is not None and (reason := weakness(secret)) is not None:
        state: Literal["wrong", "advice"] = "wrong" if settings.core.is_production else "advice"
        return Diagnosis(
            "secrets", state, f"MONOHULL_JWT_SECRET: {reason}; make one with `openssl rand -base64 48`"
        )
    folder = settings.home / "secrets"
    if folder.is_dir():
        readable = sorted(f.name for f in folder.iterdir() if stat.S_IMODE(f.stat().st_mode) & OTHERS_MAY)
        if readable:
            message = f"others may read {', '.join(readable)} in {folder}; run `chmod 600` on them"
            return Diagnosis("secrets", "wrong", message)
    return Diagnosis("secrets", "ok", "the JWT secret is strong and files are readable by their owner alone")


async def configuration(runtime: Runtime) -> Diagnosis:
    """Say what production would refuse."""
    findings = inspect(runtime.settings, runtime.modules)
    if not runtime.settings.core.is_production or not findings:
        return Diagnosis("configuration", "ok", f"holds for {runtime.settings.core.env}")
    return Diagnosis("configuration", "advice", "; ".join(str(finding.fault) for finding in findings))


async def database(runtime: Runtime) -> Diagnosis:
    """Look at the server's version."""
    async with runtime.database.connection() as connection:
        number = int(await connection.fetchval("show server_version_num"))
        version = await connection.fetchval("show server_version")
    if number < MIN_POSTGRES:
        return Diagnosis("database", "wrong", f"PostgreSQL {version} is too old; 14 or newer is needed")
    return Diagnosis("database", "ok", f"PostgreSQL {version}")


async def migrations(runtime: Runtime) -> Diagnosis:
    """Compare the platform schema with this code."""
    await runtime.schema.check()
    advice = await runtime.schema.probe()
    return Diagnosis(
        "migrations", "ok" if advice is None else "wrong", advice or "the platform schema is current"
    )


async def schema_changes(runtime: Runtime) -> Diagnosis:
    """Say whether the database tells of DDL by itself."""
    async with runtime.database.connection() as connection:
        state = await ddl.state(connection)
    if state == "installed":
        message = "event triggers tell of every change of the structure"
        return Diagnosis("schema changes", "ok", message)
    why = (
        "its event triggers are switched off"
        if state == "disabled"
        else "the owner may not have event triggers here"
    )
    message = (
        f"the database does not tell of changes of its structure: {why}. Send `NOTIFY {ddl.CHANNEL}, "
        f"'{ddl.PAYLOAD}'` after DDL that `monohull migrate` did not run, or see "
        "docs/decisions/0007-ddl-notices.md"
    )
    return Diagnosis("schema changes", "advice", message)


async def data_login(runtime: Runtime) -> Diagnosis:
    """Say as whom data requests log in."""
    await runtime.data.open()
    if runtime.data.login == "authenticator":
        return Diagnosis(
            "data login", "ok", "data requests log in as authenticator, which may only become the API roles"
        )
    message = (
        "data requests log in as the owner and change to the caller's role from there: the login "
        "authenticator is missing, refused, or service_role cannot bypass row security; "
        "see docs/decisions/0005-data-login.md"
    )
    return Diagnosis("data login", "advice", message)


async def connection_budget(runtime: Runtime) -> Diagnosis:
    """Compare what the processes of one host may open with what the server allows."""
    core = runtime.settings.core
    async with runtime.database.connection() as connection:
        allowed = int(await connection.fetchval("show max_connections"))
        reserved = int(await connection.fetchval("show superuser_reserved_connections"))
    per_process = core.pool_size * 3  # the data pool, the platform pool and its overflow
    fits = (allowed - reserved) // per_process
    if fits < 2:  # noqa: PLR2004 one API and one worker
        message = (
            f"a process may open {per_process} connections and the server allows {allowed - reserved}: "
            "lower MONOHULL_POOL_SIZE or raise max_connections"
        )
        return Diagnosis("connection budget", "wrong", message)
    return Diagnosis(
        "connection budget", "ok", f"{allowed - reserved} connections are enough for {fits} processes"
    )


async def clock(runtime: Runtime) -> Diagnosis:
    """Compare this host's clock with the database's: tokens and rate limits read both."""
    async with runtime.database.connection() as connection:
        theirs = await connection.fetchval("select clock_timestamp()")
    apart = abs(now() - theirs)
    if apart > MAX_CLOCK_DIFFERENCE:
        return Diagnosis("clock", "wrong", f"the database's clock differs by {apart}; synchronise both")
    return Diagnosis("clock", "ok", f"differs from the database's by {apart.total_seconds():.3f} s")


async def redis(runtime: Runtime) -> Diagnosis:
    """Look at the version and at what Redis does when it is full; of a cluster at all primaries."""
    if (wrong := await runtime.probe_redis()) is not None:
        return Diagnosis("redis", "away", wrong)
    infos = await server_infos(runtime.redis)
    versions = sorted({str(info["redis_version"]) for info in infos})
    for version in versions:
        if tuple(int(part) for part in version.split(".")[:2]) < MIN_REDIS:
            return Diagnosis("redis", "wrong", f"Redis {version} is too old; 6.2 or newer is needed")
    for info in infos:
        policy = str(info.get("maxmemory_policy", "noeviction"))
        if policy != "noeviction":
            message = (
                f"maxmemory-policy is {policy}: jobs would be thrown away when memory is full; set noeviction"
            )
            return Diagnosis("redis", "wrong", message)
    return Diagnosis("redis", "ok", f"version {', '.join(versions)}, nothing is evicted")


LOOKS: Final[dict[str, Look]] = {
    "packages": packages,
    "secrets": secrets,
    "configuration": configuration,
    "database": database,
    "migrations": migrations,
    "schema changes": schema_changes,
    "data login": data_login,
    "connection budget": connection_budget,
    "clock": clock,
    "redis": redis,
}
