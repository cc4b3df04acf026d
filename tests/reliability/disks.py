"""Small disks for spools: a tmpfs, or an image of a real file system. Only root may mount them.

with small_disk("tmpfs", tmp_path) as disk:
    disk.fill()          # until nothing more fits
    ...
    disk.mend()
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator

import pytest

from reliability.loop_images import find_tool, mounted_image, run_tool, unmount

TMPFS_BYTES = 4 << 20


class Disk:
    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.spool = directory / "spool"
        self._filler = directory / "filler"

    def fill(self) -> None:
        with self._filler.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"x" * size)
            with contextlib.suppress(OSError):
                os.fsync(file.fileno())

    def mend(self) -> None:
        self._filler.unlink()
        os.sync()

    def remount(self, how: str) -> None:
        """How: "ro" or "rw". Nothing there may be open for writing."""
        done = run_tool("mount", "-o", f"remount,{how}", self.directory)
        assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def small_disk(kind: str, directory: pathlib.Path) -> Iterator[Disk]:
    """A tmpfs of 4 MiB, or an image of a file system; skips where it cannot be mounted."""
    if kind != "tmpfs":
        with mounted_image(kind, directory) as mount_point:
            yield Disk(mount_point)
        return
    if os.geteuid() != 0 or find_tool("mount") is None:
        pytest.skip("tmpfs: only root can mount it")
    mount_point = directory / "tmpfs"
    mount_point.mkdir()
    mounted = run_tool(
        "mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES},mode=700", "tmpfs", mount_point
    )
    if mounted.returncode != 0:
        pytest.skip(f"tmpfs: it cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield Disk(mount_point)
    finally:
        unmount(mount_point)
