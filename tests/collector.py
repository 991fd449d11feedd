"""A collector of traces: takes OTLP over HTTP, and decodes it with OpenTelemetry's own classes."""

from __future__ import annotations

import gzip
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PATIENCE_SECONDS: Final = 60.0


class Seen(Struct, frozen=True):
    """A span as the collector has it."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    status: int
    began: int
    ended: int
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]


class Collector:
    """What was received, and what is answered.

    Attributes:
        answers: What is asked first is answered with, status and rejected spans; then all is taken.
        is_stuck: Never answer.
    """

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.headers: list[Mapping[str, str]] = []
        self.answers: list[tuple[int, int]] = []
        self.is_stuck = False
        self.over = threading.Event()
        self.url = ""

    def of(self, trace_id: str) -> list[Seen]:
        return [span for span in self.spans if span.trace_id == trace_id]

    def until(self, holds: Callable[[], object], complaint: str) -> None:
        """Wait until ``holds`` is true."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < end, (complaint, [(s.service, s.name) for s in self.spans])
            time.sleep(0.05)

    def take(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        headers = {name.lower(): value for name, value in headers.items()}
        self.headers.append(headers)
        if self.is_stuck:
            self.over.wait()
        status, rejected = self.answers.pop(0) if self.answers else (200, 0)
        answer = ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = rejected
        if status == 200:
            plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            self.spans += _read(ExportTraceServiceRequest.FromString(plain))
        return status, answer.SerializeToString()


def _read(request: ExportTraceServiceRequest) -> Iterator[Seen]:
    for whole in request.resource_spans:
        resource = _attributes(whole.resource.attributes)
        for scope in whole.scope_spans:
            for span in scope.spans:
                yield Seen(
                    service=resource["service.name"],
                    name=span.name,
                    kind=span.kind,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    state=span.trace_state,
                    status=span.status.code,
                    began=span.start_time_unix_nano,
                    ended=span.end_time_unix_nano,
                    attributes=_attributes(span.attributes),
                    resource=resource,
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Listen for as long as the block runs."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, answer = (
                (404, b"") if self.path != "/v1/traces" else collector.take(body, dict(self.headers.items()))
            )
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
