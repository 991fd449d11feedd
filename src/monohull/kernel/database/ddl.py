"""Event triggers that tell of every change of the database's structure.

    NOTIFY pgrst, 'reload schema'

is what PostgREST's users send after DDL, and whoever keeps a catalog listens to
it. Where the owner may have event triggers the database sends it by itself, so
that DDL from ``psql`` or a migration tool is seen at once. Several commands in
one transaction are one notification. Temporary objects, and changes that no
catalog knows of (indexes, grants, policies, refreshed views), are no reason.

An event trigger needs a superuser, or a host that lends the right. That can
change, so it is tried at each migration and stands in no revision; see
docs/decisions/0007-ddl-notices.md.

Source of the idea: PostgREST, "Automatic Schema Cache Reloading".
"""

# constants alone are put together here
# ruff: noqa: S608
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy.exc import DBAPIError

from monohull.kernel.database.engine import driver_error

if TYPE_CHECKING:
    from asyncpg import Connection as RawConnection
    from sqlalchemy import Connection

CHANNEL: Final = "pgrst"
PAYLOAD: Final = "reload schema"

IGNORED_COMMANDS: Final = (
    *("GRANT", "REVOKE", "ALTER DEFAULT PRIVILEGES"),
    *("CREATE INDEX", "ALTER INDEX", "CREATE STATISTICS", "ALTER STATISTICS"),
    *("CREATE POLICY", "ALTER POLICY", "REFRESH MATERIALIZED VIEW"),
)
IGNORED_OBJECTS: Final = ("index", "policy", "statistics object")

FUNCTIONS: Final = {
    "notify_of_ddl": f"""
        IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() AS done
                   WHERE done.command_tag NOT IN ('{"', '".join(IGNORED_COMMANDS)}')
                     AND done.schema_name IS DISTINCT FROM 'pg_temp') THEN
            PERFORM pg_notify('{CHANNEL}', '{PAYLOAD}');
        END IF;""",
    "notify_of_drop": f"""
        IF EXISTS (SELECT FROM pg_event_trigger_dropped_objects() AS gone
                   WHERE gone.original AND NOT gone.is_temporary
                     AND gone.object_type NOT IN ('{"', '".join(IGNORED_OBJECTS)}')) THEN
            PERFORM pg_notify('{CHANNEL}', '{PAYLOAD}');
        END IF;""",
}
TRIGGERS: Final = {
    "monohull_ddl": ("ddl_command_end", "notify_of_ddl"),
    "monohull_drop": ("sql_drop", "notify_of_drop"),
}

STATE: Final = f"""
SELECT count(*) FILTER (WHERE evtenabled IN ('O', 'A')) AS enabled, count(*) AS present
  FROM pg_event_trigger t JOIN pg_proc p ON p.oid = t.evtfoid
 WHERE t.evtname IN ('{"', '".join(TRIGGERS)}') AND p.pronamespace = to_regnamespace('monohull')
"""

_IMPOSSIBLE: Final = frozenset({"42501", "0A000", "42704", "42710"})
"""Not allowed; not supported; no PL/pgSQL here; somebody else has a trigger of this name."""

State = Literal["installed", "disabled", "absent"]


def ensure(connection: Connection) -> None:
    """Install the triggers where that is allowed, in the caller's transaction.

    Triggers that somebody has switched off stay so.
    """
    try:
        with connection.begin_nested():
            for name, body in FUNCTIONS.items():
                _create_function(connection, name, body)
            for trigger, (event, function) in TRIGGERS.items():
                if not _is_there(connection, trigger, function):
                    connection.exec_driver_sql(
                        f"CREATE EVENT TRIGGER {trigger} ON {event} EXECUTE FUNCTION monohull.{function}()"
                    )
    except DBAPIError as error:
        if getattr(driver_error(error), "sqlstate", None) not in _IMPOSSIBLE:
            raise


def remove(connection: Connection) -> None:
    """Take away functions and triggers; who owns the schema may, whoever has made them."""
    for name in FUNCTIONS:
        connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS monohull.{name}() CASCADE")


async def state(connection: RawConnection[Any]) -> State:
    """Say whether changes are told of, on any login's connection."""
    enabled, present = await connection.fetchrow(STATE)
    if enabled == len(TRIGGERS):
        return "installed"
    return "disabled" if present == len(TRIGGERS) else "absent"


def _create_function(connection: Connection, name: str, body: str) -> None:
    """Make it, and make it ours: a superuser's trigger must not run what another role may rewrite."""
    connection.exec_driver_sql(
        f"CREATE OR REPLACE FUNCTION monohull.{name}() RETURNS event_trigger LANGUAGE plpgsql "
        f"SET search_path = pg_catalog, pg_temp AS $$ BEGIN{body} END $$"
    )
    connection.exec_driver_sql(f"ALTER FUNCTION monohull.{name}() OWNER TO CURRENT_USER")


def _is_there(connection: Connection, trigger: str, function: str) -> bool:
    return bool(
        connection.exec_driver_sql(
            f"SELECT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = '{trigger}' "
            f"AND evtfoid = 'monohull.{function}()'::regprocedure)"
        ).scalar_one()
    )
