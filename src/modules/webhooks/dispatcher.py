"""The dispatcher: in every worker, sends what is due. No transaction is open while it waits for an endpoint.

    wait → write down what came back → take what is due and has room → send, each in a task of its own

A worker that is stopped lets requests end for a few seconds and gives the rest back; of one that is
killed the leases end by themselves.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from modules.webhooks.burying import bury_left_over
from modules.webhooks.leasing import record, release, take
from modules.webhooks.observations import WebhookAttempted, WebhookDead, WebhooksStalled
from monohull.kernel import clock
from monohull.kernel.errors import Problem
from monohull.kernel.tasks import beside, end
from monohull.kernel.trace import trace_id_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from uuid import UUID

    from modules.webhooks.leasing import Lost, Recorded
    from modules.webhooks.sending import Attempt, Delivery, Sender
    from modules.webhooks.settings import WebhooksSettings
    from monohull.kernel.database.engine import Database
    from monohull.kernel.observation import Observer

POLL_SECONDS: Final = 1.0
MAX_BURIED: Final = 1000
DRAIN_SECONDS: Final = 5.0
SECONDS_PER_HOUR: Final = 3600.0
_AWAY: Final = (
    Problem,
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)


class Dispatcher:
    """Sends in this process.

    Args:
        database: Where deliveries are.
        sender: Makes attempts.
        settings: How many at a time, and when an endpoint has failed for too long.
        observer: Told of every attempt.
        disable: Ends an endpoint for ``gone`` or ``failing``.
    """

    def __init__(
        self,
        database: Database,
        sender: Sender,
        settings: WebhooksSettings,
        observer: Observer,
        disable: Callable[[UUID, str], Awaitable[None]],
    ) -> None:
        self._database = database
        self._sender = sender
        self._settings = settings
        self._observer = observer
        self._disable = disable
        self._sending: dict[asyncio.Task[None], Delivery] = {}
        self._ended: list[Attempt] = []
        self._to_disable: dict[UUID, str] = {}
        self._wake = asyncio.Event()
        self._bury_at = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send for as long as the block runs."""
        try:
            async with beside(self.run(), name="webhook dispatcher"):
                yield
        finally:
            await self._drain()

    def wake(self) -> None:
        """Look at once; something may be due."""
        self._wake.set()

    async def run(self) -> None:
        """Send what is due, for ever."""
        while True:
            self._wake.clear()
            try:
                await self.round()
            except Exception as error:  # noqa: BLE001 the boundary: nobody else would send in this process
                self._observer.observe(WebhooksStalled(reason=f"{type(error).__name__}: {error}"))
                await asyncio.sleep(POLL_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()

    async def round(self) -> int:
        """Write down what came back, and begin what is due; return how many attempts began."""
        if self._ended:
            async with self._connection() as connection:
                await self._record(connection)
        while self._to_disable:
            endpoint_id, reason = next(iter(self._to_disable.items()))
            await self._disable(endpoint_id, reason)
            del self._to_disable[endpoint_id]
        free = self._settings.concurrency - len(self._sending)
        if free <= 0:
            return 0
        async with self._connection() as connection:
            await self._bury(connection)
            taken = await take(connection, free)
        self._tell_lost(taken.lost)
        for delivery in taken.deliveries:
            task = asyncio.create_task(self._send(delivery), name=f"webhook {delivery.id}")
            self._sending[task] = delivery
            task.add_done_callback(self._forget)
        return len(taken.deliveries)

    async def _bury(self, connection: asyncpg.Connection) -> None:
        """Give up what disabled endpoints still have, looked for once a second."""
        if clock.monotonic_seconds() >= self._bury_at:
            self._tell_lost(await bury_left_over(connection, MAX_BURIED))
            self._bury_at = clock.monotonic_seconds() + POLL_SECONDS

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend the driver's connection out of the pool."""
        async with self._database.connected() as pooled:
            raw: Any = await pooled.get_raw_connection()
            yield raw.driver_connection

    async def _send(self, delivery: Delivery) -> None:
        self._ended.append(await self._sender.send(delivery))

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._sending.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            # the boundary: a defect of one delivery ends neither the worker nor the others; its lease ends
            self._observer.observe(WebhooksStalled(reason=f"{type(error).__name__}: {error}"))
        self._wake.set()

    async def _record(self, connection: asyncpg.Connection) -> None:
        ended = list(self._ended)
        try:
            recorded = await record(connection, ended)
        except asyncpg.DataError:
            # what somebody answered cannot be stored; what came of it can
            recorded = await record(connection, [one.without_log() for one in ended])
        del self._ended[: len(ended)]
        for attempt in recorded.attempts:
            self._tell(attempt)
            if attempt.delay_seconds is not None and attempt.delay_seconds < POLL_SECONDS:
                asyncio.get_running_loop().call_later(attempt.delay_seconds, self._wake.set)
        self._judge(recorded)

    def _judge(self, recorded: Recorded) -> None:
        """Find the endpoints that are to be disabled."""
        longest = self._settings.disable_after_hours * SECONDS_PER_HOUR
        for endpoint_id, seconds in recorded.failing.items():
            if seconds >= longest:
                self._to_disable[endpoint_id] = "failing"
        for attempt in recorded.attempts:
            if attempt.is_gone:
                self._to_disable[attempt.delivery.endpoint_id] = "gone"

    def _tell(self, attempt: Attempt) -> None:
        delivery = attempt.delivery
        known: dict[str, Any] = {
            "endpoint_id": str(delivery.endpoint_id),
            "delivery_id": str(delivery.id),
            "event_id": str(delivery.event.id),
            "reason": attempt.reason,
            "request_id": delivery.event.request_id,
            "trace_id": trace_id_of(delivery.event.traceparent),
        }
        self._observer.observe(
            WebhookAttempted(
                attempt=delivery.attempt,
                state=attempt.state,
                status=attempt.status,
                duration_seconds=round(attempt.duration_seconds, 4),
                **known,
            )
        )
        if attempt.state == "dead":
            self._observer.observe(WebhookDead(attempts=delivery.attempt, **known))

    def _tell_lost(self, lost: Iterable[Lost]) -> None:
        for one in lost:
            self._observer.observe(
                WebhookDead(
                    endpoint_id=str(one.endpoint_id),
                    delivery_id=str(one.id),
                    event_id=str(one.event_id),
                    attempts=one.attempts,
                    reason=one.reason,
                    request_id=one.request_id,
                )
            )

    async def _drain(self) -> None:
        """Let requests end, give back those that do not, and write down what came back."""
        if self._sending:
            await asyncio.wait(list(self._sending), timeout=DRAIN_SECONDS)
        broken_off = dict(self._sending)
        for task in broken_off:
            await end(task)
        if not (self._ended or broken_off):
            return
        with suppress(*_AWAY):
            async with self._connection() as connection:
                if self._ended:
                    await self._record(connection)
                if broken_off:
                    await release(connection, list(broken_off.values()))
