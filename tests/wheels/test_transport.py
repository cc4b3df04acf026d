"""What the curl and the OpenSSL that are linked in can do, what of the host they leave alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from package.project import run
from wheels.conftest import TOOLS

SEND = """
import logging, sys
from log_aggregator_handler import LogAggregatorHandler
handler = LogAggregatorHandler(sys.argv[1], ca_file=sys.argv[2], retry_delay=0.05)
logger = logging.Logger("shop")
logger.addHandler(handler)
logger.warning("sold")
assert handler.flush(), handler.stats()
"""
# An API that stores nothing and tells in which version of HTTP it was asked.
ASGI = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    print(scope["method"], "HTTP", scope["http_version"], flush=True)
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})
"""
# With it no program that reads it has a cipher, or any other algorithm.
NOTHING_IS_ALLOWED = """
openssl_conf = everything
config_diagnostics = 1
[everything]
providers = all
[all]
absent = absent_one
[absent_one]
activate = 1
"""


def test_a_server_that_speaks_http_2_is_sent_to_by_http_2(installed, authority, ca_file, tmp_path):
    (tmp_path / "api.py").write_text(ASGI)
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    options = ("--certfile", "server.pem", "--keyfile", "server.pem", "--bind", "127.0.0.1:0")
    with subprocess.Popen(
        [TOOLS / "hypercorn", *options, "--log-file", "log", "api:app"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            run(installed, "-c", SEND, f"{address(tmp_path / 'log', server)}/api/logs", ca_file)
        finally:
            server.terminate()
        assert "POST HTTP 2" in server.stdout.read()


def address(log, server, timeout_s=20):
    """Where it says that it listens."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and server.poll() is None:
        words = log.read_text().split() if log.exists() else []
        for word in words:
            if word.startswith("https://127.0.0.1:"):
                return word
        time.sleep(0.02)
    pytest.fail("hypercorn did not start")


def test_the_hosts_configuration_of_openssl_is_not_read(installed, tls_api, ca_file, tmp_path):
    configuration = tmp_path / "openssl.cnf"
    configuration.write_text(NOTHING_IS_ALLOWED)
    environment = os.environ | {"OPENSSL_CONF": str(configuration)}
    run(installed, "-c", SEND, tls_api.endpoint, ca_file, env=environment)
    assert len(tls_api.records) == 1
    # Others do read it: this one says something.
    others = [sys.executable, "-c", "import ssl; ssl.create_default_context()"]
    assert subprocess.run(others, env=environment, capture_output=True).returncode != 0
