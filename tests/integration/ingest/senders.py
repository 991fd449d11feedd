"""Whoever puts messages into brokers, one for each kind, with a place of its own in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import aio_pika
import aiokafka
import nats

from monohull.kernel.redis_connection import close_redis, open_redis
from tests.patience import PATIENT

if TYPE_CHECKING:
    from tests.brokers import Kafka, Nats, RabbitMq

ID = "x-id"


class Sender(Protocol):
    origin: dict[str, Any]

    async def send(self, *messages: tuple[str | None, str | bytes]) -> None:
        """Send messages, each with its id."""

    async def left(self) -> int:
        """Return how many the broker still keeps for the source, acknowledged ones not."""


def name() -> str:
    return f"orders-{uuid4().hex[:8]}"


class RedisSender:
    def __init__(self, url: str) -> None:
        self._url = url
        self._stream = name()
        self.origin: dict[str, Any] = {
            "redis_stream": {"url": url, "stream": self._stream, "body_field": "data"}
        }

    async def send(self, *messages: tuple[str | None, str | bytes], **headers: str) -> None:
        client = open_redis(self._url, timeouts=PATIENT)
        for message_id, body in messages:
            fields: dict[Any, Any] = {"data": body, **headers} | ({ID: message_id} if message_id else {})
            await client.xadd(self._stream, fields)
        await close_redis(client)

    async def left(self) -> int:
        client = open_redis(self._url, timeouts=PATIENT)
        (group,) = await client.xinfo_groups(self._stream)
        await close_redis(client)
        return int(group["lag"] + group["pending"])

    async def rewind(self) -> None:
        """Have everything delivered once more."""
        client = open_redis(self._url, timeouts=PATIENT)
        (group,) = await client.xinfo_groups(self._stream)
        await client.xgroup_setid(self._stream, group["name"], "0")
        await close_redis(client)


class RabbitMqSender:
    def __init__(self, broker: RabbitMq) -> None:
        self._broker = broker
        self._queue = name()
        self.origin: dict[str, Any] = {"rabbitmq": {"url": broker.url, "queue": self._queue}}

    async def send(self, *messages: tuple[str | None, str | bytes]) -> None:
        async with await aio_pika.connect(self._broker.url) as connection:
            channel = await connection.channel()
            await channel.declare_queue(self._queue, durable=True)
            for message_id, body in messages:
                content = body.encode() if isinstance(body, str) else body
                headers: dict[str, Any] = {} if message_id is None else {ID: message_id}
                message = aio_pika.Message(
                    content, headers=headers, delivery_mode=aio_pika.DeliveryMode.PERSISTENT
                )
                await channel.default_exchange.publish(message, routing_key=self._queue)

    async def left(self) -> int:
        async with await aio_pika.connect(self._broker.url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(self._queue, durable=True)
            return int(queue.declaration_result.message_count or 0)


class NatsSender:
    def __init__(self, broker: Nats, *, ack_seconds: int = 120) -> None:
        self._broker = broker
        self._stream = name()
        self.origin: dict[str, Any] = {
            "nats": {
                "url": broker.url,
                "stream": self._stream,
                "consumer": "worker",
                "ack_seconds": ack_seconds,
            }
        }

    async def send(self, *messages: tuple[str | None, str | bytes]) -> None:
        async with await nats.connect(self._broker.url) as client:
            context = client.jetstream()
            await context.add_stream(name=self._stream, subjects=[f"{self._stream}.>"])
            for message_id, body in messages:
                content = body.encode() if isinstance(body, str) else body
                headers = None if message_id is None else {ID: message_id}
                await context.publish(f"{self._stream}.placed", content, headers=headers)

    async def left(self) -> int:
        async with await nats.connect(self._broker.url) as client:
            found = await client.jetstream().consumer_info(self._stream, "worker")
            return int((found.num_pending or 0) + (found.num_ack_pending or 0))


class KafkaSender:
    def __init__(self, broker: Kafka) -> None:
        self._broker = broker
        self._topic = name()
        self.origin: dict[str, Any] = {
            "kafka": {"brokers": [broker.address], "topic": self._topic, "group": self._topic}
        }

    async def send(self, *messages: tuple[str | None, str | bytes]) -> None:
        async with aiokafka.AIOKafkaProducer(bootstrap_servers=self._broker.url) as producer:
            for message_id, body in messages:
                content = body.encode() if isinstance(body, str) else body
                headers = [] if message_id is None else [(ID, message_id.encode())]
                await producer.send_and_wait(self._topic, content, headers=headers)

    async def left(self) -> int:
        consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=self._broker.url, group_id=self._topic)
        await consumer.start()
        try:
            partitions = [aiokafka.TopicPartition(self._topic, 0)]
            ends = await consumer.end_offsets(partitions)
            committed = await consumer.committed(partitions[0])
            return int(ends[partitions[0]] - (committed or 0))
        finally:
            await consumer.stop()
