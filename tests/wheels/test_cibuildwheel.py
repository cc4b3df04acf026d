"""The wheels for other systems are built as ./run wheel builds those for this one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from package.project import ROOT, run
from wheels.conftest import TOOLS

tomllib = pytest.importorskip("tomllib")  # since Python 3.11

PYTHONS = ("cp310", "cp311", "cp312", "cp313", "cp314")
SCRIPT = "scripts/wheel/build_libraries.sh"


@pytest.fixture(scope="module")
def settings():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]


@pytest.mark.parametrize(
    ("platform", "kinds", "architectures"),
    [
        ("linux", ("manylinux", "musllinux"), ("x86_64", "aarch64")),
        ("macos", ("macosx",), ("x86_64", "arm64")),
    ],
)
def test_cibuildwheel_itself_reads_which_wheels_there_are(platform, kinds, architectures):
    print_them = ("--print-build-identifiers", "--platform", platform)
    said = run(TOOLS / "cibuildwheel", *print_them, "--archs", ",".join(architectures), ROOT)
    wanted = {f"{p}-{kind}_{arch}" for p in PYTHONS for kind in kinds for arch in architectures}
    assert set(re.findall(r"^cp3\S+$", said, re.MULTILINE)) == wanted


def test_the_wheels_that_were_built_here_are_among_them(wheels):
    assert {wheel.python for wheel in wheels} <= set(PYTHONS)


def test_the_pythons_are_those_that_the_package_names(settings):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"Python :: 3\.(\d+)", "\n".join(project["classifiers"]))
    assert tuple(f"cp3{minor}" for minor in named) == PYTHONS


def test_every_platform_builds_the_libraries_by_the_same_script(settings):
    own = (ROOT / "scripts" / "wheel.sh").read_text()
    assert f"{SCRIPT}\n" in own
    places = [settings["linux"], settings["macos"], *settings["overrides"]]
    for place in places:
        assert place["before-all"].endswith(f"&& {SCRIPT}")


def test_they_are_configured_as_here(settings):
    own = (ROOT / "scripts" / "wheel.sh").read_text()
    environment = settings["environment"]
    libraries = environment["LOG_AGGREGATOR_STATIC_LIBRARIES"]
    assert f"wheel_libraries={libraries}\n" in own
    assert "LOG_AGGREGATOR_STATIC_LIBRARIES=$wheel_libraries" in own
    assert f"SOURCE_DATE_EPOCH={environment['SOURCE_DATE_EPOCH']}" in own
    assert f"PIP_CONSTRAINT=$PWD/{environment['PIP_CONSTRAINT']}" in own
    assert f'prefix=$(realpath -m -- "${{2:-{libraries}}}")' in (ROOT / SCRIPT).read_text()
    assert 'auditwheel" repair --only-plat' in own
    assert settings["linux"]["repair-wheel-command"].startswith("auditwheel repair --only-plat")


def test_the_images_are_as_old_as_what_is_built_here_is_named(wheels, settings):
    """So that a wheel of cibuildwheel's runs wherever one of ./run wheel does."""
    image = int(settings["linux"]["manylinux-x86_64-image"].rpartition("_")[2])
    for wheel in wheels:
        (own,) = re.findall(r"manylinux_2_(\d+)", Path(wheel.file).name)
        assert image <= int(own)


def test_every_library_that_is_built_from_source_has_a_recipe():
    own = (ROOT / "scripts" / "wheel.sh").read_text()
    recipes = re.findall(r"^build_([\w-]+)\(\)", (ROOT / SCRIPT).read_text(), re.MULTILINE)
    listed = re.findall(r"^(?:more_)?wheel_sources=\((.+)\)$", own, re.MULTILINE)
    assert sorted(recipes) == sorted(name for names in listed for name in names.split())


def test_wheels_are_built_by_what_builds_everything_else():
    scripts = ROOT / "scripts"
    pins = re.findall(r"^\w\S+==\S+", (scripts / "constraints-wheel.txt").read_text(), re.MULTILINE)
    others = [scripts / "requirements.txt", scripts / "requirements-tests.txt"]
    known = {line.partition(";")[0] for file in others for line in file.read_text().splitlines()}
    assert "scikit-build-core" in {pin.partition("==")[0] for pin in pins}
    assert not set(pins) - known
