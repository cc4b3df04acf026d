"""Forks: a process delivers what it has logged itself, once, and no child hangs.

Every program here is a real process whose records carry the number of the process that logged them
(`process`, by logging) and one of their own (`extra.number`). What a program prints of the form
"pid number" is what it claims to have logged.
"""

from __future__ import annotations

import collections
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import trustme

from log_aggregator_handler.testing import LogApi

SETUP = """
import logging, os, sys, threading, time, warnings
# Since 3.12 Python warns of any fork in a process with threads.
warnings.filterwarnings("ignore", "This process", DeprecationWarning)
from log_aggregator_handler import LogAggregatorHandler

ENDPOINT = sys.argv[1]
options = dict(retry_delay=0.01, flush_interval=60, close_timeout=20)
handler = LogAggregatorHandler(ENDPOINT, **options)
logger = logging.getLogger("app")
logger.setLevel("INFO")
logger.addHandler(handler)

def log(number):
    logger.info("%d of %d", number, os.getpid(), extra={"number": number})
    os.write(1, b"%d %d\\n" % (os.getpid(), number))

def wait_for(child):
    status = os.waitpid(child, 0)[1]
    if status:
        os.write(1, b"failed %d\\n" % status)
"""

FORKS = int(os.environ.get("LOG_AGGREGATOR_SOAK_FORKS", "200"))


