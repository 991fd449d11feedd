"""What the backends of a test's database do, seen by another session of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.patience import eventually

if TYPE_CHECKING:
    import asyncpg

HELD: Final = 4712
"""Of an advisory lock: whoever asks for it while a test has it waits until the test lets go."""

WAITING: Final = (
    "select pid from pg_locks where locktype = 'advisory' and objid = $1 and not granted"
    " and database = (select oid from pg_database where datname = current_database())"
)

WAIT_SECONDS: Final = 60.0
"""How long a request waits for a connection, where a test does not say so."""

ASLEEP: Final = "from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
END_ASLEEP: Final = f"select count(pg_terminate_backend(pid)) {ASLEEP}"


async def asleep(connection: asyncpg.Connection[Any]) -> int:
    """Return how many backends are in ``pg_sleep``."""
    return int(await connection.fetchval(f"select count(*) {ASLEEP}"))


async def until_asleep(connection: asyncpg.Connection[Any], number: int = 1) -> None:
    """Wait until ``number`` backends are in ``pg_sleep``."""
    await eventually(lambda: asleep(connection), lambda found: found == number)


async def until_all_held(connection: asyncpg.Connection[Any], number: int) -> None:
    """Wait until ``number`` backends wait for the lock `HELD`."""
    await eventually(lambda: connection.fetch(WAITING, HELD), lambda found: len(found) == number)


async def until_held(connection: asyncpg.Connection[Any], *, but: int = 0) -> int:
    """Wait until a backend other than ``but`` waits for the lock `HELD`, and return its process id."""
    return int(await eventually(lambda: connection.fetchval(f"{WAITING} and pid <> $2", HELD, but)))
