"""What somebody hostile may try on the collector, from the network or through a browser.

Of the same kind: test_collector_http.py (tokens, known ways to smuggle), test_collector_ingest.py
(records that are not what they should be), tests/cli (what records do to a terminal).
"""

from __future__ import annotations

import socket

import pytest

JSON = {"Content-Type": "application/json"}
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain")


def with_host(collector, host: str, method: str = "GET", path: str = "/api/logs", **headers: str):
    return collector.request(method, path, headers={"Host": host, **headers})


# ---- tokens


def test_a_guesser_is_answered_429_while_valid_tokens_are_served(start_collector, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("right\n")
    collector = start_collector("--token-file", str(tokens))

    def get(token: str, path: str = "/api/logs"):
        return collector.request("GET", path, headers={"Authorization": f"Bearer {token}"})

    for _ in range(30):
        assert get("of yesterday").status == 401
    assert [get(f"guess {number}").status for number in range(9)] == [401] * 9
    for path in ("/api/logs", "/api/health"):
        refused = get("one more", path)
        assert refused.status == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert get("of yesterday").status == 429
    assert get("right").status == 200
    assert collector.request("GET", "/api/health").status == 200
    assert collector.request("GET", "/api/logs").status == 401


# ---- pages that somebody's browser shows


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.nip.io"])
@pytest.mark.parametrize("path", ["/", "/api/health", "/api/logs", "/api/gaps", "/nothing"])
def test_a_name_that_leads_here_by_dns_rebinding_is_421(collector, host, path):
    answer = with_host(collector, host.format(port=collector.port), path=path)
    assert answer.status == 421
    assert "--allowed-host" in answer.json()["error"]


def test_records_do_not_come_in_by_a_rebound_name(collector):
    headers = {**JSON, "Host": f"evil.example:{collector.port}"}
    assert collector.request("POST", "/api/logs", b'{"message":"m"}', headers).status == 421
    assert collector.records() == []


def test_own_names_and_those_that_are_allowed_are_served(start_collector):
    collector = start_collector("--allowed-host", "logs.example.com", "--allowed-host", "other")
    own = ["127.0.0.1", "[::1]:80", "localhost", socket.gethostname(), "192.0.2.1:8080"]
    for host in [*own, "logs.example.com", "Logs.Example.COM:443", "other"]:
        assert with_host(collector, host).status == 200, host
    assert with_host(collector, "example.com").status == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://"]
)
def test_a_page_of_another_origin_neither_writes_nor_reads(collector, origin):
    assert collector.post({"message": "m"}, {"Origin": origin}).status == 403
    for path in ("/api/logs", "/api/gaps", "/api/health"):
        assert collector.request("GET", path, headers={"Origin": origin}).status == 403
    assert collector.records() == []


def test_a_browser_that_asks_whether_another_origin_may_write_is_told_no(collector):
    """What precedes a POST of JSON by a script (a preflight request)."""
    headers = {
        "Origin": "http://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = collector.request("OPTIONS", "/api/logs", headers=headers)
    assert answer.status == 403
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


def test_a_page_of_the_collectors_own_may_write(collector):
    assert collector.post({"message": "m"}, {"Origin": collector.url}).status == 200


@pytest.mark.parametrize("content_type", FORM_TYPES)
def test_a_form_cannot_post_records(collector, content_type):
    """Old browsers send no Origin with a form; its content type gives it away."""
    headers = {"Content-Type": content_type}
    answer = collector.request("POST", "/api/logs", b'{"message":"m","x":"="}', headers)
    assert answer.status == 415
    assert collector.records() == []
