"""What all brokers can do for us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.streams.cloudevents import Message


class NotTaken(Exception):
    """The broker answered, and did not take a message; the text says why."""


class Transport(Protocol):
    """An open connection to a broker.

    Attributes:
        is_whole: Whether the broker takes messages that are sent together in their order, and either all
            or none of them. Where it does not, no two with the same key may be sent together.
    """

    is_whole: bool

    async def send(self, messages: Sequence[Message]) -> None:
        """Send messages, and return when the broker has acknowledged all of them.

        Raises:
            Exception: Whatever the library raises, or `NotTaken`; some may have been taken all the same.
        """
        ...

    async def close(self) -> None:
        """Hang up; nothing that was not acknowledged is waited for."""
        ...
