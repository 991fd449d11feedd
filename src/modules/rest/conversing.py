"""`converse`: a transaction of several round trips, begun anew where a statement in it was out of date.

The server refuses a prepared statement whose result changed since it was parsed, by DDL. In a single
round trip the connection parses it again by itself; in the midst of a transaction only its beginning can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from monohull.kernel.database.frames import PostgresError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from monohull.kernel.database.conversation import Conversation
    from monohull.kernel.database.data import DataPool, Isolation

T = TypeVar("T")

TRIES: Final = 3


async def converse(
    pool: DataPool, run: Callable[[Conversation], Awaitable[T]], *, isolation: Isolation | None
) -> T:
    """Return what ``run`` makes of a transaction, which it ends itself.

    It has to let a `PostgresError` of a stale statement through, and is called again then: the failed
    transaction left nothing behind.

    Raises:
        PostgresError: The server refused; nothing took effect.
    """
    left = TRIES
    while True:
        left -= 1
        try:
            async with pool.conversation(
                isolation=isolation, writes=True, parses_anew=left < TRIES - 1
            ) as talk:
                return await run(talk)
        except PostgresError as error:
            if not left or not error.is_stale_statement:
                raise
