"""GET /api/logs/stream of the real collector: live, filtered, resumed, slow, and many at once."""

from __future__ import annotations

import re
import signal
import threading

import pytest

from collector.streams import Stream


def post(collector, *messages, **fields):
    answer = collector.post([{"message": message, **fields} for message in messages])
    assert answer.status == 200, answer


def messages(records):
    return [record["message"] for record in records]


def test_records_are_shown_as_they_arrive(collector):
    post(collector, "before")
    with Stream(collector) as stream:
        assert stream.response.headers["Content-Type"] == "text/event-stream"
        assert stream.lines() == ["id: 1"]
        post(collector, "a", "b")
        shown = stream.take(2)
        assert shown == collector.records()[1:]
        assert stream.last_id == "3"


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"query": "needle -hay"}, ["a needle"]),
        ({"query": "level>=WARNING"}, ["bad", "worse"]),
        ({"level": "ERROR"}, ["worse"]),
        ({"logger": "app.db", "host": "web-1"}, ["bad"]),
        ({"query": "user_id=7"}, ["a needle"]),
    ],
)
def test_only_what_is_asked_for_is_shown(collector, parameters, expected):
    with Stream(collector, **parameters) as stream:
        stream.lines()
        post(collector, "needle in hay", "plain")
        post(collector, "bad", level="WARNING", logger_name="app.db", host="web-1")
        post(collector, "worse", level="ERROR", logger_name="app.db", host="web-2")
        post(collector, "a needle", extra={"user_id": 7})
        assert messages(stream.take(len(expected))) == expected


def test_it_goes_on_after_the_last_event_that_was_seen(collector):
    with Stream(collector) as stream:
        stream.lines()
        post(collector, "a", "b")
        stream.take(2)
        last_id = stream.last_id
    post(collector, *(f"missed {i}" for i in range(5_000)))
    with Stream(collector, after=1, headers={"Last-Event-ID": last_id}) as stream:
        post(collector, "new")
        shown = messages(stream.take(5_001))
        assert shown == [f"missed {i}" for i in range(5_000)] + ["new"]


def test_it_goes_on_over_a_restart_of_the_collector(collector):
    with Stream(collector) as stream:
        post(collector, "a")
        stream.take(1)
        assert collector.stop() == 0
        assert stream.next() is None, "the stream ends in order"
    collector.start()
    post(collector, "b")
    with Stream(collector, headers={"Last-Event-ID": stream.last_id}) as stream:
        assert messages(stream.take(1)) == ["b"]


def test_a_client_that_is_gone_is_noticed_and_costs_nothing(collector):
    for _ in range(1_200):  # more than may be open
        with Stream(collector) as stream:
            assert stream.response.status == 200


@pytest.mark.parametrize(
    ("target", "headers", "reason"),
    [
        ("query=%22open", {}, "character 1: the quote is not closed"),
        ("after=x", {}, "after must be the id"),
        ("limit=5", {}, "unknown parameter: limit"),
        ("", {"Last-Event-ID": "x"}, "Last-Event-ID must be"),
    ],
)
def test_a_bad_request_is_answered_and_not_streamed(collector, target, headers, reason):
    answer = collector.request("GET", f"/api/logs/stream?{target}", headers=headers)
    assert answer.status == 400
    assert reason in answer.json()["error"]


def test_the_stream_needs_a_token_where_tokens_are_wanted(start_collector, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("right\n")
    collector = start_collector("--token-file", str(tokens))
    assert collector.request("GET", "/api/logs/stream").status == 401
    authorization = {"Authorization": "Bearer right"}
    with Stream(collector, headers=authorization) as stream:
        answer = collector.post({"message": "m"}, headers=authorization)
        assert answer.status == 200
        assert messages(stream.take(1)) == ["m"]


def test_sigterm_ends_streams_at_once(collector):
    streams = [Stream(collector) for _ in range(20)]
    for stream in streams:
        stream.lines()
    collector.process.send_signal(signal.SIGTERM)
    for stream in streams:
        assert stream.next() is None
        stream.close()
    assert collector.process.wait(5) == 0


class Counter(threading.Thread):
    """Counts what a stream shows, and says it has left out, up to the record `needle end`."""

    def __init__(self, stream: Stream, begin: threading.Event | None = None) -> None:
        super().__init__(daemon=True)
        self.stream = stream
        self.begin = begin
        self.shown = self.missed = 0
        self.start()

    def run(self) -> None:
        if self.begin:
            self.begin.wait()
        text, ended = b"", False
        while not ended and (part := self.stream.response.read1(1 << 18)):
            text += part
            whole = text.rfind(b"\n\n") + 2
            self.shown += text.count(b'\ndata: {"id":', 0, whole)
            for count in re.findall(rb'\ndata: \{"missed":(\d+)', text[:whole]):
                self.missed += int(count)
            ended = b"needle end" in text[:whole]
            text = text[whole:]
        self.stream.close()


def resident_mib(collector) -> float:
    with open(f"/proc/{collector.pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) / 1024


def test_two_hundred_tails_lose_nothing_silently_and_memory_is_bounded(collector):
    """Some take everything, most a part; slow ones nothing until all has been stored."""
    over = threading.Event()

    def follow(count, begin=None, **parameters):
        return [Counter(Stream(collector, timeout=60, **parameters), begin) for _ in range(count)]

    everything = follow(5) + follow(5, over)
    a_part = follow(180, query="needle") + follow(10, over, query="needle")
    idle = resident_mib(collector)
    largest = 0.0
    # More than may wait for a slow one, and than it may lag behind.
    batches, of_a_batch, needles = 200, 400, 20
    hay = "x" * 800
    batch = [f"needle {hay}"] * needles + [hay] * (of_a_batch - needles)
    for _ in range(batches):
        post(collector, *batch)
        largest = max(largest, resident_mib(collector))
    over.set()
    post(collector, "needle end")
    for tail in everything + a_part:
        tail.join(60)
    print(f"{idle:.0f} MiB idle, {largest:.0f} MiB at most; missed: {everything[-1].missed}")
    assert {tail.shown + tail.missed for tail in everything} == {batches * of_a_batch + 1}
    assert {tail.shown + tail.missed for tail in a_part} == {batches * needles + 1}
    assert everything[-1].missed > 0, "the slow ones were not slow enough to miss any"
    # 200 tails of which each may have a little over 1 MiB waiting.
    assert largest - idle < 300
