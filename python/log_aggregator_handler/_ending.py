"""How handlers end with their process: all of them within about one close_timeout.

Three ways of ending are known here. A Python program runs atexit functions: ours keeps threads of
the core out of the interpreter, then logging.shutdown() flushes and closes each handler. A child
that multiprocessing or Celery has forked skips atexit, or has it cleared: it is told by their own
finalizers. Any other end, as os._exit(), tells nobody.

Waits at the end share one budget. A handler whose API hangs uses up what others may wait for, but
not their chance: all of them begin to deliver as soon as one is waited for.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from log_aggregator_handler import _core


class _Watched(NamedTuple):
    close_timeout: float
    asks: bool  # it has an auth callable, which may only be called while its handler is waited for


_NOBODY = _Watched(0.0, asks=False)
_cores: weakref.WeakKeyDictionary[_core.Core, _Watched] = weakref.WeakKeyDictionary()
_ending = False
_waited = 0.0  # seconds of the budget that are used up
_begun = False  # all handlers have been told to deliver

# What a handler with an auth callable may wait though the budget is used up: it could not begin
# before.
_LEAST_WAIT = 1.0
# Behind the finalizers of others, which may still log.
_EXIT_PRIORITY = -100


def watch(core: _core.Core, close_timeout: float, asks: bool) -> None:
    """From now on `core` is looked after when the process ends."""
    _cores[core] = _Watched(close_timeout, asks)
    if _ending:
        core.detach_callbacks(0)
    _watch_process_libraries()


def flush(core: _core.Core) -> bool:
    """Flushes for as long as may be waited."""
    return _within_budget(core, core.flush, _least_wait(core)) if _ending else core.flush(None)


def close(core: _core.Core) -> bool:
    """Closes within the time that may be waited."""
    return _within_budget(core, core.close) if _ending else core.close(None)


def _within_budget(core: _core.Core, wait: Callable[[float], bool], least: float = 0.0) -> bool:
    global _waited
    watched = _cores.get(core, _NOBODY)
    _begin()
    begun_at = time.monotonic()
    try:
        return wait(max(watched.close_timeout - _waited, least))
    finally:
        _waited += time.monotonic() - begun_at


def _least_wait(core: _core.Core) -> float:
    watched = _cores.get(core, _NOBODY)
    return min(watched.close_timeout, _LEAST_WAIT) if watched.asks else 0.0


def _begin() -> None:
    global _begun
    if not _begun:
        _begun = True
        for core, watched in list(_cores.items()):
            if not watched.asks:
                core.flush(0)


# ---- the end of a program


# When the interpreter ends, no thread of the core may be inside it. This runs before
# logging.shutdown(), which was registered earlier; what that still delivers, it does on the main
# thread, and reports from there.
@atexit.register
def _detach_callbacks() -> None:
    global _ending, _waited
    _ending = True
    cores = list(_cores.items())
    for core, _ in cores:
        core.detach_callbacks(0)
    begun_at = time.monotonic()
    for core, watched in cores:
        rest = watched.close_timeout - (time.monotonic() - begun_at)
        if not core.detach_callbacks(max(0.0, rest)):
            _cores[core] = watched._replace(asks=False)  # its callable hangs: what for wait again
    _waited += time.monotonic() - begun_at


# ---- the end of a forked child

_known: set[str] = set()  # libraries that call back in children that they fork


def _watch_process_libraries() -> None:
    for package in ("multiprocessing", "billiard"):
        util = _complete_module(f"{package}.util", "register_after_fork", "Finalize")
        if util is None:
            continue
        if package not in _known:
            _known.add(package)
            # Finalizers of the parent are cleared in a child, before this is called there.
            util.register_after_fork(_end_child, lambda _, util=util: _finalize_in(util))
        if _is_forked_child(package):
            _finalize_in(util)
    signals = _complete_module("celery.signals", "worker_process_shutdown")
    if signals is not None and "celery" not in _known:
        _known.add("celery")
        signals.worker_process_shutdown.connect(_end_child, weak=False)


def _complete_module(name: str, *attributes: str) -> Any:
    """The module, if somebody else has imported it and that is through."""
    module = sys.modules.get(name)
    return module if all(hasattr(module, attribute) for attribute in attributes) else None


_finalized_in: dict[Any, int] = {}  # by library, the process in which it finalizes us


def _finalize_in(util: Any) -> None:
    if _finalized_in.get(util) != os.getpid():
        _finalized_in[util] = os.getpid()
        util.Finalize(None, _end_child, exitpriority=_EXIT_PRIORITY)


def _is_forked_child(package: str) -> bool:
    """Whether this is a child of that library's that will skip atexit."""
    process = _complete_module(f"{package}.process", "current_process")
    context = _complete_module(package, "get_start_method")
    return (
        process is not None
        and getattr(process.current_process(), "_parent_pid", None) is not None
        and not (context and context.get_start_method(allow_none=True) == "spawn")
    )


def _end_child(*_: object, **__: object) -> None:
    """Delivers what is left. Closes unless other threads, which are still to end, may log."""
    cores = list(_cores)
    _begin()
    threads = [thread for thread in threading.enumerate() if not thread.daemon]
    for core in cores:
        flushed = _within_budget(core, core.flush, _least_wait(core))
        if not flushed or threads == [threading.current_thread()]:
            _within_budget(core, core.close)


def _after_fork() -> None:
    global _waited, _begun
    _waited, _begun = 0.0, False
    _watch_process_libraries()


os.register_at_fork(after_in_child=_after_fork)
