"""The group `cpp` of ./run bench: a call from C++, encoding, and the transport alone."""

import sys
from typing import Any

from plan import Plan, in_turns, medians
from processes import BUILD, SINK, run_program, server

CALL = BUILD / "log_aggregator_cpp_call"
ENCODE = BUILD / "log_aggregator_encode"
TRANSPORT = BUILD / "log_aggregator_transport"


def require() -> None:
    if not CALL.exists() or not ENCODE.exists():
        sys.exit("the C++ comparison is not built: it needs libspdlog-dev and rapidjson-dev")


def measure(plan: Plan) -> dict[str, Any]:
    with server(SINK) as (url, _):
        calls = run_program(CALL, f"{url}/api/logs", plan.pick(50_000, 200_000), plan.pick(3, 11))
    return {"call": calls, "encode": encode(plan), "transport": transport(plan)}


def encode(plan: Plan, lines: str = "") -> dict[str, Any]:
    return run_program(ENCODE, plan.pick(3, 11), *([lines] if lines else []))


def transport(plan: Plan) -> dict[str, Any]:
    def run(compression: str) -> dict[str, float]:
        with server(SINK) as (url, _):
            found = run_program(TRANSPORT, f"{url}/api/logs", compression, plan.pick(1, 2))
        return {
            "records_per_s": found["records"] / found["seconds"],
            "records_per_cpu_s": found["records"] / found["cpu_seconds"],
            "records_per_worker_cpu_s": found["records"]
            / (found["cpu_seconds"] - found["caller_cpu_seconds"]),
            "record_bytes": found["record_bytes"],
        }

    found = in_turns(("none", "zstd", "gzip"), plan.pick(2, 5), run)
    return {name: medians(runs) for name, runs in found.items()}
