"""TLS: which servers are trusted, and the handler's own certificate."""

from __future__ import annotations

import datetime
import ssl
import warnings

import pytest
import trustme

from log_aggregator_handler import LogAggregatorHandler
from log_aggregator_handler.testing import LogApi


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def ca_file(authority, tmp_path):
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    return path


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

    def attempt(api, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            handler = LogAggregatorHandler(api.endpoint, retry_attempts=0, **options)
        logger.handlers = [handler]
        logger.info("x")
        delivered = handler.flush()
        assert handler.check_connection() == delivered
        handler.close()
        assert len(api.records) == delivered
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
