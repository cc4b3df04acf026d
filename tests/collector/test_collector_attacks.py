"""What somebody hostile may try on the collector, from the network or through a browser.

Of the same kind: test_collector_http.py (tokens, known ways to smuggle), test_collector_ingest.py
(records that are not what they should be), tests/cli (what records do to a terminal).
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import pathlib
import random
import re
import socket
import sqlite3
import string
import subprocess
import sys
import time
from urllib.parse import quote

import pytest

JSON = {"Content-Type": "application/json"}
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain")


def seeded() -> random.Random:
    given = os.environ.get("LOG_AGGREGATOR_TEST_SEED")
    seed = int(given or random.SystemRandom().randrange(1 << 32))
    print(f"LOG_AGGREGATOR_TEST_SEED={seed}")
    return random.Random(seed)


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


# ---- requests whose end is not where it seems (smuggling)


HEAD = b"POST /api/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GET = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

AMBIGUOUS = [
    # a length beside chunks
    HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    HEAD + b"transfer-encoding: Chunked\r\ncontent-length: 0\r\n\r\n0\r\n\r\n",
    # two lengths, also the same
    HEAD + b"Content-Length: 0\r\nContent-Length: 40\r\n\r\n",
    HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    HEAD + b"Content-Length: 0, 40\r\n\r\n",
    HEAD + b"Content-Length: 2, 2\r\n\r\n{}",
    HEAD + b"Content-Length: 2\r\ncontent-length:\r\n\r\n{}",
    # lengths that are no numbers to everybody
    HEAD + b"Content-Length: +2\r\n\r\n{}",
    HEAD + b"Content-Length: -1\r\n\r\n",
    HEAD + b"Content-Length: 0x2\r\n\r\n{}",
    HEAD + b"Content-Length: 2 2\r\n\r\n{}",
    HEAD + b"Content-Length: 2;\r\n\r\n{}",
    HEAD + b"Content-Length: \r\n\r\n",
    HEAD + b"Content-Length: 18446744073709551618\r\n\r\n{}",
    HEAD + b"Content-Length : 2\r\n\r\n{}",
    # anything but chunks
    HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
    HEAD + b"Transfer-Encoding: identity\r\n\r\n",
    HEAD + b"Transfer-Encoding: \r\n\r\n",
    HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    HEAD + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    HEAD + b"Transfer-Encoding: , chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    # headers that go on in the next line
    GET + b"X: a\r\n b\r\n\r\n",
    GET + b"X:\r\n\tb\r\n\r\n",
    GET + b" X: a\r\n\r\n",
    HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"X: a\r\n Content-Length: 40\r\n\r\n",
    HEAD + b"Content-Length: 4\r\n 0\r\n\r\n",
    # lines that end otherwise
    GET + b"X: a\nY: b\r\n\r\n",
    GET + b"X: a\rY: b\r\n\r\n",
    GET + b"X: a\r\n\n",
    GET.replace(b"\r\n", b"\n") + b"\n",
    GET + b"X: a\x00b\r\n\r\n",
    GET + b"X\x00: a\r\n\r\n",
    GET + b"X : y\r\n\r\n",
    GET + b"X\r\n\r\n",
    GET + b": x\r\n\r\n",
    # chunks
    CHUNKED + b"fffffffffffffffff\r\n",
    CHUNKED + b"10000000000000002\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"-1\r\n",
    CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"zz\r\n",
    CHUNKED + b"2 \r\n{}\r\n0\r\n\r\n",
    CHUNKED + b" 2\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"2;a=\nb\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"2\n{}\n0\n\n",
    CHUNKED + b"2\r\n{}XX0\r\n\r\n",
    CHUNKED + b"2\r\n{}\r\n0\r\nContent-Length: 4\r\n\r\n",
    # first lines
    b"GET  /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /api/health HTTP/1.1 \r\nHost: localhost\r\n\r\n",
    b"GET /api/health HTTP/1.2\r\nHost: localhost\r\n\r\n",
    b"GET /api/health HTTP/2.0\r\nHost: localhost\r\n\r\n",
    b"GET /api/health\r\n\r\n",
    b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


def statuses(answers: bytes) -> list[int]:
    """Of all answers on one connection; the texts of ours do not hold what looks like one."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def send_raw(collector, data: bytes) -> bytes:
    """What the collector answers to these bytes until it closes the connection."""
    with socket.create_connection((collector.host, collector.port), 20) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def test_ambiguous_framing_is_refused_and_nothing_behind_it_is_served(collector):
    """By one process, so that what a refusal spoils shows in the next ones."""
    for request in AMBIGUOUS:
        answer = send_raw(collector, request + SMUGGLED)
        assert statuses(answer) in ([400], [413]), request
        assert b"Connection: close" in answer, request
    assert collector.request("GET", "/api/health").status == 200


