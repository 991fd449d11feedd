"""What commands and schedules do with the log: check it, sign its end, keep its months."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from modules.audit.checkpoints import Signer, list_stored, read_files, store, write_file
from modules.audit.events import AuditLogExported
from modules.audit.partitions import add_ahead, drop_month, first_day, later, list_months, table_of
from modules.audit.settings import AuditSettings
from modules.audit.tracking import sync
from modules.audit.verification import Fault, Verdict, Verification
from modules.audit.writer import Tail, find_tail
from monohull.kernel import clock, outbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from modules.audit.checkpoints import Checkpoint
    from modules.audit.paths import Wanted
    from monohull.kernel.database.engine import Database
    from monohull.kernel.settings import Settings

_LATEST: Final = """
    select partition, sequence, made_at from monohull.audit_checkpoints order by id desc limit 1
"""


class Kept(Struct, frozen=True):
    """What one round of keeping did."""

    made: tuple[str, ...]
    dropped: tuple[str, ...]
    checkpoint: Checkpoint | None


class AuditLog:
    """The log as a whole.

    Args:
        database: Where it is.
        settings: Whose secret signs checkpoints, and how long months are kept.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._own = settings.of(AuditSettings)

    async def verify(self, partition: str | None = None) -> Verdict:
        """Recompute the chain, all of it or of one month.

        Raises:
            ValueError: There is no such month.
            Refused: There is no secret yet, or a file of checkpoints cannot be read.
            DatabaseUnavailable: 503.
        """
        signer = Signer.of(self._settings)
        filed = await self._filed()
        async with (
            self._database.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            stored = await list_stored(connection)
            lost = [checkpoint for checkpoint in filed if checkpoint not in stored]
            verdict = await Verification(connection, signer, [*stored, *lost]).run(partition)
        return verdict if lost == [] or not verdict.ok else _with_lost(verdict, lost[0])

    async def checkpoint(self) -> Checkpoint | None:
        """Sign the end of the chain, where nothing was signed yet; None when there is nothing to sign.

        Raises:
            OSError: The folder cannot be written.
            Refused: There is no secret yet.
            DatabaseUnavailable: 503.
        """
        async with self._database.connection() as connection:
            tail = await find_tail(connection)
            latest = await connection.fetchrow(_LATEST)
            if tail.sequence == 0 or (latest and latest[:2] == (tail.partition, tail.sequence)):
                return None
            async with connection.transaction():
                return await self._sign(connection, tail, retired=False)

    async def keep(self) -> Kept:
        """Make the next months, let old ones go, follow the marks of tables, sign the end when it is time.

        Raises:
            OSError: The folder of checkpoints cannot be written.
            DatabaseUnavailable: 503.
        """
        async with self._database.connection() as connection:
            made = await add_ahead(connection, clock.now().date())
            dropped = await self._retire(connection)
            await sync(connection)
            latest = await connection.fetchrow(_LATEST)
        due = timedelta(minutes=self._own.checkpoint_minutes)
        is_due = latest is None or clock.now() - latest["made_at"] >= due - timedelta(seconds=5)
        return Kept(tuple(made), tuple(dropped), await self.checkpoint() if is_due else None)

    async def note_export(self, wanted: Wanted, form: str) -> None:
        """Record that somebody takes entries away.

        Raises:
            DatabaseUnavailable: 503.
        """
        given = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in msgspec.structs.asdict(wanted).items()
        }
        async with self._database.unit_of_work() as work:
            await outbox.publish(work, AuditLogExported(format=form, **given))

    async def _retire(self, connection: asyncpg.Connection) -> Sequence[str]:
        months = self._own.retention_months
        if months is None:
            return []
        oldest = later(clock.now().date(), -months)
        gone = [month for month in await list_months(connection) if first_day(month) < oldest]
        for month in gone:
            await self._let_go(connection, month)
        return gone

    async def _let_go(self, connection: asyncpg.Connection, month: str) -> None:
        """Sign where a month ended, and drop it; both or neither."""
        query = f"select recorded_at, sequence, hash from {table_of(month)} order by sequence desc limit 1"  # noqa: S608
        async with connection.transaction():
            row = await connection.fetchrow(query)
            if row is not None:
                await self._sign(
                    connection, Tail(row["hash"], row["sequence"], row["recorded_at"]), retired=True
                )
            await drop_month(connection, month)

    async def _sign(self, connection: asyncpg.Connection, tail: Tail, *, retired: bool) -> Checkpoint:
        signer = Signer.of(self._settings)
        checkpoint = signer.sign(tail.partition or "", tail.sequence, tail.hash, clock.now(), retired=retired)
        await store(connection, checkpoint)
        if self._own.checkpoint_folder is not None:
            await asyncio.to_thread(write_file, self._own.checkpoint_folder, checkpoint)
        return checkpoint

    async def _filed(self) -> Sequence[Checkpoint]:
        folder = self._own.checkpoint_folder
        return [] if folder is None else await asyncio.to_thread(read_files, folder)


def _with_lost(verdict: Verdict, lost: Checkpoint) -> Verdict:
    """Say that the database has lost a checkpoint that a file has."""
    fault = Fault(
        kind="checkpoint",
        partition=lost.partition,
        sequence=lost.sequence,
        message=f"the checkpoint of entry {lost.sequence} of {lost.partition}, which is in the folder, is "
        "missing in the database",
    )
    return Verdict(
        ok=False,
        entries=verdict.entries,
        partitions=verdict.partitions,
        checkpoints=verdict.checkpoints,
        fault=fault,
    )
