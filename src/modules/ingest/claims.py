"""Who takes the messages of which source: in every worker, and for each source the one that holds its lock.

One connection holds the locks of all sources that this process leads for, and looks for changed ones once a
second. When it is lost, so are the locks: the consumers end here, and another process, or this one, goes on.
Two that overlap for a moment get messages twice, and each has its effect once all the same.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from modules.ingest.consumer import Consumer, Source
from modules.ingest.dtos import Destination
from modules.ingest.effects import JobEffect, TableEffect
from modules.ingest.errors import Fault
from modules.ingest.jobs import application_jobs
from modules.ingest.keeping import Patience
from modules.ingest.observations import IngestStalled, SourceLed
from modules.ingest.settings import IngestSettings
from monohull.kernel.crypto import DecryptionError
from monohull.kernel.database.engine import Database
from monohull.kernel.feed_reader import lock_of
from monohull.kernel.leadership import KEEPALIVE, POLL_SECONDS
from monohull.kernel.tasks import beside, end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from uuid import UUID

    import asyncpg

    from modules.ingest.effects import Effect
    from modules.ingest.sealing import Vault
    from monohull.kernel.runtime import Runtime

CHANNEL: Final = "monohull_ingest"
"""What is notified when a source was made or changed."""
TIMEOUT_SECONDS: Final = 60.0

_SOURCES: Final = "select id, revision from monohull.ingest_sources where not is_paused order by id"
_SOURCE: Final = """
    select revision, sealed_origin, destination::text as destination, id_field, batch_size, max_attempts,
        retry_base_seconds, retry_max_seconds, ticket, consecutive_failures
    from monohull.ingest_sources where id = $1 and not is_paused
"""
_TRY: Final = "select pg_try_advisory_lock($1)"
_FREE: Final = "select pg_advisory_unlock($1)"
_UNUSABLE: Final = """
    update monohull.ingest_sources
    set consecutive_failures = consecutive_failures + 1, failing_since = coalesce(failing_since, now()),
        last_error = $2, last_error_at = now(), next_attempt_at = null
    where id = $1 and last_error is distinct from $2
"""


class Claims:
    """The sources that this process leads for.

    Args:
        runtime: Of the process.
        vault: Opens origins.
    """

    def __init__(self, runtime: Runtime, vault: Vault) -> None:
        self._runtime = runtime
        self._vault = vault
        self._settings = runtime.settings.of(IngestSettings)
        self._jobs = application_jobs(runtime)
        self._running: dict[UUID, tuple[Consumer, asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()
        self._data: Database | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take messages for as long as the block runs."""
        try:
            async with beside(self.run(), name="ingest"):
                yield
        finally:
            if self._data is not None:
                await self._data.close()

    async def run(self) -> None:
        """Claim sources and take their messages, for ever."""
        while True:
            try:
                async with self._runtime.database.connection() as connection:
                    await self._hold(connection)
            except Exception as error:  # noqa: BLE001 the boundary: nobody else would claim in this process
                self._stalled(error)
            await asyncio.sleep(POLL_SECONDS)

    async def _hold(self, connection: asyncpg.Connection) -> None:
        await connection.execute(KEEPALIVE)
        await connection.add_listener(CHANNEL, self._on_change)
        connection.add_termination_listener(self._on_change)
        try:
            while True:
                self._wake.clear()
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await self._look(connection)
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._wake.wait()
        finally:
            await asyncio.gather(*(self._stop(source_id) for source_id in list(self._running)))

    async def _look(self, connection: asyncpg.Connection) -> None:
        """End what is changed, paused, deleted or broken; begin what nobody leads for."""
        wanted = {row["id"]: row["revision"] for row in await connection.fetch(_SOURCES)}
        for source_id, (consumer, task) in list(self._running.items()):
            if wanted.get(source_id) != consumer.source.revision or task.done():
                await self._stop(source_id)
                await connection.execute(_FREE, lock_of(f"ingest.{source_id}"))
        for source_id in wanted:
            if source_id not in self._running:
                await self._claim(connection, source_id)

    async def _claim(self, connection: asyncpg.Connection, source_id: UUID) -> None:
        lock = lock_of(f"ingest.{source_id}")
        if not await connection.fetchval(_TRY, lock):
            return
        row = await connection.fetchrow(_SOURCE, source_id)  # as it is, now that nobody else leads
        try:
            consumer = None if row is None else await self._consumer(source_id, row)
        except Fault as error:
            await connection.execute(_UNUSABLE, source_id, str(error))
            consumer = None
        if consumer is None:
            await connection.execute(_FREE, lock)
            return
        task = asyncio.create_task(consumer.run(), name=f"source {source_id}")
        self._running[source_id] = (consumer, task)
        self._runtime.observer.observe(SourceLed(source_id=str(source_id)))

    async def _consumer(self, source_id: UUID, row: Mapping[str, Any]) -> Consumer:
        """Build what takes the messages of a source.

        Raises:
            Fault: Not in this process, or not at all.
        """
        try:
            origin = self._vault.open(source_id, row["sealed_origin"])
        except (DecryptionError, msgspec.DecodeError):
            raise Fault(
                "The origin cannot be opened: it was sealed under another secret of the instance. "
                "Give the origin anew."
            ) from None
        destination = msgspec.json.decode(row["destination"], type=Destination)
        source = Source(
            id=source_id,
            revision=row["revision"],
            origin=origin,
            id_field=row["id_field"],
            batch_size=row["batch_size"],
            patience=Patience(
                max_attempts=row["max_attempts"],
                base_seconds=row["retry_base_seconds"],
                max_seconds=row["retry_max_seconds"],
            ),
            failures=row["consecutive_failures"],
        )
        effect = await self._effect(source_id, row["ticket"], destination)
        runtime = self._runtime
        return Consumer(runtime.database, source, effect, self._settings, runtime.observer)

    async def _effect(self, source_id: UUID, ticket: UUID, destination: Destination) -> Effect:
        if destination.table is not None:
            return TableEffect(
                await self._data_login(),
                source_id,
                ticket,
                destination.table,
                timeout_seconds=self._settings.statement_timeout_seconds,
            )
        assert destination.job is not None
        if (job := self._jobs.get(destination.job.job)) is None:
            raise Fault(f"No job of the application is called {destination.job.job}.")
        return JobEffect(self._runtime, source_id, job, destination.job.argument)

    async def _data_login(self) -> Database:
        """Return the database with the login of data requests, which must not be the owner."""
        data = self._runtime.data
        if data.login is None:
            await data.open()
        if data.login == "owner":
            raise Fault(
                "Data requests log in as the owner here, and messages are not put into tables as the owner; "
                f"{data.login_reason}"
            )
        if self._data is None:
            url = self._runtime.connections.data_url
            self._data = Database(url, pool_size=1, application_name="monohull-ingest")
        return self._data

    async def _stop(self, source_id: UUID) -> None:
        _, task = self._running.pop(source_id)
        try:
            await end(task)
        except Exception as error:  # noqa: BLE001 the boundary: a defect of one source ends no other
            self._stalled(error)

    def _stalled(self, error: BaseException) -> None:
        self._runtime.observer.observe(IngestStalled(reason=f"{type(error).__name__}: {error}"))

    def _on_change(self, *_: object) -> None:
        self._wake.set()
