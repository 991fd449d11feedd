"""What is written by hand is read by the classes that OpenTelemetry generates from its own description."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from monohull.kernel.otlp import encode_request, encode_span, rejected_spans
from monohull.kernel.span import Kind, Span, Value

NUMBERS = some.integers(-(2**63), 2**63 - 1)
TEXTS = some.text(some.characters(exclude_categories=["Cs"]), max_size=300)
VALUES = some.one_of(TEXTS, some.booleans(), NUMBERS, some.floats(allow_nan=False))
IDS = some.binary(min_size=8, max_size=8)
TIMES = some.integers(0, 2**64 - 1)


@given(
    name=TEXTS,
    kind=some.sampled_from(Kind),
    ids=some.tuples(IDS, IDS, IDS, some.none() | IDS),
    times=some.tuples(TIMES, TIMES),
    attributes=some.dictionaries(TEXTS, VALUES, max_size=5),
    error=some.none() | TEXTS,
    state=some.none() | some.just("a=1"),
)
def test_a_span_is_what_it_was(
    name: str,
    kind: Kind,
    ids: tuple[bytes, bytes, bytes, bytes | None],
    times: tuple[int, int],
    attributes: dict[str, Value],
    error: str | None,
    state: str | None,
) -> None:
    high, low, own, parent = ids
    span = Span(
        name,
        kind,
        (high + low).hex(),
        own.hex(),
        None if parent is None else parent.hex(),
        *times,
        attributes=attributes,
        error=error,
        state=state,
    )
    body = encode_request([encode_span(span)] * 2, {"service.name": "x"}, scope="monohull", version="1")
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert [(one.key, one.value.string_value) for one in resource.resource.attributes] == [
        ("service.name", "x")
    ]
    (scope,) = resource.scope_spans
    assert (scope.scope.name, scope.scope.version) == ("monohull", "1")
    read, again = scope.spans
    assert read == again
    assert (read.name, read.kind, read.trace_id, read.span_id) == (name, kind, high + low, own)
    assert read.parent_span_id == (parent or b"")
    assert (read.start_time_unix_nano, read.end_time_unix_nano) == times
    assert (read.trace_state, read.status.code) == (state or "", 0 if error is None else 2)
    found = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in read.attributes}
    assert found == attributes
    assert [type(found[key]) for key in found] == [type(attributes[key]) for key in found]


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
