"""TLS: which servers are trusted, and the handler's own certificate."""

from __future__ import annotations

import datetime
import ssl
import subprocess
import sys
import warnings

import pytest
import trustme

from log_aggregator_handler import LogAggregatorHandler
from log_aggregator_handler.testing import LogApi
from trust import VARIABLES, machine_that_trusts, write_bundle, write_hashed, write_store


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def ca_file(authority, tmp_path):
    return write_bundle(tmp_path / "authority.pem", authority)


@pytest.fixture
def serve():
    """Runs an API over https with a certificate and its key."""
    running = []

    def start(certificate, client_authority=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        if client_authority:
            context.verify_mode = ssl.CERT_REQUIRED
            client_authority.configure_trust(context)
        api = LogApi(ssl_context=context)
        api.start()
        running.append(api)
        return api

    yield start
    for api in running:
        api.stop()


@pytest.fixture
def deliver(logger):
    """Whether a record reaches an API, and the handler that tried."""

    def attempt(api, endpoint=None, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            handler = LogAggregatorHandler(endpoint or api.endpoint, retry_attempts=0, **options)
        logger.handlers = [handler]
        before = len(api.records)
        logger.info("x")
        delivered = handler.flush()
        assert handler.check_connection() == delivered
        handler.close()
        assert len(api.records) - before == delivered
        return delivered

    return attempt


def expired(authority):
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    return authority.issue_cert("127.0.0.1", not_after=yesterday)


def of_another_host(authority):
    return authority.issue_cert("example.com")


def of_an_unknown_authority(authority):
    return trustme.CA().issue_cert("127.0.0.1")


def test_ca_file_says_whom_to_trust(authority, ca_file, serve, deliver):
    api = serve(authority.issue_cert("127.0.0.1"))
    assert deliver(api, ca_file=ca_file)


def test_an_unknown_authority_is_refused(authority, serve, deliver, capfd):
    api = serve(authority.issue_cert("127.0.0.1"))
    assert not deliver(api)
    assert "certificate" in capfd.readouterr().err


@pytest.mark.parametrize("bad", [expired, of_another_host, of_an_unknown_authority])
def test_a_bad_certificate_is_refused(authority, ca_file, serve, deliver, bad):
    assert not deliver(serve(bad(authority)), ca_file=ca_file)


@pytest.mark.parametrize("bad", [expired, of_another_host, of_an_unknown_authority])
def test_verify_ssl_off_accepts_them_all(authority, ca_file, serve, deliver, bad):
    assert deliver(serve(bad(authority)), ca_file=ca_file, verify_ssl=False)


def test_client_cert_and_key_are_shown_to_the_server(authority, ca_file, serve, deliver, tmp_path):
    api = serve(authority.issue_cert("127.0.0.1"), client_authority=authority)
    client = authority.issue_cert("client")
    certificate, key = tmp_path / "client.pem", tmp_path / "client.key"
    client.cert_chain_pems[0].write_to_path(certificate)
    client.private_key_pem.write_to_path(key)
    assert not deliver(api, ca_file=ca_file)
    assert deliver(api, ca_file=ca_file, client_cert=certificate, client_key=key)


def test_client_cert_may_hold_the_key_too(authority, ca_file, serve, deliver, tmp_path):
    api = serve(authority.issue_cert("127.0.0.1"), client_authority=authority)
    both = tmp_path / "both.pem"
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(both)
    assert deliver(api, ca_file=str(ca_file), client_cert=str(both))


# ---- without ca_file: the environment


def named_by(variable, tmp_path, authority):
    """What the variable is set to, so that it names this authority."""
    if variable == "SSL_CERT_DIR":
        return str(write_hashed(tmp_path / f"{variable}.d", authority))
    return str(write_bundle(tmp_path / f"{variable}.pem", authority))


@pytest.mark.parametrize("variable", VARIABLES)
def test_the_environment_says_whom_to_trust(
    authority, serve, deliver, tmp_path, monkeypatch, variable
):
    api = serve(authority.issue_cert("127.0.0.1"))
    monkeypatch.setenv(variable, named_by(variable, tmp_path, authority))
    assert deliver(api)


@pytest.mark.parametrize("variable", VARIABLES)
def test_another_authority_in_the_environment_is_refused_and_named(
    authority, serve, deliver, tmp_path, monkeypatch, variable, capfd
):
    api = serve(authority.issue_cert("127.0.0.1"))
    monkeypatch.setenv(variable, named_by(variable, tmp_path, trustme.CA()))
    assert not deliver(api)
    assert f"{variable} is " in capfd.readouterr().err


def test_ca_file_wins_over_the_environment(
    authority, ca_file, serve, deliver, tmp_path, monkeypatch
):
    api = serve(authority.issue_cert("127.0.0.1"))
    for variable in VARIABLES:
        monkeypatch.setenv(variable, str(tmp_path / "missing"))
    assert deliver(api, ca_file=ca_file)
    for variable in VARIABLES:
        monkeypatch.setenv(variable, named_by(variable, tmp_path, authority))
    other = write_bundle(tmp_path / "other.pem", trustme.CA())
    assert not deliver(api, ca_file=other)


def test_openssls_variables_win_over_curls(authority, serve, deliver, tmp_path, monkeypatch):
    api = serve(authority.issue_cert("127.0.0.1"))
    ours = write_bundle(tmp_path / "ours.pem", authority)
    other = write_bundle(tmp_path / "other.pem", trustme.CA())
    monkeypatch.setenv("CURL_CA_BUNDLE", str(ours))
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    assert not deliver(api)
    monkeypatch.setenv("CURL_CA_BUNDLE", str(other))
    monkeypatch.setenv("SSL_CERT_FILE", str(ours))
    assert deliver(api)


def test_a_file_and_a_directory_in_the_environment_go_together(
    authority, serve, deliver, tmp_path, monkeypatch
):
    second = trustme.CA()
    monkeypatch.setenv("SSL_CERT_FILE", str(write_bundle(tmp_path / "one.pem", authority)))
    monkeypatch.setenv("SSL_CERT_DIR", f"/nowhere:{write_hashed(tmp_path / 'two', second)}")
    for each in (authority, second):
        assert deliver(serve(each.issue_cert("127.0.0.1")))


def test_an_empty_variable_is_not_set(authority, serve, deliver, tmp_path, monkeypatch):
    api = serve(authority.issue_cert("127.0.0.1"))
    monkeypatch.setenv("SSL_CERT_FILE", "")
    monkeypatch.setenv("SSL_CERT_DIR", "")
    monkeypatch.setenv("CURL_CA_BUNDLE", named_by("CURL_CA_BUNDLE", tmp_path, authority))
    assert deliver(api)


def test_verify_ssl_off_looks_at_no_variable(authority, serve, deliver, monkeypatch):
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "/does/not/exist")
    assert deliver(serve(authority.issue_cert("127.0.0.1")), verify_ssl=False)


def test_the_environment_counts_as_it_was_when_the_handler_was_made(
    authority, serve, logger, tmp_path, monkeypatch
):
    api = serve(authority.issue_cert("127.0.0.1"))
    monkeypatch.setenv("SSL_CERT_FILE", named_by("SSL_CERT_FILE", tmp_path, authority))
    handler = LogAggregatorHandler(api.endpoint, retry_attempts=0)
    monkeypatch.setenv("SSL_CERT_FILE", "/does/not/exist")
    logger.handlers = [handler]
    logger.info("x")
    assert handler.flush()
    assert handler.check_connection()
    handler.close()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "CURL_CA_BUNDLE"])
