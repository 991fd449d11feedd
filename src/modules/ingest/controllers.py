"""``/platform/v1/ingest``."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from litestar import Controller, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_202_ACCEPTED

from modules.ingest.dtos import (
    CreateSource,
    LetterDetail,
    LetterPage,
    LetterState,
    LetterView,
    Replayed,
    ReplayLetters,
    SourcePage,
    SourcePatch,
    SourceView,
)
from modules.ingest.permissions import READ_LETTERS, READ_SOURCES, REPLAY_LETTERS, WRITE_SOURCES
from modules.ingest.services import NO_LETTER, NO_SOURCE, DeadLetters, Sources
from monohull.kernel.errors import InvalidRequest
from monohull.kernel.guards import requires
from monohull.kernel.pages import id_of
from monohull.kernel.principal import Principal

MAX_LIMIT: Final = 200


class SourcesController(Controller):
    path = "/ingest/sources"
    tags = ("Ingest",)

    @get(guards=[requires(READ_SOURCES.name)], operation_id="ListIngestSources")
    async def show(
        self,
        ingest_sources: NamedDependency[Sources],
        limit: FromQuery[int] = 50,
        cursor: FromQuery[str | None] = None,
    ) -> SourcePage:
        """List sources, the oldest first; ``next`` of a page is the ``cursor`` of the following one."""
        found = await ingest_sources.page(_limit(limit) + 1, _cursor(cursor))
        shown = list(found[:limit])
        return SourcePage(sources=shown, next=str(shown[-1].id) if len(found) > limit else None)

    @post(guards=[requires(WRITE_SOURCES.name)], operation_id="CreateIngestSource")
    async def create(
        self,
        ingest_sources: NamedDependency[Sources],
        principal: NamedDependency[Principal],
        data: JSONBody[CreateSource],
    ) -> SourceView:
        """Have messages of a broker become rows of a table, or jobs. Its passwords are not shown again."""
        return await ingest_sources.create(data, principal)

    @get("/{source_id:str}", guards=[requires(READ_SOURCES.name)], operation_id="GetIngestSource")
    async def one(self, ingest_sources: NamedDependency[Sources], source_id: FromPath[str]) -> SourceView:
        """Show a source: how far behind it is, and what went wrong last."""
        return await ingest_sources.get(id_of(source_id, NO_SOURCE))

    @patch("/{source_id:str}", guards=[requires(WRITE_SOURCES.name)], operation_id="UpdateIngestSource")
    async def change(
        self,
        ingest_sources: NamedDependency[Sources],
        principal: NamedDependency[Principal],
        source_id: FromPath[str],
        data: JSONBody[SourcePatch],
    ) -> SourceView:
        """Change a source. While it is paused, messages stay in the broker and letters are not tried."""
        return await ingest_sources.change(id_of(source_id, NO_SOURCE), data, principal)

    @delete("/{source_id:str}", guards=[requires(WRITE_SOURCES.name)], operation_id="DeleteIngestSource")
    async def end(self, ingest_sources: NamedDependency[Sources], source_id: FromPath[str]) -> None:
        """Delete a source with its letters. A consumer or group that it made stays in the broker."""
        await ingest_sources.delete(id_of(source_id, NO_SOURCE))


class LettersController(Controller):
    path = "/ingest/letters"
    tags = ("Ingest",)

    @get(guards=[requires(READ_LETTERS.name)], operation_id="ListIngestLetters")
    async def show(  # noqa: PLR0913, PLR0917 each is a parameter of the query
        self,
        ingest_letters: NamedDependency[DeadLetters],
        source_id: FromQuery[UUID | None] = None,
        in_state: Annotated[LetterState | None, QueryParameter(name="state")] = None,
        reason: FromQuery[str | None] = None,
        limit: FromQuery[int] = 50,
        cursor: FromQuery[str | None] = None,
    ) -> LetterPage:
        """List messages that were set aside, the newest first."""
        if reason is not None and "\0" in reason:
            raise InvalidRequest("A reason has no zero byte.")
        wanted = {
            "source_id": source_id,
            "state": in_state,
            "reason": reason,
            "limit": _limit(limit) + 1,
            "behind": _cursor(cursor),
        }
        found = await ingest_letters.page(wanted)
        shown = list(found[:limit])
        return LetterPage(letters=shown, next=str(shown[-1].id) if len(found) > limit else None)

    @get("/{letter_id:str}", guards=[requires(READ_LETTERS.name)], operation_id="GetIngestLetter")
    async def one(
        self, ingest_letters: NamedDependency[DeadLetters], letter_id: FromPath[str]
    ) -> LetterDetail:
        """Show a message that was set aside, with its headers and its body."""
        return await ingest_letters.get(id_of(letter_id, NO_LETTER))

    @post(
        "/{letter_id:str}/replay",
        guards=[requires(REPLAY_LETTERS.name)],
        operation_id="ReplayIngestLetter",
        status_code=HTTP_202_ACCEPTED,
    )
    async def replay(
        self, ingest_letters: NamedDependency[DeadLetters], letter_id: FromPath[str]
    ) -> LetterView:
        """Have a dead letter tried again, as often as a new message."""
        return await ingest_letters.replay_one(id_of(letter_id, NO_LETTER))

    @delete("/{letter_id:str}", guards=[requires(REPLAY_LETTERS.name)], operation_id="DiscardIngestLetter")
    async def end(self, ingest_letters: NamedDependency[DeadLetters], letter_id: FromPath[str]) -> None:
        """Throw a letter away that is not about to be tried."""
        await ingest_letters.discard(id_of(letter_id, NO_LETTER))


class LetterReplaysController(Controller):
    path = "/ingest/replays"
    tags = ("Ingest",)

    @post(
        guards=[requires(REPLAY_LETTERS.name)],
        operation_id="ReplayIngestLetters",
        status_code=HTTP_202_ACCEPTED,
    )
    async def replay(
        self, ingest_letters: NamedDependency[DeadLetters], data: JSONBody[ReplayLetters]
    ) -> Replayed:
        """Have the dead letters of a source tried again, all or those of one reason."""
        return Replayed(letters=await ingest_letters.replay(data))


def _limit(limit: int) -> int:
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest(f"limit must be a whole number from 1 to {MAX_LIMIT}.", details=str(limit))
    return limit


def _cursor(text: str | None) -> UUID | None:
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise InvalidRequest("The cursor is none that a page gave.", details=text and text[:100]) from None


CONTROLLERS = (SourcesController, LettersController, LetterReplaysController)
