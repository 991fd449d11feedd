"""Events as CloudEvents 1.0, in structured mode as JSON or in binary mode as data and headers.

The same event is the same message however often it is sent. Beside the attributes of the specification
there are those of its extensions for partitioning (``partitionkey``), sequence and distributed tracing
(``traceparent``), and our own ``requestid`` and ``dataversion``.

Source: CloudEvents 1.0.2 with its JSON format, and its bindings for Kafka, AMQP and NATS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from modules.streams.targets import destination

if TYPE_CHECKING:
    from modules.streams.dtos import Format
    from monohull.kernel.events import Envelope

STRUCTURED: Final = "application/cloudevents+json; charset=utf-8"
JSON: Final = "application/json"
SEQUENCE_DIGITS: Final = 20
"""Sequences are texts and have to sort as such."""

_CONTROL: Final = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)])


class Message(Struct, frozen=True, kw_only=True):
    """One event as a broker gets it.

    Attributes:
        id: The event's; the same at every repetition, so that brokers and readers can tell.
        key: Messages with the same one keep their order.
        destination: Name of the topic, subject, routing key, stream or channel.
        attributes: Of the CloudEvent in binary mode, without prefix; empty in structured mode.
        headers: What is sent beside it in both modes.
    """

    id: str
    sequence: int
    event: str
    key: str | None
    destination: str
    body: bytes
    content_type: str
    attributes: dict[str, str] = {}
    headers: dict[str, str] = {}

    def prefixed(self, prefix: str) -> dict[str, str]:
        """Return all headers with a binding's prefix before the attributes."""
        return {f"{prefix}{name}": value for name, value in self.attributes.items()} | self.headers


class _Structured(Struct, frozen=True, kw_only=True, omit_defaults=True):
    specversion: str
    id: str
    source: str
    type: str
    time: str
    sequence: str
    dataversion: str
    dataschema: str
    datacontenttype: str
    data: msgspec.Raw
    subject: str | None = None
    partitionkey: str | None = None
    traceparent: str | None = None
    requestid: str | None = None


class Envelopes:
    """Makes messages of events.

    Args:
        source: URI of this instance.
        schemas: URL below which the JSON schemas of events are, without a slash at the end.
    """

    def __init__(self, source: str, schemas: str) -> None:
        self._source = source
        self._schemas = schemas

    def message(self, event: Envelope, form: Format, template: str | None) -> Message:
        """Return what a broker is sent of an event.

        Args:
            event: As it is in the feed.
            form: Mode of the CloudEvent.
            template: Of the destination's name; None where there is but one.
        """
        attributes = self._attributes(event)
        headers = {"traceparent": event.traceparent, "x-request-id": event.request_id}
        is_binary = form == "binary"
        return Message(
            id=str(event.id),
            sequence=event.sequence,
            event=event.name,
            key=event.key,
            destination=destination(template or "", event.name),
            body=bytes(event.payload) if is_binary else _json(attributes, event.payload),
            content_type=JSON if is_binary else STRUCTURED,
            attributes=attributes if is_binary else {},
            headers={name: value for name, value in headers.items() if value is not None},
        )

    def _attributes(self, event: Envelope) -> dict[str, str]:
        subject = None if not event.key else _plain(event.key)
        attributes = {
            "specversion": "1.0",
            "id": str(event.id),
            "source": self._source,
            "type": event.name,
            "time": event.occurred_at.isoformat().replace("+00:00", "Z"),
            "sequence": f"{event.sequence:0{SEQUENCE_DIGITS}}",
            "dataversion": str(event.version),
            "dataschema": f"{self._schemas}/{event.name}/{event.version}",
            "subject": subject,
            "partitionkey": subject,
            "traceparent": event.traceparent,
            "requestid": None if event.request_id is None else _plain(event.request_id),
        }
        return {name: value for name, value in attributes.items() if value}


def _json(attributes: dict[str, str], data: msgspec.Raw) -> bytes:
    return msgspec.json.encode(_Structured(**attributes, datacontenttype=JSON, data=data))


def _plain(text: str) -> str:
    """Percent-encode the control characters, which no attribute may hold."""
    if not any(ord(character) in _CONTROL for character in text):
        return text
    return "".join(quote(c) if ord(c) in _CONTROL else c for c in text)


def waves_of(messages: list[Message]) -> list[list[Message]]:
    """Part messages so that each key comes once at most in each part, and in order.

    What is within a part may be under way at the same time: whatever of it fails, no message of a key has
    come before an earlier one. Messages without a key have no order.

    >>> made = [Message(id=i, sequence=0, event="", key=k, destination="", body=b"", content_type="")
    ...         for i, k in (("1", "a"), ("2", "a"), ("3", "b"), ("4", None), ("5", None))]
    >>> [[one.id for one in wave] for wave in waves_of(made)]
    [['1', '3', '4', '5'], ['2']]
    """
    waves: list[list[Message]] = []
    seen: dict[str, int] = {}
    for message in messages:
        place = 0
        if message.key is not None:
            place = seen.get(message.key, 0)
            seen[message.key] = place + 1
        while len(waves) <= place:
            waves.append([])
        waves[place].append(message)
    return waves
