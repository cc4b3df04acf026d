"""Each public header compiles alone, without warnings, with both compilers and standards."""

import sysconfig
from concurrent.futures import ThreadPoolExecutor

import pytest

from package.project import ROOT, run, skip_without

# Of the one for extension modules.
PYTHON = sysconfig.get_path("include")
HEADERS = sorted((ROOT / "include" / "log_aggregator").glob("*.h"))
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror")


@pytest.mark.parametrize("standard", ["c++20", "c++2b"])
@pytest.mark.parametrize("compiler", ["g++", "clang++-16"])
def test_public_headers_compile_alone(compiler, standard, tmp_path):
    skip_without(compiler)
    sources = [tmp_path / f"{header.stem}.cc" for header in HEADERS]
    for header, source in zip(HEADERS, sources, strict=True):
        source.write_text(f"#include <log_aggregator/{header.name}>\n")
    others = (*run("pkg-config", "--cflags", "spdlog").split(), "-isystem", PYTHON)
    options = (*others, f"-std={standard}", "-fsyntax-only", f"-I{ROOT / 'include'}", *WARNINGS)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda source: run(compiler, *options, source), sources))


@pytest.mark.parametrize("compiler", ["gcc", "clang-16"])
def test_the_functions_between_copies_of_the_library_are_c(compiler, tmp_path):
    skip_without(compiler)
    source = tmp_path / "main.c"
    source.write_text("#include <log_aggregator/handler_functions.h>\n")
    run(compiler, "-std=c11", "-fsyntax-only", f"-I{ROOT / 'include'}", *WARNINGS, source)
