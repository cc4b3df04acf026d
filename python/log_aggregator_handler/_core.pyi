"""The C++ core. Its arguments are those that LogAggregatorHandler has checked."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypedDict, final

from log_aggregator_handler.handler import CoreStats

__version__: str

def basic_auth(user: str, password: str, /) -> tuple[str, str]:
    """The name and the value of the header of HTTP Basic authentication."""

def accelerate() -> None: ...
def decelerate() -> None: ...
def register_methods(methods: dict[str, Any], /) -> None:
    """Tells what LogAggregatorHandler's methods are: a handler with others is customised."""

class HandlerBase:
    """What of LogAggregatorHandler a log call touches: handle(), and attributes of Handler.

    handle() leaves what is customised to the method _handle_customised().
    """

    _core: Core
    def handle(self, record: logging.LogRecord) -> bool: ...
    def _paths(self) -> dict[str, int]:
        """Counts of the records that handle() was given, and of those that needed none."""

class TracebackStats(TypedDict):
    formatted: int  # tracebacks whose text was put together from texts of frames
    left: int  # to formatException()
    rendered: int  # times that the traceback module was asked for a frame
    kept: int  # texts of frames

def traceback_stats() -> TracebackStats:
    """How the tracebacks of records were formatted, for all handlers."""

@final
class Core:
    """The handler without what is Python's own. None as an argument means the default.

    Durations are in seconds. Methods that may wait let go of the interpreter lock.
    """

    def __init__(
        self,
        *,
        api_endpoint: str,
        host: str | None = ...,
        headers: Sequence[tuple[str, str]] | None = ...,
        auth: Callable[[], Sequence[tuple[str, str]]] | None = ...,
        auth_ttl: float | None = ...,
        timeout: float | None = ...,
        retry_attempts: int | None = ...,
        retry_delay: float | None = ...,
        verify_ssl: bool | None = ...,
        ca_file: str | None = ...,
        client_cert: str | None = ...,
        client_key: str | None = ...,
        proxy: str | None = ...,
        batch_size: int | None = ...,
        batch_bytes: int | None = ...,
        flush_interval: float | None = ...,
        compression: str | None = ...,
        spool_dir: str | None = ...,
        spool_max_bytes: int | None = ...,
        segment_bytes: int | None = ...,
        durability: str | None = ...,
        sync_interval: float | None = ...,
        crash_handler: bool | None = ...,
        queue_bytes: int | None = ...,
        overflow: str | None = ...,
        block_timeout: float | None = ...,
        max_record_bytes: int | None = ...,
        background: bool | None = ...,
        close_timeout: float | None = ...,
        fields: dict[str, Any] | None = ...,
        level_map: dict[str | int, str] | None = ...,
        report: Callable[[str], object] | None = ...,
    ) -> None: ...
    @property
    def api_endpoint(self) -> str:
        """The endpoint, without a user and password."""

    def emit(self, record: logging.LogRecord, message: object, formatter: object, /) -> bool:
        """Hands a record over; `message` None stands for record.getMessage().

        What getMessage() raises is raised here too, after the record was handed over with a
        message that names the error. `formatter` (or None) formats its exception.
        """

    def emit_unformatted(self, record: logging.LogRecord, error: BaseException, /) -> bool:
        """Hands over a record whose formatting raised `error`."""

    def emit_custom(self, record: dict[str, Any], levelno: int, /) -> bool:
        """Hands over what format_record() made of a record."""

    def encode(self, record: logging.LogRecord, message: object, formatter: object, /) -> bytes:
        """The JSON that emit() would hand over."""

    def flush(self, timeout: float | None, /) -> bool: ...
    def close(self, timeout: float | None, /) -> bool: ...
    def check_connection(self) -> bool: ...
    def detach_callbacks(self, timeout: float | None) -> bool:
        """To be called before the interpreter ends: no other thread will enter a callable.

        Waits up to close_timeout for those that are in one; False if one still is.
        """

    def stats(self) -> CoreStats: ...
    def capsule(self, keeper: object, /) -> object:
        """What C++ code logs through this by: a PyCapsule, which also keeps `keeper` alive."""
