"""``/platform/v1/streams/sinks``."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from litestar import Controller, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.status_codes import HTTP_200_OK

from modules.streams.dtos import CreateSink, Rewind, SinkPage, SinkPatch, SinkTested, SinkView
from modules.streams.permissions import READ_SINKS, WRITE_SINKS
from modules.streams.services import Sinks, Testing
from modules.streams.services.rules import NO_SINK
from monohull.kernel.errors import InvalidRequest
from monohull.kernel.guards import requires
from monohull.kernel.pages import id_of
from monohull.kernel.principal import Principal

MAX_LIMIT: Final = 200


class SinksController(Controller):
    path = "/streams/sinks"
    tags = ("Streams",)

    @get(guards=[requires(READ_SINKS.name)], operation_id="ListSinks")
    async def show(
        self,
        stream_sinks: NamedDependency[Sinks],
        limit: FromQuery[int] = 50,
        cursor: FromQuery[str | None] = None,
    ) -> SinkPage:
        """List sinks, the oldest first; ``next`` of a page is the ``cursor`` of the following one."""
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidRequest(f"limit must be a whole number from 1 to {MAX_LIMIT}.", details=str(limit))
        found = await stream_sinks.page(limit + 1, _cursor(cursor))
        shown = tuple(found[:limit])
        return SinkPage(sinks=shown, next=str(shown[-1].id) if len(found) > limit else None)

    @post(guards=[requires(WRITE_SINKS.name)], operation_id="CreateSink")
    async def create(
        self,
        stream_sinks: NamedDependency[Sinks],
        principal: NamedDependency[Principal],
        data: JSONBody[CreateSink],
    ) -> SinkView:
        """Make a sink for what happens from now on; its passwords are not shown again."""
        return await stream_sinks.create(data, principal)

    @get("/{sink_id:str}", guards=[requires(READ_SINKS.name)], operation_id="GetSink")
    async def one(self, stream_sinks: NamedDependency[Sinks], sink_id: FromPath[str]) -> SinkView:
        """Show a sink, how far it is behind and what its broker said last."""
        return await stream_sinks.get(id_of(sink_id, NO_SINK))

    @patch("/{sink_id:str}", guards=[requires(WRITE_SINKS.name)], operation_id="UpdateSink")
    async def change(
        self,
        stream_sinks: NamedDependency[Sinks],
        principal: NamedDependency[Principal],
        sink_id: FromPath[str],
        data: JSONBody[SinkPatch],
    ) -> SinkView:
        """Change, pause or resume a sink. A paused one keeps its place and goes on from there."""
        return await stream_sinks.change(id_of(sink_id, NO_SINK), data, principal)

    @delete("/{sink_id:str}", guards=[requires(WRITE_SINKS.name)], operation_id="DeleteSink")
    async def end(self, stream_sinks: NamedDependency[Sinks], sink_id: FromPath[str]) -> None:
        """Delete a sink with its place in the feed; what the broker has stays there."""
        await stream_sinks.delete(id_of(sink_id, NO_SINK))

    @post(
        "/{sink_id:str}/rewind",
        guards=[requires(WRITE_SINKS.name)],
        operation_id="RewindSink",
        status_code=HTTP_200_OK,
    )
    async def rewind(
        self, stream_sinks: NamedDependency[Sinks], sink_id: FromPath[str], data: JSONBody[Rewind]
    ) -> SinkView:
        """Have a sink go on after a number of the feed or with a time, back or forth.

        What it is sent again has the same ids. Forth, it passes over what its broker will not take.
        """
        return await stream_sinks.rewind(id_of(sink_id, NO_SINK), data)

    @post(
        "/{sink_id:str}/test",
        guards=[requires(WRITE_SINKS.name)],
        operation_id="TestSink",
        status_code=HTTP_200_OK,
    )
    async def test(self, stream_testing: NamedDependency[Testing], sink_id: FromPath[str]) -> SinkTested:
        """Send the event ``streams.sink_tested`` now, and say whether the broker took it."""
        return await stream_testing.test(id_of(sink_id, NO_SINK))


def _cursor(text: str | None) -> UUID | None:
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise InvalidRequest("The cursor is none that a page gave.", details=text and text[:100]) from None
