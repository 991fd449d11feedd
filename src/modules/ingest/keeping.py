"""Messages that are set aside: written down with their id in one transaction, tried again, given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID  # noqa: TC003 msgspec reads it

import msgspec
from msgspec import Struct
from sqlalchemy import text

from modules.ingest.effects import MARK
from modules.ingest.messages import Message
from monohull.kernel.ids import uuid7
from monohull.kernel.queues import Backoff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.ingest.errors import Rejected
    from monohull.kernel.database.engine import Database

FACTOR: Final = 3.0
JITTER: Final = 0.4
MAX_REASON: Final = 2000

_ADD: Final = text(
    """
    insert into monohull.ingest_letters
        (id, source_id, message_id, place, key, headers, body, state, attempts, due_at, reason, message,
         finished_at)
    values (:id, :source_id, :message_id, :place, :key, cast(:headers as jsonb), :body, :state, 1,
            case when :state = 'retrying' then now() + make_interval(secs => :delay) end, :reason, :message,
            case when :state = 'dead' then now() end)
    """
)
_DUE: Final = """
    select id, message_id, place, key, headers::text as headers, body, attempts from monohull.ingest_letters
    where source_id = $1 and state = 'retrying' and due_at <= now() order by due_at limit $2
"""
_FAIL: Final = text(
    """
    update monohull.ingest_letters
    set state = :state, attempts = attempts + 1, reason = :reason, message = :message,
        due_at = case when :state = 'retrying' then now() + make_interval(secs => :delay) end,
        finished_at = case when :state = 'dead' then now() end
    where id = :id and state = 'retrying'
    """
)


class Patience(Struct, frozen=True, kw_only=True):
    """How often a message is tried, and how long it waits in between."""

    max_attempts: int
    base_seconds: float
    max_seconds: float

    def after(self, attempts: int) -> float | None:
        """Return the seconds until the next attempt, or None when there is none."""
        if attempts >= self.max_attempts:
            return None
        return Backoff(self.base_seconds, FACTOR, self.max_seconds, JITTER).delay_seconds(attempts)


class SetAside(Struct, frozen=True):
    """A message that could not have its effect, as it stands now."""

    letter_id: UUID
    message_id: str
    state: str
    attempts: int
    reason: str


class Due(Struct, frozen=True):
    """A letter that is to be tried now."""

    id: UUID
    attempts: int
    message: Message


class Letters:
    """The messages of one source that were set aside.

    Args:
        database: The owner's.
        source_id: Whose they are.
        patience: How they are tried.
    """

    def __init__(self, database: Database, source_id: UUID, patience: Patience) -> None:
        self._database = database
        self._source_id = source_id
        self._patience = patience

    async def add(self, failed: Sequence[tuple[Message, Rejected, bool]]) -> list[SetAside]:
        """Set messages aside that were not seen yet.

        Args:
            failed: Each with why, and whether another attempt may help.
        """
        added: list[SetAside] = []
        async with self._database.unit_of_work() as work:
            ids = sorted({message.id for message, _, _ in failed if message.id is not None})
            found = await work.scalars(MARK, {"source_id": self._source_id, "ids": ids})
            fresh = set(found)
            for message, why, may_help in failed:
                if message.id is not None and message.id not in fresh:
                    continue
                fresh.discard(message.id or "")
                delay = self._patience.after(1) if may_help else None
                letter = SetAside(uuid7(), message.id or "", _state(delay), 1, why.reason)
                await work.execute(_ADD, self._columns(letter, message, why, delay))
                added.append(letter)
        return added

    async def due(self, limit: int) -> list[Due]:
        """Return letters whose time has come."""
        async with self._database.connected() as pooled:
            raw: Any = await pooled.get_raw_connection()
            rows = await raw.driver_connection.fetch(_DUE, self._source_id, limit)
        return [Due(row["id"], row["attempts"], _message(row)) for row in rows]

    async def fail(self, letter: Due, why: Rejected, *, may_help: bool) -> SetAside:
        """Write down that an attempt failed."""
        attempts = letter.attempts + 1
        delay = self._patience.after(attempts) if may_help else None
        values = {
            "id": letter.id,
            "state": _state(delay),
            "delay": delay or 0.0,
            "reason": why.reason,
            "message": _cut(why.message),
        }
        async with self._database.unit_of_work() as work:
            await work.execute(_FAIL, values)
        return SetAside(letter.id, letter.message.id or "", _state(delay), attempts, why.reason)

    def _columns(
        self, letter: SetAside, message: Message, why: Rejected, delay: float | None
    ) -> dict[str, Any]:
        return {
            "id": letter.letter_id,
            "source_id": self._source_id,
            "message_id": letter.message_id,
            "place": message.place,
            "key": message.key,
            "headers": msgspec.json.encode(message.headers).decode(),
            "body": message.body,
            "state": letter.state,
            "delay": delay or 0.0,
            "reason": why.reason,
            "message": _cut(why.message),
        }


def _state(delay: float | None) -> str:
    return "dead" if delay is None else "retrying"


def _cut(message: str) -> str:
    return message[:MAX_REASON].replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _message(row: Any) -> Message:
    return Message(
        id=row["message_id"] or None,
        body=bytes(row["body"]),
        place=row["place"],
        key=row["key"],
        headers=msgspec.json.decode(row["headers"], type=dict[str, str]),
    )
