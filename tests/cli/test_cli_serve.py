"""`log-aggregator serve` as a command: its options, its messages, its exit codes."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess

import pytest


def run(command, *arguments, env=None):
    """Runs the command to its end."""
    return subprocess.run(
        [command, *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        env=None if env is None else {**os.environ, **env},
    )


def check_refused(result, code: int, *named: str) -> None:
    assert result.returncode == code, result
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("log-aggregator: ")
    for word in named:
        assert word in line


def test_version_is_the_version_of_the_collector(command, collector):
    result = run(command, "--version")
    assert result.returncode == 0
    version = collector.request("GET", "/api/health").json()["version"]
    assert result.stdout == f"log-aggregator {version}\n"


@pytest.mark.parametrize("arguments", [[], ["serve"], ["check"], ["tail"], ["search"]])
def test_help_shows_two_examples(command, arguments):
    result = run(command, *arguments, "--help")
    assert result.returncode == 0
    examples = result.stdout.split("Examples:\n")[1].split("\n\n")[0].splitlines()
    assert len(examples) == 2
    assert all(line.startswith("  log-aggregator ") for line in examples)


def test_a_command_is_required(command):
    check_refused(run(command), 2, "--help")


def test_unknown_options_are_named(command):
    check_refused(run(command, "serve", "--colour"), 2, "--colour")


@pytest.mark.parametrize(
    "listen", ["8080", ":8080", "127.0.0.1:", "127.0.0.1:x", "h:70000", "::1:80"]
)
def test_a_bad_listen_address_is_refused(command, tmp_path, listen):
    result = run(command, "serve", "--listen", listen, "--store", f"sqlite:{tmp_path}/s")
    check_refused(result, 2, "--listen")


@pytest.mark.parametrize("name", ["", "*", "*.example.com", "logs:8080", "http://logs", "a b", "."])
def test_a_bad_allowed_host_is_refused(command, tmp_path, name):
    store = tmp_path / "s"
    listen = ("--listen", "127.0.0.1:0", "--store", f"sqlite:{store}")
    result = run(command, "serve", *listen, "--allowed-host", "fine", "--allowed-host", name)
    check_refused(result, 2, "--allowed-host")
    assert not store.exists()


@pytest.mark.parametrize("store", ["postgres:x", "sqlite:", "logs.sqlite"])
def test_a_store_of_another_kind_is_refused(command, store):
    check_refused(run(command, "serve", "--listen", "127.0.0.1:0", "--store", store), 2, "--store")


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
def test_an_address_that_others_reach_needs_a_token(command, tmp_path, host):
    store = tmp_path / "s.sqlite"
    result = run(command, "serve", "--listen", f"{host}:0", "--store", f"sqlite:{store}")
    check_refused(result, 2, "token", "127.0.0.1")
    assert not store.exists()


def test_without_listen_it_is_reached_from_this_machine_only(command, tmp_path):
    """Whether it gets the port or finds it in use, it says which address it wants."""
    process = subprocess.Popen(
        [command, "serve", "--store", f"sqlite:{tmp_path}/s.sqlite"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    line = process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    assert re.search(r"(listening on http://|cannot listen on )127\.0\.0\.1:8080\b", line)


def test_an_address_that_others_reach_is_served_with_a_token(command, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("secret\n")
    process = subprocess.Popen(
        [
            command,
            "serve",
            "--listen",
            "0.0.0.0:0",
            "--store",
            f"sqlite:{tmp_path}/s.sqlite",
            "--token-file",
            str(tokens),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert re.fullmatch(r"listening on http://0\.0\.0\.0:\d+\n", process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert process.stdout.read() == ""
    process.stdout.close()


@pytest.mark.parametrize("content", [None, "", "\n  \n"])
def test_a_token_file_without_tokens_is_refused(command, tmp_path, content):
    tokens = tmp_path / "tokens"
    if content is not None:
        tokens.write_text(content)
    result = run(command, "serve", "--listen", "127.0.0.1:0", "--token-file", str(tokens))
    check_refused(result, 2, "token file", str(tokens))


def test_a_port_in_use_is_an_error(command, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = run(
            command, "serve", "--listen", f"127.0.0.1:{port}", "--store", f"sqlite:{tmp_path}/s"
        )
    check_refused(result, 1, str(port), "in use")


def test_a_store_that_cannot_be_opened_is_an_error(command, tmp_path):
    result = run(
        command, "serve", "--listen", "127.0.0.1:0", "--store", f"sqlite:{tmp_path}/missing/s"
    )
    check_refused(result, 1, "missing/s", "No such file")


def test_files_of_something_else_are_left_alone(command, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database at all, but long enough to look like one\n" * 100)
    database = tmp_path / "other.sqlite"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE precious (x)")
    for path in (text, database):
        before = path.read_bytes()
        result = run(command, "serve", "--listen", "127.0.0.1:0", "--store", f"sqlite:{path}")
        assert result.returncode in (1, 2)
        assert str(path) in result.stderr
        assert "listening" not in result.stdout
        if path == text:
            assert path.read_bytes() == before
    with sqlite3.connect(database) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    assert tables == [("precious",)]


def test_the_default_store_is_in_the_users_data_directory(command, tmp_path):
    process = subprocess.Popen(
        [command, "serve", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path)},
    )
    assert process.stdout.readline().startswith("listening on ")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    process.stdout.close()
    store = tmp_path / "log-aggregator" / "logs.sqlite"
    assert store.stat().st_mode & 0o777 == 0o600
    assert store.parent.stat().st_mode & 0o777 == 0o700
