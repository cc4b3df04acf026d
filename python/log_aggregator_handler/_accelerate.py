"""accelerate(): what calls of logging.Logger do, done by _core."""

import sys
import warnings

from log_aggregator_handler import _core

# Those whose logging was read line by line, as _core does what it does.
_NEWEST = (3, 14)


def accelerate() -> None:
    """Makes the log calls of all loggers fast, those of libraries and of the future included.

    Until decelerate() is called, `debug()` to `log()`, `exception()`, `isEnabledFor()` and
    `findCaller()` of logging.Logger are functions of _core. What they do is what logging does, to
    the letter; where only a LogAggregatorHandler would see a record, they encode it from the call's
    arguments and make no LogRecord. Handlers, levels, filters, factories and patched methods count
    as they are at each call: what is replaced is called. `LogAggregatorHandler.stats()["paths"]`
    tells which way log calls have taken: "fast" without a LogRecord; "record_built" with one made
    here, as others see it, too; "fallback" with one made by logging.

    Calling it again does no harm. Any thread may call it. On a Python newer than 3.14 it warns and
    does nothing.
    """
    if sys.version_info[:2] > _NEWEST:
        warnings.warn(
            f"accelerate() does nothing: it knows the logging of Python up to {_NEWEST[0]}."
            f"{_NEWEST[1]}. A newer log-aggregator-handler may know this one's",
            RuntimeWarning,
            stacklevel=2,
        )
        return
    _core.accelerate()


def decelerate() -> None:
    """Undoes accelerate(): logging.Logger has its own methods again.

    A method that somebody else has wrapped since stays wrapped, and calls logging's own.
    """
    _core.decelerate()
