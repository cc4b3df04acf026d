"""A stranger's program is built with the installed library, or with the sources, and its record
arrives.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from package.project import ROOT, run, sample, skip_without


def pkg_config(prefix: Path, *arguments: str) -> list[str]:
    (folder,) = prefix.rglob("pkgconfig")
    search = {"PKG_CONFIG_PATH": str(folder)}
    return shlex.split(run("pkg-config", *arguments, env=os.environ | search))


def build(folder: Path, *options: str | Path) -> Path:
    run("cmake", "-S", folder, "-B", folder / "build", "-G", "Ninja", *options)
    run("cmake", "--build", folder / "build", "--target", "shop")
    return folder / "build" / "shop"


def needs_our_library(program: Path) -> bool:
    return "liblog_aggregator.so.0]" in run("readelf", "-d", program)


def arrived(collector) -> bool:
    (record,) = collector.records()
    return record["message"] == "user logged in" and record["extra"] == {"user_id": 123}


@pytest.mark.parametrize("components", ["", "COMPONENTS shared", "COMPONENTS static"])
def test_a_program_finds_it_by_cmake(prefix, stranger, collector, components):
    folder = stranger("main.cc", "CMakeLists.txt")
    lists = folder / "CMakeLists.txt"
    lists.write_text(lists.read_text().replace("REQUIRED", f"REQUIRED {components}"))
    program = build(folder, f"-DCMAKE_PREFIX_PATH={prefix}")
    run(program)
    assert arrived(collector)
    assert needs_our_library(program) == (components != "COMPONENTS static")


@pytest.mark.parametrize("kind", ["shared", "static"])
def test_a_program_finds_it_by_pkg_config(prefix, stranger, collector, kind):
    folder = stranger("main.cc")
    program = folder / "shop"
    flags = pkg_config(prefix, "--cflags", "--libs", "log_aggregator")
    if kind == "static":
        flags = pkg_config(prefix, "--static", "--cflags", "--libs", "log_aggregator")
        flags[flags.index("-llog_aggregator")] = "-l:liblog_aggregator.a"
    run("g++", "-std=c++20", folder / "main.cc", "-o", program, *flags)
    (library,) = prefix.rglob("liblog_aggregator.so")
    run(program, env=os.environ | {"LD_LIBRARY_PATH": str(library.parent)})
    assert arrived(collector)
    assert needs_our_library(program) == (kind == "shared")


@pytest.mark.timeout(300)
def test_it_is_a_part_of_another_project(stranger, collector):
    """Unoptimised, as nobody says otherwise, in the standard of that project."""
    folder = stranger("main.cc")
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\n"
        "project(shop LANGUAGES CXX)\n"
        "set(CMAKE_CXX_STANDARD 23)\n"
        "enable_testing()\n"
        "add_executable(shop main.cc)\n" + sample("subdirectory")
    )
    program = build(
        folder,
        f"-DFETCHCONTENT_SOURCE_DIR_LOG_AGGREGATOR={ROOT}",
        "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
    )
    run(program)
    assert arrived(collector)
    tree = program.parent
    commands = (tree / "compile_commands.json").read_text()
    assert "src/handler/handler.cc" in commands
    assert not re.search(r"-std=(c|gnu)\+\+(11|14|17|20)|-Werror|-O[1-3]|-flto|_test\.cc", commands)
    assert "Total Tests: 0" in run("ctest", "--test-dir", tree, "--show-only")
    run("cmake", "--install", tree, "--prefix", folder / "installed")
    assert not (folder / "installed").exists()


@pytest.mark.parametrize("header_only", [True, False], ids=["header-only", "compiled"])
def test_a_program_logs_through_spdlog_as_it_wants_that(prefix, stranger, collector, header_only):
    if subprocess.run(["pkg-config", "--exists", "spdlog"], check=False).returncode:
        pytest.skip("libspdlog-dev is not installed")
    folder = stranger("spdlog.cc")
    lists = sample("CMakeLists.txt").replace("main.cc", "spdlog.cc") + sample("spdlog")
    if not header_only:
        lists = lists.replace(" spdlog::spdlog_header_only", "")
    (folder / "CMakeLists.txt").write_text(lists)
    other = "#ifdef" if header_only else "#ifndef"
    with (folder / "spdlog.cc").open("a") as program:
        program.write(f"{other} SPDLOG_COMPILED_LIB\n#error another spdlog\n#endif\n")
    run(build(folder, f"-DCMAKE_PREFIX_PATH={prefix}"))
    (record,) = collector.records()
    assert (record["message"], record["logger_name"]) == ("user 123 logged in", "shop")


def test_the_examples_are_built_with_what_is_installed(prefix, tmp_path):
    options = (f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Debug")
    run("cmake", "-S", ROOT / "examples" / "cpp", "-B", tmp_path, "-G", "Ninja", *options)
    run("cmake", "--build", tmp_path, "--target", "example_minimal", "example_spdlog")


def test_another_minor_version_is_not_found(prefix, stranger):
    folder = stranger("main.cc", "CMakeLists.txt")
    lists = folder / "CMakeLists.txt"
    lists.write_text(lists.read_text().replace("LogAggregator REQUIRED", "LogAggregator 0.0"))
    with pytest.raises(AssertionError, match=r"version: \d"):
        build(folder, f"-DCMAKE_PREFIX_PATH={prefix}")


def test_the_shared_library_exports_what_the_headers_mark_and_nothing_else(prefix):
    marked = {
        name
        for header in (prefix / "include" / "log_aggregator").glob("*.h")
        if header.name != "export.h"
        for name in re.findall(r"LOG_AGGREGATOR_API [^;{]*?(\w+)(?:\(| [{])", header.read_text())
    }
    (library,) = prefix.rglob("liblog_aggregator.so.*.*")
    symbols = run("nm", "--dynamic", "--defined-only", "--demangle", library).splitlines()
    exported = set()
    for symbol in symbols:
        name = symbol.split(maxsplit=2)[2]
        if re.fullmatch(r"LOG_AGGREGATOR_\d+\.\d+", name):
            continue  # the version of all the others
        assert name.startswith("log_aggregator::"), name
        assert "Impl::" not in name.replace("Impl> >", ""), name
        exported.add(re.split(r"[(:\[]", name.removeprefix("log_aggregator::"))[0])
    # Field has inline functions, and one that is exported.
    assert exported - {"Field"} == marked - {"write"}


def test_the_static_library_is_for_every_compiler(prefix):
    (archive,) = prefix.rglob("liblog_aggregator.a")
    sections = run("readelf", "--section-headers", "--wide", archive)
    assert ".text" in sections
    assert ".gnu.lto" not in sections


def test_clang_links_both_kinds(prefix, stranger, collector):
    skip_without("clang++-16")
    folder = stranger("main.cc", "CMakeLists.txt")
    options = (f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_CXX_COMPILER=clang++-16")
    run(build(folder, *options))
    assert arrived(collector)
