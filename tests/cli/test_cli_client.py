"""`log-aggregator check` and `tail` against the real collector and against hostile servers."""

from __future__ import annotations

import json
import os
import pty
import select
import socket
import ssl
import subprocess
import threading

import pytest
import trustme

from log_aggregator_handler.testing import LogApi
from trust import VARIABLES, machine_that_trusts, write_bundle, write_hashed


def run(command, *arguments, env=None):
    """Runs the command to its end."""
    return subprocess.run(
        [command, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env=None if env is None else {**os.environ, **env},
    )


def tail(command, collector, *arguments):
    return run(command, "tail", "--endpoint", collector.endpoint, "--no-follow", *arguments)


# ---- check


def test_check_says_what_the_collector_takes(command, collector):
    result = run(command, "check", "--endpoint", collector.endpoint)
    assert result.returncode == 0
    assert f"{collector.url}/api/health answers 200" in result.stdout
    for word in ("10000 records", "8388608 bytes", "ndjson", "zstd"):
        assert word in result.stdout


def test_the_endpoint_comes_from_the_environment_where_it_is_not_given(command, collector):
    result = run(command, "check", env={"LOG_AGGREGATOR_API_ENDPOINT": collector.endpoint})
    assert result.returncode == 0


def test_without_an_endpoint_check_says_how_to_name_one(command):
    environment = {k: v for k, v in os.environ.items() if k != "LOG_AGGREGATOR_API_ENDPOINT"}
    result = subprocess.run(
        [command, "check"], capture_output=True, text=True, env=environment, timeout=20
    )
    assert result.returncode == 2
    assert "--endpoint" in result.stderr


def test_check_of_an_endpoint_that_nobody_serves_fails(command):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = run(command, "check", "--endpoint", f"http://127.0.0.1:{port}/api/logs")
    assert result.returncode == 1
    assert "refused" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(("content", "code"), [("wrong", 1), ("right\nother\n", 0), (None, 1)])
def test_check_finds_out_whether_the_token_is_taken(
    command, start_collector, tmp_path, content, code
):
    tokens = tmp_path / "tokens"
    tokens.write_text("right\n")
    collector = start_collector("--token-file", str(tokens))
    mine = tmp_path / "mine"
    arguments = []
    if content is not None:
        mine.write_text(content)
        arguments = ["--token-file", str(mine)]
    result = run(command, "check", "--endpoint", collector.endpoint, *arguments)
    assert result.returncode == code
    assert ("token" in result.stderr) == (code != 0)


def test_a_password_in_the_endpoint_is_used_and_never_shown(command, start_collector, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("canary-4711\n")
    collector = start_collector("--token-file", str(tokens))
    endpoint = f"http://user:canary-4711@127.0.0.1:{collector.port}/api/logs"
    result = run(command, "check", "--endpoint", endpoint)
    assert result.returncode == 0
    collector.stop()
    failed = run(command, "check", "--endpoint", endpoint)
    assert failed.returncode == 1
    assert "canary" not in result.stdout + result.stderr + failed.stdout + failed.stderr


@pytest.mark.parametrize("endpoint", ["ftp://h/api/logs", "file:///etc/passwd", "nonsense", ""])
def test_an_endpoint_that_is_no_http_url_is_refused(command, endpoint):
    result = run(command, "check", "--endpoint", endpoint)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


def test_a_redirect_is_not_followed_and_the_token_goes_nowhere_else(command, serve, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("secret\n")
    trapped = []

    def trap(request):
        trapped.append(request)
        return (200,)

    away = {"Location": serve(trap)}
    endpoint = serve(lambda request: (302, b"", away))
    result = run(command, "check", "--endpoint", endpoint, "--token-file", str(tokens))
    assert result.returncode == 1
    assert "302" in result.stderr
    assert trapped == []


def test_an_api_that_says_nothing_of_itself_is_fine(command, serve_answer):
    assert run(command, "check", "--endpoint", serve_answer(200, b"OK")).returncode == 0


def test_what_a_hostile_server_answers_cannot_reach_the_terminal(command, serve_answer):
    escape = b"\x1b]0;owned\x07"
    failed = run(command, "check", "--endpoint", serve_answer(500, escape))
    assert failed.returncode == 1
    health = json.dumps({"version": "\x1b[31mred", "formats": ["\x9b31m"]}).encode()
    shown = run(command, "check", "--endpoint", serve_answer(200, health))
    for result in (failed, shown):
        assert "\x1b" not in result.stdout + result.stderr
        assert "\x9b" not in result.stdout + result.stderr


# ---- check, over https


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def https_api(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with LogApi(ssl_context=context) as api:
        yield api


@pytest.fixture
def check(command, https_api):
    """Runs check against it, with one of the environment's variables, or on another machine."""

    def run_check(*arguments, machine=(), **variables):
        environment = {k: v for k, v in os.environ.items() if k not in VARIABLES}
        return subprocess.run(
            [*machine, command, "check", "--endpoint", https_api.endpoint, *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            env={**environment, **variables},
        )

    return run_check


def assert_refused(result, reason):
    assert result.returncode == 1
    assert reason in result.stderr


def test_check_trusts_the_authorities_of_ca_file(authority, check, tmp_path):
    assert check("--ca-file", write_bundle(tmp_path / "ours.pem", authority)).returncode == 0
    other = write_bundle(tmp_path / "other.pem", trustme.CA())
    assert_refused(check("--ca-file", other), "certificate")
    assert_refused(check("--ca-file", tmp_path / "missing.pem"), "missing.pem")


@pytest.mark.parametrize("variable", VARIABLES)
def test_check_trusts_the_authorities_that_the_environment_names(
    authority, check, tmp_path, variable
):
    write = write_hashed if variable == "SSL_CERT_DIR" else write_bundle
    ours = str(write(tmp_path / "ours", authority))
    other = str(write(tmp_path / "other", trustme.CA()))
    assert check(**{variable: ours}).returncode == 0
    assert_refused(check(**{variable: other}), f"; {variable} is {other}\n")
    missing = str(tmp_path / "missing")
    assert_refused(
        check(**{variable: missing}),
        f"{variable} is {missing}, which cannot be read: No such file or directory\n",
    )


def test_check_trusts_the_authorities_of_the_system(authority, check, tmp_path):
    ours = machine_that_trusts(tmp_path / "ours", trustme.CA(), authority)
    assert check(machine=ours).returncode == 0
    other = write_bundle(tmp_path / "other.pem", trustme.CA())
    assert_refused(check(machine=ours, SSL_CERT_FILE=str(other)), "SSL_CERT_FILE")
    others = machine_that_trusts(tmp_path / "others", trustme.CA())
    assert_refused(check(machine=others), "certificate")


def test_check_says_what_to_do_where_the_system_has_no_authorities(check, tmp_path):
    result = check(machine=machine_that_trusts(tmp_path))
    assert_refused(result, "install ca-certificates, or set ca_file or SSL_CERT_FILE\n")


# ---- tail


def test_tail_shows_the_newest_records_oldest_first(command, collector):
    collector.post([{"message": f"m{i}", "level": "INFO", "logger_name": "app"} for i in range(30)])
    lines = tail(command, collector, "-n", "3").stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["m27", "m28", "m29"]
    assert len(tail(command, collector).stdout.splitlines()) == 10
    assert tail(command, collector, "-n", "0").stdout == ""


def test_tail_shows_time_level_logger_message_extras_and_the_exception(command, collector):
    collector.post(
        {
            "timestamp": "2025-03-27T08:02:51.123456+00:00",
            "level": "ERROR",
            "logger_name": "app.db",
            "message": "query failed",
            "lineno": 7,
            "service": "shop",
            "extra": {"user_id": 7, "query": "select 1", "tags": ["a", "b"], "none": None},
            "exception": "Traceback (most recent call last):\n  File x\nValueError: no\n",
        }
    )
    assert tail(command, collector).stdout.splitlines() == [
        "2025-03-27T08:02:51.123456+00:00 ERROR    app.db: query failed "
        'service=shop user_id=7 query="select 1" tags=["a", "b"] none=null',
        "    Traceback (most recent call last):",
        "      File x",
        "    ValueError: no",
    ]


def test_tail_selects_by_level_and_logger(command, collector):
    collector.post(
        [
            {"message": f"{level}-{name}", "level": level, "logger_name": name}
            for level in ("INFO", "ERROR", "CRITICAL")
            for name in ("a b&c=d", "app")
        ]
    )
    result = tail(
        command, collector, "--level", "ERROR", "--level", "CRITICAL", "--logger", "a b&c=d"
    )
    found = [line.split("d: ")[1] for line in result.stdout.splitlines()]
    assert found == ["ERROR-a b&c=d", "CRITICAL-a b&c=d"]


def test_tail_json_prints_the_records_as_they_are_stored(command, collector):
    sent = {
        "message": "größer\n\u202e\x1b[31m\x9b",
        "timestamp": "2025-03-27T08:02:51+00:00",
        "extra": {"big": 2**100},
    }
    text = json.dumps(sent, ensure_ascii=False, indent=2).encode()
    collector.request("POST", "/api/logs", text, {"Content-Type": "application/json"})
    result = tail(command, collector, "--json")
    (line,) = result.stdout.splitlines()
    stored = json.loads(line)
    stored.pop("id")
    assert stored == sent
    assert "\u202e" not in line
    assert "\x9b" not in line


HOSTILE = {
    "\x1b[2J\x1b]0;title\x07": "\\x1b[2J\\x1b]0;title\\x07",
    "one\r\n2025-01-01 ERROR forged": "one\\r\\n2025-01-01 ERROR forged",
    "a\u202eb\u2066c\u2028d\u200fe": "a\\u202eb\\u2066c\\u2028d\\u200fe",
    "a\x00b\x7fc\x9bd\x85e\tf": "a\\x00b\\x7fc\\x9bd\\x85e\\tf",
    "größer ✓ 😀 日本": "größer ✓ 😀 日本",
}


MARKS_OF_DIRECTION = {*range(0x200E, 0x2010), *range(0x2028, 0x202F), *range(0x2066, 0x206A)}


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_record_can_control_the_terminal(command, collector, text):
    collector.post(
        {
            "message": text,
            "level": text,
            "logger_name": text,
            "exception": f"first\n{text}",
            "extra": {text: text},
            text: "top",
        }
    )
    output = tail(command, collector).stdout
    harmless = HOSTILE[text]
    assert output.count(harmless) >= 6 - ("\n" in text)
    for character in output:
        code = ord(character)
        assert character == "\n" or not (code < 32 or 0x7F <= code < 0xA0), repr(output)
        assert code not in MARKS_OF_DIRECTION, repr(output)
    # What is not a line feed of ours cannot begin a line.
    assert not any(line.startswith("2025-01-01") for line in output.splitlines())


class Follower:
    """A `tail` that runs on, and what it prints."""

    def __init__(self, command, collector, *arguments):
        self.process = subprocess.Popen(
            [command, "tail", "--endpoint", collector.endpoint, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def line(self, stream=None) -> str:
        stream = stream or self.process.stdout
        readable, _, _ = select.select([stream], [], [], 20)
        assert readable, "nothing was printed"
        text = b""
        while not text.endswith(b"\n"):
            byte = os.read(stream.fileno(), 1)
            assert byte, "it has ended"
            text += byte
        return text.decode().rstrip("\n")

    def message(self) -> str:
        return json.loads(self.line())["message"]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def follow(command, collector):
    followers = []

    def start(*arguments):
        followers.append(Follower(command, collector, *arguments))
        return followers[-1]

    yield start
    for follower in followers:
        follower.stop()


def test_tail_prints_every_record_once_as_it_arrives(collector, follow):
    collector.post({"message": "old"})
    follower = follow("-n", "1", "--json")
    assert follower.message() == "old"
    for number in range(5):
        collector.post([{"message": f"{number}-{i}"} for i in range(2500)])
        assert [follower.message() for _ in range(2500)] == [f"{number}-{i}" for i in range(2500)]


def test_tail_begins_with_nothing_and_shows_what_comes(collector, follow):
    collector.post({"message": "old"})
    follower = follow("-n", "0", "--json", "--level", "ERROR")
    collector.post([{"message": "no", "level": "INFO"}])
    # Whether the first poll came before or after this post cannot be seen: send until one shows.
    shown = threading.Event()

    def send() -> None:
        while not shown.is_set():
            collector.post({"message": "yes", "level": "ERROR"})
            shown.wait(0.05)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        assert follower.message() == "yes"
    finally:
        shown.set()
        sender.join()


def test_tail_outlives_a_restart_of_the_collector(collector, follow):
    collector.post({"message": "before"})
    follower = follow("--json")
    assert follower.message() == "before"
    collector.kill()
    assert "trying again" in follower.line(follower.process.stderr)
    collector.start()
    collector.post({"message": "after"})
    assert follower.message() == "after"


def test_tail_ends_with_an_error_where_the_endpoint_cannot_be_reached(command):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = run(command, "tail", "--endpoint", f"http://127.0.0.1:{port}/api/logs")
    assert result.returncode == 1
    assert "refused" in result.stderr


def test_tail_ends_with_an_error_where_the_answer_is_not_of_this_api(command, serve_answer):
    for status, body in ((200, b"<html>"), (200, b"[]"), (404, b""), (401, b"")):
        endpoint = serve_answer(status, body)
        result = run(command, "tail", "--endpoint", endpoint, "--no-follow")
        assert (result.returncode, result.stdout) == (1, "")


def test_tail_ends_when_its_reader_does(collector, follow):
    collector.post([{"message": "x" * 1000} for _ in range(1000)])
    follower = follow("-n", "1000")
    follower.line()
    follower.process.stdout.close()
    collector.post([{"message": "more"}])
    assert follower.process.wait(20) != 0


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_appear_on_a_terminal_only(command, collector, variables, coloured):
    collector.post({"message": "m", "level": "ERROR"})
    assert "\x1b" not in tail(command, collector).stdout
    main, terminal = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    subprocess.run(
        [command, "tail", "--endpoint", collector.endpoint, "--no-follow"],
        stdout=terminal,
        env={**environment, "TERM": "xterm", **variables},
        timeout=20,
        check=True,
    )
    os.close(terminal)
    output = os.read(main, 65536).decode()
    os.close(main)
    assert ("\x1b[31mERROR" in output) == coloured