def test_an_unreadable_file_in_the_environment_is_named_and_records_wait_for_it(
    authority, serve, make_handler, logger, tmp_path, monkeypatch, variable
):
    api = serve(authority.issue_cert("127.0.0.1"))
    missing = tmp_path / "bundle.pem"
    monkeypatch.setenv(variable, str(missing))
    handler = make_handler(api.endpoint, retry_attempts=100)
    logger.addHandler(handler)
    logger.info("x")
    while not handler.stats()["last_error"]:
        assert not handler.flush(timeout=0.1)
    reason = f"{variable} is {missing}, which cannot be read: No such file or directory"
    assert reason[:150] in handler.stats()["last_error"]
    write_bundle(missing, authority)
    assert handler.flush(timeout=60)
    assert len(api.records) == 1


@pytest.mark.parametrize("named", ["ca_file", "SSL_CERT_FILE"])
def test_an_authority_that_is_added_to_a_named_file_is_trusted_from_the_next_try_on(
    authority, serve, make_handler, logger, tmp_path, monkeypatch, named
):
    api = serve(authority.issue_cert("127.0.0.1"))
    bundle = write_bundle(tmp_path / "bundle.pem", trustme.CA())
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    options = {"ca_file": bundle} if named == "ca_file" else {}
    handler = make_handler(api.endpoint, retry_attempts=100, **options)
    logger.addHandler(handler)
    logger.info("x")
    while not handler.stats()["last_error"]:
        assert not handler.flush(timeout=0.1)
    write_bundle(bundle, trustme.CA(), authority)
    assert handler.flush(timeout=60)


