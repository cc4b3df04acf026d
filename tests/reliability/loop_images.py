"""File systems of several kinds, made in image files and mounted on loop devices.

A spool is written through mappings only where the file system keeps what was reserved, so that both
ways have to be tried on real ones::

    from reliability.loop_images import KINDS, mounted_image

    @pytest.mark.parametrize("kind", KINDS)
    def test_records_arrive(kind, tmp_path):
        with mounted_image(kind, tmp_path) as directory:
            ...

or by the fixture `loop_image`, which is one image of each kind in turn. Only root may mount.
Without loop devices, the kind's mkfs (Debian: e2fsprogs, btrfs-progs) or its driver the test is
skipped, with a reason that names what is missing. The image is unmounted when the block is left,
whatever happened in it, and what a killed test run has left mounted is unmounted by the next one.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest

# Whether files of a spool are written through mappings there. ext2 is served by ext4's driver,
# which cannot reserve for it; btrfs reserves, and then writes elsewhere.
KEEPS_RESERVATIONS = {"ext2": False, "btrfs": False, "ext4": True}
KINDS = tuple(KEEPS_RESERVATIONS)

IMAGE_BYTES = 128 << 20  # btrfs takes no less than 109 MiB
MOUNT_POINT = "loop-image-of-"


def skip_unless_possible(kind: str) -> None:
    """Skips the test, saying what is missing."""
    if os.geteuid() != 0:
        pytest.skip(f"{kind} image: only root can mount it")
    for tool in (f"mkfs.{kind}", "mount", "umount"):
        if find_tool(tool) is None:
            pytest.skip(f"{kind} image: no {tool} here")
    if not pathlib.Path("/dev/loop-control").exists():
        pytest.skip(f"{kind} image: no loop devices here")


def find_tool(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def run_tool(name: str, *arguments: str | pathlib.Path) -> subprocess.CompletedProcess[str]:
    command = [find_tool(name) or name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def unmount(directory: pathlib.Path) -> None:
    """At once, or as soon as the last process that still uses it ends."""
    if run_tool("umount", directory).returncode != 0:
        run_tool("umount", "--lazy", directory)


def unmount_what_dead_runs_left() -> None:
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        directory = pathlib.Path(line.split()[1].replace("\\040", " "))
        pid = directory.name.removeprefix(MOUNT_POINT)
        if pid != directory.name and not pathlib.Path("/proc", pid).exists():
            unmount(directory)


@contextlib.contextmanager
def mounted_image(
    kind: str, directory: pathlib.Path, image_bytes: int = IMAGE_BYTES
) -> Iterator[pathlib.Path]:
    """A new file system of that kind, mounted below `directory` and writable by its owner only."""
    skip_unless_possible(kind)
    unmount_what_dead_runs_left()
    image = directory / f"{kind}.image"
    with image.open("wb") as file:
        file.truncate(image_bytes)
    made = run_tool(f"mkfs.{kind}", "-q", image)
    assert made.returncode == 0, made.stderr
    mount_point = directory / kind / f"{MOUNT_POINT}{os.getpid()}"
    mount_point.mkdir(parents=True)
    try:
        mounted = run_tool("mount", "-o", "loop", "-t", kind, image, mount_point)
        if mounted.returncode != 0:
            pytest.skip(f"{kind} image: it cannot be mounted here: {mounted.stderr.strip()}")
        mount_point.chmod(0o700)
        yield mount_point
    finally:
        if os.path.ismount(mount_point):
            unmount(mount_point)
        image.unlink()


@pytest.fixture(params=KINDS)
def loop_image(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """The mount point of an image; `KEEPS_RESERVATIONS[loop_image.parent.name]` is its kind's."""
    with mounted_image(request.param, tmp_path) as directory:
        yield directory
