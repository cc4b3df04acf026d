"""`log-aggregator send` to the real collector: what arrives, and what a second run makes of it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import pty
import random
import re
import select
import signal
import socket
import sqlite3
import struct
import subprocess
import termios
import time
from collections import Counter
from collections.abc import Iterator

import pytest

BIG_BYTES = 100_000_000


@pytest.fixture
def environment(tmp_path):
    """Of a `send` that keeps its state in a directory of the test."""
    return os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def send(command, collector, environment):
    """A function: runs `send` with these arguments to its end."""

    def run(*arguments, endpoint=collector.endpoint, text=None, **changes):
        return subprocess.run(
            [command, "send", "--endpoint", endpoint, *map(str, arguments)],
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=60,
            env=environment | changes,
        )

    return run


@pytest.fixture
def start(command, collector, environment):
    """A function: starts `send`; it ends with the test."""
    started = []

    def start(*arguments, endpoint=collector.endpoint, **options):
        process = subprocess.Popen(
            [command, "send", "--endpoint", endpoint, *map(str, arguments)],
            **{
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                "env": environment,
                **options,
            },
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def log(tmp_path):
    """A log file of a thousand lines."""
    path = tmp_path / "access.log"
    path.write_text("".join(f"line {number}\n" for number in range(1_000)))
    return path


def nobody() -> str:
    """An endpoint at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}/api/logs"


def messages(collector, **query) -> list[str]:
    return [record["message"] for record in collector.records(**query)]


def stored_lines(collector) -> Iterator[str]:
    """As messages(), sorted, where there are more than one wants to ask for page by page."""
    with contextlib.closing(sqlite3.connect(f"file:{collector.store}?mode=ro", uri=True)) as store:
        query = "SELECT json_extract(json, '$.message') FROM record ORDER BY 1"
        yield from (row[0] for row in store.execute(query))


def count_of(collector) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{collector.store}?mode=ro", uri=True)) as store:
        return store.execute("SELECT coalesce(max(id), 0) FROM record").fetchone()[0]


def state_of(environment) -> dict[str, int | str]:
    """Of the one file that was sent."""
    directory = pathlib.Path(environment["XDG_STATE_HOME"]) / "log-aggregator" / "send"
    [state] = directory.glob("*.json")
    return json.loads(state.read_text())


def wait_for(condition, timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# ---- what arrives


def test_each_line_of_a_file_is_a_record(send, collector, log):
    result = send(log)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "sent 1,000 records of access.log (0 already there), 0 failed\n"
    records = collector.records()
    assert [record["message"] for record in records] == [f"line {i}" for i in range(1_000)]
    assert {record["level"] for record in records} == {"INFO"}
    assert {record["logger_name"] for record in records} == {"access.log"}
    assert {record["host"] for record in records} == {socket.gethostname()}


def test_lines_keep_their_blanks_but_not_their_ends_and_blank_ones_are_left_out(
    send, collector, tmp_path
):
    path = tmp_path / "windows.log"
    path.write_bytes(b"\xef\xbb\xbffirst\r\n\r\n  \n\tsecond  \nno utf-8: \xff\nlast without end")
    assert send(path).returncode == 0
    assert messages(collector) == ["first", "\tsecond  ", "no utf-8: \ufffd", "last without end"]


def test_level_logger_and_host_are_chosen(send, collector, log):
    assert send(log, "--level", "DEBUG", "--logger", "web", "--host", "web-1").returncode == 0
    assert len(collector.records(level="DEBUG", logger="web", host="web-1")) == 1_000


def test_a_line_that_is_too_long_is_cut_and_marked(send, collector, tmp_path):
    path = tmp_path / "long.log"
    path.write_text("x" * 3_000_000 + "\nnext\n")
    assert send(path).returncode == 0
    long, following = messages(collector)
    assert re.fullmatch(r"x{1000000,1048576}[^x].*", long)
    assert following == "next"


OBJECTS = [
    {"message": "all", "level": "ERROR", "logger_name": "a", "host": "h", "n": 10**30},
    {"message": 'with ]} and "quotes" and \\', "extra": {"a": [1, {"b": None}]}},
    {"message": "timed", "timestamp": "2025-03-27T08:02:51.123456+00:00"},
]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("\n".join(map(json.dumps, OBJECTS)), []),
        ("\n\n".join(map(json.dumps, OBJECTS)) + "\n", ["--format", "ndjson"]),
        (json.dumps(OBJECTS), []),
        (" \n" + json.dumps(OBJECTS, indent=4) + "\n", []),
        (json.dumps(OBJECTS, indent=None), ["--format", "json"]),
        ("\n".join(json.dumps(each, indent=1) for each in OBJECTS), []),
    ],
    ids=["ndjson", "ndjson, said", "array", "pretty array", "array, said", "pretty objects"],
)
@pytest.mark.parametrize("way", ["file", "standard input"])
def test_objects_keep_their_fields_and_get_those_they_lack(
    send, collector, tmp_path, text, options, way
):
    path = tmp_path / "records"
    path.write_text(text)
    result = send(*options, path) if way == "file" else send(*options, text=text)
    assert (result.returncode, result.stderr) == (0, "")
    records = collector.records()
    for record, sent in zip(records, OBJECTS, strict=True):
        assert sent.items() <= record.items()
        assert {"timestamp", "level", "logger_name", "host"} <= record.keys()


