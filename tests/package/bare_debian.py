"""A minimal Debian in a folder, to try packages in as on a stranger's machine.

It is of the release and from the mirror of the system that makes it, and reaches packages the way
this one does: proxies, certificates and apt's settings for downloads are taken over. What was made
once is kept as an archive, so that the next one needs no network.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KEPT = re.compile(r"(https?|ftp|all|no)_proxy", re.IGNORECASE)


class CannotBeMade(Exception):
    """There is no bare Debian here, and why."""


class BareDebian:
    """The system in `root`. Its processes have mounts of their own, which end with them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "root"

    def run(self, *command: str) -> str:
        """Output of a command, run as root in /root; it has to succeed."""
        enter = (
            'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"'
        )
        in_home = ("sh", "-c", 'cd && "$@"', "sh", *command)
        done = run_bare("unshare", "--mount", "sh", "-c", enter, self.root, *in_home)
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def apt_get(self, *arguments: str) -> None:
        self.run("apt-get", "-q", "-y", "--no-install-recommends", *arguments)


def run_bare(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a command with nothing of the environment but what it says of the network."""
    return subprocess.run(
        command,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
    return kept | {
        "HOME": "/root",
        "PATH": PATH,
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
    }


@contextmanager
def bare_debian(
    folder: Path, cache: Path, purpose: str, packages: Sequence[str]
) -> Iterator[BareDebian]:
    """One in `folder` that has `packages`, each a dependency as Debian writes them, until the end.

    `cache` is the folder for archives of those that were made, the newest for each purpose.
    """
    if os.geteuid() != 0:
        raise CannotBeMade("only root can make one")
    for program in ("apt-get", "debootstrap", "unshare", "chroot"):
        if not shutil.which(program, path=PATH):
            raise CannotBeMade(f"{program} is not installed")
    sources = mirrors()
    key = repr((release(), platform.machine(), sorted(packages), sources))
    archive = cache / f"bare-debian-{purpose}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.tar"
    system = BareDebian(folder / "bare-debian")
    try:
        if not archive.exists():
            make(system, sources, packages)
            keep(system, archive, purpose)
        else:
            system.root.mkdir()
            subprocess.run(["tar", "-xf", archive, "-C", system.root], check=True)
        yield system
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", system.root], check=True)


def make(system: BareDebian, sources: list[str], packages: Sequence[str]) -> None:
    if not sources:
        raise CannotBeMade(f"apt has no source of {release()!r}")
    mirror = sources[0].split()[1]
    options = ("--variant=minbase", "--include=ca-certificates")
    done = run_bare("unshare", "--mount", "debootstrap", *options, release(), system.root, mirror)
    if done.returncode != 0:
        raise CannotBeMade(f"debootstrap: {done.stdout.strip()[-300:]}")
    take_over_settings(system.root, sources)
    system.apt_get("update")
    system.run("apt-get", "-q", "-y", "--no-install-recommends", "satisfy", *packages)
    system.apt_get("clean")


def take_over_settings(root: Path, sources: list[str]) -> None:
    apt = root / "etc" / "apt"
    (apt / "sources.list").write_text("".join(f"{line}\n" for line in sources))
    settings = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True)
    downloads = re.findall(r"^Acquire::.*\n", settings.stdout, re.MULTILINE)
    (apt / "apt.conf.d" / "90downloads").write_text("".join(downloads))
    for folder in ("/etc/apt/keyrings", "/usr/share/keyrings"):
        for key in Path(folder).glob("*.[ga][ps][gc]"):
            shutil.copyfile(key, apt / "trusted.gpg.d" / key.name)
    for name in ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt"):
        if Path(name).exists():
            shutil.copyfile(name, f"{root}{name}")
    # It is thrown away soon: nothing has to be on the disk.
    (root / "etc" / "dpkg" / "dpkg.cfg.d" / "unsafe-io").write_text("force-unsafe-io\n")


def keep(system: BareDebian, archive: Path, purpose: str) -> None:
    """Archives the system; who is interrupted leaves none."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    for old in archive.parent.glob(f"bare-debian-{purpose}-*.tar*"):
        old.unlink()
    unfinished = archive.with_suffix(".tar-unfinished")
    subprocess.run(["tar", "-cf", unfinished, "-C", system.root, "."], check=True)
    unfinished.rename(archive)


def release() -> str:
    """The code name, as bookworm; empty where there is none."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "")


def mirrors() -> list[str]:
    """What apt has of this release and its updates, a line each as in sources.list."""
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    command = ("apt-get", "indextargets", "--no-release-info", "--format", form)
    targets = subprocess.run(command, capture_output=True, text=True, check=True)
    ours = re.compile(rf"\S+ {re.escape(release())}(-\w+)? ")
    lines = dict.fromkeys(targets.stdout.splitlines())
    return [f"deb {line}" for line in lines if ours.match(line)]
