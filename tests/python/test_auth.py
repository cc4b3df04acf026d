"""Credentials: their forms, when they are asked for, and that nobody gets to see them."""

from __future__ import annotations

import base64
import copy
import pickle
import warnings

import pytest

from log_aggregator_handler import LogAggregatorHandler

ENDPOINT = "http://127.0.0.1:9/api/logs"


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def authorization(shipped, log_api):
    """The Authorization header that arrives with a record."""

    def arrive(auth, **options):
        shipped(lambda log: log.info("x"), auth=auth, **options)
        return log_api.posts[-1].headers["Authorization"]

    return arrive


@pytest.mark.parametrize("pair", [("user", "pass"), ["user", "pass"]])
def test_a_pair_is_basic_authentication(authorization, pair):
    assert authorization(pair) == basic("user", "pass")


def test_user_and_password_may_hold_any_characters(authorization):
    assert authorization(("müller", "pä:ss wörd%")) == basic("müller", "pä:ss wörd%")


def test_a_dict_is_headers(shipped, log_api):
    shipped(lambda log: log.info("x"), auth={"Authorization": "Bearer abc", "X-Tenant": "acme"})
    assert log_api.posts[0].headers["Authorization"] == "Bearer abc"
    assert log_api.posts[0].headers["X-Tenant"] == "acme"


@pytest.mark.parametrize(
    ("answer", "header"),
    [
        (("user", "pass"), basic("user", "pass")),
        (["user", "pass"], basic("user", "pass")),
        ({"Authorization": "Bearer xyz"}, "Bearer xyz"),
    ],
)
def test_a_callable_may_return_either(authorization, answer, header):
    assert authorization(lambda: answer) == header


def test_health_is_asked_with_the_credentials_too(log_api, make_handler):
    handler = make_handler(auth=lambda: {"Authorization": "Bearer abc"})
    assert handler.check_connection()
    assert log_api.requests[0].headers["Authorization"] == "Bearer abc"


def test_without_auth_no_authorization_is_sent(authorization):
    assert authorization(None) is None


def test_none_in_the_pair_counts_as_empty_with_one_warning(authorization):
    with pytest.warns(UserWarning, match="auth contains None") as caught:
        assert authorization(("user", None)) == basic("user", "")
    assert len(caught) == 1


def test_the_warning_of_none_in_the_pair_names_the_line_that_made_the_handler(log_api):
    with pytest.warns(UserWarning, match="auth contains None") as caught:
        LogAggregatorHandler(log_api.endpoint, auth=("user", None)).close()
    assert caught[0].filename == __file__


def test_a_user_and_password_in_the_url_are_used_and_never_shown(log_api, make_handler, logger):
    handler = make_handler(log_api.endpoint.replace("http://", "http://ada:canary@"))
    logger.addHandler(handler)
    logger.info("x")
    assert handler.flush()
    assert log_api.posts[0].headers["Authorization"] == basic("ada", "canary")
    assert "canary" not in repr(handler)
    assert "ada" not in repr(handler)
    assert "canary" not in handler.api_endpoint


@pytest.mark.parametrize("auth", ["user:pass", 5, object(), b"token", {1, 2}])
def test_auth_of_another_type_is_a_type_error(auth):
    with pytest.raises(TypeError, match="auth must be"):
        LogAggregatorHandler(ENDPOINT, auth=auth)


@pytest.mark.parametrize("auth", [(), ("user",), ("a", "b", "c"), ["a"]])
def test_a_pair_of_another_length_is_a_value_error(auth):
    with pytest.raises(ValueError, match="pair"):
        LogAggregatorHandler(ENDPOINT, auth=auth)


@pytest.mark.parametrize("auth", [("user", 5), (b"user", "pass"), {"A": 1}, {1: "a"}, {"A": None}])
def test_parts_of_another_type_are_a_type_error(auth):
    with pytest.raises(TypeError, match="str"):
        LogAggregatorHandler(ENDPOINT, auth=auth)


