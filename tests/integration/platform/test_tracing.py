"""Spans reach an OpenTelemetry collector and belong to the caller's trace."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.application import running_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A collector that keeps what it is sent."""
    received: list[ExportTraceServiceRequest] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("post /v1/traces")
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        received.append(ExportTraceServiceRequest.FromString(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", received


async def test_a_request_is_a_span_of_the_callers_trace(connections: Connections) -> None:
    async with collector() as (endpoint, received):
        async with running_app(connections, otlp_endpoint=endpoint) as served:
            await served.client.get("/health/live", headers={"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"})
            await served.client.get("/health/live", headers={"traceparent": f"00-{'1' * 32}-{PARENT_ID}-00"})
            await asyncio.to_thread(served.runtime.tracing.flush)
        resources = [resource for request in received for resource in request.resource_spans]
    spans = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
    (span,) = [span for span in spans if span.trace_id.hex() == TRACE_ID]
    assert span.parent_span_id.hex() == PARENT_ID
    assert span.name == "GET /health/live"
    attributes = {item.key: item.value for item in span.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert not [span for span in spans if span.trace_id.hex() == "1" * 32], "the caller said not to record"
    (service,) = {
        item.value.string_value
        for resource in resources
        for item in resource.resource.attributes
        if item.key == "service.name"
    }
    assert service == "monohull-api"


async def test_a_collector_that_is_away_disturbs_nobody(connections: Connections) -> None:
    async with running_app(connections, otlp_endpoint="http://127.0.0.1:1") as served:
        assert (await served.client.get("/health/live")).status_code == 200
