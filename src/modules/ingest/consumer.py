"""One source in the process that leads for it: connect, take, acknowledge, and wait when something fails.

    letters that are due → connect → fetch → id seen + effect → acknowledge → …

A batch is one transaction. Where that fails its messages go one by one, and the one that is to blame is set
aside, so that those behind it do not wait. Where the table, the role or the broker is to blame, nothing is
acknowledged and nothing set aside: the source waits, longer each time, and goes on once it is mended.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from modules.ingest.brokers import Asked, open_intake
from modules.ingest.errors import Fault, Rejected, Unusable
from modules.ingest.keeping import Letters, Patience
from modules.ingest.observations import MessageSetAside, MessagesTaken, SourceFailed
from modules.ingest.origins import HIDDEN, Origin, secrets_of
from monohull.kernel import clock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from modules.ingest.effects import Effect
    from modules.ingest.keeping import Due, SetAside
    from modules.ingest.messages import Intake, Message
    from modules.ingest.settings import IngestSettings
    from monohull.kernel.database.engine import Database
    from monohull.kernel.observation import Observer

WAIT_SECONDS: Final = 1.0
"""How long a fetch waits for a message; as often it is looked whether letters are due."""
LAG_SECONDS: Final = 5.0
FIRST_BACKOFF_SECONDS: Final = 0.5
PATIENCE: Final = 3.0
"""Time-outs that connecting may take: it has several steps."""
LETTERS_AT_ONCE: Final = 50
MAX_ERROR: Final = 1000

_TAKEN: Final = """
    update monohull.ingest_sources set taken = taken + $2, duplicates = duplicates + $3, last_taken_at = now()
    where id = $1
"""
_LAG: Final = "update monohull.ingest_sources set lag = $2, lag_at = now() where id = $1"
_WELL: Final = """
    update monohull.ingest_sources
    set consecutive_failures = 0, failing_since = null, next_attempt_at = null where id = $1
"""
_FAILED: Final = """
    update monohull.ingest_sources
    set consecutive_failures = $2, failing_since = coalesce(failing_since, now()), last_error = $3,
        last_error_at = now(), next_attempt_at = now() + make_interval(secs => $4)
    where id = $1
