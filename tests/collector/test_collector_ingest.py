"""POST /api/logs of the real collector: formats, encodings, validation, limits, duplicates."""

from __future__ import annotations

import gzip
import json
import struct
import uuid
import zlib
from datetime import datetime, timedelta, timezone

import pytest

MAX_RECORDS = 10_000
MAX_BYTES = 8 << 20
NDJSON = {"Content-Type": "application/x-ndjson"}
JSON = {"Content-Type": "application/json"}


def record(number: int, **fields) -> dict:
    return {"message": f"record {number}", "number": number, **fields}


def ndjson(records) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in records)


def zstd_frame(blocks, size: int | None = None) -> bytes:
    """A zstd frame of raw blocks, or of (byte, count) blocks that repeat one byte."""
    unstated = b"\x00\x58"  # a window of 2 MiB
    header = unstated if size is None else b"\xe0" + struct.pack("<Q", size)
    frame = b"\x28\xb5\x2f\xfd" + header
    for i, block in enumerate(blocks):
        last = i == len(blocks) - 1
        repeat = isinstance(block, tuple)
        length = block[1] if repeat else len(block)
        head = int(last) | (1 if repeat else 0) << 1 | length << 3
        frame += struct.pack("<I", head)[:3] + (block[0] if repeat else block)
    return frame


def journal_headers(journal: uuid.UUID, sequence: str) -> dict[str, str]:
    return {"Log-Aggregator-Journal": str(journal), "Log-Aggregator-Sequence": sequence}


def numbers(collector) -> list[int]:
    return [each["number"] for each in collector.records()]


def resident_bytes(pid: int, name: str) -> int:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(name))


def test_one_object_is_stored_with_all_its_fields(collector):
    sent = {
        "timestamp": "2025-03-27T08:02:51.123456+00:00",
        "level": "INFO",
        "message": "größer ✓",
        "host": "web-1",
        "logger_name": "app.login",
        "lineno": 12,
        "service": "shop",
        "extra": {"user_id": 123, "nested": {"a": [1, 2.5, None, True]}},
    }
    answer = collector.post(sent)
    assert (answer.status, answer.json()) == (200, {"stored": 1, "duplicates": 0})
    (stored,) = collector.records()
    assert stored.pop("id") > 0
    assert stored == sent


def test_an_array_is_stored_in_order(collector):
    answer = collector.post([record(i) for i in range(5)])
    assert answer.json() == {"stored": 5, "duplicates": 0}
    assert numbers(collector) == [0, 1, 2, 3, 4]


def test_ndjson_is_stored_in_order_and_empty_lines_do_not_count(collector):
    body = b"\r\n".join([b'{"message":"a"}', b"", b"  ", b'{"message":"b"}'])
    answer = collector.request("POST", "/api/logs", body, NDJSON)
    assert answer.json() == {"stored": 2, "duplicates": 0}
    assert [each["message"] for each in collector.records()] == ["a", "b"]


@pytest.mark.parametrize("body", [b"[]", b" [ ] ", b"[\n]"])
def test_an_empty_array_stores_nothing(collector, body):
    answer = collector.request("POST", "/api/logs", body, JSON)
    assert (answer.status, answer.json()) == (200, {"stored": 0, "duplicates": 0})


def test_gzip_is_taken_several_members_included(collector):
    records = [record(i) for i in range(10)]
    body = gzip.compress(ndjson(records[:5])) + gzip.compress(ndjson(records[5:]))
    answer = collector.request("POST", "/api/logs", body, NDJSON | {"Content-Encoding": "gzip"})
    assert answer.json() == {"stored": 10, "duplicates": 0}


@pytest.mark.parametrize("stated", [True, False])
def test_zstd_is_taken(collector, stated):
    text = ndjson(record(i) for i in range(100))
    body = zstd_frame([text[:1000], text[1000:]], len(text) if stated else None)
    answer = collector.request("POST", "/api/logs", body, NDJSON | {"Content-Encoding": "zstd"})
    assert answer.json() == {"stored": 100, "duplicates": 0}


