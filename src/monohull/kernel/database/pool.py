"""`WirePool`: up to so many connections, and whose turn it is on them.

A request waits its turn, first come first served, and no longer than the
time-out. Connections are opened when somebody waits for one. One that ends is
replaced by whoever needs the next; a server that is away is tried by one
request at a time, and the others are told at once.

Requests whose statements are known to be short are sent behind one another, a
few on each connection, where every connection is taken, and as many as take
little time together also where they come in the same turn of the loop: they
leave in one piece, and the server goes on to the next without being woken for
it. Everything else has a connection to itself.

A request that was left is cancelled on the server too, and its connection
comes back only when it is at rest.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, Self

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.database.dial import dial
from monohull.kernel.database.exchange import ConnectionLost
from monohull.kernel.database.frames import PostgresError
from monohull.kernel.database.login import Login, choose_login
from monohull.kernel.database.spool import Spools
from monohull.kernel.errors import DatabaseUnavailable, Draining, PoolExhausted, Problem
from monohull.kernel.observation import (
    SILENT,
    DependencyBack,
    DependencyLost,
    Level,
    Observation,
    Observer,
)
from monohull.kernel.tasks import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from monohull.kernel.database.stream import ValueStream
    from monohull.kernel.database.wire import Notice, Wire

PROBE_INTERVAL_SECONDS: Final = 0.1
"""For this long after a failed connect nobody tries again, and requests are refused at once."""

SETTLE_SECONDS: Final = 5.0
"""A cancelled request that has not ended by then costs its connection."""

SHORT_SECONDS: Final = 0.03
"""Statements that take less than this share a connection; the others are not kept waiting behind one.

