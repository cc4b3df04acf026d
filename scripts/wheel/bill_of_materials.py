"""python scripts/wheel/bill_of_materials.py SOURCES PREFIX: what a wheel is made of, its licences.

Writes PREFIX/sbom.cdx.json, a software bill of materials in CycloneDX 1.6, and the licence of each
component into PREFIX/licenses. Needs nothing but the standard library: it runs wherever wheels are
built. The same components give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import urllib.parse
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Library:
    """One that is linked in: from its source, or else what the system has of it."""

    name: str
    spdx: str
    file: str  # an archive, or a header, by which the system's package is found
    licence: str = "COPYING"  # in the source


LIBRARIES = (
    Library("curl", "curl", "libcurl.a"),
    Library("openssl", "Apache-2.0", "libssl.a", "LICENSE.txt"),
    Library("nghttp2", "MIT", "libnghttp2.a"),
    Library("libzstd", "BSD-3-Clause", "libzstd.a", "LICENSE"),
    Library("libdeflate", "MIT", "libdeflate.a"),
    Library("sqlite3", "blessing", "libsqlite3.a", "LICENSE.md"),
    Library("simdjson", "Apache-2.0", "libsimdjson.a", "LICENSE"),
    Library("prometheus-cpp", "MIT", "libprometheus-cpp-core.a", "LICENSE"),
    Library("cli11", "BSD-3-Clause", "CLI/CLI.hpp", "LICENSE"),
)
# Come with the compiler or beside it, wherever that is. Neither licence asks for its text beside a
# program.
BOOST_NOTICE = """Boost's headers: copyright of their authors, under the Boost Software License,
Version 1.0, https://www.boost.org/LICENSE_1_0.txt
"""
LIBSTDCXX_NOTICE = """GCC's runtime libraries: copyright of the Free Software Foundation, under the
GNU General Public License, version 3 or later, with the GCC Runtime Library Exception, version 3.1,
https://www.gnu.org/licenses/gcc-exception-3.1.html
"""


@dataclass(frozen=True)
class Component:
    name: str
    version: str
    purl: str
    spdx: str
    text: str  # of its licence
    hashes: dict[str, str] = field(default_factory=dict)  # names of files and their SHA-256

    def as_json(self) -> dict[str, Any]:
        references = [
            {
                "type": "source-distribution",
                "url": name,
                "hashes": [{"alg": "SHA-256", "content": sha256}],
            }
            for name, sha256 in self.hashes.items()
        ]
        form = "expression" if " WITH " in self.spdx else "license"
        licence = self.spdx if form == "expression" else {"id": self.spdx}
        return {
            "type": "library",
            "bom-ref": self.purl,
            "name": self.name,
            "version": self.version,
            "purl": self.purl,
            "licenses": [{form: licence}],
        } | ({"externalReferences": references} if references else {})


class NotFound(Exception):
    """What a wheel may not be without, and where it was looked for."""


def from_source(library: Library, folder: Path) -> Component:
    """A source package of Debian's, unpacked beside its .dsc by ./run wheel."""
    description = folder.with_suffix(".dsc").read_text()
    source = re.search(r"^Source: (.+)$", description, re.MULTILINE)
    version = re.search(r"^Version: (.+)$", description, re.MULTILINE)
    checksums = re.search(r"^Checksums-Sha256:\n((?: .+\n)+)", description, re.MULTILINE)
    if not source or not version or not checksums:
        raise NotFound(f"{folder}.dsc names no source, version or checksums")
    files = [line.split() for line in checksums[1].splitlines()]
    licence = folder / library.licence
    if not licence.exists():
        licence = folder / "debian" / "copyright"
    return Component(
        library.name,
        version[1],
        purl("deb/debian", source[1], version[1], arch="source"),
        library.spdx,
        licence.read_text(),
        {name: sha256 for sha256, _, name in files if not name.endswith(".asc")},
    )


