"""The collector as an HTTP server: routes, tokens, stopping, durability."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import sqlite3
import threading

import pytest

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "tokens"
    path.write_text("first-token\n\n  second-token \n")
    return path


def basic(user: str, password: str) -> dict[str, str]:
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def send_raw(collector, data: bytes, timeout: float = 10.0) -> bytes:
    """What the collector answers to these bytes until it closes the connection."""
    with socket.create_connection((collector.host, collector.port), timeout) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def test_health_says_what_is_taken(collector):
    answer = collector.request("GET", "/api/health")
    assert answer.status == 200
    health = answer.json()
    assert health.pop("version")
    assert health == {
        "status": "ok",
        "batch": {"max_records": 10_000, "max_bytes": 8 << 20},
        "formats": ["array", "ndjson"],
        "encodings": ["zstd", "gzip"],
    }


def test_without_tokens_any_credentials_are_taken(collector):
    assert collector.request("GET", "/api/health", headers=bearer("any")).status == 200
    assert collector.post({"message": "a"}, basic("user", "")).status == 200


@pytest.mark.parametrize(
    ("headers", "health", "logs"),
    [
        ({}, 200, 401),
        (bearer("first-token"), 200, 200),
        (bearer("second-token"), 200, 200),
        (basic("anyone", "first-token"), 200, 200),
        (basic("", "second-token"), 200, 200),
        (bearer("first-toke"), 401, 401),
        (bearer("first-token2"), 401, 401),
        (bearer(""), 401, 401),
        (basic("first-token", "wrong"), 401, 401),
        ({"Authorization": "Basic !!!"}, 401, 401),
        ({"Authorization": "first-token"}, 401, 401),
        ({"Authorization": ""}, 401, 401),
    ],
)
def test_tokens(start_collector, token_file, headers, health, logs):
    collector = start_collector("--token-file", str(token_file))
    assert collector.request("GET", "/api/health", headers=headers).status == health
    assert collector.request("GET", "/api/logs", headers=headers).status == logs
    assert collector.post({"message": "a"}, headers).status == logs
    stored = collector.records(headers=bearer("first-token"))
    assert len(stored) == (1 if logs == 200 else 0)


def test_unknown_paths_are_404_and_other_methods_405(collector):
    for path in ("/api", "/api/logs/", "/api/logs/../health", "/etc/passwd"):
        assert collector.request("GET", path).status == 404
    answer = collector.request("DELETE", "/api/logs")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST")
    assert collector.request("POST", "/api/health", "{}", JSON).status == 405


def test_one_connection_serves_many_requests(collector):
    connection = http.client.HTTPConnection(collector.host, collector.port, timeout=10)
    connection.connect()
    port = connection.sock.getsockname()[1]
    for number in range(20):
        connection.request("POST", "/api/logs", json.dumps({"message": str(number)}), JSON)
        assert connection.getresponse().read()
        assert connection.sock.getsockname()[1] == port
    connection.close()
    assert len(collector.records()) == 20


def test_a_refused_upload_still_reads_its_answer(start_collector, token_file):
    collector = start_collector("--token-file", str(token_file))
    answer = collector.request("POST", "/api/logs", b"x" * (7 << 20), JSON)
    assert answer.status == 401


def test_a_client_that_waits_for_100_continue_gets_it(collector):
    body = b'{"message":"a"}'
    head = (
        b"POST /api/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    with socket.create_connection((collector.host, collector.port), 10) as connection:
        connection.sendall(head)
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


POST = b"POST /api/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def test_headers_that_are_too_long_are_431(collector):
    answer = send_raw(collector, b"GET /api/health HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431")


def test_requests_under_way_are_answered_when_the_collector_is_stopped(collector):
    """The head has arrived and the body has not when SIGTERM comes."""
    body = b'{"message":"last words"}'
    connection = socket.create_connection((collector.host, collector.port), 10)
    idle = socket.create_connection((collector.host, collector.port), 10)
    connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
    assert connection.recv(4096).startswith(b"HTTP/1.1 100")
    os.kill(collector.pid, signal.SIGTERM)
    assert idle.recv(1) == b""  # closed: the collector is on its way out
    connection.sendall(body)
    answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"Connection: close" in answer
    assert collector.process.wait(20) == 0
    collector.stop()
    collector.start()
    assert [each["message"] for each in collector.records()] == ["last words"]


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_collector_exits_with_0_and_leaves_one_file(collector, signal_number):
    collector.post({"message": "a"})
    os.kill(collector.pid, signal_number)
    assert collector.process.wait(20) == 0
    files = sorted(path.name for path in collector.store.parent.glob("logs.sqlite*"))
    assert files == ["logs.sqlite"]
    assert collector.store.stat().st_mode & 0o777 == 0o600


def test_a_store_that_fails_is_503_and_is_used_again_when_it_can_be(collector):
    collector.post({"message": "before"})
    locker = sqlite3.connect(collector.store, timeout=1, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    answer = collector.post({"message": "refused"})
    locker.execute("ROLLBACK")
    locker.close()
    assert answer.status == 503
    assert answer.headers["Retry-After"]
    assert collector.post({"message": "after"}).status == 200
    assert [each["message"] for each in collector.records()] == ["before", "after"]


def test_many_clients_at_once_are_all_stored(collector):
    def send(client: int) -> None:
        connection = http.client.HTTPConnection(collector.host, collector.port, timeout=20)
        for number in range(20):
            body = json.dumps([{"message": f"{client}-{number}-{i}"} for i in range(10)])
            connection.request("POST", "/api/logs", body, JSON)
            assert connection.getresponse().read() == b'{"stored":10,"duplicates":0}'
        connection.close()

    clients = [threading.Thread(target=send, args=(number,)) for number in range(16)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    stored = [each["message"] for each in collector.records()]
    assert len(stored) == len(set(stored)) == 16 * 20 * 10