"""


class Source(Struct, frozen=True, kw_only=True):
    """A source as it is in one of its revisions."""

    id: UUID
    revision: int
    origin: Origin
    id_field: str | None
    batch_size: int
    patience: Patience
    failures: int


class Consumer:
    """Takes the messages of one source.

    Args:
        database: The owner's.
        source: Which.
        effect: What its messages do.
        settings: Of ingest.
        observer: Told what is taken, set aside and fails.
    """

    def __init__(
        self,
        database: Database,
        source: Source,
        effect: Effect,
        settings: IngestSettings,
        observer: Observer,
    ) -> None:
        self._database = database
        self.source = source
        self._effect = effect
        self._settings = settings
        self._observer = observer
        self._letters = Letters(database, source.id, source.patience)
        self._failures = source.failures
        self._lag_at = 0.0

    @property
    def revision(self) -> int:
        return self.source.revision

    async def run(self) -> None:
        """Take messages, for ever."""
        try:
            while True:
                try:
                    await self._consume()
                except Exception as error:  # noqa: BLE001 the boundary: libraries of brokers raise what they like
                    await self._wait_after(error)
        finally:
            await self._effect.close()

    async def _consume(self) -> None:
        """Take messages until something fails."""
        await self._effect.check()
        await self._try_due()
        asked = Asked(
            source_id=self.source.id,
            id_field=self.source.id_field,
            batch_size=self.source.batch_size,
            timeout_seconds=self._settings.timeout_seconds,
        )
        async with self._patience():
            intake = await open_intake(self.source.origin, asked)
        try:
            await self._tell_lag(intake)
            await self._recovered()
            while True:
                async with self._patience():
                    messages = await intake.fetch(self.source.batch_size, WAIT_SECONDS)
                if messages:
                    await self._take(intake, messages)
                await self._try_due()
                if clock.monotonic_seconds() >= self._lag_at:
                    await self._tell_lag(intake)
        finally:
            await intake.close()

    async def _take(self, intake: Intake, messages: list[Message]) -> None:
        usable: list[tuple[Message, Any]] = []
        failed: list[tuple[Message, Rejected, bool]] = []
        for message in messages:
            try:
                usable.append((message, self._prepared(message)))
            except Unusable as why:
                failed.append((message, why, False))
        taken = await self._apply(usable, failed) if usable else 0
        added = await self._letters.add(failed) if failed else []
        for letter in added:
            self._tell(letter)
        async with self._patience():
            await intake.acknowledge(messages)
        duplicates = len(messages) - taken - len(added)
        await self._database.run(_TAKEN, self.source.id, taken + len(added), duplicates)
        self._observer.observe(
            MessagesTaken(source_id=str(self.source.id), taken=taken, duplicates=duplicates)
        )
        await self._recovered()

    def _prepared(self, message: Message) -> Any:
        if message.id is None:
            raise Unusable("no_id", "The message has no id; have its sender give one, or name its id_field.")
        return self._effect.prepare(message)

    async def _apply(
        self, usable: Sequence[tuple[Message, Any]], failed: list[tuple[Message, Rejected, bool]]
    ) -> int:
        """Have messages take effect, all together or one by one; put those that cannot into ``failed``."""
        try:
            return await self._effect.apply(usable)
        except Rejected as why:
            await self._effect.check()
            if len(usable) == 1:
                failed.append((usable[0][0], why, True))
                return 0
        taken = 0
        for one in usable:
            try:
                taken += await self._effect.apply([one])
            except Rejected as why:
                await self._effect.check()
                failed.append((one[0], why, True))
        return taken

    async def _try_due(self) -> None:
        while letters := await self._letters.due(LETTERS_AT_ONCE):
            for letter in letters:
                await self._try(letter)

    async def _try(self, letter: Due) -> None:
        try:
            # replayed by hand where it had no id: the letter is then what it is known by
            await self._effect.apply_letter(letter.id, self._effect.prepare(letter.message))
        except Rejected as why:
            is_unusable = isinstance(why, Unusable)
            if not is_unusable:
                await self._effect.check()
            self._tell(await self._letters.fail(letter, why, may_help=not is_unusable))

    def _tell(self, letter: SetAside) -> None:
        self._observer.observe(
            MessageSetAside(
                source_id=str(self.source.id),
                letter_id=str(letter.letter_id),
                message_id=letter.message_id,
                state=letter.state,
                attempts=letter.attempts,
                reason=letter.reason,
            )
        )

    async def _tell_lag(self, intake: Intake) -> None:
        self._lag_at = clock.monotonic_seconds() + LAG_SECONDS
        async with self._patience():
            lag = await intake.lag()
        await self._database.run(_LAG, self.source.id, lag)

    def _patience(self) -> asyncio.Timeout:
        """Bound what a library does, which may have time-outs of its own for single steps, or none."""
        return asyncio.timeout(PATIENCE * self._settings.timeout_seconds)

    async def _recovered(self) -> None:
        if self._failures:
            await self._database.run(_WELL, self.source.id)
            self._failures = 0

    async def _wait_after(self, error: Exception) -> None:
        self._failures += 1
        longest = min(
            self._settings.backoff_max_seconds, FIRST_BACKOFF_SECONDS * 2.0 ** min(self._failures - 1, 30)
        )
        delay = longest * random.uniform(0.6, 1.0)  # noqa: S311 spreads load, guards nothing
        reason = self._explained(error)
        self._observer.observe(
            SourceFailed(
                source_id=str(self.source.id), failures=self._failures, retry_seconds=delay, reason=reason
            )
        )
        try:
            await self._database.run(_FAILED, self.source.id, self._failures, reason, delay)
        except Exception as away:  # noqa: BLE001 the boundary: the database may be what is away
            self._observer.observe(
                SourceFailed(
                    source_id=str(self.source.id),
                    failures=self._failures,
                    retry_seconds=delay,
                    reason=f"{type(away).__name__}: {away}",
                )
            )
        await asyncio.sleep(delay)

    def _explained(self, error: Exception) -> str:
        """Say what failed, without what is secret."""
        told = str(error)
        if isinstance(error, TimeoutError) and not told:
            told = "the broker did not answer in time"
        text = told if isinstance(error, Fault) else f"{type(error).__name__}: {told}".removesuffix(": ")
        for secret in secrets_of(self.source.origin):
            text = text.replace(secret, HIDDEN)
        return text[:MAX_ERROR].replace("\0", "").encode("utf-8", "replace").decode()
