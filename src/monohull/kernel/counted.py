"""Events that anybody can cause as often as they like: counted, and written down once a minute a caller.

A refusal is worth an entry of the audit log, and who wants to fill the log would
ask for a million of them. So whoever refuses only counts here, which costs a
dictionary and waits for nobody. A task beside the requests writes the first one
of a caller at once; those that follow become one event a minute with their
number. `MAX_CALLERS` have events of their own at a time. The refusals of all
others are counted together, so what a process writes in a minute has an end,
whoever is behind it and from how many addresses.

Fields in which the refusals of one event differ are null in it. What could not be
written stays counted, and is written when the database is back.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import datetime  # noqa: TC003 msgspec reads it
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from monohull.kernel import clock, outbox
from monohull.kernel.addresses import network_of
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.errors import Problem
from monohull.kernel.events import Event
from monohull.kernel.observation import Level, Observation
from monohull.kernel.origin import Origin, current_actor, current_source, origin, running_trace
from monohull.kernel.tasks import beside
from monohull.kernel.trace import Trace, current_trace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monohull.kernel.database.engine import Database
    from monohull.kernel.observation import Observer

INTERVAL_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 5.0
MAX_CALLERS: Final = 50
"""With an event a minute each; at a kilobyte an entry a process writes at most 70 MB a day."""

OTHERS: Final = ""
"""Stands for all callers beyond those."""

SEVERAL: Final = "several"
"""The kind of an actor that is not one."""


class CountedEvent(Event, frozen=True, kw_only=True):
    """Something that anybody can cause; one event stands for ``count`` times since ``first_at``.

    Every field of a subclass may be null: what was not the same each time is.
    """

    count: int = 1
    first_at: datetime | None = None


class AccessRefused(CountedEvent, frozen=True, kw_only=True):
    """Somebody who is known asked for what they may not; ``reason`` names the permission that is missing."""

    name: ClassVar[str] = "platform.access_refused"

    refusal: str | None = None
    method: str | None = None
    route: str | None = None
    reason: str | None = None


class RefusalsNotRecorded(Observation, frozen=True, kw_only=True):
    """Refusals could not be written down; they are counted until they can be."""

    event: ClassVar[str] = "counted.not_recorded"
    level: ClassVar[Level] = "warning"

    reason: str


T = TypeVar("T", bound=CountedEvent)


class CountedEvents:
    """The counts of one process.

    Args:
        database: Where events are written.
        observer: Told when they cannot be.
    """

    def __init__(self, database: Database, observer: Observer) -> None:
        self._database = database
        self._observer = observer
        self._tallies: dict[tuple[str, str], _Tally] = {}
        self._wake = asyncio.Event()
        self._settling = asyncio.Lock()
        self._is_told = False

    def __len__(self) -> int:
        return len(self._tallies)

    def count(self, event: CountedEvent, caller: str | None = None) -> None:
        """Note that something happened, in the request that this task works for.

        Args:
            event: What; its ``count`` and ``first_at`` are said here.
            caller: Who is behind it; by default what `caller_of` makes of the request.
        """
        came_from = origin()
        key = (event.name, caller or caller_of(came_from))
        tally = self._tallies.get(key)
        if tally is None and len(self._tallies) >= MAX_CALLERS:
            key = (event.name, OTHERS)
            tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = _Tally()
            self._wake.set()
        tally.add(event, came_from)

    async def settle(self, *, everything: bool = False) -> int:
        """Write what is due, in one transaction; return how many events that were.

        Args:
            everything: Also what has to wait for its minute.

        Raises:
            Unavailable: 503; all of it is still counted.
        """
        async with self._settling:
            return await self._settle(everything=everything)

    async def _settle(self, *, everything: bool) -> int:
        at = monotonic_seconds()
        for key in [key for key, tally in self._tallies.items() if tally.due_at <= at and not tally.count]:
            del self._tallies[key]
        due = [
            tally for tally in self._tallies.values() if tally.count and (everything or tally.due_at <= at)
        ]
        if due:
            taken = [tally.taken() for tally in due]
            for tally in due:
                tally.due_at = at + RETRY_SECONDS
            await self._write(taken)
            for tally, event in zip(due, taken, strict=True):
                tally.written(event, at + INTERVAL_SECONDS)
        return len(due)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write for as long as the block runs, and what is left in the end."""
        try:
            async with beside(self._settle_for_ever(), name="counted events"):
                yield
        finally:
            await self._try(everything=True)

    async def _settle_for_ever(self) -> None:
        while True:
            self._wake.clear()
            await self._try()
            next_at = min((tally.due_at for tally in self._tallies.values()), default=None)
            with suppress(TimeoutError):
                async with asyncio.timeout(
                    None if next_at is None else max(0.0, next_at - monotonic_seconds())
                ):
                    await self._wake.wait()

    async def _try(self, *, everything: bool = False) -> None:
        try:
            await self.settle(everything=everything)
            self._is_told = False
        except (Problem, SQLAlchemyError) as error:
            if not self._is_told:
                self._is_told = True
                reason = error.message if isinstance(error, Problem) else str(error).partition("\n")[0]
                self._observer.observe(RefusalsNotRecorded(reason=reason))

    async def _write(self, taken: Sequence[_Taken]) -> None:
        async with self._database.unit_of_work() as work:
            for one in taken:
                source = current_source.set(one.origin)
                actor = current_actor.set(one.origin.subject if one.origin else None)
                trace = current_trace.set(one.trace)
                try:
                    await outbox.publish(work, one.event)
                finally:
                    current_source.reset(source)
                    current_actor.reset(actor)
                    current_trace.reset(trace)


