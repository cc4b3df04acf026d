"""What ./run soak makes of its outcomes; the experiments themselves are in test_reliability.py."""

from __future__ import annotations

from typing import Any

import pytest
import soak

from reliability import acks
from reliability.harness import OURS, OURS_WITH_SPOOL, Outcome


def outcome(**fields: Any) -> Outcome:
    return Outcome("kill", "ours", 7, {"kills": 25}, **fields)


def test_outcomes_add_up_and_the_worst_time_is_told() -> None:
    total = soak.combine(
        [
            outcome(accepted=10, stored=8, dropped=2, p999_us=50.0),
            outcome(accepted=5, stored=5, p999_us=70.0, recovery_s=1.5),
        ]
    )
    assert (total.accepted, total.stored, total.dropped, total.lost) == (15, 13, 2, 0)
    assert (total.p999_us, total.recovery_s, total.conditions) == (70.0, 1.5, {"kills": 50})


def test_a_shipper_that_does_not_count_its_drops_is_not_said_to_have_none() -> None:
    total = soak.combine([outcome(dropped=None), outcome(dropped=None)])
    assert total.dropped is None
    assert "dropped=not counted" in total.line()


@pytest.mark.parametrize("fault", ["lost", "twice", "hung", "died"])
def test_a_fault_of_ours_fails_the_run(fault: str) -> None:
    task = soak.Task("kill", lambda shipper, seed: outcome(), may_lose=True)
    found = outcome(**{fault: 1})
    assert soak.fault_of(found, OURS_WITH_SPOOL, task) == f"{fault}=1"
    may_be = fault == "lost"  # nobody promised otherwise without a spool
    assert bool(soak.fault_of(found, OURS, task)) is not may_be


def test_records_both_stored_and_dropped_fail_the_run_but_in_an_outage_without_a_spool() -> None:
    found = outcome(surplus=1)
    outage = soak.Task("outage", lambda shipper, seed: outcome(), may_drop_what_arrived=True)
    other = soak.Task("memory", lambda shipper, seed: outcome())
    assert soak.fault_of(found, OURS, outage) == ""
    assert soak.fault_of(found, OURS_WITH_SPOOL, outage) == "surplus=1"
    assert soak.fault_of(found, OURS, other) == "surplus=1"


def test_every_length_of_a_soak_has_every_experiment() -> None:
    names = {task.name for task in soak.plan(0.1)}
    assert names == {task.name for task in soak.plan(300)}
    assert {"kill", "fork", "memory", "slow-server"} <= names


def test_the_table_has_a_row_for_each_outcome() -> None:
    rows = list(soak.table([outcome(accepted=1234, stored=1234).as_json()]))
    assert len(rows) == 3
    assert "| 1,234 | 1,234 | 0 | 0 | 0 |" in rows[2]


@pytest.mark.parametrize("duration_ns", [16, 17, 1000, 123_456, 10**9, (1 << 43) - 1])
def test_a_bucket_is_a_sixteenth_wide(duration_ns: int) -> None:
    bucket = acks.bucket_of(duration_ns)
    assert 0 <= bucket < acks.BUCKETS
    assert duration_ns <= acks.bucket_end_ns(bucket) < duration_ns * (1 + 1 / 16) + 1
    durations = [0] * acks.BUCKETS
    durations[bucket] = 3
    assert acks.quantile_us(durations, 0.5) == acks.bucket_end_ns(bucket) / 1000


def test_a_quantile_leaves_out_what_is_rarer() -> None:
    durations = [0] * acks.BUCKETS
    durations[100], durations[200] = 999, 1
    assert acks.quantile_us(durations, 0.999) == acks.bucket_end_ns(100) / 1000
    assert acks.quantile_us(durations, 1) == acks.bucket_end_ns(200) / 1000
    assert acks.quantile_us([0] * acks.BUCKETS, 0.5) is None