What is measured has the turns of the loop in it, which a process at its limit makes long; with less than
this it would stop sharing when that is needed most.
"""

TOGETHER_SECONDS: Final = 0.024
"""Statements that come together are sent together, free connections or not, as long as all take less."""

TOGETHER_DEPTH: Final = 8
BRIEF_SECONDS: Final = TOGETHER_SECONDS / TOGETHER_DEPTH
"""What takes no longer is sent together with so many others."""
SHARED_DEPTH: Final = 4
"""Requests that are on one connection at a time, at most."""

MAX_COSTS: Final = 10_000

MAX_AGE_SECONDS: Final = 1800.0
"""Then a connection is replaced: a backend keeps what it learnt about every table it met."""

DEPENDENCY: Final = "data pool"

_CLOCK_SECONDS: Final = 0.001
"""Timers are exact to a millisecond."""


class InLine(Protocol):
    """Who waits for a connection: a future, or what needs no turn of the loop between."""

    def done(self) -> bool:
        """Say whether it was told, or waits no more."""
        ...

    def set_result(self, result: Wire, /) -> None:
        """Tell which connection it has."""
        ...

    def set_exception(self, exception: Exception, /) -> None:
        """Tell why it has none."""
        ...


class PoolWaitExpired(Observation, frozen=True, kw_only=True):
    """A request gave up waiting for a connection."""

    event: ClassVar[str] = "database.pool_wait_expired"
    level: ClassVar[Level] = "warning"

    waiting: int
    in_use: int
    size: int


class ServerNotice(Observation, frozen=True, kw_only=True):
    """The server said something to a data request that is no error, ``RAISE NOTICE`` for example."""

    event: ClassVar[str] = "database.notice"
    level: ClassVar[Level] = "debug"

    severity: str
    sqlstate: str
    message: str


class LoginChosen(Observation, frozen=True, kw_only=True):
    """Data requests log in as this from now on; ``reason`` says why it is not ``authenticator``."""

    event: ClassVar[str] = "database.login_chosen"

    login: str
    reason: str | None


class WirePool:
    """Up to ``size`` connections of one process.

    Args:
        url: Where to log in as ``authenticator``.
        owner_url: Where to log in as the owner when that does not work, or None: then it has to.
        size: Connections.
        timeout_seconds: How long a request waits for one.
        application_name: Seen in ``pg_stat_activity``.
        prepared: Keep statements between requests. False for PgBouncer in transaction mode.
        generic_plans: Plan each statement once, whatever its parameters are.
        max_result_bytes: Ceiling of one request's rows, or None.
        observer: Is told of losses, waits and notices.
    """

    def __init__(  # noqa: PLR0913 options by keyword
        self,
        url: str,
        *,
        owner_url: str | None = None,
        size: int,
        timeout_seconds: float,
        application_name: str = "monohull",
        prepared: bool = True,
        generic_plans: bool = True,
        max_result_bytes: int | None = None,
        observer: Observer = SILENT,
    ) -> None:
        self.size = size
        self.timeout_seconds = timeout_seconds
        self.opened_total = 0
        self.lost_total = 0
        self.notices_total = 0
        self.waited_total = 0
        self.waited_seconds_total = 0.0
        self._urls = (url, owner_url)
        self._observer = observer
        self._dial = partial(
            dial,
            application_name=application_name,
            prepared=prepared,
            generic_plans=generic_plans,
            max_result_bytes=max_result_bytes,
        )
        self._login: Login | None = None
        self._choosing = asyncio.Lock()
        self._wires: dict[Wire, float] = {}
        self._idle: list[Wire] = []
        self._shared: dict[Wire, None] = {}
        self._costs: dict[str, float] = {}
        self._spools = Spools(is_hurried=lambda: self.waiting > 0)
        self._open_to_more: Wire | None = None
        self._waiters: OrderedDict[InLine, tuple[bool, float]] = OrderedDict()
        self._expiry: asyncio.TimerHandle | None = None
        self._opening = 0
        self._failing_since: float | None = None
        self._retry_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._change: asyncio.Event | None = None
        self._is_closing = False

    def keep_nothing_prepared(self) -> None:
        """Have connections from now on parse each statement anew, as poolers between us may demand."""
        self._dial = partial(self._dial, prepared=False)

    def forget_statements(self) -> None:
        """Have every connection parse each statement again at its next use."""
        for wire in self._wires:
            wire.forget_statements()

    @property
    def in_use(self) -> int:
        """Connections that serve a request, or come to rest after one."""
        return len(self._wires) - len(self._idle)

    @property
    def waiting(self) -> int:
        """Requests that wait for a connection."""
        return len(self._waiters)

    @property
    def opened(self) -> int:
        """Connections that are open."""
        return len(self._wires)

    @asynccontextmanager
    async def running(self, drain_seconds: float = 10.0) -> AsyncIterator[Self]:
        """Open the pool for as long as the block runs."""
        await self.open()
        try:
            yield self
        finally:
            await self.close(drain_seconds)

    async def open(self) -> bool:
        """Open the first connection; return whether the database answers. If not, requests go on trying."""
        self._is_closing = False
        try:
            self.put(await self.take())
        except DatabaseUnavailable:
            return False
        return True

    async def close(self, drain_seconds: float = 0.0) -> None:
        """Take no new requests, let those that run and wait finish, close every connection."""
        self._is_closing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(drain_seconds):
                while self.in_use or self._waiters:
                    await self._next_change()
        for waiter in list(self._waiters):
            _refuse(waiter, Draining("The process stops."))
        if self._expiry is not None:
            self._expiry.cancel()
        await asyncio.gather(*map(end, self._tasks), return_exceptions=True)
        for wire in list(self._wires):
            if wire.is_idle:
                wire.close()
            else:
                wire.abort("the process stops")
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                while self._wires:
                    await self._next_change()
        for wire in list(self._wires):
            wire.abort("the process stops")

    # giving and taking

    def is_short(self, key: str) -> bool:
        """Say whether the statement of this key is known to take little time."""
        return self.cost_of(key) < SHORT_SECONDS

    def cost_of(self, key: str) -> float:
        """Return the seconds that the statement of this key usually takes; many for an unknown one."""
        if len(self._costs) > MAX_COSTS:
            self._costs.clear()
        return self._costs.get(key, SHORT_SECONDS)

    def take_now(self, *, shares: bool, depth: int = 0) -> Wire | None:
        """Return a connection that can be had without waiting, or None.

        Args:
            shares: It may have other requests on it that do.
            depth: So many of them, with this one, may be on it even if there is a connection without.
        """
        if self._is_closing:
            return None
        wire = self._open_to_more if shares else None
        # one that was put back in this very turn is among the idle ones again
        if wire is not None and 0 < wire.load < depth and wire.is_shared and not self._waiters:
            wire.load += 1
            return wire
        if self._idle:
            wire = self._grant(self._idle.pop(), shares=shares)
            if shares and depth > 1:
                self._open_to_more = wire
                wire.call_soon(self._close_to_more)
            return wire
        if shares and self._shared and not self._waiters and len(self._wires) >= self.size:
            wire = next(iter(self._shared))
            if wire.load < SHARED_DEPTH and wire.is_open and wire.is_shared:
                return self._grant(wire, shares=True)
        return None

    def _close_to_more(self) -> None:
        """Note that a turn of the loop is over: what was written in it goes out in one piece."""
        self._open_to_more = None

    def _grant(self, wire: Wire, *, shares: bool) -> Wire:
        """Count a request on ``wire``; the one that was shared longest ago is shared next."""
        wire.load += 1
        wire.is_shared = shares
        if shares:
            self._shared.pop(wire, None)
            self._shared[wire] = None
        return wire

    async def take(self, *, shares: bool = False) -> Wire:
        """Wait for a connection; with ``shares`` it may have other requests on it that do.

        Raises:
            DatabaseUnavailable: There is none and none can be opened.
            PoolExhausted: None became free in time.
            Draining: The pool closes.
        """
        if self._is_closing:
            raise Draining("The process stops.")
        if (wire := self.take_now(shares=shares)) is not None:
            return wire
        if self._failing_since is not None and not self._wires and monotonic_seconds() < self._retry_at:
            raise unavailable()
        waiter: asyncio.Future[Wire] = asyncio.get_running_loop().create_future()
        since = self.line_up(waiter, shares=shares)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.put(waiter.result())  # it was given in the same turn of the loop
            raise
        finally:
            self.step_out(waiter, since)

    def line_up(self, waiter: InLine, *, shares: bool) -> float:
        """Have ``waiter`` told of a connection once it is its turn, or why there is none in time.

        Returns:
            Since when it waits, for `step_out`.
        """
        since = monotonic_seconds()
        self._waiters[waiter] = shares, since
        self._grow()
        if self._expiry is None:
            self._expire_later(self.timeout_seconds)
        return since

    def step_out(self, waiter: InLine, since: float) -> None:
        """Note that ``waiter`` waits no more, who did since then."""
        self._waiters.pop(waiter, None)
        self.waited_total += 1
        self.waited_seconds_total += monotonic_seconds() - since
        self._note_change()

    def put(self, wire: Wire, rest: ValueStream | None = None) -> None:
        """Note that a request on ``wire`` is over; hand it to whoever waits longest, or keep it.

        With the ``rest`` of an answer that still comes, it is over then, and nobody shares until then.
        """
        if rest is not None:
            self._shared.pop(wire, None)
            rest.when_over(partial(self.put_back, wire))
            return
        if self._change is not None:
            self._note_change()
        wire.load -= 1
        if wire not in self._wires:
            return
        if wire.load:
            if self._waiters and wire.is_shared and not wire.is_settling:
                self._share_on(wire)
            return
        self._shared.pop(wire, None)
        if not wire.is_open or monotonic_seconds() - self._wires[wire] > MAX_AGE_SECONDS:
            self._forget(wire)
            wire.close()
            self._grow()
        elif self._waiters:
            self._give(wire)
        else:
            self._idle.append(wire)

    def _share_on(self, wire: Wire) -> None:
        """Give a place on a connection that is in use to whoever waits longest, if that one shares."""
        waiter, (shares, _) = next(iter(self._waiters.items()))
        if shares and wire.load < SHARED_DEPTH and wire.is_open:
            del self._waiters[waiter]
            if not waiter.done():
                waiter.set_result(self._grant(wire, shares=True))

    def _give(self, wire: Wire) -> None:
        while self._waiters:
            waiter, (shares, _) = self._waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(self._grant(wire, shares=shares))
                return
        self._idle.append(wire)

    def put_back(self, wire: Wire, *, is_over: bool = False) -> None:
        """Put a connection back whose request failed (then it ``is_over``) or was left."""
        if is_over or wire.is_idle or wire.is_settling:
            self.put(wire)
        else:
            self._shared.pop(wire, None)
            wire.is_shared, wire.is_settling = False, True
            self._spawn(self._settle(wire))

    async def _settle(self, wire: Wire) -> None:
        """End what was left on ``wire``; it counts as a request until then."""
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                await wire.settle()
        except (ConnectionLost, PostgresError, OSError) as error:
            wire.abort(f"a cancelled request did not end: {error}")
        except asyncio.CancelledError:
            wire.abort("the process stops")
            raise
        wire.is_settling = False
        self.put(wire)

    def _expire_later(self, seconds: float) -> None:
        self._expiry = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        """Refuse those who waited too long. One timer does for all, since all wait for the same time."""
        self._expiry = None
        now = monotonic_seconds()
        for waiter, (_, since) in list(self._waiters.items()):
            left = since + self.timeout_seconds - now
            if left > _CLOCK_SECONDS:
                self._expire_later(left)
                return
            if not waiter.done():
                waiting, in_use = self.waiting, self.in_use
                _refuse(
                    waiter,
                    PoolExhausted(f"No database connection became free in {self.timeout_seconds:g} s."),
                )
                self._observer.observe(PoolWaitExpired(waiting=waiting, in_use=in_use, size=self.size))

    # opening and losing

    def _grow(self) -> None:
        """Open as many connections as are waited for; only one while the server does not answer."""
        most = len(self._waiters)
        if self._failing_since is not None and most:
            if (delay := self._retry_at - monotonic_seconds()) > 0:
                asyncio.get_running_loop().call_later(delay, self._grow)
                return
            most = 1
        while self._opening < most and len(self._wires) + self._opening < self.size:
            self._opening += 1
            self._spawn(self._open_one())

    async def _open_one(self) -> None:
        try:
            wire = await self._log_in()
        except (ConnectionLost, PostgresError) as error:
            self._fail(str(error))
        else:
            self._welcome(wire)
        finally:
            self._opening -= 1
        self._grow()

    async def _log_in(self) -> Wire:
        async with self._choosing:
            if self._login is None:
                self._login, wire = await choose_login(*self._urls, self._dial)
                self._observer.observe(LoginChosen(login=self._login.kind, reason=self._login.reason))
                return wire
        return await self._dial(self._login.url)

    def _welcome(self, wire: Wire) -> None:
        if not wire.is_open:  # nobody listened yet when it ended
            self._fail("the server closed the connection")
            return
        wire.on_lost = self._on_lost
        wire.on_notice = self._on_notice
        wire.costs = self._costs
        wire.spools = self._spools
        self.opened_total += 1
        if self._failing_since is not None:
            seconds = monotonic_seconds() - self._failing_since
            self._failing_since = None
            self._observer.observe(DependencyBack(name=DEPENDENCY, seconds=seconds))
        self._wires[wire] = monotonic_seconds()
        self._give(wire)

    def _fail(self, reason: str) -> None:
        """Remember that the server cannot be reached; with no connection left, tell everybody who waits."""
        self._retry_at = monotonic_seconds() + PROBE_INTERVAL_SECONDS
        if self._failing_since is None:
            self._failing_since = monotonic_seconds()
            self._observer.observe(DependencyLost(name=DEPENDENCY, reason=reason))
        if not self._wires:
            self._login = None  # it may be another server that comes back
            for waiter in list(self._waiters):
                _refuse(waiter, unavailable())
            self._waiters.clear()

    def _on_lost(self, wire: Wire, reason: str) -> None:  # noqa: ARG002 whoever used it is told the reason
        if wire in self._wires:
            self.lost_total += 1
            self._forget(wire)
            self._grow()
        self._note_change()

    def _forget(self, wire: Wire) -> None:
        self._wires.pop(wire, None)
        self._shared.pop(wire, None)
        if wire in self._idle:
            self._idle.remove(wire)

    def _on_notice(self, notice: Notice) -> None:
        self.notices_total += 1
        self._observer.observe(ServerNotice(**notice._asdict()))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _note_change(self) -> None:
        """Wake whoever waits until something has changed: nobody, unless the pool closes."""
        if self._change is not None:
            self._change.set()
            self._change = None

    async def _next_change(self) -> None:
        self._change = self._change or asyncio.Event()
        await self._change.wait()


def depth_of(seconds: float) -> int:
    """Return how many statements of ``seconds`` each are sent together.

    >>> depth_of(0.0002), depth_of(0.005), depth_of(0.02)
    (8, 4, 1)
    """
    return TOGETHER_DEPTH if seconds <= BRIEF_SECONDS else int(TOGETHER_SECONDS / seconds)


def _refuse(waiter: InLine, problem: Problem) -> None:
    if not waiter.done():
        waiter.set_exception(problem)


def unavailable() -> DatabaseUnavailable:
    """Return the refusal of a request whose database is away; why it is belongs in the log alone."""
    return DatabaseUnavailable("The database does not answer.")
