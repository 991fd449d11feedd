"""Does the database's platform schema fit this code? Asked at start, and again until it does.

A process whose database is behind, ahead or away still starts: it answers
``/health`` and refuses everything else with 503 and the way out, and goes on by
itself once somebody ran the migrations.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from monohull.kernel.errors import DatabaseUnavailable, Problem, SchemaOutdated
from monohull.kernel.observation import SchemaChecked
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from monohull.kernel.observation import Observer

SchemaState: TypeAlias = Literal["current", "pending", "newer", "unknown"]

RETRY_SECONDS: Final = 1.0
ADVICE: Final = {
    "pending": "The database lacks migrations that this version needs; run `monohull migrate`.",
    "newer": "A newer version of Monohull migrated the database; start that one, or restore a backup.",
    "unknown": "The database has not answered yet.",
}


class SchemaWatch:
    """Knows whether requests can be served.

    Args:
        read: Asks the database; raises `Problem` when it is away.
        observer: Told each time the state changes to something that does not fit.
    """

    def __init__(self, read: Callable[[], Awaitable[SchemaState]], observer: Observer) -> None:
        self._read = read
        self._observer = observer
        self.state: SchemaState = "unknown"

    def demand(self) -> None:
        """Let a request pass when the schema fits.

        Raises:
            SchemaOutdated: 503, migrations are pending or the database is newer.
            DatabaseUnavailable: 503, nobody could ask yet.
        """
        if self.state == "current":
            return
        if self.state == "unknown":
            raise DatabaseUnavailable(ADVICE["unknown"], retry_after_seconds=2)
        raise SchemaOutdated(ADVICE[self.state], retry_after_seconds=10)

    async def probe(self) -> str | None:
        """Answer the readiness check: None when current."""
        await self.check()
        return ADVICE.get(self.state)

    async def check(self) -> SchemaState:
        """Ask the database now. When it is away the last state stands."""
        try:
            found = await self._read()
        except Problem:
            return self.state
        if found not in (self.state, "current"):
            self._observer.observe(SchemaChecked(state=found, advice=ADVICE[found]))
        self.state = found
        return found

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Ask at once, and again every second until the schema fits."""
        await self.check()
        async with beside(self._until_current(), name="schema watch"):
            yield

    async def _until_current(self) -> None:
        while self.state != "current":
            await asyncio.sleep(RETRY_SECONDS)
            await self.check()