class Program:
    """A process and its children, which end with the test at the latest."""

    def __init__(self, command: list[str], **options) -> None:
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )

    def end(self, timeout: float) -> tuple[str, str]:
        try:
            return self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"a process hangs:\n{self.tree()}")

    def tree(self) -> str:
        listing = subprocess.run(
            ["ps", "-o", "pid,ppid,stat,wchan:20,args", "-g", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        return listing.stdout

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def start(tmp_path):
    programs = []

    def start(command, **options):
        programs.append(Program(command, cwd=tmp_path, **options))
        return programs[-1]

    yield start
    for program in programs:
        program.kill()


@pytest.fixture
def run(start, log_api, tmp_path):
    """Runs SETUP and a program; returns what it claims to have logged: [(pid, number), ...]."""

    def run(program, *arguments, timeout=60.0, api=log_api, setup=SETUP, says=""):
        main = tmp_path / "main.py"
        main.write_text(setup + program)
        started = start([sys.executable, str(main), api.endpoint, *arguments])
        output, error = started.end(timeout)
        assert "failed" not in output, output + error
        assert started.process.returncode == 0, error
        assert says in error
        assert says or not error
        return [tuple(map(int, line.split())) for line in output.splitlines()]

    return run


def stored(api):
    """What arrived, in the same form; asserts that each record names the process that logged it."""
    records = [record for record in api.records if record["logger_name"] == "app"]
    for record in records:
        assert record["message"].endswith(f" of {record['process']}")
    return [(record["process"], record["extra"]["number"]) for record in records]


def assert_each_is_stored_once(api, logged, processes=None):
    """`processes`: how many have logged; None where there are so many that their ids recur."""
    said, there = collections.Counter(logged), collections.Counter(stored(api))
    lost, twice = said - there, there - said
    print(
        f"accepted {said.total()} = stored {there.total()}; "
        f"lost {lost.total()}, twice {twice.total()}"
    )
    assert processes is None or len({pid for pid, _ in logged}) == processes
    assert not lost
    assert not twice


# ---- os.fork


def test_records_before_and_after_a_fork_arrive_once_from_the_process_that_logged_them(
    run, log_api
):
    logged = run(
        """
log(1)
child = os.fork()
if child == 0:
    log(2)
else:
    log(3)
    wait_for(child)
"""
    )
    assert_each_is_stored_once(log_api, logged, processes=2)
    assert len(logged) == 3


def test_a_fork_after_records_were_delivered(run, log_api):
    logged = run(
        """
log(1)
assert handler.flush()
child = os.fork()
log(2)
assert handler.stats()["accepted"] == (1 if child == 0 else 2)
if child:
    wait_for(child)
"""
    )
    assert_each_is_stored_once(log_api, logged, processes=2)


def test_children_of_children(run, log_api):
    logged = run(
        """
log(0)
for depth in range(1, 6):
    child = os.fork()
    if child:
        wait_for(child)
        break
    log(depth)
log(10)
"""
    )
    assert_each_is_stored_once(log_api, logged, processes=6)
    assert len(logged) == 12


def test_a_child_that_ends_by_os_exit_has_to_flush_and_costs_its_parent_nothing(run, log_api):
    logged = run(
        """
log(1)
child = os.fork()
if child == 0:
    log(2)
    assert handler.flush()
    os._exit(0)
wait_for(child)
child = os.fork()
if child == 0:
    logger.info("lost with its process")
    os._exit(0)
wait_for(child)
"""
    )
    assert_each_is_stored_once(log_api, logged, processes=2)


def test_a_child_forked_by_a_thread_has_that_as_its_main_thread(run, log_api):
    logged = run(
        """
def work():
    child = os.fork()
    if child == 0:
        log(2)
        os._exit(0 if handler.flush() else 1)
    wait_for(child)
log(1)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
    )
    assert_each_is_stored_once(log_api, logged, processes=2)


@pytest.mark.parametrize("forking", ["on the worker", "in flush", "in check_connection"])
def test_an_auth_callable_may_fork(run, log_api, forking):
    """As subprocess with a preexec_fn does, or a library that asks a helper for a token."""
    logged = run(
        f"""
forking = {forking!r}
children = []
def auth():
    if not children:
        children.append(os.fork())
        if children[0] == 0:
            if forking == "on the worker":
                os._exit(0)
            logger.info("dropped: this is a callback still")
    return {{}}
logger.handlers = []
handler = LogAggregatorHandler(ENDPOINT, **options, auth=auth)
logger.addHandler(handler)
if forking == "in check_connection":
    assert handler.check_connection()
else:
    logger.info("%d of %d", 1, os.getpid(), extra={{"number": 1}})
    if forking == "in flush":
        flushed = handler.flush()
        assert flushed == (children[0] != 0)
    else:
        handler.flush(0)
        while not children:
            time.sleep(0.001)
parent = children[0] != 0
if parent:
    if forking != "in check_connection":
        os.write(1, b"%d 1\\n" % os.getpid())
    wait_for(children[0])
log(2)
""",
        says="" if forking == "on the worker" else "1 record dropped (reentrant)",
    )
    assert_each_is_stored_once(log_api, logged, processes=1 if forking == "on the worker" else 2)


def test_a_child_started_by_subprocess_inherits_no_connection(run, log_api):
    logged = run(
        """
import subprocess
log(1)
assert handler.flush()
count = "import os; print(sum('socket' in os.readlink(f'/proc/self/fd/{fd}')" \\
    " for fd in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{fd}')))"
for options in ({}, {"preexec_fn": lambda: None}):
    command = [sys.executable, "-c", count]
    answer = subprocess.run(command, capture_output=True, text=True, **options)
    assert answer.stdout == "0\\n", answer
"""
    )
    assert_each_is_stored_once(log_api, logged, processes=1)


def test_an_idle_child_ends_while_the_api_hangs(run, log_api):
    log_api.hang()
    begun = time.monotonic()
    run(
        """
logger.info("the parent's")
handler.flush(0)
child = os.fork()
if child == 0:
    sys.exit()
wait_for(child)
os._exit(0)
"""
    )
    assert time.monotonic() - begun < 10


# ---- with a spool

SPOOL = SETUP.replace("dict(", "dict(spool_dir=sys.argv[2], ")


def test_with_a_spool_each_process_keeps_a_journal_of_its_own(run, log_api, tmp_path):
    log_api.stop()
    program = """
log(1)
child = os.fork()
log(2)
if child:
    wait_for(child)
os._exit(0)
"""
    logged = run(program, str(tmp_path / "spool"), setup=SPOOL)
    assert len(logged) == 3
    assert len(list((tmp_path / "spool").iterdir())) == 2
    log_api.start()
    logged += run("log(3)\n", str(tmp_path / "spool"), setup=SPOOL)
    assert len(log_api.wait_for(4)) == 4
    assert_each_is_stored_once(log_api, logged, processes=3)


def test_a_child_does_not_hold_the_spool_of_a_parent_that_has_died(run, log_api, tmp_path):
    log_api.stop()
    logged = run(
        """
log(1)
child = os.fork()
if child:
    os._exit(0)
for descriptor in (0, 1, 2):
    os.close(descriptor)
time.sleep(20)
os._exit(0)
""",
        str(tmp_path / "spool"),
        setup=SPOOL,
    )
    log_api.start()
    logged += run(
        "log(2)\nhandler.flush(0)\ntime.sleep(0.5)\n", str(tmp_path / "spool"), setup=SPOOL
    )
    assert len(log_api.wait_for(2)) == 2
    assert_each_is_stored_once(log_api, logged, processes=2)


# ---- under load

LOAD = """
stop = False
counts = [0] * 64
def work(thread):
    while not stop:
        counts[thread] += 1
        number = thread * 1_000_000 + counts[thread]
        logger.info("%d of %d", number, os.getpid(), extra={"number": number})
        time.sleep(0.02)
logger.handlers = []
handler = LogAggregatorHandler(ENDPOINT, **{**options, "flush_interval": 0.05}, **more)
logger.addHandler(handler)
threads = [threading.Thread(target=work, args=(i,)) for i in range(64)]
for thread in threads:
    thread.start()
children = set()
for i in range(int(sys.argv[2])):
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        log(-1)
        if i % 10 == 0:
            grandchild = os.fork()
            if grandchild == 0:
                log(-2)
            else:
                wait_for(grandchild)
        os._exit(0 if handler.flush() else 1)
    children.add(child)
    while len(children) >= 8:
        child, status = os.wait()
        children.remove(child)
        assert status == 0, status
    time.sleep(max(0, 0.01 - (time.monotonic() - begun)))
for child in children:
    wait_for(child)
stop = True
for thread in threads:
    thread.join()
for thread, count in enumerate(counts):
    for number in range(1, count + 1):
        os.write(1, b"%d %d\\n" % (os.getpid(), thread * 1_000_000 + number))
"""


def assert_children_logged(logged, forks):
    """Each child, and the one that every tenth of them forks."""
    assert sum(number < 0 for _, number in logged) == forks + (forks + 9) // 10


def test_a_fork_every_10_ms_under_64_logging_threads(run, log_api):
    begun = time.monotonic()
    logged = run("more = {}\n" + LOAD, str(FORKS), timeout=60 + FORKS)
    print(f"{FORKS} forks in {time.monotonic() - begun:.1f} s, 0 hangs")
    assert_children_logged(logged, FORKS)
    assert_each_is_stored_once(log_api, logged)


def test_forks_under_load_with_tls(run, tmp_path):
    """OpenSSL has locks of its own, which a fork must not catch."""
    import ssl

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    forks = max(FORKS // 4, 20)
    with LogApi(ssl_context=context) as api:
        more = f"more = dict(ca_file={str(tmp_path / 'ca.pem')!r})\n"
        logged = run(more + LOAD, str(forks), api=api, timeout=60 + forks)
        assert_children_logged(logged, forks)
        assert_each_is_stored_once(api, logged)


# ---- multiprocessing

PROCESSES = """
import multiprocessing

def work(number):
    log(number)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    log(1)
    children = [context.Process(target=work, args=(number,)) for number in (2, 3)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
        assert child.exitcode == 0, child
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing(run, log_api, method):
    logged = run(PROCESSES, method)
    assert_each_is_stored_once(log_api, logged, processes=3)


def test_multiprocessing_imported_before_the_handler(run, log_api):
    logged = run(PROCESSES, "fork", setup="import multiprocessing.util\n" + SETUP)
    assert_each_is_stored_once(log_api, logged, processes=3)


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_a_handler_made_in_a_child_of_multiprocessing(run, log_api, method):
    program = PROCESSES.replace(
        "def work(number):\n",
        "def work(number):\n    logger.handlers = [LogAggregatorHandler(ENDPOINT, **options)]\n",
    )
    logged = run(program, method)
    assert_each_is_stored_once(log_api, logged, processes=3)


def test_threads_of_a_child_of_multiprocessing_that_end_after_it(run, log_api):
    program = PROCESSES.replace(
        "def work(number):\n    log(number)\n",
        """
def late(number):
    threading.main_thread().join(1)  # which ends after the finalizers only
    log(number)

def work(number):
    logger.handlers = [LogAggregatorHandler(ENDPOINT, **{**options, "flush_interval": 0})]
    thread = threading.Thread(target=late, args=(number,))
    thread.start()
""",
    )
    logged = run(program, "spawn")
    assert_each_is_stored_once(log_api, logged, processes=3)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_of_multiprocessing(run, log_api, method):
    logged = run(
        """
import multiprocessing

def work(number):
    log(number)
    return number

if __name__ == "__main__":
    log(0)
    with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
        assert sorted(pool.map(work, range(1, 41), chunksize=1)) == list(range(1, 41))
        pool.close()
        pool.join()
""",
        method,
    )
    there = collections.Counter(stored(log_api))
    assert there == collections.Counter(logged)
    assert len(logged) == 41


def test_a_process_pool_of_concurrent_futures(run, log_api):
    logged = run(
        """
from concurrent.futures import ProcessPoolExecutor

def work(number):
    log(number)

if __name__ == "__main__":
    log(0)
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(work, range(1, 41)))
"""
    )
    assert collections.Counter(stored(log_api)) == collections.Counter(logged)


def test_a_child_of_multiprocessing_ends_within_close_timeout_while_the_api_hangs(run, log_api):
    log_api.hang()
    begun = time.monotonic()
    run(
        """
import multiprocessing
logger.handlers = []
for i in range(4):
    logger.addHandler(LogAggregatorHandler(ENDPOINT, close_timeout=1, fallback_logger="quiet"))
logging.getLogger("quiet").propagate = False
logging.getLogger("quiet").addHandler(logging.NullHandler())
def work():
    logger.info("lost")
child = multiprocessing.get_context("fork").Process(target=work)
begun = time.monotonic()
child.start()
child.join()
took = time.monotonic() - begun
assert 0.9 < took < 1 + 2, took
logger.handlers = []
"""
    )
    assert time.monotonic() - begun < 15


# ---- servers


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def get(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def ask_until_workers_answered(port: int, workers: int) -> dict[int, str]:
    """Asks /number until that many processes have answered: who has answered what."""
    deadline = time.monotonic() + 40
    answers: dict[int, str] = {}
    number = 0
    while len(set(answers.values())) < workers or number < 20:
        assert time.monotonic() < deadline, answers
        try:
            answers[number] = get(port, f"/{number}")
        except (ConnectionError, http.client.HTTPException, TimeoutError):
            time.sleep(0.05)
            continue
        number += 1
    return answers


def serve_and_stop(program: Program, port: int, workers: int, api: LogApi) -> dict[int, str]:
    answers = ask_until_workers_answered(port, workers)
    os.kill(program.process.pid, signal.SIGTERM)
    program.end(30)
    requests = [
        (record["extra"]["number"], str(record["process"]))
        for record in api.records
        if "number" in record.get("extra", {})
    ]
    assert sorted(requests) == sorted(answers.items())
    return answers


WSGI = """
import sys
sys.argv[1:] = [__import__("os").environ["API"]]
{setup}
logger.info("importing")

def app(environ, start_response):
    number = int(environ["PATH_INFO"][1:])
    logger.info("%d", number, extra={{"number": number}})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@pytest.mark.parametrize(
    "options",
    [
        ["--worker-class", "sync"],
        ["--worker-class", "gthread", "--threads", "4"],
        ["--worker-class", "sync", "--preload"],
        ["--worker-class", "gthread", "--threads", "4", "--preload"],
    ],
    ids=lambda options: " ".join(options[1:]),
)
def test_gunicorn(start, log_api, tmp_path, options):
    pytest.importorskip("gunicorn")
    (tmp_path / "web.py").write_text(WSGI.format(setup=SETUP))
    port = free_port()
    program = start(
        [
            *(sys.executable, "-m", "gunicorn", "web:app", "--workers", "2", *options),
            *("--bind", f"127.0.0.1:{port}", "--keep-alive", "0", "--no-control-socket"),
        ],
        env={**os.environ, "API": log_api.endpoint},
    )
    serve_and_stop(program, port, 2, log_api)
    imports = [record for record in log_api.records if record["message"] == "importing"]
    assert len({record["process"] for record in imports}) == len(imports)
    if "--preload" in options:
        [record] = imports
        assert record["process"] == program.process.pid


ASGI = """
import sys
sys.argv[1:] = [__import__("os").environ["API"]]
{setup}
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                handler.flush()
            await send({{"type": message["type"] + ".complete"}})
            if message["type"] == "lifespan.shutdown":
                return
    number = int(scope["path"][1:])
    logger.info("%d", number, extra={{"number": number}})
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": str(os.getpid()).encode()}})
"""


def test_uvicorn_with_two_workers(start, log_api, tmp_path):
    """uvicorn ends its processes by the signal that told it to: the application flushes."""
    pytest.importorskip("uvicorn")
    (tmp_path / "web.py").write_text(ASGI.format(setup=SETUP))
    port = free_port()
    program = start(
        [sys.executable, "-m", "uvicorn", "web:app", "--workers", "2", "--port", str(port)],
        env={**os.environ, "API": log_api.endpoint},
    )
    serve_and_stop(program, port, 2, log_api)


CELERY = """
import sys
sys.argv_before, sys.argv[1:] = sys.argv[1:], [__import__("os").environ["API"]]
{setup}
sys.argv[1:] = sys.argv_before
import pathlib
import celery

here = pathlib.Path(__file__).parent
for name in ("queue", "results"):
    (here / name).mkdir(exist_ok=True)
app = celery.Celery("tasks", broker="filesystem://", backend=f"file://{{here / 'results'}}")
app.conf.broker_transport_options = {{
    "data_folder_in": str(here / "queue"),
    "data_folder_out": str(here / "queue"),
    "control_folder": str(here / "queue"),
}}
app.conf.worker_prefetch_multiplier = 1

@app.task
def work(number):
    logger.info("%d", number, extra={{"number": number}})
    time.sleep(0.05)
    return os.getpid()

if __name__ == "__main__":
    answers = [(number, work.delay(number)) for number in range(20)]
    for number, answer in answers:
        print(number, answer.get(timeout=60))
"""


def test_celery_prefork(start, log_api, tmp_path):
    pytest.importorskip("celery")
    (tmp_path / "tasks.py").write_text(CELERY.format(setup=SETUP))
    environment = {**os.environ, "API": log_api.endpoint}
    worker = start(
        [
            *(sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "prefork"),
            *("--concurrency", "2", "--without-gossip", "--without-mingle", "--loglevel", "ERROR"),
        ],
        env=environment,
    )
    client = start([sys.executable, "tasks.py"], env=environment)
    output, error = client.end(80)
    assert client.process.returncode == 0, error
    os.kill(worker.process.pid, signal.SIGTERM)
    worker.end(40)
    answers = [tuple(line.split()) for line in output.splitlines()]
    assert len({pid for _, pid in answers}) == 2
    done = [(str(record["extra"]["number"]), str(record["process"])) for record in log_api.records]
    assert sorted(done) == sorted(answers)
