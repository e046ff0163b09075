import http.server
import json
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs carprice[otel]")

from asking import BARE
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes what is exported over HTTP, as an OpenTelemetry collector does."""

    def do_POST(self) -> None:
        import gzip

        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.received.append((self.path, body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        server.received = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_request_is_traced_to_a_collector_and_health_is_not(collector: Any, start: Any) -> None:
    environment = {
        "CARPRICE_OPENTELEMETRY": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_SERVICE_NAME": "prices",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    with start(**environment) as server:
        assert server.post("/predict", BARE)[0] == 200
        assert server.post("/predict", {})[0] == 422
        deadline = time.monotonic() + 90
        while len(spans(collector)) < 2:
            assert time.monotonic() < deadline, server.log.read_text()
            time.sleep(0.1)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(25) == 0
        crashes = [
            line for line in server.log.read_text().splitlines() if "trace" in json.loads(line)
        ]
    assert crashes == []
    found = spans(collector)
    assert {span.name for span in found} == {"POST /predict"}
    statuses = [
        attribute.value.int_value
        for span in found
        for attribute in span.attributes
        if attribute.key == "http.response.status_code"
    ]
    assert sorted(statuses) == [200, 422]


def spans(collector: Any) -> list[Any]:
    """Return the requests' spans that came."""
    found = []
    for path, body in collector.received:
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    found += [span for span in scope.spans if not span.parent_span_id]
    return found