def from_system(library: Library) -> Component:
    """The Debian package that has the file."""
    if library.file.endswith(".a"):
        path = Path(output("c++", f"-print-file-name={library.file}").strip()).resolve()
    else:
        path = Path("/usr/include") / library.file
    if not path.is_file():
        raise NotFound(f"{library.name} is neither in the sources nor is its {library.file} here")
    if not shutil.which("dpkg-query"):
        raise NotFound(
            f"{library.name} has to be in the sources where there are no Debian packages"
        )
    package = output("dpkg-query", "--search", str(path)).partition(":")[0]
    version, architecture = output(
        "dpkg-query", "--show", "--showformat=${Version} ${Architecture}\n", package
    ).split()[:2]
    text = (Path("/usr/share/doc") / package / "copyright").read_text()
    for name in sorted(set(re.findall(r"/usr/share/common-licenses/(Apache-2\.0)", text))):
        text += f"\n----- {name}\n" + (Path("/usr/share/common-licenses") / name).read_text()
    return Component(
        library.name,
        version,
        purl("deb/debian", package, version, arch=architecture),
        library.spdx,
        text,
    )


def from_compiler() -> Iterator[Component]:
    """What comes with the compiler, which says the versions."""
    includes = "#include <boost/version.hpp>\nBOOST_LIB_VERSION"
    said = subprocess.run(
        ["c++", "-E", "-P", "-x", "c++", "-"], input=includes, capture_output=True, text=True
    )
    boost = re.search(r'"(\d+)_(\d+)(?:_(\d+))?"', said.stdout)
    if said.returncode != 0 or not boost:
        raise NotFound("Boost's headers are not here")
    version = ".".join(part or "0" for part in boost.groups())
    yield Component("boost", version, purl("generic", "boost", version), "BSL-1.0", BOOST_NOTICE)
    version = output("c++", "-dumpfullversion").strip()
    spdx = "GPL-3.0-or-later WITH GCC-exception-3.1"
    yield Component(
        "libstdc++", version, purl("generic", "libstdc++", version), spdx, LIBSTDCXX_NOTICE
    )


def from_page() -> Iterator[Component]:
    """What is bundled into the log page: the notice at its head names it."""
    head = (ROOT / "collector" / "web" / "dist" / "app.js").read_text().partition("*/")[0]
    heads = list(re.finditer(r"^(?:/\*!\n)?([\w@/.-]+) (\d+\.\d+\.\d+\S*)\n\n", head, re.MULTILINE))
    if not heads:
        raise NotFound("the log page has no notice of its licences: ./run setup bundles it")
    for number, found in enumerate(heads):
        name, version = found.groups()
        end = heads[number + 1].start() if number + 1 < len(heads) else len(head)
        text = head[found.end() : end].strip() + "\n"
        yield Component(name, version, purl("npm", name, version), "MIT", text)


def purl(kind: str, name: str, version: str, **qualifiers: str) -> str:
    query = f"?{urllib.parse.urlencode(qualifiers)}" if qualifiers else ""
    return f"pkg:{kind}/{urllib.parse.quote(name)}@{urllib.parse.quote(version, safe='')}{query}"


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def document(components: list[Component]) -> dict[str, Any]:
    version = (ROOT / "VERSION").read_text().strip()
    package = purl("pypi", "log-aggregator-handler", version)
    parts = sorted((component.as_json() for component in components), key=lambda part: part["purl"])
    digest = hashlib.sha256(json.dumps([package, parts]).encode()).digest()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": package,
                "name": "log-aggregator-handler",
                "version": version,
                "purl": package,
                "licenses": [{"license": {"id": "MIT"}}],
            }
        },
        "components": parts,
        "dependencies": [
            {"ref": package, "dependsOn": [part["purl"] for part in parts]},
            *({"ref": part["purl"]} for part in parts),
        ],
    }


def main(sources: Path, prefix: Path) -> int:
    try:
        components = [
            from_source(library, sources / library.name)
            if (sources / library.name).is_dir()
            else from_system(library)
            for library in LIBRARIES
        ]
        components += [*from_compiler(), *from_page()]
    except NotFound as problem:
        print(f"bill_of_materials: {problem}", file=sys.stderr)
        return 1
    licenses = prefix / "licenses"
    shutil.rmtree(licenses, ignore_errors=True)
    licenses.mkdir(parents=True)
    for component in components:
        (licenses / f"{component.name}.txt").write_text(component.text)
    sbom = json.dumps(document(components), indent=2) + "\n"
    (prefix / "sbom.cdx.json").write_text(sbom)
    return 0


if __name__ == "__main__":
    sys.exit(main(*(Path(argument) for argument in sys.argv[1:3])))
