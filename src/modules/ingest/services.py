"""What people do with sources and with messages that were set aside."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET

from modules.ingest.dtos import Destination, LetterDetail, LetterView
from modules.ingest.errors import LetterNotDead, TooManySources
from modules.ingest.events import (
    IngestLetterDiscarded,
    IngestLettersReplayed,
    IngestSourceCreated,
    IngestSourceDeleted,
    IngestSourceUpdated,
)
from modules.ingest.origins import address_of, shown
from modules.ingest.repositories import LetterRepository, SourceRepository
from modules.ingest.rules import demand_destination, demand_origin, demand_tables, demand_wait
from monohull.kernel import outbox
from monohull.kernel.errors import NotFound
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.ingest.dtos import CreateSource, ReplayLetters, SourcePatch, SourceView
    from modules.ingest.origins import Origin
    from modules.ingest.sealing import Vault
    from modules.ingest.settings import IngestSettings
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal

NO_SOURCE: Final = "There is no such source."
NO_LETTER: Final = "There is no such letter."


class Sources:
    """The sources of this instance.

    Args:
        database: Where they are.
        vault: Seals origins.
        settings: Of ingest.
        jobs: Names of the jobs that messages may have run.
    """

    def __init__(
        self, database: Database, vault: Vault, settings: IngestSettings, jobs: Container[str]
    ) -> None:
        self._database = database
        self._vault = vault
        self._settings = settings
        self._jobs = jobs

    async def page(self, limit: int, behind: UUID | None) -> Sequence[SourceView]:
        """Return a page, the oldest first."""
        async with self._database.unit_of_work() as work:
            return await SourceRepository(work).page(limit, behind)

    async def get(self, source_id: UUID) -> SourceView:
        """Return a source.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            return await _view(SourceRepository(work), source_id)

    async def create(self, wanted: CreateSource, by: Principal) -> SourceView:
        """Make a source.

        Raises:
            SourceInvalid, UnknownIngestJob: 400. Forbidden: 403. TooManySources: 409.
        """
        demand_origin(wanted.origin)
        demand_destination(wanted.destination, self._jobs)
        demand_tables(by, wanted.destination)
        demand_wait(wanted.retry_base_seconds, wanted.retry_max_seconds)
        source_id = uuid7()
        values = msgspec.structs.asdict(wanted) | {"id": source_id} | self._origin(source_id, wanted.origin)
        async with self._database.unit_of_work() as work:
            sources = SourceRepository(work)
            if await sources.count() >= self._settings.max_sources:
                raise TooManySources(f"There are {self._settings.max_sources} sources already.")
            await sources.add(values)
            created = IngestSourceCreated(
                source_id=str(source_id),
                source_name=wanted.name,
                kind=wanted.origin.kind,
                address=values["address"],
            )
            await outbox.publish(work, created, key=created.source_id)
            return await _view(sources, source_id)

    async def change(self, source_id: UUID, patch: SourcePatch, by: Principal) -> SourceView:
        """Change a source, pause it or have it go on.

        Raises:
            NotFound: 404. SourceInvalid, UnknownIngestJob: 400. Forbidden: 403.
        """
        given = {name: value for name, value in msgspec.structs.asdict(patch).items() if value is not UNSET}
        if "origin" in given:
            demand_origin(given["origin"])
            given |= self._origin(source_id, given["origin"])
        if "destination" in given:
            demand_destination(given["destination"], self._jobs)
            demand_tables(by, given["destination"])
        async with self._database.unit_of_work() as work:
            sources = SourceRepository(work)
            held = await _held(sources, source_id)
            demand_tables(by, msgspec.convert(held["destination"], Destination))
            values = held | given
            demand_wait(values["retry_base_seconds"], values["retry_max_seconds"])
            await _change(work, held, values)
            return await _view(sources, source_id)

    async def switch(self, source_id: UUID, *, is_paused: bool) -> SourceView:
        """Pause a source or have it go on, for whoever holds the instance.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            sources = SourceRepository(work)
            held = await _held(sources, source_id)
            await _change(work, held, held | {"is_paused": is_paused})
            return await _view(sources, source_id)

    async def delete(self, source_id: UUID) -> None:
        """Delete a source with its letters.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            sources = SourceRepository(work)
            held = await _held(sources, source_id)
            await sources.remove(source_id)
            deleted = IngestSourceDeleted(
                source_id=str(source_id), source_name=held["name"], address=held["address"]
            )
            await outbox.publish(work, deleted, key=deleted.source_id)

    def _origin(self, source_id: UUID, origin: Origin) -> dict[str, Any]:
        return {
            "kind": origin.kind,
            "address": address_of(origin),
            "origin": shown(origin),
            "sealed_origin": self._vault.close(source_id, origin),
        }