def plain_request(choose: random.Random) -> tuple[bytes, int]:
    """A request that is as it should be, and its status; the body may look like another request."""
    body, status = choose.choice([(b'{"message":"m"}', 200), (SMUGGLED, 400)])
    lines = [b"Host: localhost", b"Content-Type: application/json", b"X-Empty:", b"X-Tab:\ta\t"]
    if choose.random() < 0.5:
        lines.append(b"Content-Length:%b%d" % (choose.choice([b"", b" ", b"\t "]), len(body)))
    else:
        lines.append(b"transfer-ENCODING: " + choose.choice([b"chunked", b"Chunked "]))
        cut = choose.randrange(len(body))
        chunks = [body[:cut], body[cut:], b""] if cut else [body, b""]
        extension = choose.choice([b"", b";a=b", b';a="b"'])
        body = b"".join(b"%x%b\r\n%b\r\n" % (len(c), extension, c) for c in chunks)
    choose.shuffle(lines)
    return b"POST /api/logs HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + body, status


def ambiguous_request(choose: random.Random) -> bytes:
    """A request with one thing or more in its head that servers read differently."""
    size = choose.randrange(200)
    spoiled_number = choose.choice(
        [b"%d,%d", b"%d, %d", b"%d %d", b"+%d%d", b"-%d%d", b"0x%d%d", b"%d.%d", b"%d;%d", b"%d_%d"]
    ) % (size, size)
    noise = choose.choice(
        [b"x", b",", b";", b'"', b"\x0b", b"\x0c", b"\x00", b"\x85", b" ,", b"\\"]
    )
    spoiled_chunked = choose.choice(
        [noise + b"chunked", b"chunked" + noise, b"chun" + noise + b"ked"]
    )
    blank = choose.choice([b" ", b"\t", b"\x00", b"\x0b", b"\x0c", b"\xa0"])
    length = b"Content-Length: %d" % size
    encoding = b"Transfer-Encoding: chunked"
    bad = [
        [length, length],
        [length, encoding],
        [encoding, encoding],
        [b"Content-Length: " + spoiled_number],
        [b"Transfer-Encoding: " + spoiled_chunked],
        [b"Content-Length" + blank + b": %d" % size],
        [b"Transfer-Encoding" + blank + b": chunked"],
        [b"X: a\r\n " + choose.choice([length, encoding])],
        [b"X: a\n" + choose.choice([length, encoding])],
        [b"X: a\r" + choose.choice([length, encoding])],
        [b"Transfer-Encoding:\r\n" + blank + b"chunked"],
    ]
    lines = [b"Content-Type: application/json", *choose.choice(bad)]
    choose.shuffle(lines)
    # A line that begins with a blank is another matter as the first one.
    return b"\r\n".join([b"POST /api/logs HTTP/1.1", b"Host: localhost", *lines]) + b"\r\n\r\n"


def test_random_requests_are_answered_one_by_one_up_to_the_first_ambiguous_one(collector):
    choose = seeded()
    for _ in range(400):
        plain = [plain_request(choose) for _ in range(choose.randrange(4))]
        ambiguous = ambiguous_request(choose)
        requests = b"".join(request for request, _ in plain) + ambiguous
        answer = send_raw(collector, requests + b"0\r\n\r\n" + SMUGGLED)
        assert statuses(answer) == [*(status for _, status in plain), 400], requests
    assert collector.request("GET", "/api/health").status == 200


# ---- connections that drip (slow loris)


def health_latencies(collector, until) -> list[float]:
    """Of one request after the other, each on a connection of its own; in order of length."""
    latencies: list[float] = []
    while not until(len(latencies)):
        begin = time.perf_counter()
        assert collector.request("GET", "/api/health").status == 200
        latencies.append(time.perf_counter() - begin)
    return sorted(latencies)


