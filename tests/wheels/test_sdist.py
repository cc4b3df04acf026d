"""What is needed to build is in the sdist, or is the system's."""

from __future__ import annotations

import os
import sys

from package.project import run


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
