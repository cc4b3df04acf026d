"""How programs end: what is left is delivered within close_timeout, nothing crashes or hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

SETUP = """
import logging, os, sys, threading, time
from log_aggregator_handler import LogAggregatorHandler
handler = LogAggregatorHandler(
    sys.argv[1], flush_interval=60, retry_attempts=0, close_timeout=float(sys.argv[2])
)
logger = logging.getLogger("app")
logger.setLevel("INFO")
logger.addHandler(handler)
"""


@pytest.fixture
def run(run_python, log_api):
    """Runs SETUP and a program; returns how it ended and how long it took."""

    def start(program, close_timeout=5.0, endpoint=None):
        begin = time.monotonic()
        result = run_python(SETUP + program, endpoint or log_api.endpoint, str(close_timeout))
        result.elapsed = time.monotonic() - begin
        return result

    return start


def messages(api):
    return [record["message"] for record in api.records]


def test_a_program_that_just_ends_delivers_what_is_left(run, log_api):
    result = run("for i in range(100): logger.info('%d', i)")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert messages(log_api) == [str(i) for i in range(100)]


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("sys.exit(3)", 3),
        ("raise SystemExit", 0),
        ("1/0", 1),
        ("threading.Thread(target=sys.exit).start()", 0),
        ("logging.shutdown()", 0),
        ("logging.shutdown(); logging.shutdown()", 0),
        ("handler.close()", 0),
        ("handler.flush(); handler.close(); handler.close()", 0),
        ("del handler, logger; logging.getLogger('app').handlers.clear()", 0),
        ("import gc; gc.disable()", 0),
        ("handler.self = handler", 0),
    ],
)
def test_however_a_program_ends_its_records_arrive(run, log_api, end, code):
    result = run(f"logger.info('last words')\n{end}")
    assert result.returncode == code
    assert messages(log_api) == ["last words"]


def test_records_logged_by_atexit_functions_arrive(run, log_api):
    run(
        """
import atexit
atexit.register(logger.info, 'registered after the handler')
"""
    )
    assert messages(log_api) == ["registered after the handler"]


def test_records_logged_while_the_interpreter_is_taken_apart_do_no_harm(run, log_api):
    result = run(
        """
class Last:
    def __del__(self):
        try:
            logger.info('deleted')
            handler.flush()
            handler.check_connection()
            handler.close()
        except NameError:
            pass
last = Last()
sys.modules['__main__'].keep = last
logger.info('before')
"""
    )
    assert result.returncode == 0
    assert "before" in messages(log_api)


def test_daemon_threads_that_go_on_logging_do_no_harm(run, log_api):
    result = run(
        """
def work():
    while True:
        logger.info('from a daemon')
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
""",
        close_timeout=1,
    )
    assert result.returncode == 0
    assert result.elapsed < 10


def test_daemon_threads_that_wait_in_flush_do_no_harm(run, log_api):
    log_api.hang()
    result = run(
        """
def work():
    while True:
        logger.info('x')
        handler.flush(0.01)
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
""",
        close_timeout=0.3,
    )
    assert result.returncode == 0


@pytest.mark.parametrize("fault", ["hang", "stop", "reset"])
def test_a_dead_endpoint_delays_the_end_by_close_timeout_at_most(run, log_api, fault):
    getattr(log_api, fault)()
    idle = run("").elapsed
    result = run("logger.info('lost')", close_timeout=1.0)
    assert result.returncode == 0
    assert result.elapsed < idle + 1.0 + 0.8  # the machine may be busy
    assert "1 record dropped" in result.stderr


def test_flush_and_close_at_exit_share_one_deadline(run, log_api):
    log_api.hang()
    idle = run("").elapsed
    result = run("logger.info('lost')\nlogging.shutdown()", close_timeout=1.0)
    assert result.elapsed < idle + 1.9


def test_an_auth_callable_is_asked_at_the_end_too(run, log_api):
    result = run(
        """
handler = LogAggregatorHandler(
    sys.argv[1], flush_interval=60, auth=lambda: {'Authorization': 'Bearer late'}
)
logger.handlers = [handler]
logger.info('x')
"""
    )
    assert result.returncode == 0
    assert log_api.posts[0].headers["Authorization"] == "Bearer late"


def test_a_report_at_the_end_reaches_sys_stderr_and_the_fallback_logger(run, log_api):
    log_api.respond(400, body="at the end")
    result = run("logger.info('x')")
    assert "at the end" in result.stderr
    result = run(
        """
class Out(logging.Handler):
    def emit(self, record):
        print('fallback:', record.getMessage())
logging.getLogger('fb').addHandler(Out())
handler = LogAggregatorHandler(sys.argv[1], flush_interval=60, fallback_logger='fb')
logger.handlers = [handler]
logger.info('x')
"""
    )
    assert "fallback: " in result.stdout
    assert "at the end" in result.stdout
    assert result.stderr == ""


def test_an_auth_callable_that_hangs_does_not_hang_the_end(run, log_api):
    result = run(
        """
handler = LogAggregatorHandler(
    sys.argv[1], flush_interval=0, auth=lambda: time.sleep(3600), close_timeout=0.5
)
logger.handlers = [handler]
logger.info('x')
time.sleep(0.2)
""",
        close_timeout=0.5,
    )
    assert result.elapsed < 10
    assert result.returncode == 0


def test_reports_and_auth_under_stress_never_crash_the_end(run_python, log_api):
    log_api.respond(400)
    program = (
        SETUP
        + """
for i in range(4):
    h = LogAggregatorHandler(
        sys.argv[1], flush_interval=0, batch_size=1, auth=lambda: {'X': 'y'}, auth_ttl=0.001,
        fallback_logger='quiet', retry_attempts=0, close_timeout=0.1
    )
    logger.addHandler(h)
logging.getLogger('quiet').addHandler(logging.NullHandler())
logging.getLogger('quiet').propagate = False
def work():
    while True:
        logger.info('x')
threading.Thread(target=work, daemon=True).start()
time.sleep(float(sys.argv[3]))
"""
    )
    for i in range(5):
        result = run_python(program, log_api.endpoint, "0.1", str(0.02 * i))
        assert result.returncode == 0, result.stderr


def test_ctrl_c_ends_a_program_that_waits_in_flush(log_api):
    log_api.hang()
    program = (
        SETUP
        + """
logger.info('x')
print('ready', flush=True)
handler.flush(2)
print('after flush', flush=True)
time.sleep(60)
"""
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, log_api.endpoint, "0.2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode in (-signal.SIGINT, 130, 1)
    assert "KeyboardInterrupt" in error


def test_a_child_of_multiprocessing_ends_without_hanging(run, log_api):
    result = run(
        """
import multiprocessing
def work():
    logger.info('child')
logger.info('parent')
handler.flush()
child = multiprocessing.get_context('fork').Process(target=work)
child.start()
child.join()
print(child.exitcode)
""",
        close_timeout=1,
    )
    assert result.stdout == "0\n"
    assert "parent" in messages(log_api)


def test_a_sub_interpreter_is_refused_clearly(run_python):
    result = run_python(
        """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import sys
code = '''
try:
    import log_aggregator_handler
except ImportError as error:
    assert "interpreter" in str(error), error
else:
    raise AssertionError("imported")
'''
interpreter = interpreters.create()
failure = interpreters.run_string(interpreter, code)
print("refused" if failure is None else failure)
""",
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert result.stdout == "refused\n", result.stderr
