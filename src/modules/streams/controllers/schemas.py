"""``/platform/v1/streams/schemas``: open to all, for who reads a broker has no credential of ours."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from modules.streams.dtos import EventSchema
from modules.streams.schemas import ABSENT, MEDIA_TYPE, Schemas
from monohull.kernel.errors import NotFound
from monohull.kernel.guards import public

MAX_DIGITS = 4


class SchemasController(Controller):
    path = "/streams/schemas"
    tags = ("Streams",)
    opt = public()
    security = ()

    @get(operation_id="ListEventSchemas")
    async def show(self, stream_schemas: NamedDependency[Schemas]) -> Sequence[EventSchema]:
        """List the events that the loaded modules declare, with the URLs of their JSON schemas."""
        return stream_schemas.all()

    @get("/{event:str}/{version:str}", operation_id="GetEventSchema", media_type=MEDIA_TYPE)
    async def one(
        self, stream_schemas: NamedDependency[Schemas], event: FromPath[str], version: FromPath[str]
    ) -> Response[bytes]:
        """Show the JSON schema of an event's payload, which CloudEvents name as ``dataschema``."""
        if not (version.isascii() and version.isdigit() and len(version) <= MAX_DIGITS):
            raise NotFound(ABSENT)
        schema = stream_schemas.get(event, int(version))
        return Response(schema, media_type=MEDIA_TYPE, headers={"Cache-Control": "public, max-age=3600"})