def test_a_file_in_the_environment_that_holds_no_certificate_is_refused(
    authority, serve, deliver, tmp_path, monkeypatch, capfd
):
    api = serve(authority.issue_cert("127.0.0.1"))
    (tmp_path / "no.pem").write_text("not a certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "no.pem"))
    assert not deliver(api)
    assert "SSL_CERT_FILE is " in capfd.readouterr().err


def test_a_proxy_is_trusted_by_the_environment_and_not_by_ca_file(
    authority, ca_file, serve, deliver, tmp_path, monkeypatch
):
    proxy = serve(authority.issue_cert("127.0.0.1"))
    options = {"proxy": proxy.endpoint, "endpoint": "http://nowhere.invalid/api/logs"}
    assert not deliver(proxy, ca_file=ca_file, **options)
    monkeypatch.setenv("SSL_CERT_FILE", named_by("SSL_CERT_FILE", tmp_path, authority))
    assert deliver(proxy, **options)


# ---- without either: the system's store

PROGRAM = """
import logging, os, sys
from log_aggregator_handler import LogAggregatorHandler

endpoint, ca_file = sys.argv[1:]
options = {"retry_attempts": 100, "retry_delay": 0.01, "ca_file": ca_file or None}
handler = LogAggregatorHandler(endpoint, **options)
logging.getLogger().addHandler(handler)
logging.warning("x")
while not (delivered := handler.flush(timeout=0.1)) and not handler.stats()["last_error"]:
    pass
print(delivered, handler.check_connection(), handler.stats()["last_error"], flush=True)
if sys.stdin.readline():
    print(handler.flush(timeout=60), flush=True)
os._exit(0)
"""


@pytest.fixture
def deliver_on():
    """What a program on a machine says: whether it has delivered, and why not."""

    def attempt(machine, api, ca_file="", meanwhile=None):
        program = subprocess.Popen(
            [*machine, sys.executable, "-c", PROGRAM, api.endpoint, str(ca_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        said = program.stdout.readline()
        if meanwhile:
            meanwhile()
        rest, _ = program.communicate("go on\n" if meanwhile else "", timeout=90)
        return said + rest

    return attempt


def test_the_systems_store_says_whom_to_trust(authority, serve, deliver_on, tmp_path):
    api = serve(authority.issue_cert("127.0.0.1"))
    machine = machine_that_trusts(tmp_path, trustme.CA(), authority)
    assert deliver_on(machine, api).startswith("True True")


def test_what_the_systems_store_does_not_hold_is_refused(authority, serve, deliver_on, tmp_path):
    api = serve(authority.issue_cert("127.0.0.1"))
    said = deliver_on(machine_that_trusts(tmp_path, trustme.CA()), api)
    assert said.startswith("False False")
    assert "certificate" in said
    assert "install" not in said


@pytest.mark.parametrize("named", ["ca_file", "SSL_CERT_FILE", "CURL_CA_BUNDLE"])
def test_a_named_file_stands_in_the_place_of_the_systems_store(
    authority, serve, deliver_on, tmp_path, monkeypatch, named
):
    api = serve(authority.issue_cert("127.0.0.1"))
    machine = machine_that_trusts(tmp_path / "store", authority)
    write_hashed(tmp_path / "store" / "ssl" / "certs", authority)
    other = write_bundle(tmp_path / "other.pem", trustme.CA())
    assert deliver_on(machine, api).startswith("True True")
    if named != "ca_file":
        monkeypatch.setenv(named, str(other))
    said = deliver_on(machine, api, ca_file=other if named == "ca_file" else "")
    assert said.startswith("False False")


def test_without_any_store_it_is_said_what_to_do_and_records_wait_for_one(
    authority, serve, deliver_on, tmp_path
):
    api = serve(authority.issue_cert("127.0.0.1"))
    machine = machine_that_trusts(tmp_path)
    said = deliver_on(machine, api, meanwhile=lambda: write_store(tmp_path, authority))
    assert said.startswith("False False")
    assert "install ca-certificates, or set ca_file or SSL_CERT_FILE" in said
    assert said.splitlines()[-1] == "True"
