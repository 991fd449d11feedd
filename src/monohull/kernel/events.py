"""Events: what happened, told to whoever subscribed, after it was committed.

A module declares its events as frozen Structs with a name in the past tense;
`outbox.publish` writes one in the transaction that caused it, the relay turns
it into one delivery per matching `Subscriber`, and a worker runs those. An
event cannot be refused: whoever hears of it hears that it *has* happened.

Delivery is at least once. A subscriber may hear of the same event again, with
the same `Envelope.id`, and has to be idempotent by it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any, ClassVar, Final, TypeAlias
from uuid import UUID

import msgspec

from monohull.kernel.origin import Origin

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_PATTERN: Final = re.compile(r"\*|[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*)?")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all events; the fields of a subclass are its payload.

    Attributes:
        name: ``module.thing_happened``: past tense, never changed once published.
        version: Raised when the payload changes so that old readers would misread it.
        is_audited: Whether it becomes an entry of the audit log. Everything does that does not say otherwise.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    is_audited: ClassVar[bool] = True


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it was recorded, with what is known about its cause.

    Attributes:
        id: UUIDv7, the same at every repetition.
        position: Order of insertion into the outbox, which for events of rows the relay does.
        transaction: PostgreSQL's 64-bit id of the transaction that published it.
        sequence: Its number in the feed: without gaps, in the order of commits.
        name: The event's name, also of events this process does not know.
        version: The event's version.
        occurred_at: When that transaction began, aware, in UTC.
        key: What it is about, for those who need order per thing; None when nothing was named.
        actor: Subject of the principal that caused it, None for the system itself.
        request_id: The request that caused it.
        traceparent: W3C trace context of that request.
        payload: The event's fields as JSON text, kept as it was written.
        origin: Who caused it, as what and from where; None for work that no request or command began.
        watchers: Of a row event: whose filter holds. None for other events.
    """

    id: UUID
    position: int
    transaction: int
    sequence: int
    name: str
    version: int
    occurred_at: datetime
    payload: msgspec.Raw
    key: str | None = None
    actor: str | None = None
    request_id: str | None = None
    traceparent: str | None = None
    origin: Origin | None = None
    watchers: tuple[str, ...] | None = None


Handle: TypeAlias = Callable[[Any, Envelope], Awaitable[None]]
"""``async (runtime, envelope) -> None``. The runtime is `Any` here because it stands above this file."""


class Subscriber(msgspec.Struct, frozen=True, kw_only=True):
    """Someone who wants to hear of events.

    Attributes:
        name: Unique in the process, ``module.purpose``; stored with each delivery, so never changed.
        events: Names, or patterns such as ``auth.*`` and ``*``.
        handle: Runs in the worker, under the retry policy of event deliveries. It must
            be idempotent by ``envelope.id``, and repetition is the only thing it may count on:
            two deliveries may run at the same time and in either order.
    """

    name: str
    events: tuple[str, ...]
    handle: Handle

    def wants(self, name: str) -> bool:
        """Whether this subscriber hears of events called ``name``."""
        return any(matches(pattern, name) for pattern in self.events)


class EventError(Exception):
    """The events or subscribers of the loaded modules do not fit together."""


def matches(pattern: str, name: str) -> bool:
    """Whether ``pattern`` covers ``name``.

    >>> matches("auth.*", "auth.user_signed_in"), matches("auth.*", "authors.born"), matches("*", "a.b")
    (True, False, True)
    """
    if pattern == "*":
        return True
    if pattern.endswith(".*"):
        return name.startswith(pattern[:-1])
    return pattern == name


class EventRegistry:
    """Every event this process can decode, and everyone who subscribed.

    Raises:
        EventError: A name is malformed or taken twice, or a pattern is no pattern.
    """

    def __init__(self, events: Iterable[type[Event]] = (), subscribers: Iterable[Subscriber] = ()) -> None:
        self._events: dict[tuple[str, int], type[Event]] = {}
        self._subscribers: dict[str, Subscriber] = {}
        for event in events:
            self.add_event(event)
        for subscriber in subscribers:
            self.add_subscriber(subscriber)

    @property
    def events(self) -> tuple[type[Event], ...]:
        return tuple(self._events.values())

    @property
    def subscribers(self) -> tuple[Subscriber, ...]:
        return tuple(self._subscribers.values())

    def add_event(self, event: type[Event]) -> None:
        name: object = getattr(event, "name", None)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise EventError(f"{event.__qualname__} has no name of the form module.thing_happened")
        taken = self._events.setdefault((name, event.version), event)
        if taken is not event:
            raise EventError(
                f"{event.__qualname__} and {taken.__qualname__} are both {name} version {event.version}"
            )

    def add_subscriber(self, subscriber: Subscriber) -> None:
        if subscriber.name in self._subscribers:
            raise EventError(f"two subscribers are called {subscriber.name!r}")
        for pattern in subscriber.events:
            if not _PATTERN.fullmatch(pattern):
                raise EventError(
                    f"subscriber {subscriber.name!r}: {pattern!r} is neither a name, module.* nor *"
                )
        self._subscribers[subscriber.name] = subscriber

    def matching(self, name: str) -> tuple[Subscriber, ...]:
        """Return who hears of events called ``name``, in the order of registration."""
        return tuple(s for s in self._subscribers.values() if s.wants(name))

    def subscriber(self, name: str) -> Subscriber:
        """Return the subscriber called ``name``.

        Raises:
            LookupError: No loaded module declares it.
        """
        try:
            return self._subscribers[name]
        except KeyError:
            raise LookupError(f"no loaded module declares the subscriber {name!r}") from None

    def decode(self, envelope: Envelope) -> Event | None:
        """Return the event inside, or None when this process does not know its name and version.

        An unknown event is no error: another version of the product may have
        published it. ``envelope.payload`` still has its fields as they were.

        Raises:
            msgspec.ValidationError: The payload does not fit the class that has this name and version.
        """
        shape = self._events.get((envelope.name, envelope.version))
        return None if shape is None else msgspec.json.decode(envelope.payload, type=shape)
