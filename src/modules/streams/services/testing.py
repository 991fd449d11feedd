"""Send a sink one event past the feed, and say what came of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from modules.streams.delivering import describe, hang_up
from modules.streams.dtos import SinkTested
from modules.streams.events import StreamSinkTested
from modules.streams.targets import secrets_of, template_of
from modules.streams.transports import open_transport
from monohull.kernel import clock, outbox
from monohull.kernel.events import Envelope

if TYPE_CHECKING:
    from uuid import UUID

    from modules.streams.cloudevents import Envelopes, Message
    from modules.streams.services.sinks import Sinks
    from modules.streams.targets import Target
    from monohull.kernel.database.engine import Database

TIMEOUT_SECONDS: Final = 10.0


class Testing:
    """Tries sinks out from this process.

    Args:
        database: The event is told there too, for it was somebody who did this.
        sinks: Say where to.
        envelopes: Make messages.
    """

    def __init__(self, database: Database, sinks: Sinks, envelopes: Envelopes) -> None:
        self._database = database
        self._sinks = sinks
        self._envelopes = envelopes

    async def test(self, sink_id: UUID) -> SinkTested:
        """Send the event ``streams.sink_tested``, whether the sink is paused or not.

        Raises:
            NotFound: 404. SinkInvalid, SinkKindUnavailable: 400.
        """
        name = (await self._sinks.get(sink_id)).name
        target, form = await self._sinks.target_of(sink_id)
        tested = StreamSinkTested(sink_id=str(sink_id), sink_name=name)
        async with self._database.unit_of_work() as work:
            event_id = await outbox.publish(work, tested, key=tested.sink_id)
        cause = outbox.cause()
        envelope = Envelope(
            id=event_id,
            position=0,
            transaction=0,
            sequence=0,
            name=tested.name,
            version=tested.version,
            occurred_at=clock.now(),
            payload=msgspec.Raw(msgspec.json.encode(tested)),
            key=tested.sink_id,
            actor=cause["actor"],
            request_id=cause["request_id"],
            traceparent=cause["traceparent"],
        )
        began = clock.monotonic_seconds()
        reason = await _try(target, self._envelopes.message(envelope, form, template_of(target)))
        return SinkTested(
            event_id=event_id,
            is_taken=reason is None,
            reason=reason,
            duration_seconds=round(clock.monotonic_seconds() - began, 4),
        )


async def _try(target: Target, message: Message) -> str | None:
    """Send one message; return why it was not taken."""
    transport = None
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            transport = await open_transport(target, timeout_seconds=TIMEOUT_SECONDS)
            await transport.send([message])
    except Exception as error:  # noqa: BLE001 the boundary: whatever the library raises is the answer
        return describe(error, secrets_of(target))
    finally:
        if transport is not None:
            await hang_up(transport)
    return None
