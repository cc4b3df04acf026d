"""What the tests of the package share: a stranger's projects are the samples of docs/cpp.md."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "cpp.md"
PROJECTS = ("handler", "spdlog")


def sample(name: str) -> str:
    """The text of the block of docs/cpp.md that has this behind its language."""
    (text,) = re.findall(
        rf"^```\w+ {re.escape(name)}\n(.*?)^```$", DOCUMENT.read_text(), re.S | re.M
    )
    return text


def run(*command: str | Path, **options: Any) -> str:
    """Standard output of a command, which has to succeed."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


def install(build_tree: Path, prefix: Path) -> None:
    """Installs the library from a build with LOG_AGGREGATOR_INSTALL."""
    for component in ("runtime", "devel"):
        run("cmake", "--install", build_tree, "--prefix", prefix, "--component", component)


def skip_without(*programs: str) -> None:
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
