"""At which revision a database's platform schema is, and whether this code fits it.

Apart from `migrations`, so that a process which only asks, and never migrates,
holds no Alembic in memory.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from monohull.kernel.database.revisions import locate

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from monohull.kernel.database.engine import Database

SCHEMA: Final = "monohull"
VERSION_TABLE: Final = "platform_version"
REVISION_DIGITS: Final = 4

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
        ``newer`` when the database holds a revision that this code does not know.

    Raises:
        DatabaseUnavailable: 503.
    """
    known = known_revisions()
    found = await current(database)
    if found == known[-1]:
        return "current"
    return "pending" if found is None or found in known else "newer"


@cache
def known_revisions() -> tuple[str, ...]:
    """Return the ids of this code's revisions, oldest first; they do not change while it runs.

    A revision's file begins with its id, and the ids count: what a test holds the files to.
    """
    return tuple(sorted(path.name[:REVISION_DIGITS] for path in (locate() / "versions").glob("[0-9]*.py")))


def read_version(connection: Connection) -> str | None:
    """Return the revision that the database of ``connection`` is at, or None."""
    table = f"{SCHEMA}.{VERSION_TABLE}"
    if connection.exec_driver_sql(f"SELECT to_regclass('{table}')").scalar_one() is None:
        return None
    revision: str | None = connection.exec_driver_sql(
        f"SELECT version_num FROM {table}"  # noqa: S608 a constant
    ).scalar_one_or_none()
    return revision
