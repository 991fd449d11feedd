"""What is recorded, and what is said to whoever is called."""

from __future__ import annotations

import pytest

from monohull.kernel.observation import SILENT
from monohull.kernel.origin import current_source
from monohull.kernel.span import Kind, current_span
from monohull.kernel.trace import Trace, continue_trace, current_trace, new_trace, read_trace
from monohull.kernel.trace_export import Exporter
from monohull.kernel.tracing import OFF, Tracing, trace_headers

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def exporter(room: int = 1000) -> Exporter:
    return Exporter("http://127.0.0.1:1", headers={}, resource={}, room=room, observer=SILENT)


@pytest.fixture(autouse=True)
def alone() -> None:
    current_trace.set(None)
    current_source.set(None)
    current_span.set(None)


@pytest.mark.parametrize("ratio", [0.0, 0.25, 1.0])
def test_a_ratio_is_kept_and_the_same_for_everybody(ratio: float) -> None:
    one, other = (Tracing("api", exporter(), ratio=ratio) for _ in range(2))
    traces = [new_trace() for _ in range(2000)]
    decided = [one.decide(trace).is_sampled for trace in traces]
    assert decided == [other.decide(trace).is_sampled for trace in traces]
    assert abs(sum(decided) / len(decided) - ratio) < 0.05


def test_a_decision_changes_nothing_else() -> None:
    trace = Trace("r", "1" * 32, "2" * 16, "3" * 16, state="a=1")
    decided = Tracing("api", exporter(), ratio=0.0, keeps_parent=False).decide(trace)
    assert decided == Trace("r", "1" * 32, "2" * 16, "3" * 16, is_sampled=False, state="a=1")


def test_nothing_is_decided_where_nothing_is_recorded() -> None:
    trace = continue_trace(PARENT[:-1] + "0")
    assert OFF.decide(trace) is trace
    assert OFF.unsampled(new := new_trace()) is new


def test_spans_within_each_other_are_below_each_other() -> None:
    out = exporter()
    tracing, trace = Tracing("api", out), continue_trace(PARENT)
    current_trace.set(trace)
    with tracing.span("outer") as outer, tracing.span("inner", Kind.CLIENT) as inner:
        assert outer is not None
        assert inner is not None
        assert (outer.parent_id, inner.parent_id) == (trace.span_id, outer.span_id)
        assert trace_headers()["traceparent"] == f"00-{trace.trace_id}-{inner.span_id}-01"
    assert len(out) == 2
    assert trace_headers() == {"traceparent": trace.traceparent, "X-Request-Id": trace.trace_id}


def test_a_span_of_another_trace_is_nobodys_parent() -> None:
    tracing = Tracing("api", exporter())
    current_trace.set(new_trace())
    with tracing.span("of one"):
        current_trace.set(trace := new_trace())
        with tracing.span("of another") as span:
            assert span is not None
            assert span.parent_id == trace.span_id


def test_a_failure_is_told_by_its_kind_alone() -> None:
    out = exporter()
    tracing = Tracing("api", out)
    current_trace.set(new_trace())
    with pytest.raises(ValueError, match="a secret"), tracing.span("fails") as span:
        raise ValueError("a secret")
    assert span is not None
    assert (span.error, span.attributes) == ("ValueError", {"error.type": "ValueError"})


def test_nothing_is_recorded_of_what_is_not_sampled() -> None:
    out = exporter()
    tracing = Tracing("api", out)
    with tracing.span("of nothing") as span:
        assert span is None
    current_trace.set(continue_trace(PARENT[:-1] + "0"))
    with tracing.span("unsampled") as span:
        assert span is None
    with OFF.span("off") as span:
        assert span is None
    with tracing.following(PARENT[:-1] + "0", None, "call", Kind.CLIENT) as here:
        assert (here.traceparent, here.span) == (PARENT[:-1] + "0", None)
    assert len(out) == 0


def test_what_follows_an_event_has_its_trace_for_as_long_as_it_runs() -> None:
    out = exporter()
    with Tracing("worker", out).following(PARENT, "r7", "call", Kind.CLIENT) as here:
        trace = current_trace.get()
        assert trace is not None
        assert (trace.request_id, trace.parent_id) == ("r7", PARENT[36:52])
        assert here.traceparent == f"{PARENT[:35]}-{trace.span_id}-01"
    assert current_trace.get() is None
    assert len(out) == 1
    with Tracing("worker", out).following(None, None, "call", Kind.CLIENT) as here:
        assert here.traceparent is None
    assert len(out) == 1


def test_what_there_is_no_room_for_is_counted() -> None:
    out = exporter(room=3)
    tracing = Tracing("api", out)
    current_trace.set(new_trace())
    for _ in range(5):
        with tracing.span("one"):
            pass
    assert (len(out), out.dropped["queue_full"]) == (3, 2)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([b"a=1"], "a=1"),
        ([b"a=1", b"b=2"], "a=1,b=2"),
        ([b"x" * 512], "x" * 512),
        ([b"x" * 513], None),
        ([b"a=\x00"], None),
        ([b"a=\xff"], None),
        ([], None),
    ],
)
def test_the_state_of_others_is_handed_on(sent: list[bytes], kept: str | None) -> None:
    headers = [(b"traceparent", PARENT.encode()), *((b"tracestate", one) for one in sent)]
    trace = read_trace(headers)
    assert trace.state == kept
    current_trace.set(trace)
    assert trace_headers().get("tracestate") == kept


def test_state_without_a_trace_is_nobodys() -> None:
    assert read_trace([(b"tracestate", b"a=1")]).state is None


@pytest.mark.parametrize("part", ["0" * 32, "0" * 16])
def test_zeros_are_no_ids(part: str) -> None:
    zeros = PARENT.replace(PARENT[3:35] if len(part) == 32 else PARENT[36:52], part)
    assert continue_trace(zeros).parent_id is None
