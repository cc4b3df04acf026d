"""The samples in README.md and docs/ work: Python programs run, and commands exist and do.

A ```python block is a program of its own, run against a real collector in place of the address it
names. `fragment` after the word says that it is not, and it is only compiled. A block with test
functions is run by pytest. In a ```console block the lines that begin with `$ ` are commands:
log-aggregator's are run, of ./run's the name must be listed, others are not ours to test.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LOGS = re.compile(r"^logg(ing|er)\.(debug|info|warning|error|exception|critical)\(", re.MULTILINE)
ADDRESSES = ("http://127.0.0.1:8080", "http://localhost:8080", "http://your-log-api.com")


@dataclass
class Sample:
    place: str
    language: str
    words: list[str]
    text: str


def samples(language: str) -> Iterator[Sample]:
    for path in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
    ]:
        text = path.read_text()
        for match in FENCE.finditer(text):
            if match[1] == language:
                line = text.count("\n", 0, match.start()) + 1
                yield Sample(
                    f"{path.relative_to(ROOT)}:{line}", language, match[2].split(), match[3]
                )


def commands(program: str) -> list[tuple[str, list[str]]]:
    """Where it stands and its arguments, for each time a program is called."""
    return [
        (sample.place, words[1:])
        for sample in samples("console")
        for line in sample.text.replace("\\\n", " ").splitlines()
        if line.startswith("$ ")
        for words in [shlex.split(line[2:], comments=True)]
        if words and words[0] == program
    ]


def by_place(values: list) -> dict:
    return {"argvalues": values, "ids": [value[0] for value in values]}


def environment(collector) -> dict[str, str]:
    bin_folder = Path(sys.executable).parent
    return os.environ | {
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "LOG_AGGREGATOR_API_ENDPOINT": collector.endpoint,
    }


def at_collector(text: str, collector) -> str:
    for address in ADDRESSES:
        text = text.replace(address, collector.url)
    return text


@pytest.mark.parametrize(
    ("place", "sample"), **by_place([(sample.place, sample) for sample in samples("python")])
)
def test_a_python_sample_runs(place, sample, collector, tmp_path):
    code = at_collector(sample.text, collector)
    compile(code, place, "exec")
    if "fragment" in sample.words:
        return
    is_test = re.search(r"^def test_", code, re.MULTILINE)
    program = tmp_path / ("test_sample.py" if is_test else "sample.py")
    program.write_text(code)
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if is_test else []
    done = subprocess.run(
        [sys.executable, *arguments, program],
        cwd=tmp_path,
        env=environment(collector),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if LOGS.search(code) and collector.url in code:
        assert collector.records(), f"nothing arrived; standard error: {done.stderr}"


@pytest.mark.parametrize(("place", "arguments"), **by_place(commands("log-aggregator")))
def test_a_sample_of_the_command_runs(place, arguments, collector, tmp_path):
    collector.post({"message": "hello", "level": "ERROR", "logger_name": "app"})
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "access.log").write_text("a line\n" * 1_000)
    arguments = [at_collector(argument, collector) for argument in arguments]
    # serve takes the address that the samples name, and keeps its files in a folder of the test.
    arguments = [argument.replace("127.0.0.1:8080", "127.0.0.1:0") for argument in arguments]
    process = subprocess.Popen(
        ["log-aggregator", *arguments],
        cwd=tmp_path,
        env=environment(collector) | {"XDG_STATE_HOME": str(tmp_path / "state")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    with process:
        first_line = process.stdout.readline()
        if arguments[0] in ("serve", "tail") and "--help" not in arguments:
            process.terminate()
        rest = process.stdout.read()
    if arguments[0] == "serve":
        assert first_line.startswith("listening on "), first_line + rest
    if arguments[0] == "tail":
        assert "hello" in first_line, first_line + rest
        return  # how a client ends on SIGTERM is not what the sample is about
    assert process.returncode == 0, first_line + rest


@pytest.mark.parametrize(("place", "arguments"), **by_place(commands("./run")))
def test_a_command_of_run_is_listed_by_its_help(place, arguments):
    text = subprocess.run([ROOT / "run", "help"], capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^  {re.escape(arguments[0])}\b", text, re.MULTILINE)


def test_samples_are_found():
    assert list(samples("python")), "the README has no Python sample"
    assert commands("./run"), "the README does not say how to start"