@pytest.mark.parametrize(
    "line", ["[2025-03-27 08:02:51] [error] down", "{worker-1} started", "[]] x", "", "null"]
)
def test_lines_of_a_log_may_begin_as_json_does(send, collector, tmp_path, line):
    path = tmp_path / "error.log"
    path.write_text(f"{line}\nsecond\n")
    assert send(path, *(["--format", "lines"] if line == "[]] x" else [])).returncode == 0
    assert messages(collector) == [*filter(None, [line]), "second"]


def test_standard_input_is_sent_as_it_comes(start, collector):
    for arguments in ([], ["-"]):
        process = start("--logger", "pipe", *arguments, stdin=subprocess.PIPE)
        process.stdin.write(f"first {arguments}\n")
        process.stdin.flush()
        wait_for(lambda a=arguments: f"first {a}" in messages(collector))
        out, err = process.communicate(f"second {arguments}\n", timeout=20)
        assert (process.returncode, err) == (0, "")
        assert out == "sent 2 records of stdin (0 already there), 0 failed\n"
    assert len(collector.records(logger="pipe")) == 4


# ---- what does not arrive


def test_bad_objects_are_named_and_the_others_sent(send, collector, tmp_path):
    path = tmp_path / "some.ndjson"
    bad = ["5", '{"level":"INFO"}', '{"message":5}', "{", '{"message":"a"} x', "tr", "[]"]
    path.write_text('{"message":"first"}\n' + "\n".join(bad) + '\n{"message":"last"}\n')
    result = send(path)
    assert result.returncode == 1
    assert result.stdout == "sent 2 records of some.ndjson (0 already there), 7 failed\n"
    assert result.stderr.splitlines() == [
        "log-aggregator: some.ndjson, line 2 is not an object",
        "log-aggregator: some.ndjson, line 3 has no message",
        "log-aggregator: some.ndjson, line 4 message is not a string",
        *result.stderr.splitlines()[3:5],
        "log-aggregator: some.ndjson: further ones are only counted",
    ]
    assert messages(collector) == ["first", "last"]


def test_what_the_api_refuses_is_counted_and_said(send, collector, tmp_path):
    path = tmp_path / "some.ndjson"
    path.write_text('{"message":"a"}\n{"message":"b","timestamp":"then"}\n{"message":"c"}\n')
    result = send(path)
    assert result.returncode == 1
    assert result.stdout == "sent 2 records of some.ndjson (0 already there), 1 failed\n"
    assert "timestamp is not ISO 8601" in result.stderr
    assert messages(collector) == ["a", "c"]
    again = send(path)
    assert again.returncode == 1
    assert again.stdout == "sent 0 records of some.ndjson (2 already there), 1 failed\n"