def test_a_record_without_timestamp_gets_the_time_of_receipt(collector):
    before = datetime.now(timezone.utc)
    collector.post({"message": "now"})
    (stored,) = collector.records()
    received = datetime.fromisoformat(stored["timestamp"])
    assert before - timedelta(seconds=1) <= received <= datetime.now(timezone.utc)


def test_integers_past_64_bits_keep_their_digits(collector):
    text = b'{"message":"big","extra":{"n":-123456789012345678901234567890,"f":1e400}}'
    assert collector.request("POST", "/api/logs", text, JSON).status == 200
    raw = collector.request("GET", "/api/logs").body
    assert b"-123456789012345678901234567890" in raw
    assert b"1e400" in raw


def test_a_field_called_id_is_kept_beside_the_collectors_own(collector):
    collector.request("POST", "/api/logs", b'{"id":"mine","message":"m","\\u0069d":7}', JSON)
    body = collector.request("GET", "/api/logs").body
    pairs = json.loads(body, object_pairs_hook=list)[0][1][0]
    assert [name for name, _ in pairs] == ["id", "timestamp", "record_id", "message", "record_id"]


BAD_RECORDS = [
    (b"{tru3}", "not valid JSON"),
    (b'{"message":"cut', "not valid JSON"),
    (b'{"message":"\xff\xfe"}', "not valid JSON"),
    (b'{"message":"a","lineno":01234567890123456789}', "not valid JSON"),
    (b'{"message":"deep","x":' + b"[" * 2000 + b"]" * 2000 + b"}", "not valid JSON"),
    (b'"text"', "not a JSON object"),
    (b"[]", "not a JSON object"),
    (b"{}", "no message"),
    (b'{"message":null}', "message is not a string"),
    (b'{"message":"a","level":20}', "level is not a string"),
    (b'{"message":"a","host":[]}', "host is not a string"),
    (b'{"message":"a","logger_name":{}}', "logger_name is not a string"),
    (b'{"message":"a","timestamp":1743062571}', "timestamp is not a string"),
    (b'{"message":"a","timestamp":"2025-03-27T08:02:51"}', "timestamp is not ISO 8601"),
    (b'{"message":"a","timestamp":"2025-02-30T08:02:51Z"}', "timestamp is not ISO 8601"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD_RECORDS)
def test_a_bad_line_is_named_and_its_neighbours_are_stored(collector, bad, reason):
    body = b'{"message":"before","number":0}\n' + bad + b'\n{"message":"after","number":2}\n'
    answer = collector.request("POST", "/api/logs", body, NDJSON)
    assert answer.status == 400
    (error,) = answer.json()["errors"]
    assert error["index"] == 1
    assert reason in error["reason"]
    assert answer.json()["stored"] == 2
    assert numbers(collector) == [0, 2]


@pytest.mark.parametrize("bad", [b"{tru3}", b'{"message":1}', b"17", b'{"message":"\xff"}'])
def test_a_bad_element_of_an_array_is_named_and_its_neighbours_are_stored(collector, bad):
    body = b'[{"message":"before","number":0},' + bad + b',{"message":"after","number":2}]'
    answer = collector.request("POST", "/api/logs", body, JSON)
    assert answer.status == 400
    assert [error["index"] for error in answer.json()["errors"]] == [1]
    assert numbers(collector) == [0, 2]


@pytest.mark.parametrize(
    "body",
    [b"", b"  ", b"[", b'[{"message":"a"}', b'[{"message":"a"}]]', b'[{"message":"a"},]', b'["a]'],
)
def test_an_array_that_is_broken_as_a_whole_stores_nothing(collector, body):
    answer = collector.request("POST", "/api/logs", body, JSON)
    assert answer.status == 400
    assert set(answer.json()) == {"error"}
    assert collector.records() == []


def test_a_reason_never_repeats_what_the_record_holds(collector):
    body = b'{"message":1,"secret":"canary-4711"}\n{"canary-4711":\n'
    assert b"canary" not in collector.request("POST", "/api/logs", body, NDJSON).body


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": ""},
        NDJSON | {"Content-Encoding": "br"},
        NDJSON | {"Content-Encoding": "gzip, gzip"},
    ],
)
def test_other_content_types_and_encodings_are_415(collector, headers):
    answer = collector.request("POST", "/api/logs", b'{"message":"a"}', headers)
    assert answer.status == 415
    assert "error" in answer.json()


