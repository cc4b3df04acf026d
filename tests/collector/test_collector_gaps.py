"""Log-Aggregator-Skipped and GET /api/gaps of the real collector."""

from __future__ import annotations

import uuid

import pytest

JOURNAL = "6f1c0f6e-0b57-4c39-9f5b-7f0f3a6d2c11"


def numbering(sequence: str | None = None, skipped: str | None = None, journal: str = JOURNAL):
    headers = {"Log-Aggregator-Journal": journal}
    if sequence is not None:
        headers["Log-Aggregator-Sequence"] = sequence
    if skipped is not None:
        headers["Log-Aggregator-Skipped"] = skipped
    return headers


def numbers_of(ranges: str) -> list[int]:
    bounds = [[int(n) for n in each.split("-")] for each in ranges.split(",")]
    return [number for each in bounds for number in range(each[0], each[-1] + 1)]


def post(collector, sequence: str, skipped: str | None = None, journal: str = JOURNAL) -> dict:
    records = [{"message": f"m{number}", "host": "web-1"} for number in numbers_of(sequence)]
    answer = collector.post(records, numbering(sequence, skipped, journal))
    assert answer.status == 200, answer
    return answer.json()


def give_up(collector, skipped: str, headers: dict[str, str] | None = None):
    return collector.request(
        "POST",
        "/api/logs",
        b"",
        {"Content-Type": "application/x-ndjson", **numbering(skipped=skipped), **(headers or {})},
    )


def gaps(collector, query: str = "") -> dict:
    answer = collector.request("GET", f"/api/gaps?{query}")
    assert answer.status == 200, answer
    return answer.json()


def the_journal(collector) -> dict:
    (journal,) = gaps(collector, f"journal={JOURNAL}")["journals"]
    return journal


def test_a_collector_without_journals_has_no_gaps(collector):
    collector.post({"message": "without a number"})
    assert gaps(collector, "all=1") == {"journals": [], "next": None}


def test_what_is_missing_and_what_was_given_up_is_named(collector):
    post(collector, "1-3,7-8", skipped="5-6")
    post(collector, "20")
    (journal,) = gaps(collector)["journals"]
    assert journal.pop("last_seen").endswith("+00:00")
    assert journal == {
        "journal": JOURNAL,
        "host": "web-1",
        "stored": 6,
        "last": 20,
        "missing": [[4, 4], [9, 19]],
        "missing_count": 12,
        "skipped": [[5, 6]],
        "skipped_count": 2,
        "truncated": False,
    }


def test_what_arrives_late_is_no_longer_missing(collector):
    post(collector, "5-9")
    assert the_journal(collector)["missing"] == [[1, 4]]
    post(collector, "1-4")
    assert gaps(collector) == {"journals": [], "next": None}
    assert the_journal(collector)["stored"] == 9


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-ndjson", b""),
        ("application/x-ndjson", b"\n"),
        ("application/json", b""),
        ("application/json", b"[]"),
    ],
)
def test_what_was_given_up_may_come_without_records(collector, content_type, body):
    headers = {"Content-Type": content_type, **numbering(skipped="2-3")}
    answer = collector.request("POST", "/api/logs", body, headers)
    assert (answer.status, answer.json()) == (200, {"stored": 0, "duplicates": 0})
    assert the_journal(collector)["skipped"] == [[2, 3]]
    assert the_journal(collector)["missing"] == [[1, 1]]


def test_giving_up_again_changes_nothing_and_it_outlives_a_kill(collector):
    post(collector, "1,4", skipped="2-3")
    before = the_journal(collector)
    collector.kill()
    collector.start()
    assert post(collector, "1,4", skipped="2-3") == {"stored": 0, "duplicates": 2}
    after = the_journal(collector)
    assert before.pop("last_seen") <= after.pop("last_seen")
    assert after == before


def test_a_record_that_was_given_up_and_stored_all_the_same_counts_as_stored(collector):
    post(collector, "1-2", skipped="2-5")
    assert post(collector, "3-4") == {"stored": 2, "duplicates": 0}
    assert the_journal(collector)["skipped"] == [[5, 5]]
    assert the_journal(collector)["stored"] == 4


