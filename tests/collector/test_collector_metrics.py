"""GET /metrics of the real collector, read as a Prometheus server reads it."""

from __future__ import annotations

import http.client
import socket
import time
import uuid

from prometheus_client.parser import text_string_to_metric_families

JSON = {"Content-Type": "application/json"}


class Scrape:
    """What one request to /metrics answered."""

    def __init__(self, collector, headers=None) -> None:
        answer = collector.request("GET", "/metrics", headers=headers)
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        self.families = {
            family.name: family for family in text_string_to_metric_families(answer.body.decode())
        }
        self.samples = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """The value of one sample; 0 where it was never counted."""
        return self.samples.get((f"log_aggregator_{name}", *sorted(labels.items())), 0)


def test_types_are_those_of_the_contract(collector):
    collector.request("GET", "/nothing")
    collector.request("GET", "/api/health")
    families = Scrape(collector).families
    assert {name: family.type for name, family in families.items()} == {
        "log_aggregator_records": "counter",
        "log_aggregator_refused_requests": "counter",
        "log_aggregator_request_duration_seconds": "histogram",
        "log_aggregator_store_bytes": "gauge",
        "log_aggregator_tails": "gauge",
        "log_aggregator_tail_missed_records": "counter",
    }
    assert all(family.documentation for family in families.values())


def test_records_are_counted_by_what_became_of_them(collector):
    headers = {
        "Log-Aggregator-Journal": str(uuid.uuid4()),
        "Log-Aggregator-Sequence": "1-3",
    }
    records = [{"message": str(number)} for number in range(3)]
    assert collector.post(records, headers).status == 200
    assert collector.post(records, headers).status == 200
    assert collector.post([{"message": "a"}, {"message": 1}, {}]).status == 400
    assert collector.post([{"message": 1}]).status == 400
    scrape = Scrape(collector)
    assert scrape("records_total", result="stored") == 4 == len(collector.records())
    assert scrape("records_total", result="duplicate") == 3
    assert scrape("records_total", result="bad") == 3


def test_refusals_are_counted_whoever_refused_them(collector):
    for path in ("/nothing", "/api/nothing"):
        assert collector.request("GET", path).status == 404
    assert collector.request("DELETE", "/api/logs").status == 405
    assert collector.request("POST", "/api/logs", "{}").status == 415
    assert collector.request("GET", "/", headers={"Host": "evil.example"}).status == 421
    assert collector.request("GET", "/api/logs?limit=0").status == 400
    with socket.create_connection((collector.host, collector.port), 10) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")
    scrape = Scrape(collector)
    refused = {
        dict(labels)["status"]: value
        for (name, *labels), value in scrape.samples.items()
        if name == "log_aggregator_refused_requests_total"
    }
    assert refused == {"400": 2, "404": 2, "405": 1, "415": 1, "421": 1}


def test_durations_are_counted_by_route(collector):
    for _ in range(5):
        collector.post({"message": "a"})
        collector.request("GET", "/api/logs?limit=1")
    collector.request("GET", "/api/health")
    collector.request("GET", "/made-up")
    scrape = Scrape(collector)
    name = "request_duration_seconds"
    counts = {"POST /api/logs": 5, "GET /api/logs": 5, "GET /api/health": 1}
    routes = {labels["route"] for _, *pairs in scrape.samples if "route" in (labels := dict(pairs))}
    assert routes == set(counts)
    for route, count in counts.items():
        assert scrape(f"{name}_count", route=route) == count
        assert scrape(f"{name}_bucket", route=route, le="+Inf") == count
        assert 0 < scrape(f"{name}_sum", route=route) < 60


def open_stream(collector) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(collector.host, collector.port, timeout=20)
    connection.request("GET", "/api/logs/stream")
    return connection.getresponse()


def test_open_streams_are_counted(collector):
    streams = [open_stream(collector) for _ in range(3)]
    assert [stream.status for stream in streams] == [200] * 3
    scrape = Scrape(collector)
    assert scrape("tails") == 3
    assert scrape("tail_missed_records_total") == 0
    for stream in streams:
        stream.close()
    while Scrape(collector)("tails"):
        time.sleep(0.01)  # until the collector has noticed


def test_the_size_of_the_store_is_that_of_its_files(collector):
    collector.post([{"message": "x" * 1000}] * 1000)
    files = collector.store.parent.glob(f"{collector.store.name}*")
    size = sum(path.stat().st_size for path in files)
    assert size > 1_000_000
    assert Scrape(collector)("store_bytes") == size


def test_metrics_are_behind_the_tokens(start_collector, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("secret\n")
    collector = start_collector("--token-file", str(tokens))
    assert collector.request("GET", "/metrics").status == 401
    scrape = Scrape(collector, {"Authorization": "Bearer secret"})
    assert scrape("refused_requests_total", status="401") == 1
