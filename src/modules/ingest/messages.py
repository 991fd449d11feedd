"""Messages as consumers see them, whichever broker they come from."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 msgspec reads it
from hashlib import sha256
from typing import Any, Final, Protocol

from msgspec import Struct

MAX_ID: Final = 200
"""Characters of an id; a longer one is stood for by its digest."""
MAX_LABEL: Final = 1000
"""Characters of a key and of a header's value that are kept."""


class Message(Struct, frozen=True, kw_only=True):
    """One message.

    Attributes:
        id: By which it has its effect once; None where the broker has none and none was sent.
        place: Where in the broker it is, for people.
        handle: What the broker's library acknowledges it by.
    """

    id: str | None
    body: bytes
    place: str
    key: str | None = None
    headers: Mapping[str, str] = {}
    handle: Any = None


class Intake(Protocol):
    """An open connection to a broker, used by one task."""

    async def fetch(self, limit: int, wait_seconds: float) -> list[Message]:
        """Return messages that are there, at most ``limit``; wait for the first one so long."""

    async def acknowledge(self, messages: list[Message]) -> None:
        """Say that all of them are done with: what `fetch` returned last, in its order."""

    async def lag(self) -> int | None:
        """Return how many messages wait in the broker, or None where it does not say."""

    async def close(self) -> None:
        """Leave; what was not acknowledged is delivered again."""


def fitted(message_id: str) -> str:
    """Return an id that fits into an index.

    >>> fitted("orders/0/17")
    'orders/0/17'
    >>> len(fitted("x" * 5000))
    71
    """
    if len(message_id) <= MAX_ID:
        return message_id.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return "sha256:" + sha256(message_id.encode("utf-8", "replace")).hexdigest()


def text_of(value: bytes | str | None) -> str | None:
    """Return what PostgreSQL takes as a text, cut."""
    if value is None:
        return None
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return text[:MAX_LABEL].replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