def test_what_was_given_up_is_kept_although_records_of_the_batch_are_bad(collector):
    records = [{"message": "good"}, {"message": 7}]
    answer = collector.post(records, numbering("2-3", skipped="1"))
    assert (answer.status, answer.json()["stored"]) == (400, 1)
    journal = the_journal(collector)
    assert (journal["skipped"], journal["last"]) == ([[1, 1]], 2)
    # The bad one is missing until its sender gives it up, too, and sends on.
    post(collector, "4")
    assert the_journal(collector)["missing"] == [[3, 3]]
    give_up(collector, "3")
    assert the_journal(collector)["missing"] == []


@pytest.mark.parametrize(
    "skipped",
    ["", "a", "1-", "2-1", "1-2,2-3", "5,1", "1,,2", "1-99999999999999999999", "1;2", "-1"],
)
def test_a_header_that_is_malformed_is_400_and_named(collector, skipped):
    answer = collector.post([{"message": "m"}], numbering("9", skipped))
    assert answer.status == 400
    assert "Log-Aggregator-Skipped" in answer.json()["error"]
    assert collector.records() == []
    assert gaps(collector, "all=1")["journals"] == []


@pytest.mark.parametrize("header", ["Skipped", "Sequence"])
def test_a_header_of_more_than_4_kib_is_400_and_named(collector, header):
    ranges = ",".join(str(number) for number in range(10_000, 10_000 + 2 * 700, 2))
    fits, too_long = ranges[: 6 * 681 + 5], ranges[: 6 * 682 + 5]
    assert len(fits) <= 4096 < len(too_long)
    name = f"Log-Aggregator-{header}"
    for value, status in ((fits, 200), (too_long, 400)):
        records = [{"message": "m"}] * (value.count(",") + 1) if header == "Sequence" else []
        answer = collector.post(records, {"Log-Aggregator-Journal": JOURNAL, name: value})
        assert answer.status == status
    assert name in answer.json()["error"]


def test_giving_up_needs_a_journal_and_records_of_a_journal_need_numbers(collector):
    answer = collector.post([{"message": "m"}], {"Log-Aggregator-Skipped": "1"})
    assert answer.status == 400
    assert "Log-Aggregator-Journal" in answer.json()["error"]
    answer = collector.post([{"message": "m"}], numbering(skipped="1"))
    assert answer.status == 400
    assert "Log-Aggregator-Sequence" in answer.json()["error"]
    assert collector.records() == []


def test_journals_without_gaps_are_listed_when_asked_for(collector):
    journals = [str(uuid.uuid4()) for _ in range(4)]
    for number, journal in enumerate(journals):
        post(collector, "1-2" if number % 2 else "2", journal=journal)
    assert [each["journal"] for each in gaps(collector)["journals"]] == [journals[2], journals[0]]
    listed = gaps(collector, "all=1")["journals"]
    assert [each["journal"] for each in listed] == journals[::-1]
    (one,) = gaps(collector, f"journal={journals[1].upper()}")["journals"]
    assert one["journal"] == journals[1]
    assert gaps(collector, f"journal={uuid.uuid4()}")["journals"] == []


def test_pages_follow_each_other_exactly(collector):
    journals = [str(uuid.uuid4()) for _ in range(7)]
    for journal in journals:
        post(collector, "2", journal=journal)
    found, before = [], ""
    for _ in range(3):
        page = gaps(collector, f"limit=3{before}")
        found += [each["journal"] for each in page["journals"]]
        before = f"&before={page['next']}"
    assert page["next"] is None
    assert found == journals[::-1]
    assert gaps(collector, "limit=7")["next"] is None


def test_the_largest_numbers_are_answered_as_they_are(collector):
    largest = 2**63 - 2
    post(collector, str(largest))
    assert the_journal(collector)["missing"] == [[1, largest - 1]]
    assert the_journal(collector)["last"] == largest


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("before=x", "before"),
        ("journal=x", "journal"),
        ("all=yes", "all"),
        ("host=h", "host"),
        ("journal=%zz", "encoded"),
    ],
)
def test_a_bad_parameter_is_400_and_named(collector, query, named):
    answer = collector.request("GET", f"/api/gaps?{query}")
    assert answer.status == 400
    assert named in answer.json()["error"]


def test_gaps_are_shown_to_those_with_a_token_only(start_collector, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("right\n")
    collector = start_collector("--token-file", str(tokens))
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer right"}, 200),
    ):
        assert collector.request("GET", "/api/gaps", headers=headers).status == status
