"""./run demo: the whole of it, and that its check can fail."""

import copy
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import demo_audit
import pytest

ROOT = Path(__file__).resolve().parents[2]


def start_demo(tmp_path, *options):
    return subprocess.Popen(
        [sys.executable, ROOT / "scripts" / "demo.py", *options],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_in(folder: Path) -> list[str]:
    """The command lines of processes that were given something in the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has just ended
        if str(folder) in command:
            found.append(command)
    return found


def test_demo_once_finds_every_logged_record_stored_exactly_once(tmp_path):
    with start_demo(tmp_path, "--once") as demo:
        out, errors = demo.communicate(timeout=60)
    assert demo.returncode == 0, out + errors
    assert "0 missing, 0 twice, 0 unknown, 0 with a field that differs" in out
    assert errors == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(tmp_path, number):
    with start_demo(tmp_path) as demo:
        for line in demo.stdout:
            if line.startswith("log page "):
                page = line.split()[-1]
            if "order" in line:  # records arrive
                break
        assert b"<title>" in urllib.request.urlopen(page, timeout=10).read()
        assert processes_in(tmp_path)
        demo.send_signal(number)
        demo.communicate(timeout=60)
    assert demo.returncode == (0 if number == signal.SIGINT else 128 + number)
    assert processes_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


LEDGER = [
    {"level": "INFO", "message": "one", "logger_name": "a", "extra": {"event": 1}},
    {"level": "ERROR", "message": "two", "logger_name": "a", "extra": {"event": 2}},
]


def stored():
    return [copy.deepcopy(entry) | {"host_process": "a", "id": 7} for entry in LEDGER]


def audit(records):
    return demo_audit.audit(LEDGER, records, {})


def test_the_audit_passes_where_all_is_stored():
    assert audit(stored()).passed


def test_the_audit_fails_where_a_record_is_missing():
    assert audit(stored()[:1]).missing == [2]
    assert not audit(stored()[:1]).passed


def test_the_audit_fails_where_a_record_is_stored_twice():
    found = audit([*stored(), stored()[0]])
    assert found.repeated == [1]
    assert not found.passed


def test_the_audit_fails_where_a_record_was_never_logged():
    found = audit([*stored(), {"message": "three"}])
    assert len(found.unknown) == 1
    assert not found.passed


@pytest.mark.parametrize("change", [{"message": "six"}, {"extra": {"event": 1, "more": 1}}])
def test_the_audit_fails_where_a_field_differs(change):
    records = stored()
    records[0] |= change
    assert len(audit(records).different) == 1


def test_the_audit_fails_where_nothing_was_logged():
    assert not demo_audit.audit([], [], {}).passed


def test_the_ledger_is_read_line_by_line(tmp_path):
    path = tmp_path / "ledger"
    path.write_text("\n".join(map(json.dumps, LEDGER)) + "\n")
    assert demo_audit.read_ledger(path) == LEDGER
