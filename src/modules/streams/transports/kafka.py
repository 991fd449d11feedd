"""Kafka: every in-sync replica has acknowledged, and the event's key is the record's.

Source: CloudEvents' Kafka binding.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.streams.cloudevents import Message
    from modules.streams.targets import KafkaTarget


async def connect(target: KafkaTarget, timeout_seconds: float) -> KafkaTransport:
    """Connect; topics are the operator's, or the broker's to make."""
    protocol = ("SASL_" if target.mechanism else "") + ("SSL" if target.has_tls else "PLAINTEXT")
    producer: Any = AIOKafkaProducer(
        bootstrap_servers=list(target.brokers),
        client_id="monohull-streams",
        acks="all",
        enable_idempotence=target.is_idempotent,
        max_request_size=target.max_message_bytes,
        # so that what is under way has failed by the time that whoever waits for it gives up
        request_timeout_ms=max(500, int(timeout_seconds * 500)),
        security_protocol=protocol,
        ssl_context=ssl.create_default_context(cadata=target.ca_certificates) if target.has_tls else None,
        sasl_mechanism=target.mechanism or "PLAIN",
        sasl_plain_username=target.username,
        sasl_plain_password=target.password,
    )
    try:
        await producer.start()
    except BaseException:
        await producer.stop()
        raise
    return KafkaTransport(producer)


class KafkaTransport:
    """Sends records; one that is too large for the broker is not taken."""

    is_whole = False

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer: Any = producer

    async def send(self, messages: Sequence[Message]) -> None:
        pending = [await self._send(message) for message in messages]
        results = await asyncio.gather(*pending, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _send(self, message: Message) -> asyncio.Future[Any]:
        headers = [(name, value.encode()) for name, value in message.prefixed("ce_").items()]
        headers.append(("content-type", message.content_type.encode()))
        key = None if message.key is None else message.key.encode()
        future: asyncio.Future[Any] = await self._producer.send(
            message.destination, message.body, key=key, headers=headers
        )
        return future

    async def close(self) -> None:
        await self._producer.stop()
