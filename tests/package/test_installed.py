"""A stranger's program is built with the installed library, or with the sources, and its record
arrives.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from package.project import PROJECTS, ROOT, run, sample, skip_without


def pkg_config(prefix: Path, *arguments: str) -> list[str]:
    (folder,) = prefix.rglob("pkgconfig")
    search = {"PKG_CONFIG_PATH": str(folder)}
    return shlex.split(run("pkg-config", *arguments, env=os.environ | search))


def build(folder: Path, *options: str | Path, **settings: Any) -> Path:
    run("cmake", "-S", folder, "-B", folder / "build", "-G", "Ninja", *options, **settings)
    run("cmake", "--build", folder / "build", "--target", "shop")
    return folder / "build" / "shop"


def needs_our_library(program: Path) -> bool:
    return "liblog_aggregator.so.0.1]" in run("readelf", "-d", program)


def arrived(collector) -> bool:
    (record,) = collector.records()
    return record["message"] in ("user logged in", "user 123 logged in")


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


PLUGIN = """
add_library(plugin MODULE main.cc)
target_link_libraries(plugin PRIVATE LogAggregator::handler)
"""


def exports_of_plugin(folder: Path) -> str:
    run("cmake", "--build", folder / "build", "--target", "plugin")
    plugin = folder / "build" / "libplugin.so"
    return run("nm", "--dynamic", "--defined-only", "--demangle", plugin)


@pytest.mark.parametrize("kind", ["", "shared", "static"])
@pytest.mark.parametrize("project", PROJECTS)
def test_a_program_finds_it_by_cmake(prefix, stranger, collector, project, kind):
    folder = stranger(project)
    if kind:
        asked = "REQUIRED COMPONENTS" if project == "spdlog" else "REQUIRED"
        edit(folder / "CMakeLists.txt", asked, f"REQUIRED COMPONENTS {kind}")
    program = build(folder, f"-DCMAKE_PREFIX_PATH={prefix}")
    run(program)
    assert arrived(collector)
    assert needs_our_library(program) == (kind != "static")


@pytest.mark.parametrize("kind", ["shared", "static"])
@pytest.mark.parametrize("project", PROJECTS)
def test_a_program_finds_it_by_pkg_config(prefix, stranger, collector, project, kind):
    folder = stranger(project)
    program = folder / "shop"
    module = "log_aggregator_spdlog_sink" if project == "spdlog" else "log_aggregator"
    if kind == "static":
        flags = pkg_config(prefix, "--static", "--cflags", "--libs", module)
        flags[flags.index("-llog_aggregator")] = "-l:liblog_aggregator.a"
    else:
        flags = pkg_config(prefix, "--cflags", "--libs", module)
    run("g++", "-std=c++20", folder / "main.cc", "-o", program, *flags)
    (library,) = prefix.rglob("liblog_aggregator.so")
    run(program, env=os.environ | {"LD_LIBRARY_PATH": str(library.parent)})
    assert arrived(collector)
    assert needs_our_library(program) == (kind == "shared")


def test_without_what_the_static_library_needs_it_is_not_found(prefix, stranger):
    folder = stranger("handler")
    asked = "LogAggregator QUIET COMPONENTS static)\nmessage(FATAL_ERROR "
    edit(
        folder / "CMakeLists.txt",
        "LogAggregator REQUIRED",
        asked + '"${LogAggregator_NOT_FOUND_MESSAGE}"',
    )
    nowhere = {"PKG_CONFIG_LIBDIR": "/nowhere"}
    with pytest.raises(AssertionError, match=r"needs libcurl and its development\s+files"):
        build(folder, f"-DCMAKE_PREFIX_PATH={prefix}", env=os.environ | nowhere)


def test_where_the_places_are_absolute_pkg_config_names_them(tmp_path):
    options = (
        "-DLOG_AGGREGATOR_COMMAND=OFF",
        "-DCMAKE_INSTALL_LIBDIR=/opt/ours/lib",
        "-DCMAKE_INSTALL_INCLUDEDIR=/opt/ours/include",
    )
    run("cmake", "-S", ROOT, "-B", tmp_path, "-G", "Ninja", *options)
    flags = run(
        "pkg-config", "--cflags", "--libs", tmp_path / "log_aggregator.pc", env=os.environ
    ).split()
    assert {"-I/opt/ours/include", "-L/opt/ours/lib"} <= set(flags)


@pytest.mark.timeout(300)
def test_it_is_a_part_of_another_project(stranger, collector):
    """Unoptimised, as nobody says otherwise, in the standard of that project, which would have
    several files compiled as one.
    """
    folder = stranger("handler")
    lists = folder / "CMakeLists.txt"
    theirs = "set(CMAKE_CXX_STANDARD 23)\nenable_testing()\n"
    edit(lists, "find_package(LogAggregator REQUIRED)\n", theirs + sample("subdirectory"))
    with lists.open("a") as file:
        file.write(PLUGIN)
    program = build(
        folder,
        f"-DFETCHCONTENT_SOURCE_DIR_LOG_AGGREGATOR={ROOT}",
        "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
        "-DCMAKE_UNITY_BUILD=ON",
    )
    run(program)
    assert arrived(collector)
    assert " T log_aggregator::" not in exports_of_plugin(folder)
    tree = program.parent
    commands = (tree / "compile_commands.json").read_text()
    assert "src/handler/handler.cc" in commands
    assert not re.search(r"-std=(c|gnu)\+\+(11|14|17|20)|-Werror|-O[1-3]|-flto|_test\.cc", commands)
    assert "Total Tests: 0" in run("ctest", "--test-dir", tree, "--show-only")
    run("cmake", "--install", tree, "--prefix", folder / "installed")
    assert not (folder / "installed").exists()


@pytest.mark.parametrize("header_only", [True, False], ids=["header-only", "compiled"])
def test_spdlog_is_the_programs_choice(prefix, stranger, collector, header_only):
    folder = stranger("spdlog")
    wrong = "ifdef" if header_only else "ifndef"
    with (folder / "main.cc").open("a") as program:
        program.write(f"#{wrong} SPDLOG_COMPILED_LIB\n#error this is another spdlog\n#endif\n")
    if header_only:
        lists = folder / "CMakeLists.txt"
        last_line = lists.read_text().splitlines(keepends=True)[-1]
        edit(lists, last_line, sample("spdlog as headers"))
    run(build(folder, f"-DCMAKE_PREFIX_PATH={prefix}"))
    assert arrived(collector)


def test_what_is_logged_through_spdlog_is_delivered_when_its_shutdown_returns(
    prefix, stranger, collector
):
    folder = stranger("spdlog")
    edit(folder / "main.cc", "\n}\n", "\n  std::_Exit(0);\n}\n")
    run(build(folder, f"-DCMAKE_PREFIX_PATH={prefix}"))
    assert arrived(collector)


def test_the_examples_are_built_with_what_is_installed(prefix, tmp_path):
    options = (f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Debug")
    run("cmake", "-S", ROOT / "examples" / "cpp", "-B", tmp_path, "-G", "Ninja", *options)
    run("cmake", "--build", tmp_path, "--target", "example_minimal", "example_spdlog")


def test_the_example_of_an_extension_module_logs(prefix, collector, tmp_path):
    example = ROOT / "examples" / "python_extension"
    options = (f"-DCMAKE_PREFIX_PATH={prefix}", f"-DPython_EXECUTABLE={sys.executable}")
    run("cmake", "-S", example, "-B", tmp_path, "-G", "Ninja", *options)
    run("cmake", "--build", tmp_path)
    path = {"PYTHONPATH": str(tmp_path)}
    run(sys.executable, example / "shop.py", collector.endpoint, env=os.environ | path)
    assert {record["logger_name"] for record in collector.records()} == {
        "shop.orders",
        "shop.pricing",
    }


def test_the_readmes_program_logs(prefix, stranger, collector):
    folder = stranger("spdlog")
    (program,) = re.findall(r"^```cpp\n(.*?)^```$", (ROOT / "README.md").read_text(), re.S | re.M)
    (folder / "main.cc").write_text(program.replace("http://127.0.0.1:8080", collector.url))
    run(build(folder, f"-DCMAKE_PREFIX_PATH={prefix}"))
    assert [record["message"] for record in collector.records()] == ["User 123 logged in."]


def test_another_minor_version_is_not_found(prefix, stranger):
    folder = stranger("handler")
    edit(folder / "CMakeLists.txt", "LogAggregator REQUIRED", "LogAggregator 0.0 REQUIRED")
    with pytest.raises(AssertionError, match=r"compatible with requested\s+version"):
        build(folder, f"-DCMAKE_PREFIX_PATH={prefix}")


def test_who_wants_the_handler_alone_needs_no_spdlog(prefix, stranger, collector):
    folder = stranger("handler")
    run(build(folder, f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_DISABLE_FIND_PACKAGE_spdlog=ON"))
    assert arrived(collector)


def test_the_shared_library_exports_what_the_headers_mark_and_nothing_else(prefix):
    marked = {
        name
        for header in (prefix / "include" / "log_aggregator").glob("*.h")
        if header.name != "export.h"
        for name in re.findall(r"LOG_AGGREGATOR_API [^;{]*?(\w+)(?:\(| [{])", header.read_text())
    }
    (library,) = prefix.rglob("liblog_aggregator.so.*.*.*")
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


def test_a_module_keeps_its_copy_of_the_library_to_itself(prefix, stranger):
    """The program that loads it may have another, whose functions it would call."""
    folder = stranger("handler")
    edit(folder / "CMakeLists.txt", "REQUIRED", "REQUIRED COMPONENTS static")
    with (folder / "CMakeLists.txt").open("a") as lists:
        lists.write(PLUGIN)
    build(folder, f"-DCMAKE_PREFIX_PATH={prefix}")
    exports = exports_of_plugin(folder)
    assert " T main\n" in exports
    assert " T log_aggregator::" not in exports


def test_the_static_library_is_for_every_compiler(prefix):
    (archive,) = prefix.rglob("liblog_aggregator.a")
    sections = run("readelf", "--section-headers", "--wide", archive)
    assert ".text" in sections
    assert ".gnu.lto" not in sections


def test_clang_links_it(prefix, stranger, collector):
    skip_without("clang++-16")
    folder = stranger("handler")
    options = (f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_CXX_COMPILER=clang++-16")
    run(build(folder, *options))
    assert arrived(collector)
