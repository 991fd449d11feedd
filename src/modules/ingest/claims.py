"""Who takes the messages of which source: in every worker, and for each source the one that holds its lock.

How sources are spread over workers stands in `monohull.kernel.claims`. Two workers that overlap for a moment
get messages twice, and each has its effect once all the same.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from modules.ingest.consumer import Consumer, Source
from modules.ingest.dtos import Destination
from modules.ingest.effects import JobEffect, TableEffect
from modules.ingest.errors import Fault
from modules.ingest.jobs import application_jobs
from modules.ingest.keeping import Patience
from modules.ingest.observations import IngestStalled, SourceLed
from modules.ingest.settings import IngestSettings
from monohull.kernel.claims import Claims
from monohull.kernel.crypto import DecryptionError
from monohull.kernel.database.engine import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from uuid import UUID

    import asyncpg

    from modules.ingest.effects import Effect
    from modules.ingest.sealing import Vault
    from monohull.kernel.runtime import Runtime

CHANNEL: Final = "monohull_ingest"
"""What is notified when a source was made or changed."""

_SOURCES: Final = "select id, revision from monohull.ingest_sources where not is_paused order by id"
_SOURCE: Final = """
    select revision, sealed_origin, destination::text as destination, id_field, batch_size, max_attempts,
        retry_base_seconds, retry_max_seconds, ticket, consecutive_failures
    from monohull.ingest_sources where id = $1 and not is_paused
"""
_UNUSABLE: Final = """
    update monohull.ingest_sources
    set consecutive_failures = consecutive_failures + 1, failing_since = coalesce(failing_since, now()),
        last_error = $2, last_error_at = now(), next_attempt_at = null
    where id = $1 and last_error is distinct from $2
"""


class SourceClaims(Claims[Consumer]):
    """The sources that this process leads for.

    Args:
        runtime: Of the process.
        vault: Opens origins.
    """

    name: ClassVar[str] = "ingest"
    channel: ClassVar[str] = CHANNEL

    def __init__(self, runtime: Runtime, vault: Vault) -> None:
        super().__init__(runtime.database)
        self._runtime = runtime
        self._vault = vault
        self._settings = runtime.settings.of(IngestSettings)
        self._jobs = application_jobs(runtime)
        self._data: Database | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take messages for as long as the block runs."""
        try:
            async with super().running():
                yield
        finally:
            if self._data is not None:
                await self._data.close()

    async def wanted(self, connection: asyncpg.Connection) -> Mapping[UUID, int]:
        return {row["id"]: row["revision"] for row in await connection.fetch(_SOURCES)}

    async def begin(self, connection: asyncpg.Connection, thing_id: UUID) -> Consumer | None:
        row = await connection.fetchrow(_SOURCE, thing_id)
        try:
            return None if row is None else await self._consumer(thing_id, row)
        except Fault as error:
            await connection.execute(_UNUSABLE, thing_id, str(error))
            return None

    def led(self, thing_id: UUID) -> None:
        self._runtime.observer.observe(SourceLed(source_id=str(thing_id)))

    def stalled(self, error: BaseException) -> None:
        self._runtime.observer.observe(IngestStalled(reason=f"{type(error).__name__}: {error}"))

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
