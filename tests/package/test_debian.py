"""The Debian packages: what is in them, and that a stranger's program is built with them on a bare
Debian.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from package.bare_debian import CannotBeMade, bare_debian
from package.project import PROJECTS, ROOT, run, sample, skip_without

PACKAGES = ("liblog-aggregator0.1", "liblog-aggregator-dev", "log-aggregator")
STRANGERS_TOOLS = ("g++", "cmake", "make", "pkg-config", "libspdlog-dev")


@pytest.fixture(scope="module")
def packages(build_tree, tmp_path_factory) -> dict[str, Path]:
    """The packages' files by name."""
    skip_without("cpack", "dpkg-shlibdeps", "file")
    folder = tmp_path_factory.mktemp("packages")
    run("cpack", "--config", build_tree / "CPackConfig.cmake", "-B", folder)
    return {file.name.split("_")[0]: file for file in folder.glob("*.deb")}


def dependencies(package: Path) -> list[str]:
    return run("dpkg-deb", "--field", package, "Depends").strip().split(", ")


def files(package: Path) -> list[str]:
    return re.findall(r"\./(\S+[^/\s])(?: ->.*)?$", run("dpkg-deb", "-c", package), re.MULTILINE)


def test_the_packages_need_what_they_use(packages):
    assert set(packages) == set(PACKAGES)
    runtime, devel, command = (
        {re.match(r"\S+", entry)[0] for entry in dependencies(packages[name])} for name in PACKAGES
    )
    assert {"libc6", "libcurl4", "libzstd1", "libdeflate0"} <= runtime
    assert {"liblog-aggregator0.1", "libcurl4-openssl-dev", "libsimdjson-dev"} <= devel
    assert "libsqlite3-0" in command
    assert "liblog-aggregator0.1" not in command
    assert not any("spdlog" in entry for entry in runtime | devel | command)


def test_each_package_has_its_licence_and_nothing_outside_its_places(packages):
    places = re.compile(r"usr/(bin/log-aggregator$|include/log_aggregator/|lib/|share/doc/)")
    for name, package in packages.items():
        assert f"usr/share/doc/{name}/copyright" in files(package)
        assert not [file for file in files(package) if not places.match(file)]


@pytest.fixture(scope="module")
def debian(packages, tmp_path_factory):
    """A bare Debian with the three packages and a stranger's tools."""
    ours = re.compile(r"liblog-aggregator0\.1\b")
    needed = {entry for file in packages.values() for entry in dependencies(file)}
    wanted = sorted(entry for entry in needed if not ours.match(entry))
    folder = tmp_path_factory.mktemp("debian")
    try:
        with bare_debian(folder, ROOT / "build", "packages", [*STRANGERS_TOOLS, *wanted]) as system:
            for file in packages.values():
                (system.home / file.name).write_bytes(file.read_bytes())
            system.apt_get("install", *(f"./{file.name}" for file in packages.values()))
            yield system
    except CannotBeMade as reason:
        pytest.skip(f"no bare Debian here: {reason}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("project", PROJECTS)
def test_on_a_bare_debian_a_strangers_program_logs(debian, stranger, collector, project):
    folder = stranger(project)
    shutil.copytree(folder, debian.home / project)
    for build, program in (
        ("cmake -S . -B build && cmake --build build", "build/shop"),
        (sample(f"{project} by pkg-config"), "./shop"),
    ):
        debian.run("sh", "-ec", f"cd {project}\n{build}\n{program}")
    assert len(collector.records()) == 2


@pytest.mark.timeout(600)
def test_on_a_bare_debian_the_command_finds_a_record(debian, collector):
    collector.post({"message": "user logged in", "extra": {"user_id": 123}})
    found = debian.run("log-aggregator", "search", "--endpoint", collector.endpoint, "user_id=123")
    assert "user logged in" in found
