"""Messages to brokers as spans of the traces that their events belong to.

The header ``traceparent`` names the span of this sending, so that whoever reads
the message goes on from there; the attribute of the same name in the CloudEvent
is the event's own and stays what it was, however often it is sent.

Source: CloudEvents, "Distributed Tracing extension"; OpenTelemetry, "Messaging spans".
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from monohull.kernel.span import Kind
from monohull.kernel.trace import continue_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modules.streams.cloudevents import Message
    from monohull.kernel.span import Span
    from monohull.kernel.tracing import Tracing


@contextmanager
def sending(tracing: Tracing, messages: list[Message], kind: str) -> Iterator[list[Message]]:
    """Record the block as the sending of ``messages``; it gets them as they are to be sent."""
    if not tracing.is_on:
        yield messages
        return
    spans: list[Span] = []
    told = [_told(tracing, message, kind, spans) for message in messages]
    try:
        yield told
    except BaseException as error:
        for span in spans:
            span.fail(error)
        raise
    finally:
        for span in spans:
            tracing.end(span)


def _told(tracing: Tracing, message: Message, kind: str, spans: list[Span]) -> Message:
    """Return a message that names the span of its sending, and add that to ``spans``."""
    traceparent = message.headers.get("traceparent")
    if traceparent is None:
        return message
    trace = tracing.decide(continue_trace(traceparent, message.headers.get("x-request-id")))
    if trace.parent_id is None or not tracing.records(trace):
        return message
    span = tracing.begin(
        trace,
        f"send {kind}",
        Kind.PRODUCER,
        {
            "messaging.system": kind,
            "messaging.operation.type": "send",
            "messaging.destination.name": message.destination,
            "messaging.message.id": message.id,
            "monohull.event.name": message.event,
        },
    )
    span.span_id, span.parent_id = trace.span_id, trace.parent_id
    spans.append(span)
    return msgspec.structs.replace(message, headers={**message.headers, "traceparent": span.traceparent})
