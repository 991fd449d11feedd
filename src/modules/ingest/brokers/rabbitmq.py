"""Queues of RabbitMQ."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aio_pika

from modules.ingest.messages import Message, fitted, text_of

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue

    from modules.ingest.brokers.opening import Asked
    from modules.ingest.origins import RabbitMqOrigin


async def connect(origin: RabbitMqOrigin, asked: Asked) -> RabbitMqIntake:
    """Begin to consume the queue."""
    async with asyncio.timeout(asked.timeout_seconds):
        connection = await aio_pika.connect(origin.url, timeout=asked.timeout_seconds)
        try:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=asked.batch_size)
            queue = await channel.get_queue(origin.queue, ensure=True)
            intake = RabbitMqIntake(connection, channel, queue, asked)
            await intake.begin()
        except BaseException:
            await connection.close()
            raise
        return intake


class RabbitMqIntake:
    """Collects what the queue hands out, and acknowledges up to the last of a batch."""

    def __init__(
        self, connection: AbstractConnection, channel: AbstractChannel, queue: AbstractQueue, asked: Asked
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._queue = queue
        self._asked = asked
        self._waiting: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._ended: BaseException | None = None

    async def begin(self) -> None:
        self._channel.close_callbacks.add(self._end)
        self._connection.close_callbacks.add(self._end)
        await self._queue.consume(self._waiting.put)

    async def fetch(self, limit: int, wait_seconds: float) -> list[Message]:
        found: list[Message] = []
        try:
            async with asyncio.timeout(wait_seconds):
                first = await self._waiting.get()
        except TimeoutError:
            first = None
        while first is not None:
            found.append(self._message(first))
            if len(found) >= limit or self._waiting.empty():
                break
            first = self._waiting.get_nowait()
        if self._channel.is_closed or self._connection.is_closed:
            raise ConnectionError(f"RabbitMQ closed the connection: {self._ended or 'it says no more'}")
        return found

    async def acknowledge(self, messages: list[Message]) -> None:
        await messages[-1].handle.ack(multiple=True)

    async def lag(self) -> int | None:
        declared = await self._channel.declare_queue(
            self._queue.name, passive=True, timeout=self._asked.timeout_seconds
        )
        return declared.declaration_result.message_count

    async def close(self) -> None:
        await self._connection.close()

    def _end(self, _: Any, error: BaseException | None = None) -> None:
        self._ended = self._ended or error
        self._waiting.put_nowait(None)

    def _message(self, incoming: AbstractIncomingMessage) -> Message:
        given = (incoming.headers or {}).items()
        headers = {
            str(name): text_of(value if isinstance(value, bytes) else str(value)) or ""
            for name, value in given
        }
        named = headers.get(self._asked.id_field) if self._asked.id_field is not None else None
        own = named or incoming.message_id
        return Message(
            id=fitted(own) if own else None,
            body=incoming.body,
            place=f"{self._queue.name} ({incoming.exchange or 'default'}: {incoming.routing_key or ''})",
            key=text_of(incoming.routing_key),
            headers=headers,
            handle=incoming,
        )
