"""At which revision a database's platform schema is, and whether this code fits it.

A revision may say ``expands = True``: it only adds, so that code which does not
know it goes on. The database then names, in the comment of the version table,
the revision that code has to know at least; so processes of the version before
serve while those of the next one take their places.

Apart from `migrations`, so that a process which only asks, and never migrates,
holds no Alembic in memory.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from monohull.kernel.database.revisions import locate

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from monohull.kernel.database.engine import Database

SCHEMA: Final = "monohull"
VERSION_TABLE: Final = "platform_version"
REVISION_DIGITS: Final = 4
DEMAND: Final = "At revision {}, which serves code that knows revision {}."
DEMANDED: Final = re.compile(DEMAND.replace(".", r"\.").replace("{}", r"(\w+)"))
"""The comment of the version table."""

StateKind: TypeAlias = Literal["current", "pending", "newer"]


async def current(database: Database) -> str | None:
    """Return the revision that the database is at, or None.

    Raises:
        DatabaseUnavailable: 503.
    """
    async with database.connected() as connection:
        return await connection.run_sync(read_version)


async def schema_state(database: Database) -> StateKind:
    """Compare the database with this code, for a process that asks again and again.

    Returns:
        ``current`` also where newer revisions are applied of which each expands; ``newer`` when one of them
        does not.

    Raises:
        DatabaseUnavailable: 503.
    """
    known = known_revisions()
    async with database.connected() as connection:
        found = await connection.run_sync(read_version)
        if found == known[-1]:
            return "current"
        if found is None or found in known:
            return "pending"
        demanded = await connection.run_sync(read_demand, found)
    return "current" if demanded in known else "newer"


@cache
def known_revisions() -> tuple[str, ...]:
    """Return the ids of this code's revisions, oldest first; they do not change while it runs.

    A revision's file begins with its id, and the ids count: what a test holds the files to.
    """
    return tuple(sorted(path.name[:REVISION_DIGITS] for path in (locate() / "versions").glob("[0-9]*.py")))


def demand_of(revision: str, down_revision: str | None, before: str | None, *, expands: bool) -> str:
    """Return the revision that code has to know to serve a database at ``revision``.

    Args:
        revision: Just applied.
        down_revision: The one before it.
        before: What was demanded before; None by a database that says nothing.
        expands: Whether ``revision`` only adds.
    """
    if not expands:
        return revision
    return before or down_revision or revision


def write_demand(connection: Connection, revision: str, demanded: str) -> None:
    """Leave in the database which revision code has to know at least while it is at ``revision``.

    Raises:
        ValueError: One of them is no revision; a comment takes no parameters.
    """
    text = DEMAND.format(revision, demanded)
    if DEMANDED.fullmatch(text) is None:
        raise ValueError(text)
    connection.exec_driver_sql(f"COMMENT ON TABLE {SCHEMA}.{VERSION_TABLE} IS '{text}'")


def read_demand(connection: Connection, revision: str) -> str | None:
    """Return what code has to know to serve a database at ``revision``; None: it does not say."""
    comment = connection.exec_driver_sql(
        f"SELECT obj_description('{SCHEMA}.{VERSION_TABLE}'::regclass, 'pg_class')"
    ).scalar_one()
    match = DEMANDED.fullmatch(comment or "")
    # a comment of another revision was left by whoever set this one by hand
    return match[2] if match is not None and match[1] == revision else None


def read_version(connection: Connection) -> str | None:
    """Return the revision that the database of ``connection`` is at, or None."""
    table = f"{SCHEMA}.{VERSION_TABLE}"
    if connection.exec_driver_sql(f"SELECT to_regclass('{table}')").scalar_one() is None:
        return None
    revision: str | None = connection.exec_driver_sql(
        f"SELECT version_num FROM {table}"  # noqa: S608 a constant
    ).scalar_one_or_none()
    return revision
