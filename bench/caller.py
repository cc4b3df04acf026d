"""The groups `caller` and `latency` of ./run bench: what a log call costs its thread."""

from typing import Any

from plan import Plan, in_turns, medians
from processes import SINK, run_workload, server

ALONE = ("null", "pass", "queue", "stream", "json", "picologging", "ours", "accelerated")
PEERS = ("opentelemetry", "loki-logger-handler", "logging-loki", "logstash-http", "batcher")
# The others deliver fewer than 4,000 records a second: what waits would grow and be measured, too.
STEADY = ("null", "opentelemetry", "loki-logger-handler", "batcher", "ours", "accelerated")


def measure(plan: Plan) -> dict[str, Any]:
    """By variant and kind of call: CPU time in ns, medians of the processes."""

    def run(name: str) -> dict[str, Any]:
        calls = 1_000 if name in PEERS else plan.pick(5_000, 10_000)
        with server(SINK) as (url, _):
            return run_workload(
                *("call", "--endpoint", url, "--shipper", name),
                *("--calls", calls, "--blocks", plan.pick(3, 5)),
            )

    found = in_turns(plan.present(ALONE + PEERS), plan.pick(3, 7), run)
    return {name: medians(runs) for name, runs in found.items()}


def measure_latency(plan: Plan) -> dict[str, Any]:
    """By variant: percentiles of the wall clock's time of a call, medians of the processes."""

    def run(name: str) -> dict[str, Any]:
        with server(SINK) as (url, _):
            return run_workload(
                "paced", "--endpoint", url, "--shipper", name, "--seconds", plan.pick(2, 5)
            )

    found = in_turns(plan.present(STEADY), plan.pick(3, 5), run)
    return {name: medians(runs) for name, runs in found.items()}
