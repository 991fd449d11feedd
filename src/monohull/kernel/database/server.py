"""The server's roles: which there are, which are missing, and making them.

Roles belong to the whole cluster, so another database may have made them
already, or be making them right now, and the owner of this one may not be
allowed to. `plan_roles` compares what is with what has to be, purely;
`ensure_roles` tries each statement, looks again, and refuses with the SQL for
an administrator when something is still missing.

``authenticator`` is the login of data requests: no rights of its own
(NOINHERIT), member of the three roles it switches to.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64encode
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from sqlalchemy.exc import DBAPIError

from monohull.kernel.database.engine import driver_error
from monohull.kernel.database.errors import AdministratorNeeded, MigrationRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

LOGIN: Final = "authenticator"
CLIENT_ROLES: Final = ("anon", "authenticated")
API_ROLES: Final = (*CLIENT_ROLES, "service_role")
SCHEMAS: Final = ("auth", "storage", "extensions", "monohull")

OLDEST_VERSION: Final = 140000
SET_OPTION_VERSION: Final = 160000
"""From here a membership says separately whether it allows SET ROLE, and CREATEROLE lost its reach."""

SCRAM_ITERATIONS: Final = 4096

_DUPLICATE: Final = frozenset({"42710", "23505"})
_FORBIDDEN: Final = frozenset({"42501", "42704"})
"""Not allowed; or a role is missing that an earlier step was not allowed to make."""

_CONCURRENT: Final = "XX000"
"""`tuple concurrently updated`: two sessions changed the same catalogue row."""

_ATTEMPTS: Final = 5


class Role(Struct, frozen=True):
    """One role that exists.

    Attributes:
        owner_may_set: The owner may SET ROLE to it.
        login_may_set: ``authenticator`` may.
    """

    can_login: bool = False
    inherits: bool = True
    bypasses_rls: bool = False
    is_superuser: bool = False
    owner_may_set: bool = False
    login_may_set: bool = False


class Server(Struct, frozen=True, kw_only=True):
    """What the owner's connection sees of the server.

    Attributes:
        version: ``server_version_num``, 180006 for 18.6.
        roles: The platform's roles that exist, by name.
        missing_schemas: Those of `SCHEMAS` that this database lacks.
    """

    version: int
    owner: str
    database: str
    owner_is_superuser: bool
    owner_creates_roles: bool
    owner_bypasses_rls: bool
    owner_creates_schemas: bool
    roles: Mapping[str, Role]
    missing_schemas: tuple[str, ...] = ()


class Step(Struct, frozen=True):
    """One statement that brings the roles nearer to what they have to be.

    Attributes:
        sql: May hold the verifier of a password, never a password.
        fallback: Tried when the owner may not run ``sql``.
        is_optional: Things work without it, though not as well.
    """

    sql: str
    fallback: str | None = None
    is_optional: bool = False


def read_server(connection: Connection) -> Server:
    """Ask the server about itself.

    Raises:
        MigrationRefused: It is older than PostgreSQL 14.
    """
    row = connection.exec_driver_sql(
        """
        SELECT current_setting('server_version_num')::int AS version,
               current_setting('server_version') AS shown,
               r.rolname::text AS owner, current_database()::text AS database,
               r.rolsuper, r.rolcreaterole, r.rolbypassrls,
               has_database_privilege(current_database(), 'CREATE') AS creates
          FROM pg_roles r WHERE r.rolname = current_user
        """
    ).one()
    if row.version < OLDEST_VERSION:
        raise MigrationRefused(f"the server is PostgreSQL {row.shown}; 14 or newer is needed")
    present = connection.exec_driver_sql("SELECT nspname::text FROM pg_namespace").scalars().all()
    return Server(
        version=row.version,
        owner=row.owner,
        database=row.database,
        owner_is_superuser=row.rolsuper,
        owner_creates_roles=row.rolcreaterole,
        owner_bypasses_rls=row.rolbypassrls,
        owner_creates_schemas=row.creates,
        roles=_read_roles(connection, row.version),
        missing_schemas=tuple(schema for schema in SCHEMAS if schema not in present),
    )


def _read_roles(connection: Connection, version: int) -> dict[str, Role]:
    kind = "SET" if version >= SET_OPTION_VERSION else "MEMBER"
    rows = connection.exec_driver_sql(
        f"""
        SELECT r.rolname::text AS name, r.rolcanlogin, r.rolinherit, r.rolbypassrls, r.rolsuper,
               pg_has_role(current_user, r.oid, '{kind}') AS owner_may_set,
               coalesce((SELECT pg_has_role(a.oid, r.oid, '{kind}')
                           FROM pg_roles a WHERE a.rolname = '{LOGIN}'), false) AS login_may_set
          FROM pg_roles r WHERE r.rolname IN ('{LOGIN}', '{"', '".join(API_ROLES)}')
        """  # noqa: S608 constants
    )
    return {row.name: Role(*row[1:]) for row in rows}


def plan_roles(server: Server, verifier: str) -> tuple[Step, ...]:
    """Say what is still to be done, in order; empty when everything is there.

    Args:
        server: As `read_server` saw it.
        verifier: Of the password of ``authenticator``, from `scram_verifier`.
    """
    steps = [*_creations(server, verifier), *_corrections(server)]
    login = server.roles.get(LOGIN, Role())
    missing = [name for name in API_ROLES if not server.roles.get(name, Role()).login_may_set]
    if missing and not login.is_superuser:
        steps.append(Step(f"GRANT {', '.join(missing)} TO {LOGIN}"))
    missing = [name for name in API_ROLES if not server.roles.get(name, Role()).owner_may_set]
    if missing and not server.owner_is_superuser:
        options = " WITH INHERIT FALSE, SET TRUE" if server.version >= SET_OPTION_VERSION else ""
        steps.append(Step(f"GRANT {', '.join(missing)} TO {quote_name(server.owner)}{options}"))
    return tuple(steps)


def _creations(server: Server, verifier: str) -> list[Step]:
    absent = [name for name in CLIENT_ROLES if name not in server.roles]
    steps = [Step(f"CREATE ROLE {name} NOLOGIN NOINHERIT") for name in absent]
    if "service_role" not in server.roles:
        plain = "CREATE ROLE service_role NOLOGIN NOINHERIT"
        steps.append(Step(f"{plain} BYPASSRLS", fallback=plain))
    if LOGIN not in server.roles:
        steps.append(Step(f"CREATE ROLE {LOGIN} LOGIN NOINHERIT PASSWORD '{verifier}'"))
    return steps


def _corrections(server: Server) -> list[Step]:
    """Roles that somebody else made: too much power is refused, too little is mended where we may."""
    found = {name: server.roles.get(name, Role()) for name in (*CLIENT_ROLES, LOGIN)}
    steps = [
        Step(f"ALTER ROLE {name} NOSUPERUSER NOBYPASSRLS")
        for name, role in found.items()
        if role.is_superuser or role.bypasses_rls
    ]
    service = server.roles.get("service_role")
    if service is not None and not (service.bypasses_rls or service.is_superuser):
        steps.append(Step("ALTER ROLE service_role BYPASSRLS", is_optional=True))
    login = server.roles.get(LOGIN)
    if login is not None and (login.inherits or not login.can_login):
        steps.append(Step(f"ALTER ROLE {LOGIN} LOGIN NOINHERIT", is_optional=True))
    return steps


def ensure_roles(connection: Connection, password: str, *, reset_password: bool = False) -> tuple[str, ...]:
    """Bring the cluster's roles where they have to be, inside the caller's transaction.

    Args:
        connection: Of the owner.
        password: Of ``authenticator``; given to it only when it is made here or with
            ``reset_password``, which is for servers that are ours alone.
        reset_password: Give it the password now, whatever it had.

    Returns:
        What was done, without verifiers.

    Raises:
        AdministratorNeeded: The owner may not do it; nothing else is wrong.
        MigrationRefused: The server is too old.
    """
    verifier = scram_verifier(password)
    server = read_server(connection)
    attempts = [_attempt(connection, step) for step in plan_roles(server, verifier)]
    done = [sql for sql in attempts if sql is not None]
    if done:
        server = read_server(connection)
    needed = [step.sql for step in plan_roles(server, verifier) if not step.is_optional]
    if needed:
        raise AdministratorNeeded(
            f"the role {server.owner!r} may not make the roles that the platform needs on this server", needed
        )
    if reset_password:
        _execute(connection, f"ALTER ROLE {LOGIN} LOGIN PASSWORD '{verifier}'")
    return tuple(sql.replace(verifier, "…") for sql in done)


def ensure_schemas_possible(server: Server) -> None:
    """Check that the owner may make the schemas that are missing.

    Raises:
        AdministratorNeeded: It may not.
    """
    if server.missing_schemas and not server.owner_creates_schemas:
        raise AdministratorNeeded(
            f"the role {server.owner!r} may not make schemas in this database",
            [f"GRANT CREATE ON DATABASE {quote_name(server.database)} TO {quote_name(server.owner)}"],
        )


def _attempt(connection: Connection, step: Step) -> str | None:
    """Run ``step`` or its fallback; None when the owner may run neither."""
    for sql in filter(None, (step.sql, step.fallback)):
        if _execute(connection, sql):
            return sql
    return None


def _execute(connection: Connection, sql: str) -> bool:
    """Run ``sql`` under a savepoint: true when it took effect, here or in another session meanwhile."""
    for attempt in range(_ATTEMPTS):
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(sql)
        except DBAPIError as error:
            state = getattr(driver_error(error), "sqlstate", None)
            if state in _DUPLICATE:
                return True
            if state in _FORBIDDEN:
                return False
            if state != _CONCURRENT or attempt == _ATTEMPTS - 1:
                raise
        else:
            return True
    raise AssertionError("the loop returns or raises")  # pragma: no cover


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """Return what PostgreSQL stores for ``password``, so that neither log nor wire sees the password.

    Args:
        password: ASCII, so that SASLprep would not change it.
        salt: 16 bytes, or None for random ones.

    Source: RFC 5802 and PostgreSQL's ``scram_build_secret``.
    """
    salt = salt or secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = (b64encode(part).decode() for part in (salt, stored, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(SCRAM_ITERATIONS, *encoded)


def quote_name(name: str) -> str:
    """Quote an identifier, doubling the quotes inside.

    >>> quote_name("my shop")
    '"my shop"'
    """
    return '"' + name.replace('"', '""') + '"'
