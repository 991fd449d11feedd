"""RabbitMQ by AMQP 0-9-1, with publisher confirms.

Source: the RabbitMQ binding of CloudEvents, github.com/knative-extensions/eventing-rabbitmq.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aio_pika
from aio_pika.exceptions import DeliveryError

from modules.streams.transports.protocols import NotTaken
from modules.streams.transports.together import all_taken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, HeadersType

    from modules.streams.cloudevents import Message
    from modules.streams.targets import RabbitMqTarget


async def connect(target: RabbitMqTarget, timeout_seconds: float) -> RabbitMqTransport:
    """Connect; nothing is declared: exchanges, queues and bindings are the operator's."""
    connection = await aio_pika.connect(target.url, timeout=timeout_seconds)
    try:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        if target.exchange:
            exchange = await channel.get_exchange(target.exchange, ensure=True)
        else:
            exchange = channel.default_exchange
    except BaseException:
        await connection.close()
        raise
    return RabbitMqTransport(connection, channel, exchange, target, timeout_seconds)


class RabbitMqTransport:
    """Publishes persistent messages whose ``message_id`` is the event's id."""

    is_whole = False

    def __init__(
        self,
        connection: AbstractConnection,
        channel: AbstractChannel,
        exchange: AbstractExchange,
        target: RabbitMqTarget,
        timeout_seconds: float,
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._exchange = exchange
        self._is_mandatory = target.is_mandatory
        self._timeout = timeout_seconds

    async def send(self, messages: Sequence[Message]) -> None:
        await all_taken(self._publish(message) for message in messages)

    async def _publish(self, message: Message) -> None:
        headers: HeadersType = dict[str, Any](message.prefixed("ce-"))
        published = aio_pika.Message(
            message.body,
            headers=headers,
            content_type=message.content_type,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=message.id,
            type=message.event,
            app_id="monohull",
        )
        try:
            await self._exchange.publish(
                published, message.destination, mandatory=self._is_mandatory, timeout=self._timeout
            )
        except DeliveryError as error:
            raise NotTaken(
                f"RabbitMQ returned or refused a message for {message.destination!r}: "
                "is a queue bound for it, and is there room in it?"
            ) from error

    async def close(self) -> None:
        await self._connection.close()