def p99(ordered: list[float]) -> float:
    return ordered[len(ordered) * 99 // 100]


def test_a_thousand_dripping_connections_do_not_hold_up_a_healthy_client(collector):
    """They are closed when their headers have taken too long, however they trickle."""
    quiet = p99(health_latencies(collector, lambda count: count == 500))
    script = pathlib.Path(__file__).parent / "drip.py"
    dripping = subprocess.Popen(
        [sys.executable, script, collector.host, str(collector.port), "700", "300"],
        stdout=subprocess.PIPE,
    )
    assert dripping.stdout is not None
    assert dripping.stdout.readline() == b"dripping\n"
    latencies = health_latencies(collector, lambda _: dripping.poll() is not None)
    dripping.stdout.close()
    assert dripping.returncode == 0
    print(f"p99 of {len(latencies)} requests: {p99(latencies):.6f} s, {quiet:.6f} s without")
    # On a machine that is so busy that it misses 50 ms by itself, no worse than by itself.
    assert p99(latencies) < max(0.05, 2 * quiet)


# ---- JSON that is meant to hurt

DEEP = 100_000
HURTING = {
    "deep arrays": b'{"message":"m","x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"message":"m","x":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "arrays that do not end": b'{"message":"m","x":' + b"[" * DEEP,
    "a byte that is no UTF-8": b'{"message":"\xff"}',
    "UTF-8 that is too long": b'{"message":"\xc0\xaf"}',
    "UTF-8 of a surrogate": b'{"message":"\xed\xa0\x80"}',
    "UTF-8 beyond Unicode": b'{"message":"\xf5\x80\x80\x80"}',
    "UTF-8 that is cut": b'{"message":"\xe2\x82"}',
    "a key that is no UTF-8": b'{"message":"m","\xff":1}',
    "a lone surrogate": b'{"message":"\\ud800"}',
    "a lone low surrogate": b'{"message":"m","x":"\\udc00"}',
    "NUL in a string": b'{"message":"a\x00b"}',
    "NUL between tokens": b'{"message":"m"\x00}',
    "NUL behind": b'{"message":"m"}\x00',
    "two records in one": b'{"message":"m"}{"message":"n"}',
    "no object": b"17",
    "a second message that is none": b'{"message":"m","message":{"$gt":""}}',
}


# In an array these are not one record among three, so nothing of it is stored.
NO_ELEMENTS = ("arrays that do not end", "two records in one")


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "ndjson") for name in HURTING]
    + [(name, "array") for name in HURTING if name not in NO_ELEMENTS],
)
def test_a_record_that_is_meant_to_hurt_is_named_and_its_neighbours_are_stored(
    collector, name, kind
):
    records = [b'{"message":"before"}', HURTING[name], b'{"message":"after"}']
    if kind == "ndjson":
        body, content_type = b"\n".join(records), "application/x-ndjson"
    else:
        body, content_type = b"[" + b",".join(records) + b"]", "application/json"
    answer = collector.request("POST", "/api/logs", body, {"Content-Type": content_type})
    assert answer.status == 400
    (error,) = answer.json()["errors"]
    assert error["index"] == 1
    assert error["reason"]
    assert answer.json()["stored"] == 2
    assert [each["message"] for each in collector.records()] == ["before", "after"]


def test_a_record_with_a_million_keys_is_a_record(collector):
    """It is valid, as long as it is no longer than a body may be."""
    letters = string.ascii_letters + string.digits + "!#$%&()*+,-./:;<=>?@[]^_{|}~ "
    keys = itertools.chain(
        itertools.product(letters, repeat=3),
        itertools.islice(itertools.product(letters, repeat=4), 1_000_000 - len(letters) ** 3),
    )
    members = (b'"%b":1' % "".join(key).encode() for key in keys)
    body = b'{"message":"wide",' + b",".join(members) + b"}"
    assert len(body) <= 8 << 20
    assert collector.request("POST", "/api/logs", body, JSON).status == 200
    assert collector.post({"message": "after"}).status == 200
    assert len(collector.request("GET", "/api/logs?before=2").body) > len(body)


def test_of_fields_that_come_twice_the_same_one_is_shown_and_selected_by(collector):
    body = (
        b'{"message":"hidden","message":"shown","level":"DEBUG","level":"ERROR",'
        b'"logger_name":"a","logger_name":"b","host":"c","host":"d"}'
    )
    assert collector.request("POST", "/api/logs", body, JSON).status == 200
    (shown,) = collector.records()
    assert shown["message"] == "shown"
    assert collector.records(level=shown["level"], logger=shown["logger_name"]) == [shown]
    assert collector.records(level="DEBUG") == collector.records(logger="a") == []
    assert collector.records(host="d") == [shown]
    assert collector.records(host="c") == []
    assert collector.records(query="shown") == [shown]
    assert collector.records(query="hidden") == []
    assert collector.records(query="level:DEBUG") == []


