"""On a bare Debian, without compilers: the README's quick start from the wheel, as written."""

from __future__ import annotations

import re

import pytest

from package.bare_debian import CannotBeMade, bare_debian
from package.project import ROOT

# The program of the README, and what its reader does in another terminal.
SCRIPT = """
set -eu
started=$(date +%s)
python3 -m venv app
app/bin/pip install --no-index --quiet ./log_aggregator_handler-*.whl
app/bin/log-aggregator serve --listen 127.0.0.1:{port} --store sqlite:logs.db >serve.log 2>&1 &
serve=$!
until grep -q "listening on" serve.log; do kill -0 $serve; done
app/bin/python quick_start.py
app/bin/log-aggregator search --endpoint http://127.0.0.1:{port}/api/logs user_id=123
kill $serve
wait $serve
echo "took $(($(date +%s) - started)) s"
"""
MOST_SECONDS = 60
PORT = 18080


def quick_start() -> str:
    """The README's first Python program."""
    found = re.search(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.S | re.M)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def debian(wheel, tmp_path_factory):
    """A bare Debian with what `apt-get install python3-venv` brings, and the wheel."""
    folder = tmp_path_factory.mktemp("debian")
    try:
        with bare_debian(folder, ROOT / "build", "python", ["python3-venv"]) as system:
            tag = system.run("python3", "-c", "import sys; print('cp%d%d' % sys.version_info[:2])")
            if wheel.python != tag.strip():
                pytest.skip(f"the wheel is for {wheel.python}, Debian's Python is {tag.strip()}")
            (system.home / wheel.file.name).write_bytes(wheel.file.read_bytes())
            yield system
    except CannotBeMade as reason:
        pytest.skip(f"no bare Debian here: {reason}")


@pytest.mark.timeout(600)
def test_on_a_bare_debian_the_quick_start_works_without_a_compiler(debian):
    assert debian.run("sh", "-c", "command -v cc c++ g++ gcc cmake || echo none").strip() == "none"
    program = quick_start().replace("127.0.0.1:8080", f"127.0.0.1:{PORT}")
    (debian.home / "quick_start.py").write_text(program)
    (debian.home / "quick_start.sh").write_text(SCRIPT.format(port=PORT))
    said = debian.run("sh", "quick_start.sh")
    assert "User logged in." in said
    (seconds,) = re.findall(r"^took (\d+) s$", said, re.M)
    assert int(seconds) < MOST_SECONDS
