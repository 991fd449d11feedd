"""From an origin to an open connection."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from uuid import UUID

    from modules.ingest.messages import Intake
    from modules.ingest.origins import Origin

_FILES: Final = {
    "kafka": "kafka",
    "rabbitmq": "rabbitmq",
    "nats": "nats",
    "redis_stream": "redis",
}


class Asked(Struct, frozen=True, kw_only=True):
    """What a source wants of its broker.

    Attributes:
        id_field: Header or field that holds the id of a message.
        batch_size: How many messages are on their way at a time.
        timeout_seconds: For connecting and for each answer.
    """

    source_id: UUID
    id_field: str | None
    batch_size: int
    timeout_seconds: float

    @property
    def group(self) -> str:
        """Name of the consumer or group of a source that names none."""
        return f"monohull-{self.source_id}"


async def open_intake(origin: Origin, asked: Asked) -> Intake:
    """Connect to a broker.

    Raises:
        Exception: Whatever the library raises.
    """
    # by name: the libraries of brokers are large, and only a source of that kind needs one
    module = import_module(f"modules.ingest.brokers.{_FILES[origin.kind]}")
    intake: Intake = await module.connect(origin.only, asked)
    return intake