# ---- SQL and full-text injection


FRAGMENTS = [
    *("'", '"', "''", '""', "`", "[", "]", "(", ")", ";", "--", "/*", "*/", "\\", "%", "_", "?1"),
    *("*", "^", ":", "+", "-", "=", ">=", "<", "{", "}", ",", ".", "|", "&", "#", "@", "$1", ":a"),
    *(
        " OR 1=1",
        " UNION SELECT json FROM record",
        "; DROP TABLE record",
        "; PRAGMA user_version=9",
    ),
    *(" AND ", " OR ", " NOT ", " NEAR ", "NEAR(a b, 2)", "NEAR/5", "record_text MATCH ", "rowid"),
    *("message:", "-message:", "{message exception}:", "level>=", "level:", "user_id=", "rank:"),
    *("'||(SELECT 1)||'", "ATTACH 'x' AS y", "char(0)", "x'00'", "1e999", "9223372036854775808"),
    *("\x00", "\n", "\r\n", "\t", "\x1b", "\x7f", "\x85", "\u202e", "\ufeff", "\ufffd", "é", "ß"),
    *("İ", "日本", "😀", "\U0010ffff", "a\u0301", "word", "app.db", "0", "-1", " ", ""),
]
BAD_UTF8 = [b"", b"\xff", b"\xc0\xa7", b"\xed\xa0\x80", b"\xe2\x82"]


def payloads(choose: random.Random, count: int) -> list[str]:
    return ["".join(choose.choices(FRAGMENTS, k=choose.randrange(1, 7))) for _ in range(count)]


def contents(store: pathlib.Path) -> tuple[object, ...]:
    """What nothing that only asks may change."""
    with contextlib.closing(sqlite3.connect(store)) as database:
        return tuple(
            database.execute(sql).fetchall()
            for sql in (
                "PRAGMA integrity_check",
                "PRAGMA user_version",
                "SELECT name, sql FROM sqlite_master ORDER BY name",
                "SELECT * FROM record",
            )
        )


TARGETS = [
    *(
        f"/api/logs?{name}="
        for name in ("query", "logger", "host", "level", "before", "from", "to")
    ),
    *(f"/api/logs?{name}=" for name in ("limit", "level=INFO&level", "query=word&query")),
    *(
        f"/api/histogram?{name}="
        for name in ("query", "logger", "host", "level", "from", "buckets")
    ),
    *(f"/api/gaps?{name}=" for name in ("journal", "all", "limit", "before")),
    *("/api/logs/", "/api/logs/1", "/api/logs?", "/api/histogram?"),
]


def test_a_thousand_payloads_in_every_parameter_are_answered_and_change_nothing(collector):
    choose = seeded()
    collector.post([{"message": f"word {number}", "level": "INFO"} for number in range(20)])
    before = contents(collector.store)
    assert before[0] == [("ok",)]
    connection = http.client.HTTPConnection(collector.host, collector.port, timeout=20)
    for payload in payloads(choose, 1_000):
        encoded = quote(payload.encode() + choose.choice(BAD_UTF8), safe="")
        for target in TARGETS:
            connection.request("GET", target + encoded)
            answer = connection.getresponse()
            body = json.loads(answer.read())
            expected = (200, 400, 404) if target.startswith("/api/logs/") else (200, 400)
            assert answer.status in expected, (target, payload, body)
    connection.close()
    assert contents(collector.store) == before


def test_payloads_in_the_parameters_of_a_stream_open_it_or_are_400(collector):
    choose = seeded()
    for payload in payloads(choose, 100):
        name = choose.choice(["query", "logger", "host", "level", "after"])
        connection = http.client.HTTPConnection(collector.host, collector.port, timeout=20)
        connection.request("GET", f"/api/logs/stream?{name}={quote(payload, safe='')}")
        assert connection.getresponse().status in (200, 400), (name, payload)
        connection.close()
    assert collector.post({"message": "after"}).status == 200


