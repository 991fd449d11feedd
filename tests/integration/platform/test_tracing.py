"""Spans reach an OpenTelemetry collector and belong to the caller's trace."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import asyncpg
import pytest

from monohull.kernel import trace_export
from monohull.kernel.span import Kind
from monohull.kernel.trace_export import TracesNotTaken, TracesTaken
from tests.application import running_app, service_key
from tests.collector import Collector, collecting
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from monohull.kernel.home import Connections
    from monohull.kernel.observation import Observation
    from tests.application import Served

TRACE_ID: Final = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID: Final = "b7ad6b7169203331"
SAMPLED: Final = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
UNSAMPLED: Final = {"traceparent": f"00-{'1' * 32}-{PARENT_ID}-00"}
CLOSED: Final = "http://127.0.0.1:1"
TABLES: Final = """
    create function public.seen() returns json language sql stable as $$
        select json_build_object(
            'shown', (select application_name from pg_stat_activity where pid = pg_backend_pid()),
            'told', current_setting('monohull.traceparent', true))
    $$;
    create function public.said() returns json language sql as 'select public.seen()';
    grant execute on function public.seen(), public.said() to anon, service_role;
"""


@pytest.fixture(autouse=True)
def _patient_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send nothing twice because the machine stalled, and nothing before a test says so."""
    monkeypatch.setattr(trace_export, "TIMEOUT_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(trace_export, "GATHER_SECONDS", PATIENCE_SECONDS)


async def tables(connections: Connections) -> None:
    connection = await asyncpg.connect(connections.owner_url)
    try:
        await connection.execute(TABLES)
    finally:
        await connection.close()


async def collected(collector: Collector, served: Served) -> Collector:
    await served.runtime.tracing.flush()
    return collector


async def test_a_request_is_a_span_of_the_callers_trace(connections: Connections) -> None:
    with collecting() as collector:
        async with running_app(
            connections, otlp_endpoint=collector.url, otlp_headers="x-key=a%2Cb, y=2"
        ) as served:
            answer = await served.client.get("/health/live", headers=SAMPLED | {"tracestate": "a=1,b=2"})
            await served.client.get("/health/live", headers=UNSAMPLED)
            await collected(collector, served)
    (span,) = collector.of(TRACE_ID)
    assert span.parent_id == PARENT_ID
    assert answer.headers["traceparent"] == f"00-{TRACE_ID}-{span.span_id}-01", (
        "the span that the client is told of"
    )
    assert (span.name, span.kind, span.state) == ("GET /health/live", Kind.SERVER, "a=1,b=2")
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["monohull.request_id"] == TRACE_ID
    assert 0 < span.began < span.ended
    assert collector.of("1" * 32) == [], "the caller said not to record"
    assert {span.service for span in collector.spans} == {"monohull-api"}
    assert span.resource["deployment.environment.name"] == "test"
    sent = collector.headers[0]
    assert (sent["x-key"], sent["y"], sent["content-type"]) == ("a,b", "2", "application/x-protobuf")


async def test_probes_begin_no_trace_that_is_recorded(connections: Connections) -> None:
    with collecting() as collector:
        async with running_app(connections, otlp_endpoint=collector.url) as served:
            for path in ("/health/ready", "/metrics", "/platform/v1/whoami"):
                await served.client.get(path)
            await collected(collector, served)
    servers = [span.name for span in collector.spans if span.kind == Kind.SERVER]
    assert servers == ["GET /platform/v1/whoami"]


async def test_statements_are_spans_and_carry_the_trace(connections: Connections) -> None:
    await tables(connections)
    headers = {"apikey": service_key()}
    with collecting() as collector:
        async with running_app(connections, otlp_endpoint=collector.url) as served:
            client, prepared = served.client, set[int]()
            for number in range(4):
                trace_id = f"{number + 1:032x}"
                own = headers | {"traceparent": f"00-{trace_id}-{PARENT_ID}-01"}
                answer = await client.get("/rest/v1/rpc/seen", headers=own)
                seen = answer.json()
                assert seen["shown"] == f"monohull-api trace_id={trace_id}"
                assert seen["told"] == answer.headers["traceparent"]
                plain = (await client.get("/rest/v1/rpc/seen", headers=headers | UNSAMPLED)).json()
                assert plain == {"shown": "monohull-api", "told": plain["told"]}
                assert not plain["told"], "nothing stays from one transaction to the next"
                prepared.add(max(wire.statement_count for wire in served.runtime.data._wires))
            await collected(collector, served)
    for number in range(4):
        spans = {span.name: span for span in collector.of(f"{number + 1:032x}")}
        server = spans.pop("GET /rest/v1/{relation}")
        assert any(span.attributes.get("db.query.text") for span in spans.values())
        for span in spans.values():
            assert (span.parent_id, span.kind) == (server.span_id, Kind.CLIENT)
            assert span.attributes["db.system.name"] in {"postgresql", "redis"}
    assert len(prepared) == 1, "tags are values and no statements of their own"


async def test_a_transaction_of_several_round_trips_carries_the_trace(connections: Connections) -> None:
    await tables(connections)
    headers = {"apikey": service_key(), "idempotency-key": "one", **SAMPLED}
    with collecting() as collector:
        async with running_app(connections, otlp_endpoint=collector.url) as served:
            answer = await served.client.post("/rest/v1/rpc/said", headers=headers)
            again = await served.client.post("/rest/v1/rpc/said", headers=headers)
            plain = await served.client.get(
                "/rest/v1/rpc/seen", headers={"apikey": service_key(), **UNSAMPLED}
            )
            await collected(collector, served)
    assert answer.json()["shown"] == f"monohull-api trace_id={TRACE_ID}"
    assert again.json() == answer.json()
    assert plain.json()["shown"] == "monohull-api"
    first = answer.headers["traceparent"].split("-")[2]
    spans = [span for span in collector.of(TRACE_ID) if span.parent_id == first]
    assert "TRANSACTION" in {span.name for span in spans}


async def test_every_transaction_can_be_tagged_without_a_collector(connections: Connections) -> None:
    await tables(connections)
    headers = {"apikey": service_key()}
    async with running_app(connections, sql_trace_tags="all") as served:
        answer = await served.client.get("/rest/v1/rpc/seen", headers=headers)
        trace_id = answer.headers["traceparent"].split("-")[1]
        assert answer.json()["shown"] == f"monohull-api trace_id={trace_id}"
    async with running_app(connections) as served:
        answer = await served.client.get("/rest/v1/rpc/seen", headers=headers | SAMPLED)
        assert answer.json()["shown"] == "monohull-api"


async def test_the_ratio_decides_for_traces_that_begin_here(connections: Connections) -> None:
    with collecting() as collector:
        settings = {"otlp_endpoint": collector.url, "otlp_sample_ratio": "0.5"}
        async with running_app(connections, **settings) as served:
            answers = [await served.client.get("/platform/v1/whoami") for _ in range(60)]
            await served.client.get("/platform/v1/whoami", headers=SAMPLED)
            await collected(collector, served)
        sampled = {
            one.headers["traceparent"].split("-")[1]
            for one in answers
            if one.headers["traceparent"].endswith("-01")
        }
        assert 5 < len(sampled) < 55
        assert {span.trace_id for span in collector.spans} == sampled | {TRACE_ID}
        collector.spans.clear()
        settings |= {"otlp_sample_ratio": "0", "otlp_sampler": "traceidratio"}
        async with running_app(connections, **settings) as served:
            answer = await served.client.get("/platform/v1/whoami", headers=SAMPLED)
            await collected(collector, served)
        assert answer.headers["traceparent"].startswith(f"00-{TRACE_ID}-")
        assert answer.headers["traceparent"].endswith("-00")
        assert collector.spans == []


async def test_a_collector_that_is_away_disturbs_nobody(connections: Connections) -> None:
    async with running_app(connections, otlp_endpoint=CLOSED, otlp_queue_spans="512") as served:
        told: list[Observation] = []
        served.runtime.observer.add_reader(told.append)
        for _ in range(600):
            assert (await served.client.get("/health/live", headers=SAMPLED)).status_code == 200
        await served.runtime.tracing.flush()
        for _ in range(1200):
            assert (await served.client.get("/health/live", headers=SAMPLED)).status_code == 200
        exporter = served.runtime.tracing.exporter
        assert exporter is not None
        assert len(exporter) <= 1024
        assert exporter.dropped["queue_full"] >= 1800 - 1024
        assert [type(one) for one in told if isinstance(one, TracesNotTaken | TracesTaken)] == [
            TracesNotTaken
        ]
        served.runtime.metrics.take_samples()
        text = (await served.client.get("/metrics")).text
        assert 'monohull_trace_spans_dropped_total{reason="queue_full"} ' in text


async def test_a_collector_that_never_answers_holds_nobody_up(connections: Connections) -> None:
    with collecting() as collector:
        collector.is_stuck = True
        async with running_app(connections, otlp_endpoint=collector.url) as served:
            async with asyncio.timeout(PATIENCE_SECONDS):
                for _ in range(600):
                    await served.client.get("/health/live", headers=SAMPLED)
            exporter = served.runtime.tracing.exporter
            await eventually(lambda: collector.headers != [] or len(exporter or ()) == 600)


async def test_spans_wait_for_a_collector_that_is_away_for_a_moment(connections: Connections) -> None:
    with collecting() as collector:
        collector.answers = [(503, 0), (200, 1), (400, 0)]
        async with running_app(connections, otlp_endpoint=collector.url) as served:
            told: list[Observation] = []
            served.runtime.observer.add_reader(told.append)
            exporter = served.runtime.tracing.exporter
            assert exporter is not None
            await served.client.get("/health/live", headers=SAMPLED)
            await served.client.get("/health/live", headers=SAMPLED)
            await exporter.flush()
            await asyncio.to_thread(collector.until, lambda: not len(exporter), "it was not tried again")
            assert (exporter.exported, exporter.dropped["refused"]) == (1, 1), "one was rejected in part"
            await served.client.get("/health/live", headers=SAMPLED)
            await exporter.flush()
            assert exporter.dropped["refused"] == 2, "what is refused for good is not sent again"
    kinds = [type(one) for one in told if isinstance(one, TracesNotTaken | TracesTaken)]
    assert kinds == [TracesNotTaken, TracesTaken, TracesNotTaken]
