"""A small collector that takes spans over OTLP/HTTP, as a real one does, and keeps them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """What arrived.

    Attributes:
        raw: Bodies with spans, to look for what must not be in them.
        raw_metrics: Bodies with metrics.
    """

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.raw: list[bytes] = []
        self.raw_metrics: list[bytes] = []
        self.arrived = threading.Condition()

    def spans(self) -> list[dict[str, Any]]:
        """Every span: name, kind, ids, attributes, status code, and its service."""
        found = []
        for body in list(self.raw):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"]
                found += [
                    {
                        "service": service,
                        "name": span.name,
                        "kind": span.kind,
                        "trace_id": span.trace_id.hex(),
                        "span_id": span.span_id.hex(),
                        "parent_id": span.parent_span_id.hex(),
                        "attributes": {
                            a.key: a.value.string_value or a.value.int_value for a in span.attributes
                        },
                        "status": span.status.code,
                    }
                    for scope in resource.scope_spans
                    for span in scope.spans
                ]
        return found

    def metrics(self) -> dict[str, Any]:
        """Of the latest body: each metric by its name."""
        request = ExportMetricsServiceRequest.FromString(self.raw_metrics[-1])
        found: dict[str, Any] = {}
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                found |= {metric.name: metric for metric in scope.metrics}
        return found


@contextmanager
def otlp_collector() -> Iterator[Collector]:
    """A collector on a free port for the length of a block."""

    class Handler(BaseHTTPRequestHandler):
        collector: ClassVar[Collector]

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with self.collector.arrived:
                is_metrics = self.path.endswith("/v1/metrics")
                (self.collector.raw_metrics if is_metrics else self.collector.raw).append(body)
                self.collector.arrived.notify_all()
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Handler.collector = Collector(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Handler.collector
        finally:
            server.shutdown()
            thread.join()
