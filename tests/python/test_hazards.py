"""Hazards of Python and native threads: signals, SIGPIPE, gevent, logging where one should not.

Of the same kind: test_handler.py and test_auth.py (logging from __str__, __repr__, __del__ and auth
callables), test_values.py and test_records.py (hostile data), test_forks.py, test_exit.py and
test_shutdown.py.
"""

from __future__ import annotations

import signal
import socket
import struct
import threading

import pytest

from reliability.puppet import identity

# ---- signals


@pytest.mark.parametrize("with_spool", [True, False], ids=["spool", "memory"])
def test_a_signal_handler_that_logs_while_records_are_logged_loses_none_and_does_not_hang(
    puppet, log_api, tmp_path, with_spool
):
    options = {"spool_dir": tmp_path / "spool"} if with_spool else {}
    app = puppet(log_api.endpoint, **options)
    told = app.do(
        """
handler()
signals = 0
def on_alarm(number, frame):
    global signals
    signals += 1
    logger.warning("signal %d", signals)
signal.signal(signal.SIGALRM, on_alarm)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
logged = 0
while signals < 200:
    logger.info("%s", {"value": [logged] * 20}, extra={"items": list(range(50))})
    logged += 1
signal.setitimer(signal.ITIMER_REAL, 0)
answer = [logged, signals]
"""
    )
    assert app.flush()
    identity("signals", stats := app.close())
    assert stats["accepted"] == sum(told)
    assert sum(stats["dropped"].values()) == 0
    messages = [r["message"] for r in log_api.records if r["message"].startswith("signal")]
    # One may come while another is being handled.
    assert sorted(messages) == sorted(f"signal {i + 1}" for i in range(told[1]))


def test_the_handlers_thread_takes_no_signals(puppet, log_api):
    app = puppet(log_api.endpoint)
    app.log(1)
    assert app.flush()
    blocked = app.do(
        """
answer = []
for thread in os.listdir("/proc/self/task"):
    status = dict(line.split(":\\t", 1) for line in open(f"/proc/self/task/{thread}/status"))
    if thread != str(os.getpid()):
        answer.append(int(status["SigBlk"], 16))
"""
    )
    assert len(blocked) == 1
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGALRM", "SIGCHLD", "SIGPROF"):
        assert blocked[0] & 1 << (getattr(signal, name) - 1), name
    # Told to the one that causes them.
    assert not blocked[0] & 1 << (signal.SIGSEGV - 1)


@pytest.fixture
def hanging_up():
    """An API that hangs up in the middle of each request, by a reset; and how often it has."""
    times = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                client.recv(10)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                times.append(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/api/logs", times
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_server_that_hangs_up_costs_no_process_that_dies_of_sigpipe(puppet, hanging_up):
    endpoint, times = hanging_up
    app = puppet(endpoint, retry_attempts=100, retry_delay=0.005, compression=None)
    app.do("signal.signal(signal.SIGPIPE, signal.SIG_DFL)")
    app.log(20, "x" * 1_000_000)
    assert not app.flush(1.0)
    assert len(times) > 5
    identity("SIGPIPE", stats := app.stats())
    assert stats["accepted"] == 20


# ---- logging from where one should not


def test_the_handler_itself_never_logs_by_pythons_loggers(puppet, log_api, tmp_path):
    app = puppet(log_api.endpoint, spool_dir=tmp_path / "spool", retry_attempts=1, timeout=0.3)
    app.do(
        """
seen = []
class Seen(logging.Handler):
    def emit(self, record):
        seen.append(record.name)
logging.root.setLevel(1)
logging.root.addHandler(Seen())
logging.captureWarnings(True)
handler()
"""
    )
    log_api.reset()
    app.log(50)
    assert not app.flush(0.3)
    log_api.recover()
    log_api.respond(500, times=3)
    log_api.respond(404, times=1)
    app.flush()
    app.do("handler().check_connection()")
    app.log(50)
    assert app.flush() is False  # one batch was refused
    app.close()
    assert app.do("answer = seen") == []


def test_a_record_is_what_its_arguments_were_when_the_call_returned(puppet, log_api, tmp_path):
    app = puppet(log_api.endpoint, spool_dir=tmp_path / "spool", flush_interval=60)
    app.do(
        """
handler()
value, items, error = {"n": 0}, [0], ValueError("first")
for i in range(100):
    value["n"] = items[0] = i
    error.args = (f"error {i}",)
    try:
        raise error
    except ValueError:
        logger.info("%s", value, extra={"items": items}, exc_info=True)
value["n"] = items[0] = "changed"
error.args = ("changed",)
"""
    )
    assert app.flush()
    for i, record in enumerate(log_api.records):
        assert record["message"] == f"{{'n': {i}}}"
        assert record["extra"]["items"] == [i]
        assert record["exception"].endswith(f"ValueError: error {i}")
    assert len(log_api.records) == 100


# ---- gevent


@pytest.mark.parametrize("with_spool", [True, False], ids=["spool", "memory"])
def test_under_gevent_greenlets_log_and_the_hub_is_not_held_up(
    log_api, tmp_path, run_python, with_spool
):
    pytest.importorskip("gevent", reason="gevent is not installed")
    program = """
import sys
from gevent import monkey
monkey.patch_all()
import gevent, json, logging, time
from log_aggregator_handler import LogAggregatorHandler

asked = []
def auth():
    asked.append(1)
    return {"Authorization": "Bearer x"}

options = json.loads(sys.argv[2])
handler = LogAggregatorHandler(sys.argv[1], auth=auth, flush_interval=0.01, **options)
logger = logging.getLogger("app")
logger.setLevel("INFO")
logger.addHandler(handler)

def work(number):
    for i in range(50):
        logger.info("%d %d", number, i)
        gevent.sleep(0)

gevent.joinall([gevent.spawn(work, number) for number in range(40)], raise_error=True)
assert handler.flush(20), handler.stats()
logger.info("last")
assert asked
"""
    options = f'{{"spool_dir": "{tmp_path / "spool"}"}}' if with_spool else "{}"
    done = run_python(program, log_api.endpoint, options)
    assert (done.returncode, done.stderr) == (0, "")
    messages = [record["message"] for record in log_api.records]
    assert sorted(messages) == sorted(
        ["last", *(f"{number} {i}" for number in range(40) for i in range(50))]
    )
