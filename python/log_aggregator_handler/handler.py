"""LogAggregatorHandler: the logging.Handler. All its work but what is Python's own is in _core."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, TypedDict

from log_aggregator_handler import _core, _ending, _options
from log_aggregator_handler._options import Auth


class CoreStats(TypedDict):
    """What became of every record: accepted == delivered + pending + sum(dropped.values())."""

    accepted: int
    delivered: int
    dropped: dict[str, int]  # by cause
    dropped_by_level: dict[str, int]  # the same records by level
    pending: int  # queued, spooled or under way
    pending_bytes: int
    durable: int  # of accepted: delivered, dropped, or safe from a power cut
    adopted_delivered: int  # found in spools of processes that are gone, and delivered
    adopted_dropped: int  # found there and given up, or damaged there
    retries: int
    batches: int
    bytes_sent: int
    last_error: str | None


class Stats(CoreStats):
    """What became of every record, and by which way log calls reached the handler."""

    paths: dict[str, int]  # log calls: "fast", "record_built", "fallback"; see accelerate()


class LogAggregatorHandler(_core.HandlerBase, logging.Handler):
    """Ships log records as JSON to a log aggregation API, in the background.

    A log call encodes its record, puts it into a bounded queue and returns; a thread without the
    interpreter lock delivers. Errors never reach the application: a record that cannot be delivered
    is counted in `stats()` and reported on sys.stderr or to `fallback_logger`.

    Arguments (durations are in seconds):

    api_endpoint: URL that records are posted to. None: LOG_AGGREGATOR_API_ENDPOINT of a .env file
        in the current directory (needs python-dotenv), then of the environment, else ValueError.
    host: the records' `host`. None: the machine's host name.
    auth: `(user, password)`, a dict of headers, or a callable returning either. The callable is
        asked before the first request, every `auth_ttl` and after a 401 or 403; it needs a timeout
        of its own, because flush() and close() wait for a call that has begun.
    timeout: of one request, from the name lookup to the end of the answer.
    retry_attempts: retries after the first try of a batch.
    retry_delay: before the first retry; doubled for each further one, up to 30 s, plus up to half
        of it by chance.
    verify_ssl: False accepts any certificate, and warns.
    level_map: the API's name for a level, by the level's name (any case) or number.

    batch_size: records in a request. None: as many as the API says that it takes, else one.
    batch_bytes: bytes of records in a request, before compression.
    flush_interval: how long a record may wait for others to share its request.
    spool_dir: directory in which records wait. They survive the process there, however it ends, and
        the next one that uses the directory delivers them; a batch is never dropped for want of an
        answer. None: records wait in memory only.
    spool_max_bytes: of records there, for this process.
    segment_bytes: size of a file there.
    durability: "process": what a log call has accepted survives the death of the process; a power
        cut loses what the system has not written to the disk yet, commonly the last 30 s. "power":
        it survives that, too, but for what was logged within the last `sync_interval`.
    sync_interval: how often records are synced to the disk with durability "power".
    crash_handler: True makes a crash of the process (a fault in native code, abort()) leave a last
        record, of level CRITICAL, in the spool: the signal, the thread and its native stack.
        faulthandler works beside it. Needs `spool_dir`.
    queue_bytes: memory for records that wait; with a spool, while the disk takes nothing.
    overflow: what happens to a record that finds the queue full: "drop_newest", "drop_oldest" or
        "block" (the log call waits for up to block_timeout).
    background: False makes a log call return after the API's verdict on its record.
    compression: "auto" (what the API says that it takes), "zstd", "gzip" or None.
    fields: static fields of every record, for example {"service": "shop"}.
    fallback_logger: a logger or the name of one that receives error reports instead of sys.stderr.
    close_timeout: how long close(), flush() without a timeout and the end of the program may wait.
    ca_file: PEM file of the certificate authorities to trust, these alone. None: what SSL_CERT_FILE
        and SSL_CERT_DIR name when the handler is made, else CURL_CA_BUNDLE, else the system's.
    client_cert, client_key: PEM files: a certificate to show.
    proxy: URL. None: as the environment says (https_proxy, no_proxy, ...).
    max_record_bytes: a longer record is cut, its message first, and marked.
    auth_ttl: how long what an auth callable returned is used.
    """

    def __init__(
        self,
        api_endpoint: str | None = None,
        host: str | None = None,
        auth: Auth | None = None,
        timeout: float = 5.0,
        retry_attempts: int = 3,
        retry_delay: float = 1.0,
        verify_ssl: bool = True,
        level_map: Mapping[str | int, str] | Mapping[str, str] | Mapping[int, str] | None = None,
        *,
        batch_size: int | None = None,
        batch_bytes: int = 1 << 20,
        flush_interval: float = 0.2,
        spool_dir: str | os.PathLike[str] | None = None,
        spool_max_bytes: int = 1 << 30,
        segment_bytes: int = 1 << 20,
        durability: Literal["process", "power"] = "process",
        sync_interval: float = 1.0,
        crash_handler: bool = False,
        queue_bytes: int = 64 << 20,
        overflow: Literal["drop_newest", "drop_oldest", "block"] = "drop_newest",
        block_timeout: float = 1.0,
        background: bool = True,
        compression: Literal["auto", "zstd", "gzip"] | None = "auto",
        fields: Mapping[str, Any] | None = None,
        fallback_logger: str | logging.Logger | None = None,
        close_timeout: float = 5.0,
        ca_file: str | os.PathLike[str] | None = None,
        client_cert: str | os.PathLike[str] | None = None,
        client_key: str | os.PathLike[str] | None = None,
        proxy: str | None = None,
        max_record_bytes: int = 1 << 20,
        auth_ttl: float = 300.0,
    ) -> None:
        asked = not isinstance(auth, (Mapping, tuple, list)) and callable(auth)
        self._core = _core.Core(
            api_endpoint=_options.endpoint(api_endpoint),
            host=_options.optional_text("host", host),
            headers=None if auth is None or asked else _options.credentials(auth),
            auth=_options.AskForCredentials(auth) if asked else None,  # type: ignore[arg-type]
            timeout=_options.seconds("timeout", timeout, above_zero=True),
            retry_attempts=_options.integer("retry_attempts", retry_attempts, 0),
            retry_delay=_options.seconds("retry_delay", retry_delay),
            verify_ssl=_options.flag("verify_ssl", verify_ssl),
            level_map=_options.level_map(level_map),
            batch_size=_options.optional_integer("batch_size", batch_size, 1),
            batch_bytes=_options.integer("batch_bytes", batch_bytes, 1),
            flush_interval=_options.seconds("flush_interval", flush_interval),
            spool_dir=_options.path("spool_dir", spool_dir),
            spool_max_bytes=_options.integer("spool_max_bytes", spool_max_bytes, 1),
            segment_bytes=_options.integer("segment_bytes", segment_bytes, 1),
            durability=_options.choice("durability", durability, _DURABILITY),
            sync_interval=_options.seconds("sync_interval", sync_interval),
            crash_handler=_options.flag("crash_handler", crash_handler),
            queue_bytes=_options.integer("queue_bytes", queue_bytes, 1),
            overflow=_options.choice("overflow", overflow, _OVERFLOW),
            block_timeout=_options.seconds("block_timeout", block_timeout),
            background=_options.flag("background", background),
            compression=_options.choice("compression", compression, _COMPRESSION),
            fields=_options.fields(fields),
            report=_Reporter(_options.fallback_logger(fallback_logger)),
            close_timeout=_options.seconds("close_timeout", close_timeout),
            ca_file=_options.path("ca_file", ca_file),
            client_cert=_options.path("client_cert", client_cert),
            client_key=_options.path("client_key", client_key),
            proxy=_options.optional_text("proxy", proxy),
            max_record_bytes=_options.integer("max_record_bytes", max_record_bytes, 1024),
            auth_ttl=_options.seconds("auth_ttl", auth_ttl),
        )
        if not verify_ssl:
            warnings.warn(
                "verify_ssl=False: anyone on the way to the API can read and change the records",
                stacklevel=2,
            )
        super().__init__()
        _ending.watch(self._core, close_timeout, asked)

    # ---- logging.Handler

    def createLock(self) -> None:
        """Makes a lock only where a subclass has its own emit().

        Ours needs none. handle() below is the only one that would use it; acquire() and release()
        of logging.Handler do nothing without.
        """
        if type(self).emit is LogAggregatorHandler.emit:
            self.lock = None
        else:
            super().createLock()

    def _handle_customised(self, record: logging.LogRecord) -> bool:
        """As logging.Handler.handle(), without a lock where none is needed.

        handle() of _core calls it where there is anything to it but handing the record over: a
        filter, a formatter, a method that a subclass or this object has of its own.
        """
        passed = self.filter(record)
        if not passed:
            return False
        if isinstance(passed, logging.LogRecord):  # since Python 3.12
            record = passed
        if self.lock is None:
            self.emit(record)
        else:
            with self.lock:
                self.emit(record)
        return passed  # type: ignore[return-value,unused-ignore]

    def emit(self, record: logging.LogRecord) -> None:
        """Hands the record over. Never raises, and waits only if `overflow` or `background` say so.

        A record whose formatting raises is shipped with a message that names the error, and given
        to handleError() as by the handlers of the standard library.
        """
        try:
            if type(self).format_record is not LogAggregatorHandler.format_record:
                self._emit_custom(record)
            elif self.formatter is None and self._has_standard_format():
                self._core.emit(record, None, None)
            else:
                self._emit_formatted(record)
        except Exception:
            self.handleError(record)

    def setFormatter(self, fmt: logging.Formatter | None) -> None:
        """As logging.Handler.setFormatter(), but for the format that nobody chose.

        logging.basicConfig() without a format gives each handler that has none the one of a
        terminal, level:name:message. Level and name are fields here.
        """
        if type(fmt) is logging.Formatter and fmt._fmt == logging.BASIC_FORMAT:
            fmt = None
        super().setFormatter(fmt)

    def format_record(self, record: logging.LogRecord) -> dict[str, Any]:
        """The whole record as the API gets it. Override it to ship another."""
        import json  # here, as few need it and importing it takes time

        result: dict[str, Any] = json.loads(
            self._core.encode(record, self._message_of(record), self.formatter)
        )
        return result

    def flush(self, timeout: float | None = None) -> bool:  # type: ignore[override]
        """Sends what is queued now and waits up to `timeout` (None: `close_timeout`).

        True only if every record logged before the call was delivered.
        """
        return _ending.flush(self._core) if timeout is None else self._core.flush(timeout)

    def close(self) -> None:
        """Delivers what is left within `close_timeout`; drops, counts and reports the rest."""
        _ending.close(self._core)
        super().close()

    # ---- ours

    def check_connection(self) -> bool:
        """Asks the API's health address: True for an answer of 2xx, False for any other or none."""
        return self._core.check_connection()

    def stats(self) -> Stats:
        """Counts of records by their fate, of log calls by their way here, and of requests."""
        return {**self._core.stats(), "paths": self._paths()}

    @property
    def capsule(self) -> object:
        """What an extension module in C++ logs through this handler by.

        `log_aggregator::handler_of(handler)` of its copy of the library takes it from here. While
        the extension holds it, this handler stays. See docs/cpp.md.
        """
        return self._core.capsule(self)

    @property
    def api_endpoint(self) -> str:
        """Where records are posted, without a user and password."""
        return self._core.api_endpoint

    def __repr__(self) -> str:
        # A query may hold a token.
        shown = self.api_endpoint.partition("?")[0]
        return f"<{type(self).__name__} {shown} ({logging.getLevelName(self.level)})>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be pickled or copied: it holds a queue, a thread and "
            "connections. Create one in each process"
        )

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__reduce__()

    def _at_fork_reinit(self) -> None:
        # logging calls it for each handler whose lock it made.
        if self.lock is not None:
            super()._at_fork_reinit()  # type: ignore[misc]

    def _has_standard_format(self) -> bool:
        return "format" not in self.__dict__ and type(self).format is logging.Handler.format

    def _message_of(self, record: logging.LogRecord) -> str | None:
        if self.formatter is None and self._has_standard_format():
            return None
        return self.format(record)

    def _emit_formatted(self, record: logging.LogRecord) -> None:
        try:
            message = self.format(record)
        except BaseException as error:
            self._core.emit_unformatted(record, error)
            raise
        self._core.emit(record, message, self.formatter)

    def _emit_custom(self, record: logging.LogRecord) -> None:
        try:
            custom = self.format_record(record)
            if not isinstance(custom, dict):
                raise TypeError(f"format_record() must return a dict, not {type(custom).__name__}")
        except BaseException:
            self._core.emit(record, None, self.formatter)
            raise
        self._core.emit_custom(custom, record.levelno)


_core.register_methods(
    {
        name: getattr(LogAggregatorHandler, name)
        for name in ("handle", "emit", "filter", "format", "format_record")
    }
)

_DURABILITY = ("process", "power")
_OVERFLOW = ("drop_newest", "drop_oldest", "block")
_COMPRESSION = ("auto", "zstd", "gzip", None)


class _Reporter:
    """Receives the core's error reports, a line each."""

    def __init__(self, logger: logging.Logger | None) -> None:
        self._logger = logger

    def __call__(self, line: str) -> None:
        if self._logger is not None:
            self._logger.error("%s", line)
        elif sys.stderr is not None:
            sys.stderr.write(line + "\n")
