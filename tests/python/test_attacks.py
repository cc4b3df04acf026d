"""What somebody hostile may try on the handler and its spool.

Of the same kind: test_tls.py (bad certificates), test_reports.py (what a server makes of reports),
tests/cli and tests/collector (their own attacks).
"""

from __future__ import annotations

import base64
import copy
import http.server
import os
import pickle
import ssl
import threading

import pytest
import trustme

from log_aggregator_handler import LogAggregatorHandler
from log_aggregator_handler.testing import LogApi

NOBODY = "http://127.0.0.1:9/api/logs"
CANARY = "canary-4711-token"
PAIR = base64.b64encode(f"user:{CANARY}".encode()).decode()


# ---- secrets in output


AUTH = {
    "pair": ("user", CANARY),
    "bearer": {"Authorization": f"Bearer {CANARY}"},
    "header": {"X-Api-Key": CANARY},
    "callable": lambda: {"Authorization": f"Bearer {CANARY}"},
    "callable-pair": lambda: ("user", CANARY),
}


@pytest.mark.parametrize(
    "kind", ["pair", "bearer", "header", "callable", "callable-pair", "user-info", "query"]
)
@pytest.mark.parametrize("fault", ["401", "500", "stop", "garbage"])
def test_a_secret_is_in_no_output_no_text_and_no_file(log_api, logger, spool, capfd, kind, fault):
    endpoint = log_api.endpoint
    if kind == "user-info":
        endpoint = endpoint.replace("http://", f"http://user:{CANARY}@")
    elif kind == "query":
        endpoint += f"?token={CANARY}"
    if fault.isdigit():
        # The server repeats what it was sent in headers.
        sent = {"user-info": PAIR, "pair": PAIR, "callable-pair": PAIR, "query": ""}
        log_api.respond(int(fault), body=f"you sent {sent.get(kind, f'Bearer {CANARY}, {CANARY}')}")
    elif fault == "stop":
        log_api.stop()
    else:
        log_api.send_garbage()
    handler = LogAggregatorHandler(
        endpoint,
        spool_dir=spool,
        retry_attempts=0,
        retry_delay=0.01,
        close_timeout=0.2,
        auth=AUTH.get(kind),
    )
    logger.addHandler(handler)
    for _ in range(20):
        logger.info("x")
    handler.flush(0.3)
    texts = [repr(handler), str(handler), repr(handler.stats())]
    for dump in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError) as error:
            dump(handler)
        texts.append(repr(error.value))
    files = [path.read_bytes() for path in spool.rglob("*") if path.is_file()]
    assert sum(map(len, files)) > 1000
    handler.close()
    texts += [repr(handler.stats()), *capfd.readouterr()]
    assert "log-aggregator" in texts[-1]  # there was something to report
    everything = b"\n".join([*files, *(text.encode() for text in texts)])
    for secret in (CANARY, PAIR):
        assert everything.count(secret.encode()) == 0


# ---- redirects


