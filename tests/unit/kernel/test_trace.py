"""Where the request id comes from, and that a stranger's header cannot break the log."""

from __future__ import annotations

import pytest

from monohull.kernel.trace import continue_trace, new_trace, read_trace

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_trace_goes_on_with_a_span_of_its_own() -> None:
    trace = read_trace([(b"traceparent", PARENT.encode())])
    assert trace.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert trace.parent_id == "b7ad6b7169203331"
    assert trace.span_id != trace.parent_id
    assert trace.request_id == trace.trace_id
    assert trace.traceparent == f"00-{trace.trace_id}-{trace.span_id}-01"


def test_the_callers_decision_not_to_sample_is_kept() -> None:
    assert continue_trace(PARENT[:-2] + "00").traceparent.endswith("-00")


@pytest.mark.parametrize("request_id", ["abc", "A-1.b_c:d", "x" * 128, "a/b+c=="])
def test_a_well_formed_request_id_is_taken(request_id: str) -> None:
    assert read_trace([(b"x-request-id", request_id.encode())]).request_id == request_id


@pytest.mark.parametrize("request_id", [b"", b"x" * 129, b"a b", b"a\nb", b"\xff", b"-a", b"<script>"])
def test_any_other_is_replaced(request_id: bytes) -> None:
    trace = read_trace([(b"x-request-id", request_id)])
    assert trace.request_id == trace.trace_id


@pytest.mark.parametrize("traceparent", ["", "00", PARENT.upper(), "01" + PARENT[2:], PARENT + "-x", None])
def test_a_malformed_traceparent_begins_a_new_trace(traceparent: str | None) -> None:
    trace = continue_trace(traceparent, "r1")
    assert trace.parent_id is None
    assert trace.request_id == "r1"
    assert len(trace.trace_id) == 32


def test_traces_differ() -> None:
    assert new_trace().trace_id != new_trace().trace_id
