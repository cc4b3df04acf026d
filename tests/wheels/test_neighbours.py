"""In one process with an application's own curl and OpenSSL, all work and none meets another."""

from __future__ import annotations

import itertools

import pytest

from package.project import run
from wheels.conftest import requirement

# Each sends over TLS, checks certificates, and goes on after the others were used.
PROGRAM = """
import logging, sys
endpoint, ca_file, *order = sys.argv[1:]

def ours():
    from log_aggregator_handler import LogAggregatorHandler
    handler = LogAggregatorHandler(endpoint, ca_file=ca_file, retry_attempts=0)
    logger = logging.Logger("shop")
    logger.addHandler(handler)
    logger.warning("sold")
    assert handler.flush(), handler.stats()

def pycurl():
    import pycurl
    body = bytearray()
    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, endpoint)
    curl.setopt(pycurl.CAINFO, ca_file)
    curl.setopt(pycurl.WRITEFUNCTION, body.extend)
    curl.perform()
    assert curl.getinfo(pycurl.RESPONSE_CODE) in range(200, 500)

def cryptography():
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.asymmetric import ec
    fernet = Fernet(Fernet.generate_key())
    assert fernet.decrypt(fernet.encrypt(b"x")) == b"x"
    ec.generate_private_key(ec.SECP256R1())

def standard():
    import ssl, urllib.request, urllib.error
    try:
        urllib.request.urlopen(endpoint, context=ssl.create_default_context(cafile=ca_file))
    except urllib.error.HTTPError:
        pass

for name in order * 2:
    globals()[name]()
"""


@pytest.fixture(scope="module")
def neighbours(make_venv):
    """The interpreter of an environment that has the wheel, pycurl and cryptography."""
    return make_venv(requirement("pycurl"), requirement("cryptography"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "order",
    [
        ("ours", "pycurl", "cryptography", "standard"),
        ("pycurl", "cryptography", "standard", "ours"),
        ("cryptography", "ours", "pycurl"),
    ],
    ids="-".join,
)
def test_it_works_beside_other_copies_of_curl_and_openssl(neighbours, order, tls_api, ca_file):
    run(neighbours, "-c", PROGRAM, tls_api.endpoint, ca_file, *order)
    assert len(tls_api.records) == 2


def test_both_orders_of_every_two_are_tried():
    tried = {
        pair
        for order in test_it_works_beside_other_copies_of_curl_and_openssl.pytestmark[0].args[1]
        for pair in itertools.combinations(order, 2)
    }
    assert {("ours", "pycurl"), ("pycurl", "ours")} <= tried
    assert {("ours", "cryptography"), ("cryptography", "ours")} <= tried
