"""Topics of Kafka, with a consumer group whose offsets are committed by hand."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from modules.ingest.messages import Message, fitted, text_of

if TYPE_CHECKING:
    from modules.ingest.brokers.opening import Asked
    from modules.ingest.origins import KafkaOrigin

MILLISECONDS = 1000


async def connect(origin: KafkaOrigin, asked: Asked) -> KafkaIntake:
    """Join the group."""
    consumer = AIOKafkaConsumer(
        origin.topic,
        bootstrap_servers=list(origin.brokers),
        group_id=origin.group or asked.group,
        client_id="monohull",
        enable_auto_commit=False,
        auto_offset_reset=origin.start,
        max_poll_records=asked.batch_size,
        request_timeout_ms=int(asked.timeout_seconds * MILLISECONDS),
        # a worker that was killed leaves the group after this, and the next one gets its partitions
        session_timeout_ms=10_000,
        **_security(origin),
    )
    try:
        await consumer.start()
        if not consumer.partitions_for_topic(origin.topic):
            raise UnknownTopicOrPartitionError(f"There is no topic {origin.topic}.")  # noqa: TRY301 closes too
    except BaseException:
        await consumer.stop()
        raise
    return KafkaIntake(consumer, asked)


def _security(origin: KafkaOrigin) -> dict[str, Any]:
    protocol = "SASL_" * (origin.mechanism is not None) + ("SSL" if origin.has_tls else "PLAINTEXT")
    found: dict[str, Any] = {"security_protocol": protocol}
    if origin.has_tls:
        found["ssl_context"] = ssl.create_default_context(cadata=origin.ca_certificates)
    if origin.mechanism is not None:
        found |= {
            "sasl_mechanism": origin.mechanism,
            "sasl_plain_username": origin.username,
            "sasl_plain_password": origin.password,
        }
    return found


class KafkaIntake:
    """Fetches records and commits the offsets behind them."""

    def __init__(self, consumer: AIOKafkaConsumer, asked: Asked) -> None:
        self._consumer = consumer
        self._asked = asked

    async def fetch(self, limit: int, wait_seconds: float) -> list[Message]:
        found = await self._consumer.getmany(timeout_ms=int(wait_seconds * MILLISECONDS), max_records=limit)
        return [self._message(record) for records in found.values() for record in records]

    async def acknowledge(self, messages: list[Message]) -> None:
        offsets: dict[TopicPartition, int] = {}
        for message in messages:
            partition, offset = message.handle
            offsets[partition] = max(offsets.get(partition, 0), offset + 1)
        await self._consumer.commit(offsets)

    async def lag(self) -> int | None:
        partitions = list(self._consumer.assignment())
        if not partitions:
            return None
        ends = await self._consumer.end_offsets(partitions)
        return sum([max(0, int(ends[one] - await self._consumer.position(one))) for one in partitions])

    async def close(self) -> None:
        await self._consumer.stop()

    def _message(self, record: Any) -> Message:
        headers = {str(name): text_of(value) or "" for name, value in record.headers}
        place = f"{record.topic}/{record.partition}/{record.offset}"
        named = headers.get(self._asked.id_field) if self._asked.id_field is not None else None
        # with its time, for the numbers begin anew in a topic that was made anew
        own = named or f"{place}/{record.timestamp}"
        return Message(
            id=fitted(own),
            body=record.value or b"",
            place=place,
            key=text_of(record.key),
            headers=headers,
            handle=(TopicPartition(record.topic, record.partition), record.offset),
        )