def test_a_document_that_is_not_closed_is_gone_on_with_when_it_is(send, collector, tmp_path):
    path = tmp_path / "records.json"
    path.write_text('[{"message":"a"},{"message":"b"},{"mess')
    result = send(path)
    assert result.returncode == 1
    assert "not closed" in result.stderr
    path.write_text('[{"message":"a"},{"message":"b"},{"message":"c"}]\n')
    result = send(path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "sent 1 record of records.json (2 already there), 0 failed\n"
    path.write_text('[{"message":"a"},{"message":"b"},{"message":"c"}]\n{}')
    assert send(path).returncode == 1
    assert messages(collector) == ["a", "b", "c"]


def test_an_object_that_is_half_written_is_gone_on_with(send, collector, tmp_path):
    path = tmp_path / "records.ndjson"
    path.write_text('{"message":"a"}\n{"mess')
    assert send(path).returncode == 1
    with path.open("a") as file:
        file.write('age":"b"}\n')
    assert send(path).returncode == 0
    assert messages(collector) == ["a", "b"]


def test_files_that_cannot_be_read_are_named_and_the_others_sent(send, collector, log, tmp_path):
    result = send(tmp_path / "none.log", log, tmp_path)
    assert result.returncode == 1
    assert "none.log: No such file or directory" in result.stderr
    assert f"{tmp_path}: is a directory" in result.stderr
    assert len(collector.records()) == 1_000


@pytest.mark.parametrize(
    "arguments", [["--format", "xml"], ["--give-up-after", "0"], ["--endpoint", "ftp://host/"]]
)
def test_a_call_that_is_wrong_is_2(command, arguments):
    result = subprocess.run([command, "send", *arguments], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("log-aggregator: ")


def test_a_token_is_shown_and_a_wrong_one_said_at_once(send, start_collector, log, tmp_path):
    (tmp_path / "tokens").write_text("right\n")
    (tmp_path / "wrong").write_text("wrong\n")
    collector = start_collector("--token-file", str(tmp_path / "tokens"))
    result = send(log, "--token-file", tmp_path / "wrong", endpoint=collector.endpoint)
    assert result.returncode == 1
    assert "token" in result.stderr
    result = send(log, "--token-file", tmp_path / "tokens", endpoint=collector.endpoint)
    assert result.returncode == 0
    assert len(collector.records(headers={"Authorization": "Bearer right"})) == 1_000


# ---- again


def test_again_sends_nothing_and_then_what_the_file_has_grown_by(send, collector, log):
    assert send(log).returncode == 0
    assert send(log).stdout == "sent 0 records of access.log (1,000 already there), 0 failed\n"
    with log.open("a") as file:
        file.write("one more\nand one with")
    assert send(log).stdout == "sent 2 records of access.log (1,000 already there), 0 failed\n"
    with log.open("a") as file:
        file.write("out end\n")
    assert send(log).stdout == "sent 1 record of access.log (1,002 already there), 0 failed\n"
    assert messages(collector)[1_000:] == ["one more", "and one with", "out end"]


@pytest.mark.parametrize("change", ["other", "shorter", "rewritten"])
def test_another_file_in_its_place_is_sent_from_its_beginning(send, collector, log, change):
    text = log.read_text()
    assert send(log).returncode == 0
    new = {
        "other": text.replace("line", "other line"),
        "shorter": text[:5_000],
        "rewritten": text[:5_000] + text[5_000:].upper() + "more\n",
    }[change]
    log.write_text(new)
    result = send(log)
    assert result.returncode == 0
    assert "is another file than before" in result.stderr
    assert messages(collector)[1_000:] == new.splitlines()


def test_a_file_that_was_copied_over_itself_is_the_same(send, log):
    assert send(log).returncode == 0
    copy = log.with_suffix(".new")
    copy.write_text(log.read_text() + "more\n")
    copy.rename(log)
    assert send(log).stdout == "sent 1 record of access.log (1,000 already there), 0 failed\n"


def test_restart_sends_all_of_it_again(send, collector, log):
    assert send(log).returncode == 0
    assert send(log, "--restart").returncode == 0
    assert Counter(messages(collector)) == {f"line {i}": 2 for i in range(1_000)}


def test_each_endpoint_gets_the_file(send, start_collector, log):
    for collector in (start_collector(), start_collector()):
        assert send(log, endpoint=collector.endpoint).returncode == 0
        assert len(collector.records()) == 1_000


def test_a_file_begun_in_one_format_is_not_gone_on_with_in_another(send, log):
    assert send(log).returncode == 0
    result = send(log, "--format", "ndjson")
    assert result.returncode == 2
    assert "was begun as lines; --restart" in result.stderr


def test_the_state_is_for_its_owner_only_and_a_damaged_one_is_said(send, log, tmp_path):
    assert send(log).returncode == 0
    directory = tmp_path / "state" / "log-aggregator" / "send"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    [state] = directory.glob("*.json")
    state.write_text("{}")
    result = send(log)
    assert result.returncode == 1
    assert "--restart" in result.stderr
    assert send(log, "--restart").returncode == 0


def test_two_at_once_are_refused(send, start, log, serve):
    posted = []

    def answer(request):
        if request.method != "GET":
            posted.append(request)
        return (503,)

    endpoint = serve(answer)
    start(log, endpoint=endpoint)
    wait_for(lambda: posted)
    result = send(log, endpoint=endpoint)
    assert result.returncode == 1
    assert "another send of this file to this endpoint is at work" in result.stderr


# ---- stopped and killed


def test_an_api_that_does_not_answer_is_given_up_and_the_next_run_goes_on(
    send, collector, log, environment
):
    collector.stop()
    result = send(log, "--give-up-after", "0.3")
    assert result.returncode == 1
    assert "given up" in result.stderr
    assert "goes on where this one has ended" in result.stderr
    collector.start()
    assert send(log).stdout == "sent 1,000 records of access.log (0 already there), 0 failed\n"
    assert len(collector.records()) == 1_000


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_it_and_what_was_read_still_arrives(start, collector, number, code):
    process = start(stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write("".join(f"line {i}\n" for i in range(500)))
    process.stdin.flush()
    wait_for(lambda: messages(collector))
    process.send_signal(number)
    assert process.wait(20) == code
    assert sorted(messages(collector)) == sorted(f"line {i}" for i in range(500))


def test_a_collector_that_is_killed_is_waited_for(start, collector, log):
    log.write_text("".join(f"line {i} {'x' * 60}\n" for i in range(100_000)))
    process = start(log)
    wait_for(lambda: count_of(collector) > 0)
    collector.kill()
    assert count_of(collector) < 100_000
    collector.start()
    assert process.wait(60) == 0
    assert list(stored_lines(collector)) == sorted(log.read_text().splitlines())


def write_big_log(path) -> tuple[int, str]:
    """100 MB of lines that all differ; how many, and the hash of them in order."""
    digest = hashlib.sha256()
    count = size = 0
    with path.open("wb", buffering=1 << 20) as file:
        while size < BIG_BYTES:
            count += 1
            line = b"%08d GET /orders/%d 200 %d ms from 10.0.%d.%d by a client that is patient" % (
                count,
                count * 7919 % 1_000_003,
                count % 997,
                count % 251,
                count % 241,
            )
            digest.update(line)
            size += file.write(line + b"\n")
    return count, digest.hexdigest()


@pytest.mark.timeout(300)
def test_of_100_mb_sent_by_runs_that_are_killed_each_line_is_stored_once(
    start, send, collector, environment, tmp_path
):
    seed = int(os.environ.get("LOG_AGGREGATOR_TEST_SEED", random.randrange(1 << 32)))
    print(f"seed {seed}")
    path = tmp_path / "big.log"
    lines, digest = write_big_log(path)
    unknown = []  # lines that were stored, but not known to be when the process was killed
    for point in sorted(random.Random(seed).sample(range(1, lines * 9 // 10), 5)):
        process = start(path)
        wait_for(lambda n=point: count_of(collector) >= n, 120)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        unknown.append(count_of(collector) - state_of(environment)["records"])
    assert max(unknown) > 0
    process = start(path)
    wait_for(lambda: state_of(environment)["records"] > lines * 19 // 20, 120)
    collector.kill()
    collector.start()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.endswith(" already there), 0 failed\n")
    stored = hashlib.sha256()
    count = 0
    for line in stored_lines(collector):
        stored.update(line.encode())
        count += 1
    assert (count, stored.hexdigest()) == (lines, digest)


# ---- what is shown


def test_on_no_terminal_there_is_the_sum_and_nothing_else(send, log):
    result = send(log, "--json", TERM="xterm")
    assert result.stderr == ""
    told = json.loads(result.stdout)
    assert told.pop("seconds") > 0
    assert re.fullmatch("[0-9a-f-]{36}", told.pop("journal"))
    assert told == {
        "file": str(log),
        "sent": 1_000,
        "already": 0,
        "failed": 0,
        "complete": True,
    }


def shown_on_terminal(start, *arguments, **options) -> str:
    terminal, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = start(*arguments, stderr=its_end, **options)
    os.close(its_end)
    shown = b""
    try:
        while select.select([terminal], [], [], 20)[0]:
            shown += os.read(terminal, 65_536)
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(terminal)
    assert process.wait(20) == 0
    return shown.decode()


def test_on_a_terminal_a_bar_grows_and_is_gone_at_the_end(start, log, environment):
    log.write_text("".join(f"line {i} {'x' * 60}\n" for i in range(100_000)))
    shown = shown_on_terminal(start, log, env=environment | {"TERM": "xterm"})
    assert re.search(r"\raccess\.log \[[#.]{24}\] +\d+ %  [\d,]+ records?", shown)
    assert shown.endswith("\r\x1b[K")


def test_on_a_terminal_that_cannot_draw_there_is_none(start, log, environment):
    assert shown_on_terminal(start, log, env=environment | {"TERM": "dumb"}) == ""
