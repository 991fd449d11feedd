"""Limits and cursors of lists that are paged by key."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from monohull.kernel.errors import InvalidRequest

MAX_LIMIT: Final = 200


def limit_of(limit: int) -> int:
    """Let a limit pass.

    Raises:
        InvalidRequest: 400.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest(f"limit must be a whole number from 1 to {MAX_LIMIT}.", details=str(limit))
    return limit


def id_cursor(text: str | None) -> UUID | None:
    """Read a cursor that is an id.

    Raises:
        InvalidRequest: 400.
    """
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise InvalidRequest("The cursor is none that a page gave.", details=text and text[:100]) from None
