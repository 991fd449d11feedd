"""From a target to an open connection."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from modules.streams.errors import SinkKindUnavailable

if TYPE_CHECKING:
    from modules.streams.targets import Target
    from modules.streams.transports.protocols import Transport

_LIBRARIES: Final = {
    "rabbitmq": "aio_pika",
    "nats": "nats",
    "kafka": "aiokafka",
    "kinesis": "botocore",
}
_FILES: Final = {
    "redis_stream": "redis",
    "redis_pubsub": "redis",
    "rabbitmq": "rabbitmq",
    "nats": "nats",
    "kafka": "kafka",
    "kinesis": "kinesis",
}


def demand_library(kind: str) -> None:
    """Let a kind of broker pass whose library is installed.

    Raises:
        SinkKindUnavailable: 400.
    """
    library = _LIBRARIES.get(kind)
    if library is not None and find_spec(library) is None:
        raise SinkKindUnavailable(f"The Python package {library} is not installed here.")


async def open_transport(target: Target, *, timeout_seconds: float) -> Transport:
    """Connect to a broker.

    Args:
        target: Which.
        timeout_seconds: For connecting and for each answer.

    Raises:
        SinkKindUnavailable: The library is not installed.
        Exception: Whatever the library raises.
    """
    demand_library(target.kind)
    # by name: the libraries of brokers are large, and only a sink of that kind needs one
    module = import_module(f"modules.streams.transports.{_FILES[target.kind]}")
    transport: Transport = await module.connect(target.only, timeout_seconds)
    return transport
