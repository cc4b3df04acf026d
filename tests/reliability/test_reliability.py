"""The experiments of reliability/experiments.py, short, with ours. ./run soak runs them long.

Each prints its identity: accepted = stored + spooled + dropped, and how many are lost or twice.
"""

from __future__ import annotations

import inspect
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from log_aggregator_handler import LogAggregatorHandler
from reliability import experiments
from reliability.harness import (
    OURS,
    OURS_ACCELERATED,
    OURS_SPDLOG,
    OURS_SPDLOG_WITH_SPOOL,
    OURS_WITH_SPOOL,
    Outcome,
    Run,
    Shipper,
)
from reliability.loop_images import KINDS, mounted_image

MAX_OVER_CAP_MIB = 16
# A log call waits for no request. One in a thousand may find the machine busy, but none takes as
# long as a request may.
MAX_P999_US = 50_000
REQUEST_TIMEOUT_US = 1e6 * inspect.signature(LogAggregatorHandler).parameters["timeout"].default

spool = pytest.param(
    OURS_WITH_SPOOL,
    id="spool",
    marks=pytest.mark.skipif(
        "spool_dir" not in inspect.signature(LogAggregatorHandler).parameters,
        reason="there is no spool yet",
    ),
)
memory = pytest.param(OURS, id="memory")
spdlog_spool = pytest.param(OURS_SPDLOG_WITH_SPOOL, id="spdlog-spool")
spdlog_memory = pytest.param(OURS_SPDLOG, id="spdlog-memory")
with_spool = pytest.mark.parametrize("shipper", [spool])
with_both = pytest.mark.parametrize("shipper", [spool, memory])
# Also with a program in C++ that logs through spdlog.
with_spool_and_spdlog = pytest.mark.parametrize("shipper", [spool, spdlog_spool])
with_both_and_spdlog = pytest.mark.parametrize(
    "shipper", [spool, memory, spdlog_spool, spdlog_memory]
)

Perform = Callable[..., Outcome]


@pytest.fixture
def perform(record_property: Callable[[str, object], None]) -> Perform:
    """Runs an experiment with a seed of its own, and expects nothing lost or twice, and
    that all processes end as they should."""

    def run(experiment: Callable[..., Outcome], shipper: Shipper, **conditions: Any) -> Outcome:
        outcome = experiment(shipper, random.SystemRandom().getrandbits(32), **conditions)
        print(outcome.line())
        record_property("identity", outcome.line())
        assert outcome.accepted > 0
        assert (outcome.lost, outcome.surplus, outcome.twice) == (0, 0, 0), outcome.line()
        assert (outcome.hung, outcome.died) == (0, 0), outcome.line()
        return outcome

    return run


@pytest.mark.parametrize(
    "shipper", [spool, pytest.param(OURS_ACCELERATED, id="accelerated"), spdlog_spool]
)
def test_killed_at_random_instants_it_loses_nothing_whose_call_had_returned(
    perform: Perform, shipper: Shipper
) -> None:
    assert perform(experiments.kill, shipper, kills=12).dropped == 0


@with_spool
@pytest.mark.parametrize("kind", KINDS)
def test_killed_on_any_file_system_it_loses_nothing_whose_call_had_returned(
    perform: Perform, shipper: Shipper, kind: str, tmp_path: Path
) -> None:
    with mounted_image(kind, tmp_path) as disk:
        assert perform(experiments.kill, shipper, kills=3, rate=4000, spool=disk).dropped == 0


@with_both
def test_a_collector_killed_under_load_gets_every_record_once(
    perform: Perform, shipper: Shipper
) -> None:
    assert perform(experiments.kill_collector, shipper, kills=8).dropped == 0


@pytest.mark.parametrize("shipper", [spool, memory, spdlog_spool])
@pytest.mark.parametrize("how", ["refused", "hung"])
def test_an_outage_loses_nothing_and_holds_up_no_log_call(
    perform: Perform, shipper: Shipper, how: str
) -> None:
    outcome = perform(experiments.outage, shipper, seconds=1.5, how=how)
    assert outcome.dropped == 0
    assert outcome.recovery_s is not None
    assert outcome.p50_us is not None
    assert outcome.p999_us is not None
    assert outcome.max_us is not None
    assert outcome.p50_us < 10_000
    assert outcome.p999_us < MAX_P999_US
    assert outcome.max_us < REQUEST_TIMEOUT_US


