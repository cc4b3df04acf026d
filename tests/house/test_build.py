"""A machine that lacks something is told so in one error that names what to install, and an sdist
needs no Node.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
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


def test_an_sdist_holds_the_bundled_page_and_none_of_what_it_was_bundled_from_elsewhere(tmp_path):
    build = "from scikit_build_core.build import build_sdist; import sys; build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, tmp_path], cwd=ROOT, check=True, timeout=100)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"collector/web/dist/{name}" for name in ("index.html", "app.js", "app.css")} <= names
    assert not [name for name in names if "node_modules" in name]


def test_the_packages_of_the_page_are_pinned_wherever_they_come_from():
    lock = json.loads((ROOT / "collector" / "web" / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not [name for name, package in packages.items() if "resolved" in package]
