"""Certificate authorities as a machine has them: a bundle, a directory, a store of its own.

`machine_that_trusts` is a machine for one program, as far as its store goes: the program has mounts
of its own, which end with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import trustme

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE")

# Where Debian and Fedora have theirs; others have links to these places, or the first one too.
BUNDLES = (
    "ssl/certs/ca-certificates.crt",
    "pki/tls/certs/ca-bundle.crt",
    "pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
)

# Of the places that a machine has. What follows the store is the program and its arguments.
MOUNT = """
set -e
store=$1
shift
for folder in ssl pki; do
  if [ -d "/etc/$folder" ]; then mount --bind "$store/$folder" "/etc/$folder"; fi
done
exec "$@"
"""


def write_bundle(path: Path, *authorities: trustme.CA) -> Path:
    """A PEM file of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(authority.cert_pem.bytes() for authority in authorities))
    return path


def write_hashed(directory: Path, *authorities: trustme.CA) -> Path:
    """A directory of them as OpenSSL reads it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl, which tells a certificate's hash")
    for authority in authorities:
        pem = write_bundle(directory / "authority.pem", authority)
        asked = [openssl, "x509", "-subject_hash", "-noout", "-in", str(pem)]
        name = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        pem.rename(directory / f"{name}.0")
    return directory


def write_store(store: Path, *authorities: trustme.CA) -> Path:
    """What `machine_that_trusts` mounts; may be written again while it runs."""
    for bundle in BUNDLES:
        (store / bundle).parent.mkdir(parents=True, exist_ok=True)
        if authorities:
            write_bundle(store / bundle, *authorities)
    return store


def machine_that_trusts(store: Path, *authorities: trustme.CA) -> list[str]:
    """What to put before a command, so that it sees these authorities, and no others, in /etc."""
    write_store(store, *authorities)
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    machine = ["unshare", *rights, "--mount", "sh", "-c", MOUNT, "sh", str(store)]
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare(1)")
    tried = subprocess.run([*machine, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"a program may not have mounts of its own here: {tried.stderr.strip()}")
    return machine