class _Taken(msgspec.Struct, frozen=True):
    """What a tally has to say."""

    event: CountedEvent
    origin: Origin | None
    trace: Trace | None


class _Tally:
    """What one caller did since it was last written down, and when it is to be written again."""

    __slots__ = ("_event", "_first_at", "_origin", "_trace", "count", "due_at")

    def __init__(self) -> None:
        self.count = 0
        self.due_at = 0.0
        self._event: CountedEvent | None = None
        self._first_at: datetime | None = None
        self._origin: Origin | None = None
        self._trace: Trace | None = None

    def add(self, event: CountedEvent, came_from: Origin | None) -> None:
        self.count += 1
        if self._event is None:
            self._event = event
            self._first_at = clock.now()
            self._origin = came_from
            self._trace = running_trace()
            return
        if event != self._event:
            self._event = _common(self._event, event)
        if came_from != self._origin:
            self._origin = _common_origin(self._origin, came_from)

    def taken(self) -> _Taken:
        assert self._event is not None
        event = msgspec.structs.replace(self._event, count=self.count, first_at=self._first_at)
        return _Taken(event, self._origin, self._trace if self.count == 1 else None)

    def written(self, taken: _Taken, due_at: float) -> None:
        """Take off what was written; what came meanwhile is of the next minute."""
        self.count -= taken.event.count
        self.due_at = due_at
        if not self.count:
            self._event = None
        else:
            self._first_at = clock.now()
            self._trace = None  # of what was written; which request came next is not known


def caller_of(came_from: Origin | None) -> str:
    """Return what counts as one caller: a user, a user's key, or a network (IPv4 address or /64 of IPv6).

    A key of nobody in particular may be in every copy of an application: of such a key each network counts.
    """
    if came_from is None:
        return OTHERS
    if came_from.subject is not None:
        return came_from.key_id or came_from.subject
    network = network_of(came_from.address)
    return network if came_from.key_id is None else f"{came_from.key_id} {network}"


def _common(one: T, other: T) -> T:
    """Return what two have in common."""
    differing = {
        name: None
        for name in one.__struct_fields__
        if name not in ("count", "first_at") and getattr(one, name) != getattr(other, name)
    }
    return msgspec.structs.replace(one, **differing)


def _common_origin(one: Origin | None, other: Origin | None) -> Origin | None:
    if one is None or other is None:
        return None
    same = {
        name: getattr(one, name)
        for name in one.__struct_fields__
        if getattr(one, name) == getattr(other, name)
    }
    return Origin(**({"kind": SEVERAL} | same))
