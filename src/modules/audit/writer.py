"""The writer: what waits in the queue becomes entries, by one process at a time.

It runs in every worker; the one that holds the lock writes and the others ask
for the lock once a second. An entry is added in the transaction that takes it
out of the queue: it is in the log once, whatever is cut off or repeated.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from modules.audit.collecting import draft_of
from modules.audit.entries import COLUMNS, FIELDS, GENESIS, digest, month_of
from modules.audit.partitions import add_month
from monohull.kernel.leadership import POLL_SECONDS, lead_for_ever
from monohull.kernel.observation import Observation
from monohull.kernel.outbox import CHANNEL
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    import asyncpg

    from modules.audit.entries import Draft
    from monohull.kernel.database.engine import Database
    from monohull.kernel.observation import Observer

LOCK: Final = int.from_bytes(b"monoaudi")
BATCH: Final = 1000
BATCH_BYTES: Final = 16 * 1024 * 1024
"""A batch holds no more of what waits, unless its first alone does."""

BATCH_TIMEOUT_SECONDS: Final = 60.0

_TAKE: Final = """
    delete from monohull.audit_queue where position in (
        select position from (
            select position, bytes, sum(bytes) over (order by position) as all_bytes
            from (
                select position, octet_length(content::text) as bytes
                from monohull.audit_queue order by position limit $1
            ) as first
        ) as counted
        where all_bytes - bytes < $2
    )
    returning position, id, source, occurred_at, content::text as content
"""
_TAIL: Final = """
    select recorded_at, sequence, hash from monohull.audit_entries
    order by recorded_at desc, sequence desc limit 1
"""
_RETIRED: Final = """
    select made_at, sequence, hash from monohull.audit_checkpoints where is_retired order by id desc limit 1
"""


class EntriesRecorded(Observation, frozen=True, kw_only=True):
    """Entries were added to the audit log."""

    event = "audit.entries_recorded"
    level = "debug"

    entries: int
    partition: str


class ChainDisturbed(Observation, frozen=True, kw_only=True):
    """Somebody else was at the end of the audit log, where nobody may be; run ``monohull audit verify``."""

    event = "audit.chain_disturbed"
    level = "error"

    partition: str
    expected: int
    found: int


class WriterStopped(Observation, frozen=True, kw_only=True):
    """Nothing is added to the audit log until this or another worker writes again; what waits is kept."""

    event = "audit.writer_stopped"
    level = "warning"

    reason: str


class Tail(Struct, frozen=True):
    """The last entry: ``sequence`` 0 when there is none yet."""

    hash: bytes
    sequence: int = 0
    recorded_at: datetime | None = None

    @property
    def partition(self) -> str | None:
        return None if self.recorded_at is None else month_of(self.recorded_at)


async def find_tail(connection: asyncpg.Connection) -> Tail:
    """Return where the chain ends: in the last entry, or where the last one that was let go has been."""
    row = await connection.fetchrow(_TAIL)
    if row is not None:
        return Tail(row["hash"], row["sequence"], row["recorded_at"])
    retired = await connection.fetchrow(_RETIRED)
    return Tail(GENESIS if retired is None else bytes.fromhex(retired["hash"]))


class Writer:
    """One candidate for writing.

    Args:
        database: Gives the connection that holds the lock.
        observer: Told of what was added, and of what is wrong.
    """

    def __init__(self, database: Database, observer: Observer) -> None:
        self._database = database
        self._observer = observer
        self._wake = asyncio.Event()
        self._left: Tail | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write, or wait to write, for as long as the block runs."""
        async with beside(self.run(), name="audit writer"):
            yield

    async def run(self) -> None:
        """Write whenever the lock is free, for ever."""
        await lead_for_ever(
            self._database,
            LOCK,
            self._write,
            lambda reason: self._observer.observe(WriterStopped(reason=reason)),
        )

    async def _write(self, connection: asyncpg.Connection) -> None:
        await connection.add_listener(CHANNEL, self._on_notification)
        self._left = None
        while True:
            self._wake.clear()
            async with asyncio.timeout(BATCH_TIMEOUT_SECONDS):
                added = await self.add_batch(connection)
            if not added:
                await self._rest()

    async def add_batch(self, connection: asyncpg.Connection) -> int:
        """Add what waits, at most `BATCH`; return how many entries that were."""
        async with connection.transaction():
            queued = await connection.fetch(_TAKE, BATCH, BATCH_BYTES)
            if not queued:
                return 0
            drafts = [draft_of(row) for row in sorted(queued, key=lambda row: row["position"])]
            tail = await find_tail(connection)
            self._compare(tail)
            left = await _append(connection, drafts, tail)
        self._left = left
        self._observer.observe(EntriesRecorded(entries=len(drafts), partition=left.partition or ""))
        return len(drafts)

    def _compare(self, tail: Tail) -> None:
        """Say so when somebody else was at the end of the chain since this process was."""
        left = self._left
        if left is not None and left.hash != tail.hash:
            self._observer.observe(
                ChainDisturbed(partition=left.partition or "", expected=left.sequence, found=tail.sequence)
            )

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()

    def _on_notification(self, *_: object) -> None:
        self._wake.set()


async def _append(connection: asyncpg.Connection, drafts: Sequence[Draft], tail: Tail) -> Tail:
    now = await connection.fetchval("select clock_timestamp()")
    at = now if tail.recorded_at is None else max(now, tail.recorded_at)
    partition = month_of(at)
    sequence = tail.sequence if tail.partition == partition else 0
    await add_month(connection, at.date())
    previous, records = tail.hash, []
    for draft in drafts:
        sequence += 1
        fields: dict[str, Any] = msgspec.structs.asdict(draft) | {"sequence": sequence, "recorded_at": at}
        own = digest(partition, fields, previous)
        records.append((*(fields[name] for name in FIELDS), previous, own))
        previous = own
    await connection.copy_records_to_table(
        "audit_entries", schema_name="monohull", columns=COLUMNS, records=records
    )
    return Tail(previous, sequence, at)
