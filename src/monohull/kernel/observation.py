"""What happened, as typed values; log, metrics and traces are readers of them.

Code that notices something says ``observer.observe(DatabaseLost(...))`` and
knows no logger. Each reader picks what it wants: not every observation is a
line, nor every one a number. The idea is PostgREST's ``Observation.hs``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import ClassVar, Final, Literal, TypeAlias

from msgspec import Struct

Level: TypeAlias = Literal["debug", "info", "warning", "error"]


class Observation(Struct, frozen=True, kw_only=True):
    """Base of everything that can happen.

    Attributes:
        event: Name in the log, ``area.thing_happened``.
        level: How severe it is.
    """

    event: ClassVar[str]
    level: ClassVar[Level] = "info"


Reader: TypeAlias = Callable[[Observation], None]


class Observer:
    """Hands each observation to the readers that want it, in the order they were added."""

    __slots__ = ("_by_type", "_readers")

    def __init__(self, *readers: Reader) -> None:
        self._readers: tuple[tuple[Reader, tuple[type[Observation], ...]], ...] = ()
        self._by_type: dict[type[Observation], tuple[Reader, ...]] = {}
        for reader in readers:
            self.add_reader(reader)

    def add_reader(self, reader: Reader, *wanted: type[Observation]) -> None:
        """Add a reader of observations of the types ``wanted``; of all where none is named.

        There is an observation a request, and most readers wait for something rare.
        """
        self._readers = (*self._readers, (reader, wanted))
        self._by_type = {}

    def observe(self, observation: Observation) -> None:
        """Tell every reader that wants it. One that fails is reported on stderr and disturbs nobody."""
        kind = type(observation)
        readers = self._by_type.get(kind)
        if readers is None:
            readers = self._by_type[kind] = tuple(
                reader for reader, wanted in self._readers if not wanted or issubclass(kind, wanted)
            )
        for reader in readers:
            try:
                reader(observation)
            except Exception as error:  # noqa: BLE001 the boundary: an unwritable log must not fail a request
                sys.stderr.write(f"observation reader failed: {type(error).__name__}: {error}\n")


class ProcessStarted(Observation, frozen=True, kw_only=True):
    """A process is about to serve."""

    event: ClassVar[str] = "process.started"

    process: str
    version: str
    modules: tuple[str, ...]


class ProcessLeaving(Observation, frozen=True, kw_only=True):
    """A process was told to stop: for so long it still serves, while readiness sends everybody elsewhere."""

    event: ClassVar[str] = "process.leaving"

    process: str
    seconds: float


class ProcessStopped(Observation, frozen=True, kw_only=True):
    """A process released everything it held."""

    event: ClassVar[str] = "process.stopped"

    process: str
    drained: bool
    seconds: float


class RequestFinished(Observation, frozen=True, kw_only=True):
    """One request got its answer; the one line a request has in the log.

    ``route`` is the template, never the path: it is a metric label, and a path
    may hold what must not be logged.
    """

    event: ClassVar[str] = "http.request"

    request_id: str
    trace_id: str
    method: str
    route: str
    status: int
    duration_seconds: float
    principal: str
    response_bytes: int


class RequestFailed(Observation, frozen=True, kw_only=True):
    """A request raised something that is no `Problem`: a defect, answered as 500."""

    event: ClassVar[str] = "http.request_failed"
    level: ClassVar[Level] = "error"

    request_id: str
    route: str
    error: str
    stack: str


class AnswerBroken(Observation, frozen=True, kw_only=True):
    """An answer stopped before its end, ``response_bytes`` after its beginning; its connection is broken."""

    event: ClassVar[str] = "http.answer_broken"
    level: ClassVar[Level] = "warning"

    request_id: str
    route: str
    code: str
    reason: str
    response_bytes: int


class DependencyLost(Observation, frozen=True, kw_only=True):
    """Something a process needs stopped answering."""

    event: ClassVar[str] = "dependency.lost"
    level: ClassVar[Level] = "warning"

    name: str
    reason: str


class DependencyBack(Observation, frozen=True, kw_only=True):
    """It answers again."""

    event: ClassVar[str] = "dependency.back"

    name: str
    seconds: float


class SchemaChecked(Observation, frozen=True, kw_only=True):
    """The platform schema was compared with the one this code was written for."""

    event: ClassVar[str] = "schema.checked"
    level: ClassVar[Level] = "warning"

    state: str
    advice: str


SILENT: Final = Observer()
"""For commands and tests that have nobody to tell."""
