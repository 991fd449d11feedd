"""Live fan-out between processes over Redis publish/subscribe: at most once.

Whoever listens gets what is published while it listens, and nothing from
before. What must arrive belongs into the outbox.

All subscriptions of a process share one connection. When that is lost the
broker connects again by itself and hands every subscriber a `Gap`: something
may have been missed, and only the subscriber knows what to do about it. A
subscriber that falls behind by more than its queue is closed; it never slows
the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from monohull.kernel import clock
from monohull.kernel.errors import RedisUnavailable
from monohull.kernel.observation import SILENT, DependencyBack, DependencyLost
from monohull.kernel.redis_connection import (
    UNREACHABLE,
    explain_redis_error,
    is_cluster,
    redis_or_unavailable,
)
from monohull.kernel.tasks import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from redis.asyncio import Redis

    from monohull.kernel.observation import Observer

PREFIX: Final = "mh:"
"""Channels are shared by all databases of a Redis, and maybe with other products."""

QUEUE_SIZE: Final = 1000
PING_SECONDS: Final = 15.0
"""Silence after which Redis is asked whether it is there; a second one ends the connection."""

READY_TIMEOUT_SECONDS: Final = 5.0
BACKOFF_BASE_SECONDS: Final = 0.1
BACKOFF_CAP_SECONDS: Final = 5.0

Topic: TypeAlias = tuple[str, bytes]
"""``channel`` or ``pattern``, and its full name in Redis."""


class Message(Struct, frozen=True):
    """What somebody published; ``channel`` is the name it was published under."""

    channel: str
    payload: bytes


class Gap(Struct, frozen=True):
    """The connection was lost and is back; messages of ``seconds`` may be missing."""

    seconds: float


Notice: TypeAlias = Message | Gap


class SubscriberTooSlow(Exception):
    """The subscriber's queue was full; it was closed and has to subscribe again."""


class Subscription:
    """What one subscriber reads: an asynchronous iterator of `Notice`, with an end.

    Iterating ends when the broker closes, and raises `SubscriberTooSlow` when
    the queue was full.
    """

    def __init__(self, topic: Topic, queue_size: int) -> None:
        self.topic = topic
        self._queue_size = queue_size
        self._notices: deque[Notice] = deque()
        self._changed = asyncio.Event()
        self._is_closed = False
        self._is_overflown = False
        self.ready = asyncio.Event()
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._notices)

    def offer(self, notice: Notice) -> None:
        """Queue ``notice``; the one that does not fit closes the subscription."""
        if self._is_closed:
            return
        if len(self._notices) >= self._queue_size:
            self._is_overflown = True
            self._notices.clear()
            self.close()
        else:
            self._notices.append(notice)
            self._changed.set()

    def close(self) -> None:
        """End the iteration behind what is queued."""
        self._is_closed = True
        self._changed.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Notice:
        while not self._notices:
            if self._is_overflown:
                raise SubscriberTooSlow(f"more than {self._queue_size} messages were waiting")
            if self._is_closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._notices.popleft()


