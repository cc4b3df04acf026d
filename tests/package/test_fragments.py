"""The fragments of C++ in docs/cpp.md compile."""

import re
import sysconfig

from package.project import DOCUMENT, ROOT, run

PYTHON = sysconfig.get_path("include")

# What stands around a fragment that is not a whole file.
FUNCTION = """
#include <log_aggregator/handler.h>
#include <log_aggregator/spdlog_sink.h>
void fragment(log_aggregator::Handler& handler, const std::vector<std::string>& roles,
              const std::shared_ptr<log_aggregator::spdlog_sink_mt>& sink) {
  static_cast<void>(handler), static_cast<void>(roles), static_cast<void>(sink);
"""


def test_fragments_compile(tmp_path):
    fragments = re.findall(r"^```cpp fragment\n(.*?)^```$", DOCUMENT.read_text(), re.S | re.M)
    assert len(fragments) == DOCUMENT.read_text().count("cpp fragment") > 0
    sources = []
    for number, fragment in enumerate(fragments):
        source = tmp_path / f"fragment{number}.cc"
        source.write_text(fragment if "#include" in fragment else f"{FUNCTION}{fragment}}}\n")
        sources.append(source)
    spdlog = run("pkg-config", "--cflags", "spdlog").split()
    includes = (f"-I{ROOT / 'include'}", "-isystem", PYTHON)
    run("g++", "-std=c++20", "-fsyntax-only", "-Wall", "-Werror", *includes, *spdlog, *sources)
