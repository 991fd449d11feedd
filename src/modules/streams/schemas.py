"""The JSON schema of each event's payload, which a CloudEvent names as its ``dataschema``."""

from __future__ import annotations

from inspect import cleandoc
from typing import TYPE_CHECKING, Any, Final

import msgspec

from modules.streams.dtos import EventSchema
from monohull.kernel.errors import NotFound
from monohull.kernel.patterns import as_described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monohull.kernel.events import Event, EventRegistry

PATH: Final = "/platform/v1/streams/schemas"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MEDIA_TYPE: Final = "application/schema+json"
ABSENT: Final = "No loaded module declares an event of this name and version."


class Schemas:
    """Describes the events of the loaded modules.

    Args:
        events: Those.
        public_url: The address of this instance.
    """

    def __init__(self, events: EventRegistry, public_url: str) -> None:
        self._events = {(event.name, event.version): event for event in events.events}
        self.base = f"{public_url.rstrip('/')}{PATH}"

    def all(self) -> Sequence[EventSchema]:
        """Return where the schema of each event is, by name."""
        return [
            EventSchema(event=name, version=version, summary=_summary(event), dataschema=self._url(event))
            for (name, version), event in sorted(self._events.items())
        ]

    def get(self, name: str, version: int) -> bytes:
        """Return one schema.

        Raises:
            NotFound: 404.
        """
        if (event := self._events.get((name, version))) is None:
            raise NotFound(ABSENT)
        schema: dict[str, Any] = msgspec.json.schema(event)
        described = {"$schema": DIALECT, "$id": self._url(event), "title": name, **schema}
        return as_described(msgspec.json.encode(described))

    def _url(self, event: type[Event]) -> str:
        return f"{self.base}/{event.name}/{event.version}"


def _summary(event: type[Event]) -> str:
    return cleandoc(event.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