class Broker:
    """Publishes, and fans out to the subscribers of this process.

    Args:
        redis: Publishes over its pool, and gives one connection to all subscriptions.
        observer: Told when the connection is lost and when it is back.
        prefix: In front of every channel in Redis.
        queue_size: Messages that may wait for one subscriber.
        ping_seconds: Silence after which Redis is asked whether it is there.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        observer: Observer = SILENT,
        prefix: str = PREFIX,
        queue_size: int = QUEUE_SIZE,
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        self._redis = redis
        self._observer = observer
        self._prefix = prefix
        self._queue_size = queue_size
        self._ping_seconds = ping_seconds
        self._subscribers: dict[Topic, list[Subscription]] = {}
        self._confirmed: set[Topic] = set()
        self._epoch = 0
        self._lost_at: float | None = None
        self._line: _Line | None = None
        self._supervision: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Broker]:
        """Be open for the block. The connection is made when somebody subscribes."""
        try:
            yield self
        finally:
            await self.close()

    async def close(self) -> None:
        """End every subscription and give the connection back; subscribing opens it again."""
        if self._supervision is not None:
            await end(self._supervision)
            self._supervision = None
        for subscription in self._everybody():
            subscription.close()
        self._subscribers.clear()

    async def publish(self, channel: str, payload: bytes) -> int:
        """Hand ``payload`` to whoever listens now, and return how many connections did.

        Raises:
            RedisUnavailable: 503, Redis is away.
        """
        with redis_or_unavailable():
            return await self._redis.publish(self._prefix + channel, payload)

    @asynccontextmanager
    async def subscribe(
        self,
        channel: str,
        *,
        is_pattern: bool = False,
        queue_size: int | None = None,
        timeout_seconds: float = READY_TIMEOUT_SECONDS,
    ) -> AsyncIterator[Subscription]:
        """Listen to ``channel`` for the block; what is published inside it arrives.

        Args:
            channel: A name, or with ``is_pattern`` a glob as Redis reads it.
            is_pattern: Whether ``*``, ``?`` and ``[…]`` mean something.
            queue_size: Messages that may wait; the broker's own number by default.
            timeout_seconds: How long Redis has to confirm.

        Raises:
            RedisUnavailable: 503, Redis did not confirm in time.
        """
        kind = "pattern" if is_pattern else "channel"
        subscription = Subscription((kind, (self._prefix + channel).encode()), queue_size or self._queue_size)
        await self._join(subscription)
        try:
            async with asyncio.timeout(timeout_seconds):
                await subscription.ready.wait()
        except TimeoutError as error:
            await self._leave(subscription)
            raise RedisUnavailable("Redis did not confirm the subscription in time.") from error
        except BaseException:
            await self._leave(subscription)
            raise
        try:
            yield subscription
        finally:
            await self._leave(subscription)

    # --- subscribers -------------------------------------------------------------------------

    def _everybody(self) -> Iterator[Subscription]:
        for subscribers in self._subscribers.values():
            yield from subscribers

    async def _join(self, subscription: Subscription) -> None:
        topic = subscription.topic
        is_first = topic not in self._subscribers
        self._subscribers.setdefault(topic, []).append(subscription)
        if topic in self._confirmed:
            self._confirm(subscription)
        if self._supervision is None or self._supervision.done():
            self._supervision = asyncio.create_task(self._supervise(), name="broker")
        elif is_first and self._line is not None:
            await self._line.send("SUBSCRIBE", topic)

    async def _leave(self, subscription: Subscription) -> None:
        topic = subscription.topic
        subscription.close()
        subscribers = self._subscribers.get(topic, [])
        if subscription not in subscribers:
            return
        subscribers.remove(subscription)
        if subscribers:
            return
        del self._subscribers[topic]
        self._confirmed.discard(topic)
        if self._line is not None:
            await self._line.send("UNSUBSCRIBE", topic)

    def _confirm(self, subscription: Subscription) -> None:
        """Mark a subscription as live on this connection; one that was so on an earlier has a gap."""
        if not subscription.ready.is_set():
            subscription.ready.set()
        elif subscription.epoch != self._epoch:
            seconds = 0.0 if self._lost_at is None else clock.monotonic_seconds() - self._lost_at
            subscription.offer(Gap(seconds))
        subscription.epoch = self._epoch

    # --- the connection ----------------------------------------------------------------------

    async def _supervise(self) -> None:
        """Keep one connection for as long as the broker is open."""
        backoff = ExponentialWithJitterBackoff(base=BACKOFF_BASE_SECONDS, cap=BACKOFF_CAP_SECONDS)
        failures = 0
        while True:
            epoch = self._epoch
            try:
                await self._converse()
            except (*UNREACHABLE, RedisError) as error:
                failures = 1 if epoch != self._epoch else failures + 1
                if failures == 1:
                    self._lost_at = clock.monotonic_seconds()
                    self._observer.observe(
                        DependencyLost(name="redis.broker", reason=explain_redis_error(error))
                    )
            await asyncio.sleep(backoff.compute(failures))

    async def _converse(self) -> None:
        """Subscribe to every topic and hand on what arrives, until the connection is lost.

        Raises:
            RedisError: Why it was lost.
        """
        line = _Line(self._redis, self._ping_seconds)
        try:
            await line.open()
            self._epoch += 1
            self._line = line
            for topic in list(self._subscribers):
                await line.send("SUBSCRIBE", topic)
            if self._lost_at is not None:
                seconds = clock.monotonic_seconds() - self._lost_at
                self._observer.observe(DependencyBack(name="redis.broker", seconds=seconds))
            while True:
                self._receive(await line.receive())
        finally:
            self._line = None
            self._confirmed.clear()
            await line.close()

    def _receive(self, received: list[Any]) -> None:
        match received:
            case [b"message", name, payload]:
                self._deliver(("channel", name), name, payload)
            case [b"pmessage", pattern, name, payload]:
                self._deliver(("pattern", pattern), name, payload)
            case [b"subscribe", name, _]:
                self._confirm_all(("channel", name))
            case [b"psubscribe", pattern, _]:
                self._confirm_all(("pattern", pattern))
            case _:  # pongs, and confirmations of the end of a subscription
                pass

    def _deliver(self, topic: Topic, name: bytes, payload: bytes) -> None:
        message = Message(name.decode(errors="replace").removeprefix(self._prefix), payload)
        for subscription in self._subscribers.get(topic, ()):
            subscription.offer(message)

    def _confirm_all(self, topic: Topic) -> None:
        if topic in self._subscribers:
            self._confirmed.add(topic)
        for subscription in self._subscribers.get(topic, ()):
            self._confirm(subscription)


class _Line:
    """One connection in subscriber mode, read by one task and written by several.

    redis-py's own `PubSub` mends a broken connection in silence, so that nobody
    would hear of the gap, and does it from each task that uses it. Here it
    fetches and returns the connection; what goes over it is ours.
    """

    def __init__(self, redis: Redis, ping_seconds: float) -> None:
        self._redis = redis
        self._pubsub: Any = redis.pubsub()
        self._ping_seconds = ping_seconds
        self._sending = asyncio.Lock()

    async def open(self) -> None:
        """Connect and see whether somebody answers; the answer comes out of `receive`."""
        if is_cluster(self._redis):  # whose subscribers choose among the nodes that it knows already
            _ = await self._redis.initialize()
        await self._pubsub.execute_command("PING")

    async def close(self) -> None:
        async with self._sending:
            with suppress(*UNREACHABLE, RedisError):
                await self._pubsub.aclose()

    async def send(self, verb: str, topic: Topic) -> None:
        """Send a command. A failure closes the connection, and `receive` tells of it."""
        kind, name = topic
        await self._send(f"P{verb}" if kind == "pattern" else verb, name)

    async def receive(self) -> list[Any]:
        """Return the next answer that is no bare PONG. Silence is answered with a PING.

        Raises:
            RedisError: The connection is lost, or was silent after a PING too.
        """
        is_waiting_for_pong = False
        while True:
            received = await self._read()
            if isinstance(received, list):
                return received
            if received is not None:
                is_waiting_for_pong = False
            elif is_waiting_for_pong:
                raise RedisTimeoutError("no answer to a ping")
            else:
                is_waiting_for_pong = True
                await self._send("PING")

    async def _read(self) -> Any:
        """Return an answer, or None when there was none for `ping_seconds`."""
        connection = self._pubsub.connection
        if not connection.is_connected:
            raise RedisConnectionError("the connection was closed")
        return await connection.read_response(
            timeout=self._ping_seconds, disconnect_on_error=False, push_request=True
        )

    async def _send(self, *command: str | bytes) -> None:
        async with self._sending:
            connection = self._pubsub.connection
            if connection is None or not connection.is_connected:
                return  # the reader knows already; a connection made here would be one that nobody reads
            with suppress(*UNREACHABLE, RedisError):
                await connection.send_command(*command, check_health=False)
