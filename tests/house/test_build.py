"""A machine that lacks something is told so in one error that names what to install."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def configure(folder, **environment):
    done = subprocess.run(
        [shutil.which("cmake") or "cmake", "-S", ROOT, "-B", folder / "build", "-G", "Ninja"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.count("CMake Error") == 1, done.stderr
    return done.stderr


def test_without_a_compiler_the_error_names_it_and_the_libraries(tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("cmake", "ninja", "pkg-config", "uname"):
        (tools / tool).symlink_to(shutil.which(tool) or "/")
    message = configure(tmp_path, PATH=str(tools), CXX="")
    assert "apt-get install g++ pkg-config libcurl4-openssl-dev" in message


def test_all_missing_libraries_are_named_at_once(tmp_path):
    message = configure(tmp_path, PKG_CONFIG_LIBDIR="/nonexistent")
    assert "apt-get install libcurl4-openssl-dev libzstd-dev libdeflate-dev" in message
    assert "libsqlite3-dev" in message
    assert "prometheus-cpp-dev" in message
