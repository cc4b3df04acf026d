"""Each public header compiles alone, without warnings, with both compilers and standards."""

import pytest

from package.project import ROOT, run, skip_without

HEADERS = sorted((ROOT / "include" / "log_aggregator").glob("*.h"))
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror")


@pytest.mark.parametrize("standard", ["c++20", "c++2b"])
@pytest.mark.parametrize("compiler", ["g++", "clang++-16"])
def test_public_headers_compile_alone(compiler, standard, tmp_path):
    skip_without(compiler)
    sources = [tmp_path / f"{header.stem}.cc" for header in HEADERS]
    for header, source in zip(HEADERS, sources, strict=True):
        source.write_text(f"#include <log_aggregator/{header.name}>\n")
    spdlog = run("pkg-config", "--cflags", "spdlog").split()
    options = (*spdlog, f"-std={standard}", "-fsyntax-only", f"-I{ROOT / 'include'}", *WARNINGS)
    run(compiler, *options, *sources)
