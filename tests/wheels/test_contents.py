"""What is in a wheel: all that it needs, nothing that it shows to others, where it comes from."""

from __future__ import annotations

import email
import json
import re

import pytest

from package.project import ROOT, run, skip_without
from wheels.conftest import TOOLS, version

MOST_BYTES = 6_000_000
# What glibc is made of, and the unwinder that it needs itself.
OF_THE_SYSTEM = re.compile(r"(lib(c|m|dl|pthread|rt|resolv|gcc_s)|ld-linux-[\w-]+)\.so\.\d+")
BILL = "sboms/log-aggregator-handler.cdx.json"
KEPT_INSIDE = ("curl_", "SSL_", "OPENSSL_", "EVP_", "nghttp2_", "ZSTD_", "sqlite3_", "libdeflate_")


def dynamic_symbols(binary, *options):
    lines = run("nm", "--dynamic", "--format=posix", *options, binary).splitlines()
    return {line.split()[0].partition("@")[0] for line in lines}


@pytest.fixture(params=["extension", "command"])
def binaries(wheels, request):
    skip_without("readelf", "nm")
    return [getattr(wheel, request.param) for wheel in wheels]


def test_a_wheel_is_small(wheels):
    sizes = {wheel.file.name: wheel.file.stat().st_size for wheel in wheels}
    assert max(sizes.values()) <= MOST_BYTES, sizes


def test_nothing_but_glibc_is_needed(binaries):
    for binary in binaries:
        dynamic = run("readelf", "--dynamic", "--wide", binary)
        needed = re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic)
        assert "libc.so.6" in needed
        assert not [name for name in needed if not OF_THE_SYSTEM.fullmatch(name)]
        assert "RPATH" not in dynamic
        assert "RUNPATH" not in dynamic


def test_the_extension_exports_its_initialisation_and_nothing_else(wheels):
    skip_without("nm")
    for wheel in wheels:
        assert dynamic_symbols(wheel.extension, "--defined-only") == {"PyInit__core"}


def test_what_is_linked_in_is_seen_by_nobody(binaries):
    for binary in binaries:
        shown = dynamic_symbols(binary)
        assert not [name for name in shown if name.startswith(KEPT_INSIDE)]
        assert not [name for name in shown if name.startswith("_ZNSt")]  # the C++ library's


def test_no_path_of_the_machine_that_built_is_in_it(binaries):
    for binary in binaries:
        assert str(ROOT).encode() not in binary.read_bytes()


def test_a_wheel_is_named_for_the_systems_it_runs_on(wheels):
    for wheel in wheels:
        assert re.fullmatch(
            rf"log_aggregator_handler-{re.escape(version())}-(cp3\d+)-\1-manylinux_2_\d+_\w+\.whl",
            wheel.file.name,
        )
        said = run(TOOLS / "auditwheel", "show", wheel.file)
        assert "manylinux" in said
        assert "libcurl" not in said


def test_the_version_is_the_same_everywhere(wheel, installed):
    metadata = email.message_from_string((wheel.metadata / "METADATA").read_text())
    assert metadata["Version"] == version()
    assert metadata["Requires-Dist"] is None or "extra ==" in metadata["Requires-Dist"]
    command = installed.with_name("log-aggregator")
    assert version() in run(command, "--version")
    code = "import log_aggregator_handler; print(log_aggregator_handler.__version__)"
    assert run(installed, "-c", code).strip() == version()


def test_pip_finds_nothing_missing(installed):
    assert "No broken requirements" in run(installed, "-m", "pip", "check")


def test_the_tools_of_the_index_have_nothing_to_say(wheels):
    files = [wheel.file for wheel in wheels]
    run(TOOLS / "twine", "check", "--strict", *files)
    run(TOOLS / "check-wheel-contents", *files)


def test_each_part_that_is_linked_in_comes_with_its_licence(wheels):
    for wheel in wheels:
        bill = json.loads((wheel.metadata / BILL).read_text())
        names = {component["name"] for component in bill["components"]}
        texts = wheel.metadata / "licenses" / "linked"
        assert {"curl", "openssl", "libzstd", "libdeflate", "sqlite3", "simdjson"} <= names
        assert {file.stem for file in texts.iterdir()} == names
        assert all("opyright" in file.read_text() for file in texts.iterdir())


def test_the_bill_of_materials_lies_beside_it_and_is_valid(wheels):
    for wheel in wheels:
        beside = wheel.file.with_suffix(".cdx.json")
        inside = wheel.metadata / BILL
        assert beside.read_bytes() == inside.read_bytes()
        code = (
            "import sys; from cyclonedx.schema import SchemaVersion\n"
            "from cyclonedx.validation.json import JsonStrictValidator\n"
            "text = open(sys.argv[1]).read()\n"
            "sys.exit(JsonStrictValidator(SchemaVersion.V1_6).validate_str(text))"
        )
        run(TOOLS / "python", "-c", code, beside)
