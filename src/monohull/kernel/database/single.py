"""Connections for single statements: one round trip each, nothing before and nothing after."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from monohull.kernel.errors import PoolExhausted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

IDLE_SECONDS: Final = 300.0

TAG_NAMES: Final = ("application_name", "monohull.traceparent")
TAG: Final = (
    "select pg_catalog.set_config('application_name', $1, true), "
    "pg_catalog.set_config('monohull.traceparent', $2, true)"
)
"""Says for which trace a transaction works (`traced`)."""

_DEAD: Final = (ConnectionError, asyncpg.InterfaceError, asyncpg.AdminShutdownError)
"""What a connection raises that was lost while nobody used it."""

_REPEATED: Final = (asyncpg.DeadlockDetectedError, asyncpg.InvalidCachedStatementError)
"""The statement had the bad luck to meet another one, or the first change of the schema since the last."""


class SingleStatements:
    """A pool whose connections run statements outside of transactions.

    Args:
        connect: Opens a connection.
        size: Connections at most.
        timeout_seconds: How long a statement waits for one.
    """

    def __init__(
        self, connect: Callable[..., Awaitable[asyncpg.Connection]], *, size: int, timeout_seconds: float
    ) -> None:
        self._connect = connect
        self._size = size
        self._timeout_seconds = timeout_seconds
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def fetch_first(
        self, sql: str, arguments: Sequence[Any], tag: tuple[str, str] | None = None
    ) -> Mapping[str, Any] | None:
        """Run ``sql`` and return its first row.

        With a ``tag``, the values of `TAG`, it is a transaction of four round trips.

        Raises:
            asyncpg.PostgresError, OSError: From the server, or about it. PoolExhausted: 503.
        """
        pool = await self._open()
        try:
            return await self._fetch(pool, sql, arguments, tag)
        except _REPEATED:
            return await self._fetch(pool, sql, arguments, tag)
        except _DEAD:
            # the others of its age are likely to be dead as well
            await pool.expire_connections()
            return await self._fetch(pool, sql, arguments, tag)

    async def _fetch(
        self, pool: asyncpg.Pool, sql: str, arguments: Sequence[Any], tag: tuple[str, str] | None
    ) -> Mapping[str, Any] | None:
        try:
            connection = await pool.acquire(timeout=self._timeout_seconds)
        except TimeoutError as error:
            raise PoolExhausted("every platform database connection is busy") from error
        row: Mapping[str, Any] | None
        try:
            if tag is None:
                row = await connection.fetchrow(sql, *arguments)
                return row
            async with connection.transaction():
                await connection.execute(TAG, *tag)
                row = await connection.fetchrow(sql, *arguments)
            return row
        finally:
            await pool.release(connection)

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    connect=lambda *_, **__: self._connect(),
                    reset=_leave_as_it_is,
                    min_size=0,
                    max_size=self._size,
                    max_inactive_connection_lifetime=IDLE_SECONDS,
                )
            return self._pool

    async def close(self) -> None:
        """Close the connections; a later statement opens new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()


async def _leave_as_it_is(_: asyncpg.Connection) -> None:
    """Nothing is set on these connections beyond a transaction, so nothing has to be set back."""