def test_content_types_may_have_parameters_and_any_case(collector):
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert collector.request("POST", "/api/logs", b'{"message":"a"}', headers).status == 200


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("body", [b"", b"garbage", b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08"])
def test_damaged_compression_is_400(collector, encoding, body):
    headers = NDJSON | {"Content-Encoding": encoding}
    assert collector.request("POST", "/api/logs", body, headers).status == 400


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_compressed_bodies_that_are_cut_off_are_400(collector, encoding):
    text = ndjson(record(i) for i in range(1000))
    whole = gzip.compress(text) if encoding == "gzip" else zstd_frame([text])
    headers = NDJSON | {"Content-Encoding": encoding}
    assert collector.request("POST", "/api/logs", whole[:-1], headers).status == 400
    assert collector.records() == []


def test_more_records_than_the_limit_are_413(collector):
    limit = collector.request("GET", "/api/health").json()["batch"]["max_records"]
    assert limit == MAX_RECORDS
    lines = b'{"message":"a"}\n' * limit
    assert collector.request("POST", "/api/logs", lines, NDJSON).json()["stored"] == limit
    assert collector.request("POST", "/api/logs", lines + b"{}", NDJSON).status == 413
    array = b"[" + b",".join([b'{"message":"a"}'] * (limit + 1)) + b"]"
    assert collector.request("POST", "/api/logs", array, JSON).status == 413
    assert len(collector.records()) == limit


def test_a_body_as_long_as_the_limit_is_taken_and_one_byte_more_is_413(collector):
    limit = collector.request("GET", "/api/health").json()["batch"]["max_bytes"]
    assert limit == MAX_BYTES
    frame = len(b'{"message":""}')
    fits = b'{"message":"' + b"x" * (limit - frame) + b'"}'
    for body, status in ((fits, 200), (fits + b" ", 413)):
        assert collector.request("POST", "/api/logs", body, JSON).status == status
        squeezed = gzip.compress(body, 1)
        headers = JSON | {"Content-Encoding": "gzip"}
        assert collector.request("POST", "/api/logs", squeezed, headers).status == status


def test_a_chunked_body_is_limited_as_any_other(collector):
    chunks = iter([b"x" * (1 << 20)] * 9)
    assert collector.request("POST", "/api/logs", chunks, JSON).status == 413
    assert (
        collector.request("POST", "/api/logs", iter([b'{"message":', b'"a"}']), JSON).status == 200
    )


def gzip_bomb(gibibytes: int) -> bytes:
    """About a MiB for each GiB of zeros; its checksum, which nobody gets to, is wrong."""
    compressor = zlib.compressobj(9, wbits=31)
    head = compressor.compress(bytes(1 << 20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    block = compressor.compress(bytes(1 << 20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return head + block * (gibibytes << 10) + compressor.flush()


GZIP_BOMB = gzip_bomb(7)
LONG_GZIP_BOMB = gzip_bomb(10)  # 10 MiB: longer than a body may be
ZSTD_BOMB = zstd_frame([(b"x", 128 << 10)] * 80_000)  # 10 GiB
LONG_ZSTD_BOMB = b"".join([zstd_frame([(b"x", 128 << 10)] * 1_000)] * 2_600)  # 10 MiB
ZSTD_STATED_BOMB = zstd_frame([(b"x", 128 << 10)] * 80_000, (128 << 10) * 80_000)
WIDE_WINDOW = b"\x28\xb5\x2f\xfd\x00\x88" + b"\x03\x00\x00x"  # asks for a window of 128 MiB


@pytest.mark.parametrize(
    ("encoding", "bomb"),
    [
        ("gzip", GZIP_BOMB),
        ("gzip", LONG_GZIP_BOMB),
        ("zstd", ZSTD_BOMB),
        ("zstd", LONG_ZSTD_BOMB),
        ("zstd", ZSTD_STATED_BOMB),
        ("zstd", WIDE_WINDOW),
    ],
    ids=["gzip", "long gzip", "zstd", "long zstd", "zstd with its size", "zstd window"],
)
def test_a_bomb_is_413_and_costs_little_memory(collector, encoding, bomb):
    idle = resident_bytes(collector.pid, "VmRSS")
    headers = NDJSON | {"Content-Encoding": encoding}
    for body in (bomb, bomb, iter([bomb])):  # the last one without saying how long it is
        assert collector.request("POST", "/api/logs", body, headers).status == 413
    assert resident_bytes(collector.pid, "VmHWM") - idle < 64 << 20


def test_a_batch_sent_again_is_counted_as_duplicates(collector):
    journal = uuid.uuid4()
    records = [record(i) for i in range(17, 41)]
    headers = journal_headers(journal, "17-40")
    assert collector.post(records, headers).json() == {"stored": 24, "duplicates": 0}
    assert collector.post(records, headers).json() == {"stored": 0, "duplicates": 24}
    assert numbers(collector) == list(range(17, 41))


def test_only_what_is_new_of_an_overlapping_batch_is_stored(collector):
    journal = uuid.uuid4()
    collector.post([record(i) for i in (1, 2, 3, 7)], journal_headers(journal, "1-3,7"))
    answer = collector.post([record(i) for i in range(2, 10)], journal_headers(journal, "2-9"))
    assert answer.json() == {"stored": 5, "duplicates": 3}
    assert sorted(numbers(collector)) == list(range(1, 10))


def test_journals_do_not_mix(collector):
    for _ in range(2):
        answer = collector.post([record(1)], journal_headers(uuid.uuid4(), "1-1"))
        assert answer.json() == {"stored": 1, "duplicates": 0}


def test_a_journal_is_known_in_either_case_and_after_a_restart(collector):
    journal = uuid.uuid4()
    collector.post([record(5)], journal_headers(journal, "5"))
    collector.restart()
    headers = {
        "Log-Aggregator-Journal": str(journal).upper(),
        "Log-Aggregator-Sequence": "5-5",
    }
    assert collector.post([record(5)], headers).json() == {"stored": 0, "duplicates": 1}


def test_the_sequence_of_a_bad_record_is_not_marked_as_stored(collector):
    journal = uuid.uuid4()
    mixed = [record(1), {"message": 2}, record(3)]
    assert collector.post(mixed, journal_headers(journal, "1-3")).status == 400
    mended = [record(i) for i in (1, 2, 3)]
    answer = collector.post(mended, journal_headers(journal, "1-3"))
    assert answer.json() == {"stored": 1, "duplicates": 2}
    assert numbers(collector) == [1, 3, 2]


@pytest.mark.parametrize(
    "sequence",
    ["", "a", "1-", "-2", "2-1", "1-2,2-3", "5,1", "1,,2", "1-99999999999999999999", "1;2", "1-3"],
)
def test_a_sequence_that_is_malformed_or_does_not_fit_is_400(collector, sequence):
    answer = collector.post([record(1), record(2)], journal_headers(uuid.uuid4(), sequence))
    assert answer.status == 400
    assert "Log-Aggregator-Sequence" in answer.json()["error"]
    assert collector.records() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Log-Aggregator-Journal": "not-a-uuid", "Log-Aggregator-Sequence": "1"},
        {"Log-Aggregator-Journal": str(uuid.uuid4())},
        {"Log-Aggregator-Sequence": "1"},
    ],
)
def test_a_journal_that_is_malformed_or_alone_is_400(collector, headers):
    answer = collector.post(record(1), headers)
    assert answer.status == 400
    assert "Log-Aggregator-Journal" in answer.json()["error"]


HOSTILE = [
    "'; DROP TABLE record; --",
    '" OR 1=1 --',
    "\x00\x01\x1b[31m\r\nlevel=ERROR",
    "<script>alert(1)</script>",
    "\u202egnp.exe",
    "%s%n%d",
    "😀" * 100,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_stored_and_found_as_it_is(collector, text):
    sent = {
        "message": text,
        "logger_name": text,
        "level": text,
        "host": text,
        "extra": {text: text},
    }
    assert collector.post(sent).status == 200
    (stored,) = collector.records(logger=text, level=text, host=text)
    assert {name: stored[name] for name in sent} == sent
    assert collector.records(logger=text + "x") == []