def test_a_payload_that_is_stored_is_found_by_its_own_text_and_nothing_else_is(collector):
    choose = seeded()
    texts = [f"w{number}w {text}" for number, text in enumerate(payloads(choose, 300))]
    records = [{"message": text, "logger_name": text, "extra": {"f": text}} for text in texts]
    assert collector.post(records).status == 200
    for text in texts:
        quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for query in (quoted, f"message:{quoted}", f"logger:{quoted}", f"f={quoted}"):
            found = [each["message"] for each in collector.records(query=query)]
            assert found == [text], query
        assert [each["message"] for each in collector.records(logger=text)] == [text]


# ---- records that pretend to be others (log forging)


FORGED = "2025-01-01T00:00:00Z ERROR app: forged"
FORGERIES = [
    *(f"real{line_break}{FORGED}" for line_break in ("\n", "\r", "\r\n", "\x0b", "\x0c", "\x85")),
    *(f"real{line_break}{FORGED}" for line_break in ("\u2028", "\u2029", "\x00\n", "\n\n")),
    f"real\x1b[2K\x1b[1A{FORGED}",
    f"real\x9b2K{FORGED}",
    f"real\x08\x08\x08\x08{FORGED}",
    f"\u202e{FORGED[::-1]}\u202c",
    f"\u2066\u2067{FORGED}\u2069",
    f'real"}}\n{{"message":"{FORGED}',
    f"real\n\nid: 1\ndata: {FORGED}",
]
# What can begin a line or change the direction or the colour of what is shown.
CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\u200e\u200f]")


def forged_record(text: str) -> dict:
    names = ("message", "level", "logger_name", "host")
    return dict.fromkeys(names, text) | {"extra": {text: text}, text: text}


def run_command(command, collector, *arguments: str) -> str:
    result = subprocess.run(
        [command, *arguments, "--endpoint", collector.endpoint],
        capture_output=True,
        timeout=20,
        check=True,
    )
    return result.stdout.decode()


def test_one_record_stays_one_record_in_an_answer(collector):
    records = [forged_record(text) for text in FORGERIES]
    assert collector.post(records).status == 200
    for stored, sent in zip(collector.records(), records, strict=True):
        assert {name: stored[name] for name in sent} == sent


@pytest.mark.parametrize(
    "shown_by", [("tail", "--no-follow", "-n", "100"), ("search", "-n", "100")]
)
def test_one_record_stays_one_record_in_a_terminal(command, collector, shown_by):
    records = [forged_record(text) for text in FORGERIES]
    assert collector.post(records).status == 200
    lines = run_command(command, collector, *shown_by, "--json").split("\n")
    assert lines.pop() == ""
    for line, sent in zip(lines, records, strict=True):
        shown = json.loads(line)
        assert {name: shown[name] for name in sent} == sent
        assert not CONTROLS.search(line)

    text = run_command(command, collector, *shown_by)
    assert not CONTROLS.search(text)
    heads = [line for line in text.split("\n") if line and not line.startswith(" ")]
    assert len(heads) == len(records)


def test_one_record_stays_one_event_of_a_stream(collector):
    records = [forged_record(text) for text in FORGERIES]
    connection = http.client.HTTPConnection(collector.host, collector.port, timeout=20)
    connection.request("GET", "/api/logs/stream?after=0")
    stream = connection.getresponse()
    pretty = json.dumps(records[0], indent=1).replace("\n", "\r")
    assert collector.post(records).status == 200
    assert collector.request("POST", "/api/logs", pretty, JSON).status == 200
    for sent in [*records, records[0]]:
        event = []
        while not any(line.startswith("data:") for line in event):
            event = list(iter(lambda: stream.readline().decode().rstrip("\n"), ""))
        ids, data = event
        assert ids.startswith("id: ")
        assert {name: json.loads(data[6:])[name] for name in sent} == sent
    connection.close()


# ---- paths


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/%252e%252e/etc/passwd",
        "/..%c0%af../etc/passwd",
        "/..\\..\\etc\\passwd",
        "//etc/passwd",
        "/etc/passwd%00.js",
        "/./",
        "/app.js/../../../etc/passwd",
        "/app.js%00",
        "/index.html/../../logs.sqlite",
        "/logs.sqlite",
        "/api/../../../etc/passwd",
        "/api/logs/../health",
        "/api/logs/%2e%2e/health",
        "/api/logs/1/../../../etc/passwd",
        "file:///etc/passwd",
        "http://localhost/api/health",
        "*",
    ],
)
def test_no_path_leads_to_a_file(collector, path):
    answer = collector.request("GET", path)
    assert answer.status in (400, 404)
    assert set(answer.json()) == {"error"}


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