class DeadLetters:
    """Messages that were set aside.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, wanted: Mapping[str, Any]) -> Sequence[LetterView]:
        """Return a page, the newest first."""
        async with self._database.unit_of_work() as work:
            return await LetterRepository(work).page(wanted)

    async def get(self, letter_id: UUID) -> LetterDetail:
        """Return a letter with its content.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            found = await LetterRepository(work).find(letter_id)
        if found is None:
            raise NotFound(NO_LETTER)
        headers, body = found.pop("headers"), bytes(found.pop("body"))
        text = _text(body)
        return LetterDetail(
            letter=msgspec.convert(found, LetterView),
            headers=headers,
            body=text,
            body_base64=None if text is not None else b64encode(body).decode(),
        )

    async def replay_one(self, letter_id: UUID) -> LetterView:
        """Have a dead letter tried again, at once and as often as a new one.

        Raises:
            NotFound: 404. LetterNotDead: 409.
        """
        async with self._database.unit_of_work() as work:
            letters = LetterRepository(work)
            if (letter := await letters.again(letter_id)) is None:
                await _refuse(letters, letter_id)
            assert letter is not None
            await _publish_replay(work, letter.source_id, 1, letter_id)
            return letter

    async def replay(self, wanted: ReplayLetters) -> int:
        """Have dead letters tried again; return how many.

        Raises:
            NotFound: 404, there is no such source.
        """
        async with self._database.unit_of_work() as work:
            await _held(SourceRepository(work), wanted.source_id)
            letters = await LetterRepository(work).all_again(wanted.source_id, wanted.reason, wanted.limit)
            if letters:
                await _publish_replay(work, wanted.source_id, letters, None)
            return letters

    async def discard(self, letter_id: UUID) -> None:
        """Throw a letter away.

        Raises:
            NotFound: 404. LetterNotDead: 409, it is about to be tried.
        """
        async with self._database.unit_of_work() as work:
            letters = LetterRepository(work)
            if (source_id := await letters.discard(letter_id)) is None:
                await _refuse(letters, letter_id)
            discarded = IngestLetterDiscarded(source_id=str(source_id), letter_id=str(letter_id))
            await outbox.publish(work, discarded, key=discarded.source_id)


async def _refuse(letters: LetterRepository, letter_id: UUID) -> None:
    if (found := await letters.find(letter_id)) is None:
        raise NotFound(NO_LETTER)
    raise LetterNotDead(f"The letter is {found['state']}.")


async def _view(sources: SourceRepository, source_id: UUID) -> SourceView:
    if (found := await sources.find(source_id)) is None:
        raise NotFound(NO_SOURCE)
    return found


async def _held(sources: SourceRepository, source_id: UUID) -> dict[str, Any]:
    if (held := await sources.find_held(source_id)) is None:
        raise NotFound(NO_SOURCE)
    return held


async def _change(work: AsyncSession, held: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    built = {
        name: msgspec.to_builtins(values[name]) if name == "destination" else values[name] for name in held
    }
    changed = {name for name, value in built.items() if value != held[name]}
    if "sealed_origin" in changed:
        changed = changed - {"sealed_origin", "kind", "address"} | {"origin"}
    if not changed:
        return
    await SourceRepository(work).change(values)
    updated = IngestSourceUpdated(
        source_id=str(held["id"]),
        source_name=values["name"],
        fields=tuple(sorted(changed)),
        address=values["address"],
        is_paused=values["is_paused"],
    )
    await outbox.publish(work, updated, key=updated.source_id)


async def _publish_replay(work: AsyncSession, source_id: UUID, letters: int, letter_id: UUID | None) -> None:
    replayed = IngestLettersReplayed(
        source_id=str(source_id), letters=letters, letter_id=None if letter_id is None else str(letter_id)
    )
    await outbox.publish(work, replayed, key=replayed.source_id)


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
