"""The brokers of the tests: reached with their own clients, and what survives a crash of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aio_pika
import aiokafka
import boto3
import nats as nats_client
import pytest
from botocore.config import Config

from monohull.kernel.embedded.process import programs_in

if TYPE_CHECKING:
    from tests.brokers import Kafka, Kinesis, Nats, RabbitMq

pytestmark = pytest.mark.broker


async def test_rabbitmq_keeps_a_lasting_message_over_a_crash(rabbitmq: RabbitMq) -> None:
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("kept", durable=True)
        message = aio_pika.Message(b"1", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key="kept")

    rabbitmq.kill()
    assert not list(programs_in(rabbitmq.folder, "beam.smp"))
    rabbitmq.start()

    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("kept")
        found = await queue.get()
        assert found.body == b"1"
        await found.ack()
        await queue.delete()


async def test_nats_keeps_a_stream_over_a_crash(nats: Nats) -> None:
    async with await nats_client.connect(nats.url) as client:
        await client.jetstream().add_stream(name="kept", subjects=["kept.>"])
        await client.jetstream().publish("kept.1", b"1")

    nats.kill()
    nats.start()

    async with await nats_client.connect(nats.url) as client:
        found = await client.jetstream().get_msg("kept", 1)
        assert found.data == b"1"
        await client.jetstream().delete_stream("kept")


async def test_kafka_hands_out_what_was_sent(kafka: Kafka) -> None:
    async with aiokafka.AIOKafkaProducer(bootstrap_servers=kafka.url) as producer:
        sent = await producer.send_and_wait("seen", b"1", key=b"k")
    consumer = aiokafka.AIOKafkaConsumer("seen", bootstrap_servers=kafka.url, auto_offset_reset="earliest")
    async with consumer:
        found = await consumer.getone()
    assert (found.partition, found.offset, found.key, found.value) == (
        sent.partition,
        sent.offset,
        b"k",
        b"1",
    )


def test_kinesis_hands_out_what_was_sent(kinesis: Kinesis) -> None:
    client = boto3.client(
        "kinesis",
        endpoint_url=kinesis.url,
        region_name="eu-west-1",
        aws_access_key_id="id",
        aws_secret_access_key="key",
        config=Config(proxies={}),
    )
    client.create_stream(StreamName="seen", ShardCount=1)
    sent = client.put_record(StreamName="seen", Data=b"1", PartitionKey="k")
    shard = client.get_shard_iterator(
        StreamName="seen", ShardId=sent["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )
    records = client.get_records(ShardIterator=shard["ShardIterator"])["Records"]
    assert [record["Data"] for record in records] == [b"1"]
