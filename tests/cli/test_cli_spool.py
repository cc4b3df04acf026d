"""`log-aggregator spool list|verify|drain` on what killed applications have left."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter

import pytest

APPLICATION = """
import logging, sys
from log_aggregator_handler import LogAggregatorHandler

own = logging.getLogger("own")
own.addHandler(logging.NullHandler())
own.propagate = False
handler = LogAggregatorHandler(sys.argv[1], spool_dir=sys.argv[2], fallback_logger=own)
logger = logging.getLogger("shop")
logger.propagate = False
logger.setLevel(logging.INFO)
logger.addHandler(handler)
first, count = int(sys.argv[3]), int(sys.argv[4])
for number in range(first, first + count):
    logger.info("record %d", number)
print("logged", flush=True)
sys.stdin.read()
"""


def nobody() -> str:
    """An endpoint at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}/api/logs"


class Application:
    """A process that has logged `count` records to a spool while the API is down."""

    def __init__(self, spool, first: int, count: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", APPLICATION, nobody(), str(spool), str(first), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "logged\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def spool(tmp_path):
    """A directory for a spool; a missing one would be made by the application."""
    directory = tmp_path / "spool"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def start_application(spool):
    """A function: starts an application that logs records `first` and on; all end with the test."""
    started = []

    def start(count: int, first: int = 0) -> Application:
        started.append(Application(spool, first, count))
        return started[-1]

    yield start
    for application in started:
        application.kill()


@pytest.fixture
def leave(start_application):
    """A function: has an application log records and kills it."""

    def leave(count: int, first: int = 0) -> None:
        start_application(count, first).kill()

    return leave


@pytest.fixture
def serve_api(serve):
    """A function: starts an API that takes ten records at once and answers each POST as told."""
    health = (200, b'{"batch":{"max_records":10,"max_bytes":100000}}')
    return lambda answer: serve(
        lambda request: health if request.method == "GET" else answer(request.body)
    )


def run(command, *arguments):
    return subprocess.run(
        [command, "spool", *map(str, arguments)], capture_output=True, text=True, timeout=60
    )


def listed(command, spool):
    result = run(command, "list", spool, "--json")
    assert result.returncode == 0, result
    return [json.loads(line) for line in result.stdout.splitlines()]


def drain(command, spool, endpoint, *arguments):
    return run(command, "drain", spool, "--endpoint", endpoint, "--retry-delay", "0.01", *arguments)


def messages(collector) -> Counter:
    return Counter(record["message"] for record in collector.records())


def expected(count: int) -> Counter:
    return Counter(f"record {number}" for number in range(count))


def only_segment(spool):
    """The one file of records, of the one journal."""
    [segment] = [path for path in spool.glob("*/*.segment") if b"record 0" in path.read_bytes()]
    return segment


def flip_byte(path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x40
    path.write_bytes(content)


# ---- list


def test_list_shows_what_a_killed_application_has_left(command, spool, leave):
    leave(1_234)
    [journal] = listed(command, spool)
    assert journal["records"] == 1_234
    assert journal["in_use"] is False
    assert journal["settled_through"] == 0
    assert journal["record_bytes"] > 1_234 * 100
    assert journal["oldest"] <= journal["newest"]
    assert (spool / journal["journal"]).is_dir()
    table = run(command, "list", spool)
    assert table.returncode == 0
    assert table.stderr == ""
    assert [journal["journal"], "free", "1,234"] == table.stdout.splitlines()[1].split()[:3]
    assert table.stdout.splitlines()[-1] == "1,234 records to deliver in 1 journal"


def test_list_of_an_empty_spool_says_so(command, spool):
    result = run(command, "list", spool)
    assert (result.returncode, result.stdout) == (0, "0 records to deliver in 0 journals\n")


def test_list_takes_nothing_from_a_live_owner(command, spool, start_application):
    application = start_application(50)
    for _ in range(5):
        [journal] = listed(command, spool)
        assert (journal["in_use"], journal["records"]) == (True, 50)
    assert "1 in use" in run(command, "list", spool).stdout
    assert run(command, "verify", spool).returncode == 0
    application.kill()
    [journal] = listed(command, spool)
    assert (journal["in_use"], journal["records"]) == (False, 50)


# ---- verify


def test_verify_of_what_a_killed_application_has_left_finds_nothing_wrong(command, spool, leave):
    leave(3_000)
    leave(10)
    result = run(command, "verify", spool)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("no damage") == 2
    assert result.stdout.splitlines()[-1] == "2 journals, 0 damaged, 0 records lost"


def test_verify_names_the_segment_and_the_record_that_is_damaged(command, spool, leave):
    leave(100)
    segment = only_segment(spool)
    flip_byte(segment, segment.read_bytes().index(b'"record 41"'))
    result = run(command, "verify", spool)
    assert result.returncode == 1
    [line] = [line for line in result.stdout.splitlines() if line.startswith("  ")]
    assert line.startswith(f"  segment {segment.stem} at ")
    assert line.endswith(": the payload of record 42 is damaged; lost: 1")

    [journal] = map(json.loads, run(command, "verify", spool, "--json").stdout.splitlines())
    [damage] = journal["damage"]
    assert damage["kind"] == "payload"
    assert damage["segment"] == int(segment.stem, 16)
    assert damage["first_sequence"] == damage["last_sequence"] == 42
    assert journal["records"] == 99


def test_verify_writes_nothing(command, spool, leave):
    leave(100)
    segment = only_segment(spool)
    flip_byte(segment, 200)
    before = {path: path.read_bytes() for path in spool.glob("*/*")}
    run(command, "list", spool)
    assert run(command, "verify", spool).returncode == 1
    assert {path: path.read_bytes() for path in spool.glob("*/*")} == before


# ---- drain


def test_drain_delivers_exactly_once_what_several_processes_have_left(
    command, spool, leave, collector
):
    leave(500)
    leave(300, first=500)
    result = drain(command, spool, collector.endpoint)
    assert (result.returncode, result.stdout) == (0, "800 records delivered, 0 dropped, 0 left\n")
    assert messages(collector) == expected(800)
    assert list(spool.iterdir()) == []
    assert drain(command, spool, collector.endpoint).returncode == 0


def test_drain_with_the_api_down_gives_up_and_leaves_everything(command, spool, leave, collector):
    leave(50)
    result = drain(command, spool, nobody(), "--retries", "1")
    assert (result.returncode, result.stdout) == (1, "0 records delivered, 0 dropped, 50 left\n")
    assert "given up: " in result.stderr
    assert "50 left" in result.stderr
    [journal] = listed(command, spool)
    assert (journal["records"], journal["in_use"]) == (50, False)
    assert drain(command, spool, collector.endpoint).returncode == 0
    assert messages(collector) == expected(50)


def test_drain_leaves_a_living_owner_its_journal_and_says_so(
    command, spool, leave, start_application, collector
):
    owner = start_application(5, first=1_000)
    owner.process.send_signal(signal.SIGSTOP)  # else it might deliver the other's records itself
    leave(20)
    result = drain(command, spool, collector.endpoint)
    assert result.returncode == 0
    assert "is in use and was left to its owner" in result.stderr
    assert messages(collector) == expected(20)
    [journal] = listed(command, spool)
    assert (journal["records"], journal["in_use"]) == (5, True)


def test_two_drains_at_once_deliver_everything_once(command, spool, leave, collector):
    for part in range(4):
        leave(200, first=200 * part)
    arguments = [command, "spool", "drain", spool, "--endpoint", collector.endpoint]
    drains = [
        subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for each in drains:
        each.communicate(timeout=60)
    assert [each.returncode for each in drains] == [0, 0]
    assert messages(collector) == expected(800)
    assert list(spool.iterdir()) == []


def test_a_drain_that_is_killed_is_gone_on_with_and_nothing_is_stored_twice(
    command, spool, leave, collector
):
    leave(2_000)
    arguments = ["--endpoint", collector.endpoint, "--batch-size", "20"]
    for reached in (100, 700):
        process = subprocess.Popen(
            [command, "spool", "drain", spool, *arguments], stderr=subprocess.DEVNULL
        )
        collector.wait_for_records(reached)
        process.kill()
        process.wait()
    result = drain(command, spool, collector.endpoint)
    assert result.returncode == 0
    assert messages(collector) == expected(2_000)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_drain_cleanly_and_leaves_the_rest(
    command, spool, leave, serve_api, collector, number
):
    leave(200)
    arrived = threading.Event()
    answer_now = threading.Event()

    def answer(body):
        arrived.set()
        answer_now.wait(20)
        return 200, b""

    process = subprocess.Popen(
        [command, "spool", "drain", spool, "--endpoint", serve_api(answer), "--timeout", "30"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert arrived.wait(20)
    process.send_signal(number)
    process.send_signal(number)  # as timeout(1) does
    while "stopping" not in process.stderr.readline():
        assert process.poll() is None
    answer_now.set()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "stopped; 10 records delivered, 0 dropped, 190 left" in err
    assert out == "10 records delivered, 0 dropped, 190 left\n"
    [journal] = listed(command, spool)
    assert (journal["records"], journal["settled_through"]) == (190, 10)
    assert drain(command, spool, collector.endpoint).returncode == 0
    assert sum(messages(collector).values()) == 190


def test_records_that_the_api_refuses_are_dropped_and_reported(command, spool, leave, serve_api):
    leave(30)
    endpoint = serve_api(lambda body: (400, b"no") if b'record 7"' in body else (200, b""))
    result = drain(command, spool, endpoint)
    assert (result.returncode, result.stdout) == (1, "29 records delivered, 1 dropped, 0 left\n")
    assert "1 record dropped (refused)" in result.stderr
    assert "not everything was delivered" in result.stderr
    assert listed(command, spool) == []


@pytest.mark.parametrize("status", [301, 401, 404])
def test_a_wrong_address_or_token_drops_nothing(command, spool, leave, serve_api, status):
    leave(5)
    result = drain(command, spool, serve_api(lambda body: (status, b"")), "--retries", "0")
    assert (result.returncode, result.stdout) == (1, "0 records delivered, 0 dropped, 5 left\n")
    assert f"answered {status}" in result.stderr


def test_damaged_records_are_counted_and_the_others_delivered(command, spool, leave, collector):
    leave(10)
    segment = only_segment(spool)
    flip_byte(segment, segment.read_bytes().index(b'"record 4"'))
    result = drain(command, spool, collector.endpoint)
    assert (result.returncode, result.stdout) == (1, "9 records delivered, 1 dropped, 0 left\n")
    assert "damaged" in result.stderr
    stored = messages(collector)
    assert stored["record 4"] == 0
    assert sum(stored[f"record {number}"] for number in range(10)) == 9


def test_a_token_is_shown(command, spool, leave, start_collector, tmp_path):
    leave(5)
    tokens = tmp_path / "tokens"
    tokens.write_text("right\n")
    collector = start_collector("--token-file", str(tokens))
    refused = drain(command, spool, collector.endpoint, "--retries", "0")
    assert refused.returncode == 1
    assert "401" in refused.stderr
    result = drain(command, spool, collector.endpoint, "--token-file", tokens)
    assert result.returncode == 0
    assert "right" not in result.stdout + result.stderr


def test_quiet_shows_nothing_but_what_went_wrong(command, spool, leave, collector):
    leave(5)
    assert "given up" in drain(command, spool, nobody(), "--quiet", "--retries", "0").stderr
    result = drain(command, spool, collector.endpoint, "--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_bar_is_drawn_on_a_terminal(command, spool, leave, collector):
    leave(2_000)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [command, "spool", "drain", spool, "--endpoint", collector.endpoint],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    shown = read_all(ours)
    assert process.wait(30) == 0
    assert "[" in shown
    assert "of 2,000 records" in shown
    assert shown.endswith("\r\x1b[K")


def read_all(descriptor: int) -> str:
    """What is written to the terminal until everybody has closed it."""
    content = b""
    while select.select([descriptor], [], [], 30)[0]:
        try:
            content += os.read(descriptor, 4096)
        except OSError:
            break
    os.close(descriptor)
    return content.decode()


# ---- wrong calls


@pytest.mark.parametrize("action", ["list", "verify", "drain"])
def test_a_directory_that_is_no_private_one_exits_with_2(command, tmp_path, action):
    for_drain = ["--endpoint", nobody()] if action == "drain" else []
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(private)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "file").touch()
    for name in ("missing", "link", "open", "file", "new\x1b[31m\nline"):
        result = run(command, action, tmp_path / name, *for_drain)
        assert (result.returncode, result.stdout) == (2, ""), name
        assert len(result.stderr.splitlines()) == 1
        assert "\x1b" not in result.stderr
    assert not (tmp_path / "missing").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's directory")
def test_a_directory_of_another_user_exits_with_2(command, spool):
    os.chown(spool, 65534, 65534)
    assert run(command, "list", spool).returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["list"],
        ["empty", "x"],
        ["drain", "."],
        ["drain", ".", "--endpoint", "ftp://h/"],
        ["drain", ".", "--endpoint", "http://h/", "--timeout", "0"],
        ["drain", ".", "--endpoint", "http://h/", "--retries", "-1"],
    ],
    ids=str,
)
def test_a_wrong_call_exits_with_2(command, arguments, monkeypatch):
    monkeypatch.delenv("LOG_AGGREGATOR_API_ENDPOINT", raising=False)
    result = run(command, *arguments)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


def test_a_journal_that_somebody_has_locked_is_in_use(command, spool, leave, collector):
    leave(5)
    [lock] = spool.glob("*/lock")
    with lock.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert listed(command, spool)[0]["in_use"] is True
        assert drain(command, spool, collector.endpoint).returncode == 0
        assert collector.records() == []
    assert drain(command, spool, collector.endpoint).returncode == 0
    assert messages(collector) == expected(5)


# ---- crashes


CRASHING = """
import logging, sys
from log_aggregator_handler import LogAggregatorHandler

handler = LogAggregatorHandler(sys.argv[1], spool_dir=sys.argv[2], crash_handler=True)
logging.getLogger("shop").addHandler(handler)
logging.getLogger("shop").warning("last words")
import ctypes
ctypes.string_at(0)
"""


@pytest.fixture
def crashed(spool):
    """A spool in which a process that crashed has left a record of that, and one of its own."""
    process = subprocess.run(
        [sys.executable, "-c", CRASHING, nobody(), str(spool)], capture_output=True, timeout=60
    )
    assert process.returncode == -signal.SIGSEGV
    return spool


def test_list_says_that_there_are_records_of_crashes(command, crashed):
    assert sorted(journal["crashes"] for journal in listed(command, crashed)) == [0, 1]
    assert "2 records to deliver in 2 journals; 1 record of a crash\n" in (
        run(command, "list", crashed).stdout
    )


def test_crashes_shows_them_with_the_functions_of_their_stacks(command, crashed):
    before = listed(command, crashed)
    result = run(command, "crashes", crashed)
    assert result.returncode == 0, result
    assert "crashed: SIGSEGV (address not mapped) at 0x0 in thread" in result.stdout
    assert "last words" not in result.stdout
    assert "#0 0x" in result.stdout
    if "addr2line is not there" not in result.stderr:
        assert re.search(r"#\d+ 0x[0-9a-f]+ .*\b_?Py[A-Z]\w+", result.stdout)
    assert listed(command, crashed) == before


def test_crashes_as_json_are_records(command, crashed):
    [record] = map(json.loads, run(command, "crashes", crashed, "--json").stdout.splitlines())
    assert record["logger_name"] == "log_aggregator.crash"
    assert record["level"] == "CRITICAL"
    assert record["extra"]["signal"] == "SIGSEGV"


def test_crashes_reads_records_that_were_delivered_from_standard_input(command):
    stored = '{"id":7,"level":"CRITICAL","message":"crashed","stack":"#0 0x1 /no/file+0x2"}\n'
    result = subprocess.run(
        [command, "spool", "crashes", "-"], input=stored, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0
    assert "#0 0x1 /no/file+0x2" in result.stdout
    assert "/no/file is gone" in result.stderr


def test_crashes_of_what_is_no_spool_or_no_record_is_an_error(command, tmp_path):
    assert run(command, "crashes", tmp_path / "missing").returncode == 2
    result = subprocess.run(
        [command, "spool", "crashes", "-"], input="no\n", capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2
    assert "not a record" in result.stderr


def test_crashes_goes_on_behind_what_is_no_record(command):
    record = '{"id":18446744073709551616,"message":"crashed","stack":"#0 0x1"}'
    result = subprocess.run(
        [command, "spool", "crashes", "-", "--json"],
        input=f"no\n\n{record}\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 2
    assert result.stdout == record + "\n"
    assert result.stderr.count("not a record") == 1