class Redirecting(http.server.BaseHTTPRequestHandler):
    """Sends every request elsewhere."""

    def redirect(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(self.command)
        self.send_response(self.server.status)
        self.send_header("Location", self.server.target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = redirect
    do_POST = redirect

    def log_message(self, *arguments):
        pass


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_redirect_to_another_server_or_to_http_sends_nothing_there(
    logger, tmp_path, status, scheme
):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    with LogApi() as trap, http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as server:
        server.status, server.target, server.seen = status, trap.endpoint, []
        if scheme == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            handler = LogAggregatorHandler(
                f"{scheme}://127.0.0.1:{server.server_port}/api/logs",
                auth={"Authorization": f"Bearer {CANARY}"},
                ca_file=tmp_path / "authority.pem",
                retry_attempts=0,
                close_timeout=10,
            )
            logger.addHandler(handler)
            logger.info("x")
            assert not handler.flush()
            assert not handler.check_connection()
            handler.close()
        finally:
            server.shutdown()
            thread.join()
        assert "POST" in server.seen
        assert "GET" in server.seen
        assert trap.requests == []
    assert sum(handler.stats()["dropped"].values()) == 1


# ---- line breaks


@pytest.mark.parametrize("character", ["\r", "\n", "\r\n", "\0"])
@pytest.mark.parametrize(
    "place",
    ["user", "password", "header name", "header value", "host", "endpoint", "user info", "proxy"],
)
def test_line_breaks_and_nul_are_refused_wherever_a_header_or_a_url_is_made_of_it(place, character):
    bad = f"a{character}Evil: yes"
    options = {
        "user": {"auth": (bad, "b")},
        "password": {"auth": ("a", bad)},
        "header name": {"auth": {bad: "b"}},
        "header value": {"auth": {"A": bad}},
        "host": {"host": bad},
        "endpoint": {"api_endpoint": f"http://127.0.0.1:9/{bad}"},
        "user info": {"api_endpoint": f"http://{bad}:b@127.0.0.1:9/api/logs"},
        "proxy": {"proxy": f"http://{bad}:3128"},
    }[place]
    with pytest.raises(ValueError) as error:  # noqa: PT011 (each place has a text of its own)
        LogAggregatorHandler(**{"api_endpoint": NOBODY, **options})
    assert "Evil" not in str(error.value)


@pytest.mark.parametrize("character", ["\r\n", "\n", "\0"])
def test_a_callable_that_returns_a_line_break_makes_no_request(
    log_api, make_handler, logger, capfd, character
):
    handler = make_handler(
        auth=lambda: {"Authorization": f"{CANARY}{character}Evil: yes"}, retry_attempts=0
    )
    logger.addHandler(handler)
    logger.info("x")
    assert not handler.flush()
    assert log_api.requests == []
    assert CANARY not in capfd.readouterr().err


def test_no_field_of_a_record_can_break_out_of_its_line(log_api, make_handler, logger):
    handler = make_handler(flush_interval=60, compression=None)
    logger.addHandler(handler)
    hostile = 'a\r\n{"message": "forged"}\x1b[2J\u2028\u202e\0'
    logger.name = hostile
    for _ in range(3):
        logger.info(hostile, extra={hostile: hostile})
    assert handler.flush()
    [post] = log_api.posts
    assert len(post.body.split(b"\n")) <= 4
    assert [record["message"] for record in log_api.records] == [hostile] * 3


# ---- the spool's directory


def a_symlink(spool):
    (spool.parent / "target").mkdir(mode=0o700)
    spool.symlink_to("target")
    return spool


def a_symlink_with_a_slash(spool):
    return f"{a_symlink(spool)}/"


def a_dangling_symlink(spool):
    spool.symlink_to("nowhere")
    return spool


def open_to_all(spool):
    spool.mkdir()
    spool.chmod(0o777)
    return spool


def open_to_all_with_a_sticky_bit(spool):
    spool.mkdir()
    spool.chmod(0o1777)
    return spool


def open_to_its_group(spool):
    spool.mkdir()
    spool.chmod(0o770)
    return spool


def of_another_owner(spool):
    if os.geteuid() != 0:
        pytest.skip("a directory of another owner: only root can make one")
    spool.mkdir(mode=0o700)
    os.chown(spool, 65534, 65534)
    return spool


@pytest.mark.parametrize(
    "make",
    [
        a_symlink,
        a_symlink_with_a_slash,
        a_dangling_symlink,
        open_to_all,
        open_to_all_with_a_sticky_bit,
        open_to_its_group,
        of_another_owner,
    ],
    ids=lambda make: make.__name__,
)
def test_a_spool_directory_that_others_could_have_made_or_write_to_is_refused(spool, make):
    with pytest.raises(ValueError, match=r"^spool_dir: .*spool"):
        LogAggregatorHandler(NOBODY, spool_dir=make(spool))
    assert not spool.is_dir() or list(spool.iterdir()) == []


def test_what_others_have_left_in_a_spool_is_neither_followed_nor_delivered(
    log_api, make_handler, logger, spool, tmp_path
):
    """They could, as long as it was open to them."""
    spool.mkdir(mode=0o700)
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "0000000000000001.segment").write_bytes(b"secret" * 1000)
    (victim / "lock").write_bytes(b"")
    (spool / "6f1c0f6e-0b57-4c39-9f5b-7f0f3a6d2c11").symlink_to(victim)
    other = spool / "6f1c0f6e-0b57-4c39-9f5b-7f0f3a6d2c12"
    other.mkdir(mode=0o700)
    (other / "lock").write_bytes(b"")
    (other / "0000000000000001.segment").symlink_to(victim / "0000000000000001.segment")
    os.mkfifo(other / "0000000000000002.segment")
    logger.addHandler(handler := make_handler(spool_dir=spool))
    logger.info("mine")
    assert handler.flush()
    handler.close()
    assert [record["message"] for record in log_api.records] == ["mine"]
    assert sorted(path.name for path in victim.iterdir()) == ["0000000000000001.segment", "lock"]
    assert (victim / "0000000000000001.segment").read_bytes() == b"secret" * 1000
