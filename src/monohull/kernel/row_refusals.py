"""What is refused to those who watch rows."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg
from sqlalchemy.exc import DBAPIError

from monohull.kernel.database.engine import driver_error
from monohull.kernel.errors import InvalidRequest, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator


class RowsNotWatchable(InvalidRequest):
    """The rows of this table cannot become events as asked; the message says why."""

    code = "rows_not_watchable"


class RowsInUse(Unavailable):
    """A watched table, or the list of what is watched, stayed in use by others; nothing was changed."""

    code = "rows_in_use"
    hint = "Repeat the request when the long transactions on that table are over."


@contextmanager
def giving_up() -> Iterator[None]:
    """Turn a lock that was waited for in vain into a refusal.

    Raises:
        RowsInUse: 503.
    """
    try:
        yield
    except DBAPIError as error:
        if not isinstance(driver_error(error), asyncpg.LockNotAvailableError):
            raise
        raise RowsInUse("the table is in use by a long transaction", retry_after_seconds=5) from error
