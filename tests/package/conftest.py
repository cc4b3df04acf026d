"""What is installed from the build, and a stranger's project that uses it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from package.project import ROOT, install, sample


@pytest.fixture(scope="session")
def build_tree() -> Path:
    """A Release build with LOG_AGGREGATOR_INSTALL: $LOG_AGGREGATOR_BUILD or ./run setup's."""
    tree = Path(os.environ.get("LOG_AGGREGATOR_BUILD", ROOT / "build" / "release"))
    if not (tree / "src" / "static" / "liblog_aggregator.a").exists():
        pytest.fail(f"{tree} has nothing to install: run ./run setup or set LOG_AGGREGATOR_BUILD")
    return tree


@pytest.fixture(scope="session")
def prefix(build_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the library is installed, and not where it was installed first."""
    folder = tmp_path_factory.mktemp("installed")
    install(build_tree, folder / "first")
    return (folder / "first").rename(folder / "second")


@pytest.fixture
def stranger(tmp_path: Path, collector) -> Callable[[str], Path]:
    """A function that makes the folder of one of PROJECTS, which logs to the collector."""

    def make(project: str) -> Path:
        folder = tmp_path / project
        folder.mkdir()
        for name in ("main.cc", "CMakeLists.txt"):
            text = sample(f"{project} {name}").replace("http://127.0.0.1:8080", collector.url)
            (folder / name).write_text(text)
        return folder

    return make