@pytest.mark.parametrize("evil", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b"])
@pytest.mark.parametrize(
    "make", [lambda evil: {"X-Token": evil}, lambda evil: ("user", evil), lambda evil: {evil: "x"}]
)
def test_line_breaks_and_nul_in_credentials_are_a_value_error(make, evil):
    with pytest.raises(ValueError, match="must not contain") as error:
        LogAggregatorHandler(ENDPOINT, auth=make(evil))
    assert evil not in str(error.value)


@pytest.mark.parametrize("name", ["", "with space", "with:colon", "ümlaut"])
def test_a_name_that_no_header_can_have_is_a_value_error(name):
    with pytest.raises(ValueError, match="header"):
        LogAggregatorHandler(ENDPOINT, auth={name: "x"})


def test_a_callable_is_not_asked_before_it_is_needed():
    asked = []
    LogAggregatorHandler(ENDPOINT, auth=lambda: asked.append(1) or ("user", "pass"))
    assert not asked


def test_what_a_callable_returned_is_used_until_auth_ttl_ends(log_api, make_handler, logger):
    asked = []

    def auth():
        asked.append(1)
        return {"Authorization": f"Bearer {len(asked)}"}

    long_lived = make_handler(auth=auth)
    logger.addHandler(long_lived)
    for _ in range(3):
        logger.info("x")
        assert long_lived.flush()
    assert len(asked) == 1
    logger.removeHandler(long_lived)

    asked.clear()
    short_lived = make_handler(auth=auth, auth_ttl=0.001)
    logger.addHandler(short_lived)
    logger.info("x")
    assert short_lived.flush()
    seen = len(asked)
    # Time passes by the two requests of the next flush at the latest.
    while len(asked) == seen:
        logger.info("x")
        assert short_lived.flush()
    assert log_api.posts[-1].headers["Authorization"] == f"Bearer {len(asked)}"


def test_after_a_401_a_callable_is_asked_again_and_the_record_delivered(
    log_api, make_handler, logger
):
    tokens = iter(["old", "new"])
    handler = make_handler(auth=lambda: {"Authorization": f"Bearer {next(tokens)}"})
    log_api.respond(401, times=1)
    logger.addHandler(handler)
    logger.info("x")
    assert handler.flush()
    assert [post.headers["Authorization"] for post in log_api.posts] == ["Bearer old", "Bearer new"]
    assert [post.status for post in log_api.posts] == [401, 200]


def test_a_401_that_stays_drops_and_reports(log_api, make_handler, logger, capfd):
    handler = make_handler(auth=("user", "canary-password"))
    log_api.respond(401, body="wrong: canary-password")
    logger.addHandler(handler)
    logger.info("x")
    assert not handler.flush()
    assert handler.stats()["dropped"]["unauthorized"] == 1
    error = capfd.readouterr().err
    assert "unauthorized" in error
    assert "401" in error
    assert "canary" not in error


@pytest.mark.parametrize(
    "auth",
    [
        lambda: 1 / 0,
        lambda: None,
        lambda: "token",
        lambda: ("a", "b", "c"),
        lambda: {"X": "a\nb"},
        lambda: {"X": 5},
        lambda: exit(3),
    ],
)
def test_a_callable_that_fails_costs_attempts_and_never_raises(log_api, make_handler, logger, auth):
    handler = make_handler(auth=auth, retry_attempts=1)
    logger.addHandler(handler)
    logger.info("x")
    assert not handler.flush()
    assert not handler.check_connection()
    stats = handler.stats()
    assert stats["dropped"]["retries_exhausted"] == 1
    assert stats["last_error"]
    assert not log_api.posts


def test_a_callable_that_fails_once_is_asked_again(log_api, make_handler, logger):
    answers = iter([OSError(), {"Authorization": "Bearer late"}])

    def auth():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    handler = make_handler(auth=auth)
    logger.addHandler(handler)
    logger.info("x")
    assert handler.flush()
    assert log_api.posts[0].headers["Authorization"] == "Bearer late"


def test_the_message_of_a_callables_error_is_not_shown(make_handler, logger, capfd):
    def auth():
        raise ValueError("canary-token")

    handler = make_handler(auth=auth, retry_attempts=0)
    logger.addHandler(handler)
    logger.info("x")
    handler.flush()
    handler.close()
    error = capfd.readouterr().err
    assert "ValueError" in error
    assert "canary" not in error


def test_a_record_logged_by_the_callable_is_dropped_and_counted_not_looped(
    log_api, make_handler, logger
):
    def auth():
        logger.info("asking for a token")
        return {"Authorization": "Bearer abc"}

    handler = make_handler(auth=auth)
    logger.addHandler(handler)
    logger.info("x")
    handler.flush()
    log_api.wait_for(1)
    assert [record["message"] for record in log_api.records] == ["x"]
    assert handler.stats()["dropped"]["reentrant"] >= 1


def test_a_callable_may_flush_and_close_its_own_handler(log_api, make_handler, logger):
    results = []

    def auth():
        results.append(handler.flush())
        return {"Authorization": "Bearer abc"}

    handler = make_handler(auth=auth)
    logger.addHandler(handler)
    logger.info("x")
    assert handler.flush()
    assert results == [False]


CANARIES = [
    {"auth": ("user", "canary-token")},
    {"auth": {"Authorization": "Bearer canary-token"}},
    {"auth": lambda: {"Authorization": "Bearer canary-token"}},
    {"api_endpoint": "http://user:canary-token@127.0.0.1:9/api/logs"},
    {"api_endpoint": "http://127.0.0.1:9/api/logs?token=canary-token"},
]


@pytest.mark.parametrize("options", CANARIES)
def test_secrets_are_in_no_text_about_a_handler(options, logger, capfd):
    handler = LogAggregatorHandler(
        **{"api_endpoint": ENDPOINT, "retry_attempts": 0, "close_timeout": 5, **options}
    )
    logger.addHandler(handler)
    logger.info("x")
    handler.flush()
    texts = [repr(handler), str(handler), repr(handler.stats())]
    for dump in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            dump(handler)
    handler.close()
    texts += capfd.readouterr()
    assert all("canary" not in text for text in texts)


def test_a_colon_in_the_user_name_is_a_value_error():
    with pytest.raises(ValueError, match="colon"):
        LogAggregatorHandler(ENDPOINT, auth=("a:b", "c"))


def test_a_pair_without_none_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogAggregatorHandler(ENDPOINT, auth=("user", ""))
