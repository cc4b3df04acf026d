"""From the sdist, elsewhere and without Node: the same bytes. ./run wheel --reproduce runs it."""

from __future__ import annotations

import os
import shutil

import pytest

from package.project import ROOT, run
from wheels.conftest import TOOLS


@pytest.mark.timeout(1800)
def test_the_sdist_gives_the_same_bytes_in_another_place(
    wheel, python, sdist, without_node, tmp_path
):
    environment = os.environ | {
        "PATH": without_node,
        "LOG_AGGREGATOR_STATIC_LIBRARIES": str(ROOT / "build" / "wheel" / "libraries"),
        "CC": os.environ.get("CC", "cc"),
        "CXX": os.environ.get("CXX", "c++"),
        "PIP_CONSTRAINT": str(ROOT / "scripts" / "constraints-wheel.txt"),
        "SOURCE_DATE_EPOCH": "315532800",
    }
    assert not shutil.which("node", path=without_node)
    pip = (TOOLS / "python", "-m", "pip", "--python", python)
    run(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path / "built", sdist, env=environment)
    (built,) = (tmp_path / "built").glob("*.whl")
    tools = environment | {"PATH": f"{TOOLS}:{without_node}"}
    repair = ("repair", "--only-plat", "--wheel-dir", tmp_path / "repaired", built)
    run(TOOLS / "auditwheel", *repair, env=tools)
    assert (tmp_path / "repaired" / wheel.file.name).read_bytes() == wheel.file.read_bytes()
