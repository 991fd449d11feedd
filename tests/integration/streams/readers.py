"""Brokers as those see them who read there: what the sink is given, and the CloudEvents that arrive."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

import aio_pika
import aiokafka
import boto3
import nats as nats_client
from botocore.config import Config
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.bindings.rabbitmq import RabbitMQMessage, from_rabbitmq
from cloudevents.core.formats.json import JSONFormat
from msgspec import Struct

from monohull.kernel.clock import monotonic_seconds
from tests.integration.streams.dock import new_name
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.brokers import Kafka, Kinesis, Nats, RabbitMq

AWS: dict[str, Any] = {"region_name": "eu-west-1", "aws_access_key_id": "id", "aws_secret_access_key": "key"}


class Read(Struct, frozen=True):
    """One message; ``event`` is what the specification's own library makes of it."""

    id: str
    event: Any
    headers: dict[str, str] = {}


class Place(Protocol):
    """A queue, a stream or a topic of a broker."""

    target: dict[str, Any]

    async def read(self, number: int) -> list[Read]:
        """Return so many messages, the oldest first, and those that come with them."""
        ...


class RabbitMqPlace:
    def __init__(self, broker: RabbitMq, name: str) -> None:
        self._broker = broker
        self._name = name
        self.target = {"rabbitmq": {"url": broker.url, "routing_key": name}}

    async def read(self, number: int) -> list[Read]:
        found: list[Read] = []
        async with asyncio.timeout(PATIENCE_SECONDS), await aio_pika.connect(self._broker.url) as connection:
            queue = await (await connection.channel()).get_queue(self._name)
            while len(found) < number:
                got = await queue.get(fail=False, no_ack=True)
                if got is None:
                    await asyncio.sleep(0.05)
                    continue
                headers = {name: str(value) for name, value in got.headers.items()}
                message = RabbitMQMessage(headers, got.content_type, got.body)
                found.append(Read(str(got.message_id), from_rabbitmq(message, JSONFormat()), headers))
        return found


@asynccontextmanager
async def rabbitmq_place(broker: RabbitMq) -> AsyncIterator[RabbitMqPlace]:
    name = new_name()
    async with await aio_pika.connect(broker.url) as connection:
        await (await connection.channel()).declare_queue(name, durable=True)
    yield RabbitMqPlace(broker, name)


class NatsPlace:
    def __init__(self, broker: Nats, name: str) -> None:
        self._broker = broker
        self._name = name
        self.target = {"nats": {"url": broker.url, "subject": f"{name}.{{event}}", "stream": name}}

    async def read(self, number: int) -> list[Read]:
        async with await nats_client.connect(self._broker.url) as client:
            jetstream = client.jetstream()

            async def are_there() -> bool:
                return bool((await jetstream.stream_info(self._name)).state.messages >= number)

            await eventually(are_there)
            state = (await jetstream.stream_info(self._name)).state
            messages = [
                await jetstream.get_msg(self._name, sequence)
                for sequence in range(state.first_seq, state.last_seq + 1)
            ]
        return [_nats_read(message) for message in messages]


def _nats_read(message: Any) -> Read:
    headers = dict(message.headers)
    attributes = {name.replace("ce-", "ce_", 1): value.encode() for name, value in headers.items()}
    event = from_kafka(KafkaMessage(attributes, None, message.data), JSONFormat())
    return Read(headers["Nats-Msg-Id"], event, headers)


@asynccontextmanager
async def nats_place(broker: Nats) -> AsyncIterator[NatsPlace]:
    name = new_name()
    async with await nats_client.connect(broker.url) as client:
        await client.jetstream().add_stream(name=name, subjects=[f"{name}.>"])
    yield NatsPlace(broker, name)


class KafkaPlace:
    def __init__(self, broker: Kafka, name: str) -> None:
        self._broker = broker
        self._name = name
        self.target = {"kafka": {"brokers": [broker.address], "topic": name, "is_idempotent": False}}

    async def read(self, number: int) -> list[Read]:
        found: list[Read] = []
        consumer = aiokafka.AIOKafkaConsumer(
            self._name, bootstrap_servers=self._broker.address, auto_offset_reset="earliest"
        )
        async with asyncio.timeout(PATIENCE_SECONDS), consumer:
            while len(found) < number:
                got = await consumer.getone()
                message = KafkaMessage(dict(got.headers), got.key, got.value)
                event = from_kafka(message, JSONFormat())
                assert got.key == (event.get_subject() or "").encode()
                headers = {name: value.decode() for name, value in got.headers}
                found.append(Read(event.get_id(), event, headers))
        return found


@asynccontextmanager
async def kafka_place(broker: Kafka) -> AsyncIterator[KafkaPlace]:
    yield KafkaPlace(broker, new_name())


class KinesisPlace:
    def __init__(self, client: Any, broker: Kinesis, name: str) -> None:
        self._client = client
        self._name = name
        self.target = {
            "kinesis": {
                "region": AWS["region_name"],
                "stream": name,
                "endpoint_url": broker.url,
                "access_key_id": AWS["aws_access_key_id"],
                "secret_access_key": AWS["aws_secret_access_key"],
            }
        }

    async def read(self, number: int) -> list[Read]:
        return await asyncio.to_thread(self._read, number)

    def _read(self, number: int) -> list[Read]:
        (shard,) = self._client.list_shards(StreamName=self._name)["Shards"]
        iterator = self._client.get_shard_iterator(
            StreamName=self._name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        found: list[Read] = []
        deadline = monotonic_seconds() + PATIENCE_SECONDS
        while len(found) < number:
            assert monotonic_seconds() < deadline
            answer = self._client.get_records(ShardIterator=iterator)
            iterator = answer["NextShardIterator"]
            for record in answer["Records"]:
                event = JSONFormat().read(None, record["Data"])
                assert record["PartitionKey"] == event.get_subject()
                found.append(Read(event.get_id(), event))
        return found


@asynccontextmanager
async def kinesis_place(broker: Kinesis) -> AsyncIterator[KinesisPlace]:
    name = new_name()
    client = boto3.client("kinesis", endpoint_url=broker.url, config=Config(proxies={}), **AWS)
    client.create_stream(StreamName=name, ShardCount=1)
    yield KinesisPlace(client, broker, name)
