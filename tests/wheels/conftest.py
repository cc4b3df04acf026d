"""The wheels that ./run wheel has built: what is in them, and one of them installed."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from log_aggregator_handler.testing import LogApi
from package.project import ROOT, run
from trust import write_bundle

TOOLS = ROOT / "build" / "wheel" / "tools" / "bin"


@dataclass(frozen=True)
class Wheel:
    """A wheel and what it holds, unpacked."""

    file: Path
    unpacked: Path

    @property
    def python(self) -> str:
        """As cp311."""
        return self.file.name.split("-")[2]

    @property
    def extension(self) -> Path:
        (found,) = self.unpacked.glob("log_aggregator_handler/_core.*.so")
        return found

    @property
    def command(self) -> Path:
        (found,) = self.unpacked.glob("*.data/scripts/log-aggregator")
        return found

    @property
    def metadata(self) -> Path:
        (found,) = self.unpacked.glob("*.dist-info")
        return found


def wheel_files() -> list[Path]:
    return sorted(Path(os.environ.get("LOG_AGGREGATOR_WHEELS", ROOT / "dist")).glob("*.whl"))


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Wheel]:
    """All that were built."""
    found = []
    for file in wheel_files():
        folder = tmp_path_factory.mktemp("wheel")
        with zipfile.ZipFile(file) as archive:
            archive.extractall(folder)
        found.append(Wheel(file, folder))
    if not found:
        pytest.fail(
            "there is no wheel: ./run wheel builds them, LOG_AGGREGATOR_WHEELS names a folder"
        )
    return found


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter that one wheel is tried with."""
    return os.environ.get("LOG_AGGREGATOR_PYTHON", sys.executable)


@pytest.fixture(scope="session")
def wheel(wheels: list[Wheel], python: str) -> Wheel:
    """The one for it."""
    tag = run(python, "-c", "import sys; print('cp%d%d' % sys.version_info[:2])").strip()
    for each in wheels:
        if each.python == tag:
            return each
    pytest.fail(f"there is no wheel for {tag}: ./run wheel --python {python}")


@pytest.fixture(scope="session")
def make_venv(
    tmp_path_factory: pytest.TempPathFactory, wheel: Wheel, python: str
) -> Callable[..., Path]:
    """A function that makes a new environment with the wheel, and returns its interpreter."""

    def make(*packages: str) -> Path:
        folder = tmp_path_factory.mktemp("venv")
        run(python, "-m", "venv", folder)
        made = folder / "bin" / "python"
        run(made, "-m", "pip", "install", "--quiet", wheel.file, *packages)
        return made

    return make


@pytest.fixture(scope="session")
def installed(make_venv: Callable[..., Path]) -> Path:
    """The interpreter of an environment that has the wheel and nothing else."""
    return make_venv()


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of this tree."""
    folder = tmp_path_factory.mktemp("sdist")
    build = "from scikit_build_core.build import build_sdist; import sys; build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, folder, cwd=ROOT)
    (file,) = folder.glob("*.tar.gz")
    return file


@pytest.fixture
def without_node(tmp_path: Path) -> str:
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


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "ca.pem", authority)


@pytest.fixture
def tls_api(authority: trustme.CA) -> Iterator[LogApi]:
    """An API over https, with a certificate of the authority's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with LogApi(ssl_context=context) as api:
        yield api


def version() -> str:
    return (ROOT / "VERSION").read_text().strip()


def requirement(name: str) -> str:
    """`name==version` as scripts/requirements*.txt pin it."""
    for file in sorted((ROOT / "scripts").glob("requirements*.txt")):
        found = re.search(rf"^{re.escape(name)}==[\w.]+", file.read_text(), re.MULTILINE)
        if found:
            return found[0]
    raise LookupError(name)
