"""What is written by hand is read by the classes that OpenTelemetry generates from its own description."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from monohull.kernel.otlp import encode_request, encode_span, rejected_spans
from monohull.kernel.span import Kind, Span

NUMBERS = some.integers(-(2**63), 2**63 - 1)
TEXTS = some.text(some.characters(exclude_categories=["Cs"]), max_size=300)
VALUES = some.one_of(TEXTS, some.booleans(), NUMBERS, some.floats(allow_nan=False))
IDS = some.binary(min_size=8, max_size=8)
TIMES = some.integers(0, 2**64 - 1)


SPANS = some.builds(
    Span,
    name=TEXTS,
    kind=some.sampled_from(Kind),
    trace_id=some.binary(min_size=16, max_size=16).map(bytes.hex),
    span_id=IDS.map(bytes.hex),
    parent_id=some.none() | IDS.map(bytes.hex),
    started_ns=TIMES,
    ended_ns=TIMES,
    attributes=some.dictionaries(TEXTS, VALUES, max_size=5),
    error=some.none() | TEXTS,
    state=some.none() | some.just("a=1"),
)


@given(span=SPANS)
def test_a_span_is_what_it_was(span: Span) -> None:
    body = encode_request([encode_span(span)] * 2, {"service.name": "x"}, scope="monohull", version="1")
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert [(one.key, one.value.string_value) for one in resource.resource.attributes] == [
        ("service.name", "x")
    ]
    (scope,) = resource.scope_spans
    assert (scope.scope.name, scope.scope.version) == ("monohull", "1")
    read, again = scope.spans
    assert read == again
    assert (read.name, read.kind, read.trace_id.hex(), read.span_id.hex()) == (
        span.name,
        span.kind,
        span.trace_id,
        span.span_id,
    )
    assert read.parent_span_id.hex() == (span.parent_id or "")
    assert (read.start_time_unix_nano, read.end_time_unix_nano) == (span.started_ns, span.ended_ns)
    assert (read.trace_state, read.status.code) == (span.state or "", 0 if span.error is None else 2)
    found = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in read.attributes}
    assert found == span.attributes
    assert [type(found[key]) for key in found] == [type(span.attributes[key]) for key in found]


@given(rejected=NUMBERS.filter(lambda number: number >= 0), message=TEXTS)
def test_an_answer_says_how_many_were_not_taken(rejected: int, message: str) -> None:
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    answer.partial_success.error_message = message
    assert rejected_spans(answer.SerializeToString()) == rejected


@given(answer=some.binary(max_size=60))
def test_any_answer_can_be_read(answer: bytes) -> None:
    assert rejected_spans(answer) >= 0


def test_an_empty_answer_took_all() -> None:
    assert rejected_spans(b"") == 0
