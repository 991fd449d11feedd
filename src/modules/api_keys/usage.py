"""When keys were last used, written in the background and once a minute a key at most."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar, Final

from modules.api_keys.repositories import ApiKeyRepository
from monohull.kernel import clock
from monohull.kernel.errors import Unavailable
from monohull.kernel.observation import Level, Observation
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from uuid import UUID

    from monohull.kernel.database.engine import Database
    from monohull.kernel.observation import Observer

FLUSH_SECONDS: Final = 15.0
PRECISION_SECONDS: Final = 60.0


class UsageNotWritten(Observation, frozen=True):
    """The times of last use could not be written; they are tried again later."""

    event: ClassVar[str] = "api_keys.usage_not_written"
    level: ClassVar[Level] = "warning"

    keys: int
    error: str


class Usage:
    """Collects uses in memory; costs a request one dictionary look-up."""

    def __init__(self, database: Database, observer: Observer) -> None:
        self._database = database
        self._observer = observer
        self._pending: dict[UUID, datetime] = {}
        self._written_at: dict[UUID, float] = {}

    def note(self, key_id: UUID) -> None:
        """Remember that the key was used now, unless that was written less than a minute ago."""
        written_at = self._written_at.get(key_id)
        if written_at is None or clock.monotonic_seconds() - written_at >= PRECISION_SECONDS:
            self._pending[key_id] = clock.now()

    async def flush(self) -> None:
        """Write what is pending; while the database is away, keep it."""
        if not self._pending:
            return
        uses, self._pending = self._pending, {}
        try:
            async with self._database.unit_of_work() as work:
                await ApiKeyRepository(work).note_use(uses)
        except Unavailable as error:
            self._pending = {**uses, **self._pending}
            self._observer.observe(UsageNotWritten(keys=len(uses), error=error.message))
            return
        self._written_at |= dict.fromkeys(uses, clock.monotonic_seconds())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write every `FLUSH_SECONDS`, and once more at the end."""
        try:
            async with beside(self._flush_for_ever(), name="api key usage"):
                yield
        finally:
            await self.flush()

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()
