"""Streams of NATS JetStream, with a durable consumer that is asked for messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from modules.ingest.messages import Message, fitted, text_of
from monohull.kernel.nats_connection import open_nats

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js.client import JetStreamContext

    from modules.ingest.brokers.opening import Asked
    from modules.ingest.origins import NatsOrigin

ID_HEADER: Final = "Nats-Msg-Id"


async def connect(origin: NatsOrigin, asked: Asked) -> NatsIntake:
    """Find the durable consumer, or make it."""
    errors: list[Exception] = []

    async def note(error: Exception) -> None:
        errors.append(error)

    client = await open_nats(
        origin.url,
        name="monohull",
        token=origin.token,
        timeout_seconds=asked.timeout_seconds,
        on_error=note,
    )
    try:
        context = client.jetstream(timeout=asked.timeout_seconds)
        name = origin.consumer or asked.group
        try:
            await context.consumer_info(origin.stream, name)
        except NotFoundError:
            await context.add_consumer(origin.stream, _configuration(origin, asked, name))
        subscription = await context.pull_subscribe_bind(consumer=name, stream=origin.stream)
    except BaseException:
        await client.close()
        raise
    return NatsIntake(client, context, subscription, asked)


def _configuration(origin: NatsOrigin, asked: Asked, name: str) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=name,
        filter_subject=origin.subject,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=origin.ack_seconds,
        max_ack_pending=max(1000, asked.batch_size),
        deliver_policy=DeliverPolicy.ALL if origin.start == "earliest" else DeliverPolicy.NEW,
    )


class NatsIntake:
    """Asks for messages, and acknowledges each."""

    def __init__(
        self,
        client: Client,
        context: JetStreamContext,
        subscription: JetStreamContext.PullSubscription,
        asked: Asked,
    ) -> None:
        self._client = client
        self._context = context
        self._subscription = subscription
        self._asked = asked
        self._given: list[Message] = []

    async def fetch(self, limit: int, wait_seconds: float) -> list[Message]:
        try:
            found = await self._subscription.fetch(limit, timeout=wait_seconds)
        except (NatsTimeout, TimeoutError):
            found = []
        if not self._client.is_connected:
            raise ConnectionError(f"NATS closed the connection: {self._client.last_error or 'it is away'}")
        self._given = [self._message(message) for message in found]
        return self._given

    async def acknowledge(self, messages: list[Message]) -> None:
        for message in messages:
            await message.handle.ack()
        await self._client.flush(timeout=max(1, int(self._asked.timeout_seconds)))
        self._given = []

    async def lag(self) -> int | None:
        found = await self._subscription.consumer_info()
        return (found.num_pending or 0) + (found.num_ack_pending or 0)

    async def close(self) -> None:
        if self._client.is_connected:
            for message in self._given:
                await message.handle.nak()
        await self._client.close()

    def _message(self, message: Any) -> Message:
        headers = {str(name): text_of(value) or "" for name, value in (message.headers or {}).items()}
        about = message.metadata
        place = f"{about.stream}/{about.sequence.stream}"
        named = headers.get(self._asked.id_field or ID_HEADER)
        # with its time, for the numbers begin anew in a stream that was made anew
        own = named or f"{place}/{about.timestamp.timestamp()}"
        return Message(
            id=fitted(own),
            body=message.data,
            place=f"{place} {message.subject}",
            key=text_of(message.subject),
            headers=headers,
            handle=message,
        )