@with_both_and_spdlog
def test_an_outage_at_full_speed_keeps_memory_within_the_cap_and_counts_each_drop(
    perform: Perform, shipper: Shipper
) -> None:
    outcome = perform(experiments.memory, shipper, seconds=1.5)
    assert outcome.dropped  # the queue, or the spool, was full
    assert outcome.peak_mib is not None
    assert outcome.idle_mib is not None
    cap_mib = 0 if shipper.spool else outcome.conditions["cap_mib"]
    assert outcome.peak_mib - outcome.idle_mib <= cap_mib + MAX_OVER_CAP_MIB


@with_both_and_spdlog
def test_parent_and_children_of_a_fork_under_load_deliver_what_each_logged_once(
    perform: Perform, shipper: Shipper
) -> None:
    assert perform(experiments.fork, shipper, children=30).dropped == 0


@with_spool_and_spdlog
def test_children_that_end_by_os_exit_leave_their_records_to_the_next_start(
    perform: Perform, shipper: Shipper
) -> None:
    assert perform(experiments.fork, shipper, children=30, child_end="exit").dropped == 0


@with_spool_and_spdlog
@pytest.mark.parametrize("how", experiments.ENDS)
def test_however_it_ends_the_next_start_delivers_what_is_left(
    perform: Perform, shipper: Shipper, how: str
) -> None:
    assert perform(experiments.end, shipper, how=how).dropped == 0


def test_an_orderly_end_without_a_spool_delivers_what_is_left(perform: Perform) -> None:
    assert perform(experiments.end, OURS, how="return").dropped == 0


@with_spool
def test_killed_by_the_kernel_for_its_memory_it_loses_nothing(
    perform: Perform, shipper: Shipper
) -> None:
    with experiments.memory_group() as group:
        if group is None:
            pytest.skip("LOG_AGGREGATOR_CGROUP names no memory cgroup to make others in")
        perform(experiments.out_of_memory, shipper, group=group)


@with_spool
def test_of_eight_processes_on_one_spool_seven_are_killed_and_their_orphans_drained_once(
    perform: Perform, shipper: Shipper
) -> None:
    assert perform(experiments.siblings, shipper).dropped == 0


@with_both_and_spdlog
def test_threads_that_outrun_a_slow_server_stay_within_the_cap_and_each_drop_is_counted(
    perform: Perform, shipper: Shipper
) -> None:
    # A program in C++ fills its spool sooner than pages of its files can be given back. That of a
    # program in Python has no cap here, and takes everything.
    caps_spool = bool(shipper.program)
    is_capped = caps_spool or not shipper.spool
    outcome = perform(experiments.slow_server, shipper, records=1000, caps_spool=caps_spool)
    assert outcome.dropped is not None
    assert (outcome.dropped > 0) == is_capped
    assert outcome.peak_mib is not None
    assert outcome.idle_mib is not None
    cap_mib = experiments.QUEUE_BYTES >> 20 if is_capped else 0
    assert outcome.peak_mib - outcome.idle_mib <= cap_mib + MAX_OVER_CAP_MIB


@pytest.mark.parametrize("shipper", [memory, spdlog_memory])
def test_the_harness_sees_what_a_killed_application_without_a_spool_loses(shipper: Shipper) -> None:
    outcome = experiments.end(shipper, 1, how="exit")
    assert outcome.lost > 0
    assert outcome.accepted == outcome.stored + outcome.lost


@with_spool_and_spdlog
def test_the_harness_sees_an_application_that_dies_where_it_should_return(shipper: Shipper) -> None:
    with Run(shipper, 1) as run:
        app = run.start(threads=1, rate=100)
        app.wait_until_it_logs()
        app.process.send_signal(signal.SIGSEGV)
        run.stop()
        assert run.outcome("died").died == 1


@with_spool_and_spdlog
def test_the_harness_sees_a_child_that_dies(shipper: Shipper) -> None:
    outcome = experiments.fork(shipper, 1, children=3, child_end="abort")
    assert (outcome.died, outcome.lost) == (3, 0)
