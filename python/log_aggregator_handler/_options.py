"""What LogAggregatorHandler checks about its arguments before the core sees them.

Each function returns the value in the form that the core takes, or raises TypeError or ValueError
with a text that names the argument. Values of credentials never appear in such a text.
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from log_aggregator_handler import _core

ENDPOINT_VARIABLE = "LOG_AGGREGATOR_API_ENDPOINT"

Headers = list[tuple[str, str]]
Credentials = tuple[str, str | None] | Sequence[str | None] | Mapping[str, str]
Auth = Credentials | Callable[[], Credentials]


def endpoint(api_endpoint: str | None) -> str:
    """The argument, else the variable in .env, else the variable in the environment."""
    if api_endpoint is not None:
        return text("api_endpoint", api_endpoint)
    found = _endpoint_from_dotenv() or os.environ.get(ENDPOINT_VARIABLE)
    if found:
        return text(ENDPOINT_VARIABLE, found)
    raise ValueError(
        "no API endpoint: pass the argument api_endpoint, or set "
        f"{ENDPOINT_VARIABLE} in a .env file in the current directory (this needs the package "
        "python-dotenv: pip install log-aggregator-handler[dotenv]) or as an environment variable"
    )


def _endpoint_from_dotenv() -> str | None:
    if not os.path.isfile(".env"):
        return None
    try:
        import dotenv
    except ImportError:
        return None
    try:
        return dotenv.dotenv_values(".env").get(ENDPOINT_VARIABLE)
    except (OSError, ValueError) as error:
        warnings.warn(f".env cannot be read: {type(error).__name__}", stacklevel=4)
        return None


def text(name: str, value: object) -> str:
    """A str that can be part of a URL, a header or a path: no line break, no NUL."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if any(character in value for character in "\r\n\0"):
        raise ValueError(f"{name} must not contain a line break or a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} must not contain lone surrogates") from None
    return value


def optional_text(name: str, value: object) -> str | None:
    return None if value is None else text(name, value)


def path(name: str, value: object) -> str | None:
    """A str or os.PathLike."""
    if value is None:
        return None
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    return text(name, value)


def flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {type(value).__name__}")
    return value


def integer(name: str, value: object, minimum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, not {value}")
    if value > 2**62:
        raise ValueError(f"{name} is too large")
    return value


def optional_integer(name: str, value: object, minimum: int) -> int | None:
    return None if value is None else integer(name, value, minimum)


def seconds(name: str, value: object, *, above_zero: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, not {value}")
    if value < 0 or (above_zero and value == 0):
        bound = "above zero" if above_zero else "zero or more"
        raise ValueError(f"{name} must be {bound}, not {value}")
    return float(value)


def choice(name: str, value: object, choices: Sequence[str | None]) -> str | None:
    if value not in choices:
        expected = ", ".join(repr(item) for item in choices)
        raise ValueError(f"{name} must be one of {expected}, not {value!r}")
    return None if value is None else str(value)


def level_map(value: object) -> dict[str | int, str] | None:
    """Keys are level names in any case, or numbers."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(f"level_map must be a dict, not {type(value).__name__}")
    levels: dict[str | int, str] = {}
    for key, level in value.items():
        if isinstance(key, bool) or not isinstance(key, (str, int)):
            raise TypeError(f"level_map's keys must be level names or numbers, not {key!r}")
        if not isinstance(level, str):
            raise TypeError(f"level_map[{key!r}] must be a str, not {type(level).__name__}")
        levels[key.upper() if isinstance(key, str) else key] = level
    return levels or None


def fields(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(f"fields must be a dict, not {type(value).__name__}")
    for name in value:
        if not isinstance(name, str):
            raise TypeError(f"the names of fields must be str, not {type(name).__name__}")
    return dict(value)


def fallback_logger(value: object) -> logging.Logger | None:
    if value is None or isinstance(value, logging.Logger):
        return value
    if isinstance(value, str):
        return logging.getLogger(value)
    raise TypeError(
        "fallback_logger must be a logger or the name of one, not " + type(value).__name__
    )


def credentials(value: object, name: str = "auth") -> Headers:
    """A (user, password) pair or a mapping of headers, as headers."""
    if isinstance(value, Mapping):
        return [(_header_text(name, key), _header_text(name, item)) for key, item in value.items()]
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{name} must be a pair (user, password), not {len(value)} items")
        user, password = (_pair_text(name, item) for item in value)
        if ":" in user:
            raise ValueError(f"the user name in {name} must not contain a colon")
        return [_core.basic_auth(user, password)]
    raise TypeError(
        f"{name} must be a (user, password) pair, a dict of headers or a callable returning one "
        f"of these, not {type(value).__name__}"
    )


def _pair_text(name: str, value: object) -> str:
    if value is None:
        warnings.warn(
            f"{name} contains None, which is taken as empty: is a variable unset?", stacklevel=5
        )
        return ""
    return _header_text(name, value)


def _header_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must contain str only, not {type(value).__name__}")
    return text(f"a value in {name}", value)


class AskForCredentials:
    """Calls the user's auth callable, and returns headers."""

    def __init__(self, function: Callable[[], Credentials]) -> None:
        self._function = function

    def __call__(self) -> Headers:
        return credentials(self._function(), "what the auth callable returned")
