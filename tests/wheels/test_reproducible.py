"""From the sdist, in another folder, without Node: the same bytes."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

from package.project import ROOT, run
from wheels.conftest import TOOLS


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    build = "from scikit_build_core.build import build_sdist; import sys; build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, folder, cwd=ROOT)
    (file,) = folder.glob("*.tar.gz")
    return file


@pytest.fixture
def without_node(tmp_path):
    """A PATH in which there is no Node and no npm."""
    folders = [
        folder
        for folder in os.environ["PATH"].split(":")
        if not shutil.which("node", path=folder) and not shutil.which("npm", path=folder)
    ]
    # Where Node lies beside compilers, all but Node is linked to.
    for folder in set(os.environ["PATH"].split(":")) - set(folders):
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            link = tmp_path / "path" / name
            link.parent.mkdir(exist_ok=True)
            if name not in ("node", "npm", "npx", "nodejs") and not link.is_symlink():
                link.symlink_to(os.path.join(folder, name))
    return ":".join([*folders, str(tmp_path / "path")])


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


def test_the_sdist_is_ready_to_be_built_with_the_systems_libraries_and_without_node(
    sdist, without_node, tmp_path
):
    run("tar", "-xf", sdist, "-C", tmp_path)
    (source,) = tmp_path.glob("log_aggregator_handler-*")
    options = ("-DLOG_AGGREGATOR_PYTHON=ON", f"-DPython_EXECUTABLE={sys.executable}")
    run(
        *("cmake", "-S", source, "-B", tmp_path / "build", "-G", "Ninja", *options),
        env=os.environ | {"PATH": without_node},
    )
