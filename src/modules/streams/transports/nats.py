"""NATS JetStream: what is acknowledged is stored, and not twice within the stream's duplicate window.

Source: CloudEvents' NATS binding; ADR-42 of NATS for ``Nats-Msg-Id``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from modules.streams.transports.together import all_taken
from monohull.kernel.nats_connection import open_nats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nats.aio.client import Client
    from nats.js import JetStreamContext

    from modules.streams.cloudevents import Message
    from modules.streams.targets import NatsTarget

SAFE = " !#$&'()*+,-./:;<=>?@[]^_`{|}~"
"""What stays as it is in a header, beside letters and digits."""


async def connect(target: NatsTarget, timeout_seconds: float) -> NatsTransport:
    """Connect once; a connection that is lost is not mended but opened anew, from the sink's place."""

    async def quiet(_: Exception) -> None:
        """Errors are raised where somebody waits for an acknowledgement."""

    client = await open_nats(
        target.url,
        name="monohull-streams",
        token=target.token,
        timeout_seconds=timeout_seconds,
        on_error=quiet,
    )
    return NatsTransport(client, target.stream, timeout_seconds)


class NatsTransport:
    """Publishes to JetStream with the event's id as ``Nats-Msg-Id``."""

    is_whole = False

    def __init__(self, client: Client, stream: str | None, timeout_seconds: float) -> None:
        self._client = client
        self._stream = stream
        self._timeout = timeout_seconds
        self._jetstream: JetStreamContext = client.jetstream(timeout=timeout_seconds)

    async def send(self, messages: Sequence[Message]) -> None:
        await all_taken(self._publish(message) for message in messages)

    async def _publish(self, message: Message) -> None:
        headers = {name: quote(value, safe=SAFE) for name, value in message.prefixed("ce-").items()}
        headers |= {"content-type": message.content_type, "Nats-Msg-Id": message.id}
        await self._jetstream.publish(
            message.destination, message.body, timeout=self._timeout, stream=self._stream, headers=headers
        )

    async def close(self) -> None:
        await self._client.close()
