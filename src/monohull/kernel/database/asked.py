"""`Asked`: a known statement whose answer no task waits for.

A task that waits is woken a turn of the loop after that which it waits for has
come: for a connection, and for the rows. Here the next step is taken in the
midst of it. Whatever fails is told in a turn of its own, as a future would, for
the connection is then in the midst of noticing it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from monohull.kernel.database.exchange import ConnectionLost, ResultTooLarge
from monohull.kernel.database.frames import PostgresError
from monohull.kernel.database.statements import BoundSettings, Rows, Statement
from monohull.kernel.errors import Problem

if TYPE_CHECKING:
    from monohull.kernel.database.pool import InLine
    from monohull.kernel.database.stream import ValueStream
    from monohull.kernel.database.wire import Wire


class Pool(Protocol):
    """What this needs of the pool of connections; `DataPool` has it."""

    def gathers(self, *, reads: bool) -> bool: ...

    def line_up(self, waiter: InLine, *, shares: bool) -> float: ...

    def step_out(self, waiter: InLine, since: float) -> None: ...

    def put(self, wire: Wire, rest: ValueStream | None = None) -> None: ...

    def put_back(self, wire: Wire, *, is_over: bool = False) -> None: ...

    def begin_anew(self, wire: Wire, error: ConnectionLost | PostgresError, *, reads: bool) -> None: ...

    def exceeded(self, error: ResultTooLarge) -> Problem: ...


_NOTHING: Final = Statement("", (), "")
_NO_SETTINGS: Final = BoundSettings((), b"", is_read_only=True)


class Asked(Struct, eq=False, kw_only=True):
    """A known statement on its way; what a `Wire` tells of the answer. Whoever asks is made of one.

    Attributes:
        statement: What is asked.
        settings: What it runs under.
        pool: Whose connections it is sent on, a `Pool`.
    """

    statement: Statement = _NOTHING
    settings: BoundSettings = _NO_SETTINGS
    pool: Any = None
    _wire: Wire | None = None
    _place: Place | None = None
    _is_done: bool = False

    @abstractmethod
    def hear(self, rows: Rows | None, error: Exception | None) -> None:
        """Be told the rows or the error; neither where it may be tried anew."""

    def send(self, wire: Wire) -> bool:
        """Send it on ``wire``; False, and the connection put back, where the server does not know it.

        Raises:
            InvalidRequest: An argument is no text.
        """
        self._wire, settings = wire, self.settings
        is_sent = False
        try:
            is_sent = (
                wire.begin_known(self, self.statement, settings, streams=settings.is_read_only) is not None
            )
        finally:
            if not is_sent:
                wire.call_soon(self.pool.put, wire)  # whoever gets it next may be asked in the same way
        return is_sent

    def line_up(self) -> None:
        """Wait for a connection."""
        place = self._place = Place(self)
        place.since = self.pool.line_up(place, shares=True)

    def take_up(self, wire: Wire) -> None:
        """Go on with the connection that was waited for."""
        self._place = None
        wire.gathers = self.pool.gathers(reads=self.settings.is_read_only)
        try:
            if self.send(wire):
                return
        except Problem as problem:
            self._is_done = True
            self.hear(None, problem)
        else:
            self._is_done = True
            self.hear(None, None)

    def cancel(self) -> bool:
        """Have it ended, for nobody wants to hear of it any more; False if it is over."""
        if self._is_done:
            return False
        self._is_done = True
        if self._place is not None:
            self._place.leave(self.pool)
        elif self._wire is not None:
            self.pool.put_back(self._wire)
        return True

    def refuse(self, problem: Exception) -> None:
        """Tell that there was no connection."""
        self._is_done, self._place = True, None
        self.hear(None, problem)

    # what the connection tells

    def done(self) -> bool:
        """Say whether it was told, or waits no more."""
        return self._is_done

    def set_result(self, results: list[Rows], /) -> None:
        """Tell the rows, once the connection is free for the next."""
        self._is_done = True
        rows, wire = results[1], self._wire
        assert wire is not None
        if rows.rest is not None:
            wire.call_soon(self._tell_of_rest, wire, rows)
            return
        self.pool.put(wire)
        self.hear(rows, None)

    def set_exception(self, error: Exception, /) -> None:
        """Tell why nothing came."""
        self._is_done = True
        assert self._wire is not None
        self._wire.call_soon(self._tell_of_failure, self._wire, error)

    def _tell_of_rest(self, wire: Wire, rows: Rows) -> None:
        self.pool.put(wire, rows.rest)
        self.hear(rows, None)

    def _tell_of_failure(self, wire: Wire, error: Exception) -> None:
        refusal: Exception | None = None
        if isinstance(error, ResultTooLarge):
            self.pool.put_back(wire)
            refusal = self.pool.exceeded(error)
        else:
            assert isinstance(error, (ConnectionLost, PostgresError))
            try:
                self.pool.begin_anew(wire, error, reads=self.settings.is_read_only)
            except (PostgresError, Problem) as found:
                refusal = found
        self.hear(None, refusal)


class Place(Struct, eq=False):
    """The place of a statement among those that wait for a connection."""

    _asked: Asked
    since: float = 0.0
    _is_done: bool = False

    def done(self) -> bool:
        """Say whether its turn has come, or it waits no more."""
        return self._is_done

    def set_result(self, wire: Wire, /) -> None:
        """Tell which connection it has."""
        asked = self._asked
        self.leave(asked.pool)
        asked.take_up(wire)

    def set_exception(self, problem: Exception, /) -> None:
        """Tell why it has none."""
        asked = self._asked
        self.leave(asked.pool)
        asked.refuse(problem)

    def leave(self, pool: Pool) -> None:
        """Wait no more."""
        self._is_done = True
        pool.step_out(self, self.since)
