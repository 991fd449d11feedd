"""One process at a time: work that runs in every worker, and is done by the one that holds a lock.

The lock is the session's: it is free again when the process, its connection or
its host is gone, and whoever waits takes it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import asyncpg

    from monohull.kernel.database.engine import Database

POLL_SECONDS: Final = 1.0

KEEPALIVE: Final = (
    "select set_config('tcp_keepalives_idle', '5', false), "
    "set_config('tcp_keepalives_interval', '2', false), set_config('tcp_keepalives_count', '3', false)"
)
"""A host that vanished is noticed by the server after 11 s, and its lock released."""


async def lead_for_ever(
    database: Database,
    lock: int,
    lead: Callable[[asyncpg.Connection], Awaitable[None]],
    stopped: Callable[[str], None],
) -> None:
    """Lead whenever the lock is free.

    Args:
        database: Gives the connection that holds the lock.
        lock: Key of the advisory lock.
        lead: Does the work for as long as it can; what it raises when the database fails ends the leadership.
        stopped: Told why it ended.
    """
    while True:
        leads = False
        try:
            async with database.connection() as connection:
                await connection.execute(KEEPALIVE)
                while not await connection.fetchval("select pg_try_advisory_lock($1)", lock):  # noqa: ASYNC110 another process
                    await asyncio.sleep(POLL_SECONDS)
                leads = True
                await lead(connection)
        except Exception as error:  # noqa: BLE001 whatever it is, somebody has to lead, and log what ended it
            if leads:
                stopped(f"{type(error).__name__}: {error}")
        await asyncio.sleep(POLL_SECONDS)
