"""Who carries events to which sink: in every worker, and for each sink the one that holds its lock.

How sinks are spread over workers stands in `monohull.kernel.claims`. The connection that holds the locks
listens for news of the feed as well. Two workers that overlap for a moment send some events twice, and each
of them in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from modules.streams.delivering import Delivering, Sink
from modules.streams.observations import SinkLed, StreamsStalled
from monohull.kernel.claims import Claims
from monohull.kernel.crypto import DecryptionError
from monohull.kernel.feed import CHANNEL as FEED_CHANNEL
from monohull.kernel.tracing import OFF

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    import asyncpg

    from modules.streams.cloudevents import Envelopes
    from modules.streams.sealing import Vault
    from modules.streams.settings import StreamsSettings
    from monohull.kernel.database.engine import Database
    from monohull.kernel.observation import Observer
    from monohull.kernel.tracing import Tracing

CHANNEL: Final = "monohull_streams"
"""What is notified when a sink was made or changed."""

_SINKS: Final = "select id, revision from monohull.stream_sinks where not is_paused order by id"
_SINK: Final = """
    select revision, sealed_target, format, events, rows <> '[]' as has_rows, consecutive_failures
    from monohull.stream_sinks where id = $1 and not is_paused
"""
_END: Final = "select sequence from monohull.feed_end"
_UNREADABLE: Final = """
    update monohull.stream_sinks
    set consecutive_failures = consecutive_failures + 1, failing_since = coalesce(failing_since, now()),
        last_error = 'The target cannot be opened: it was sealed under another secret of the instance. '
            'Give the target anew.',
        last_error_at = now(), next_attempt_at = null
    where id = $1 and consecutive_failures = 0
"""


class SinkClaims(Claims[Delivering]):
    """The sinks that this process leads for.

    Args:
        database: Where they are; gives the connection that holds the locks.
        vault: Opens targets.
        envelopes: Make messages.
        settings: Of streams.
        observer: Told who leads, and what fails.
        tracing: Records messages of the traces that are.
    """

    name: ClassVar[str] = "streams"
    channel: ClassVar[str] = CHANNEL

    def __init__(  # noqa: PLR0913, PLR0917 each is a part of the process
        self,
        database: Database,
        vault: Vault,
        envelopes: Envelopes,
        settings: StreamsSettings,
        observer: Observer,
        tracing: Tracing = OFF,
    ) -> None:
        super().__init__(database)
        self._tracing = tracing
        self._vault = vault
        self._envelopes = envelopes
        self._settings = settings
        self._observer = observer
        self._end = 0

    async def held(self, connection: asyncpg.Connection) -> None:
        await connection.add_listener(FEED_CHANNEL, self._on_feed)

    async def wanted(self, connection: asyncpg.Connection) -> Mapping[UUID, int]:
        return {row["id"]: row["revision"] for row in await connection.fetch(_SINKS)}

    async def looked(self, connection: asyncpg.Connection) -> None:
        """Wake those that nobody woke: a notification may be lost with its connection."""
        if (sequence := await connection.fetchval(_END)) != self._end:
            self._end = sequence
            self._on_feed()

    async def begin(self, connection: asyncpg.Connection, thing_id: UUID) -> Delivering | None:
        row = await connection.fetchrow(_SINK, thing_id)
        sink = None if row is None else await self._opened(connection, thing_id, row)
        if sink is None:
            return None
        return Delivering(
            self._database, self._envelopes, self._settings, self._observer, sink, self._tracing
        )

    def led(self, thing_id: UUID) -> None:
        self._observer.observe(SinkLed(sink_id=str(thing_id)))

    def stalled(self, error: BaseException) -> None:
        self._observer.observe(StreamsStalled(reason=f"{type(error).__name__}: {error}"))

    async def _opened(
        self, connection: asyncpg.Connection, sink_id: UUID, row: Mapping[str, object]
    ) -> Sink | None:
        try:
            target = self._vault.open(sink_id, str(row["sealed_target"]))
        except (DecryptionError, msgspec.DecodeError):
            await connection.execute(_UNREADABLE, sink_id)
            return None
        fields = {
            "id": sink_id,
            "revision": row["revision"],
            "target": target,
            "format": row["format"],
            "patterns": row["events"],
            "has_rows": row["has_rows"],
            "failures": row["consecutive_failures"],
        }
        return msgspec.convert(fields, Sink)

    def _on_feed(self, *_: object) -> None:
        for delivering in self.works:
            delivering.wake()
