"""Packages that patch logging, or hook into it: whether before accelerate() or after it, they see
what they see without, and so do we.

`./run test` installs them into build/hooks, for the Python of .venv; those that are not there are
skipped by name.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

PYTHON = str(sys.implementation.cache_tag)
PACKAGES = Path(__file__).parents[2] / "build" / "hooks" / PYTHON

PROGRAM = """
import json, logging, sys
import log_aggregator_handler
from log_aggregator_handler import LogAggregatorHandler

ENDPOINT, MOMENT = sys.argv[1:]
seen = []
logger = logging.getLogger("shop.orders")
logger.setLevel(logging.DEBUG)

def hook():
{hook}

if MOMENT == "before":
    hook()
if MOMENT != "never":
    log_aggregator_handler.accelerate()
handler = LogAggregatorHandler(ENDPOINT, flush_interval=0.01, retry_delay=0.01)
logger.addHandler(handler)
if MOMENT != "before":
    hook()

def buy():
    logger.debug("looked at")
    logger.info("bought %d %s", 7, "apples", extra={{"order": 7}})
    logging.LoggerAdapter(logger, {{"tenant": 1}}).warning("adapted")
    try:
        raise ValueError("no money")
    except ValueError:
        logger.exception("failed")

{use}
assert handler.flush()
print(json.dumps({{"seen": seen, "paths": handler.stats()["paths"]}}))
"""

# What a package is asked to do, and how it is used if not by buy().
HOOKS = {
    "sentry_sdk": """
import sentry_sdk
def note(event, hint):
    seen.append([event["level"], event["logentry"]["formatted"], event["logger"]])
def note_breadcrumb(crumb, hint):
    seen.append([crumb["level"], crumb["message"], crumb["data"]])
    return crumb
sentry_sdk.init("http://key@127.0.0.1:9/1", before_send=note, before_breadcrumb=note_breadcrumb)
""",
    "newrelic": """
from newrelic.hooks import logger_logging
original = logger_logging.bind_callHandlers
def note(*args, **kwargs):
    record = original(*args, **kwargs)
    seen.append([record.levelname, record.getMessage(), record.funcName])
    return record
logger_logging.bind_callHandlers = note
logger_logging.instrument_logging(logging)
""",
    "ddtrace": """
import os
os.environ.update(DD_INSTRUMENTATION_TELEMETRY_ENABLED="false", DD_TRACE_STARTUP_LOGS="false",
                  DD_REMOTE_CONFIGURATION_ENABLED="false", DD_SERVICE="shop")
import ddtrace
ddtrace.patch(logging=True)
""",
    "opentelemetry.instrumentation.logging": """
from opentelemetry.instrumentation.logging import LoggingInstrumentor
LoggingInstrumentor().instrument(
    inject_trace_context=True, enable_log_auto_instrumentation=False
)
""",
    "opentelemetry.sdk": """
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
try:
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
except ImportError:
    from opentelemetry.sdk._logs import LoggingHandler
class Exporter:
    def export(self, batch):
        for data in batch:
            record = data.log_record
            attributes = {k: v for k, v in record.attributes.items() if "stacktrace" not in k}
            seen.append([record.severity_text, str(record.body), sorted(attributes.items())])
    def shutdown(self):
        pass
provider = LoggerProvider()
provider.add_log_record_processor(SimpleLogRecordProcessor(Exporter()))
logger.addHandler(LoggingHandler(logging.NOTSET, provider))
""",
    "loguru": """
import inspect, loguru
class InterceptHandler(logging.Handler):
    def emit(self, record):
        frame, depth = inspect.currentframe(), 0
        while frame:
            is_logging = frame.f_code.co_filename == logging.__file__
            if depth > 0 and not is_logging:
                break
            frame = frame.f_back
            depth += 1
        loguru.logger.opt(depth=depth, exception=record.exc_info).log(
            record.levelname, record.getMessage()
        )
loguru.logger.remove()
loguru.logger.add(lambda message: seen.append(
    [message.record["level"].name, message.record["message"], message.record["function"],
     message.record["line"]]
))
logging.basicConfig(handlers=[InterceptHandler()], level=0, force=True)
""",
    "structlog": """
import structlog
structlog.configure(
    processors=[structlog.stdlib.filter_by_level, structlog.stdlib.add_log_level,
                structlog.stdlib.render_to_log_kwargs],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
)
""",
}

USES = {
    "structlog": """
def buy_structured(log):
    log.info("bought", order=7)
    log.debug("looked at %s", 1, tenant=1)
    try:
        raise ValueError("no money")
    except ValueError:
        log.exception("failed", order=8)
import structlog
structured = logging.getLogger("structured")
structured.setLevel(logging.DEBUG)
structured.addHandler(handler)
buy_structured(structlog.get_logger("structured.child"))
"""
}

# What their hooks leave in our records.
EXTRAS = {
    "ddtrace": "dd.service",
    "opentelemetry.instrumentation.logging": "otelTraceID",
    "structlog": "order",
}


def indented(text):
    return "\n".join("    " + line for line in text.splitlines())


@pytest.mark.parametrize("package", HOOKS)
def test_a_package_sees_what_it_saw_and_our_record_arrives(run_python, log_api, package):
    if not (PACKAGES / package.replace(".", "/")).is_dir():
        pytest.skip(f"{package} is not in build/hooks/{PYTHON}")
    paths = os.pathsep.join([str(PACKAGES), os.environ.get("PYTHONPATH", "")])
    use = USES.get(package, "buy()")
    program = PROGRAM.format(hook=indented(HOOKS[package]), use=use)
    outcomes = {}
    for moment in ("never", "before", "after"):
        result = run_python(
            program, log_api.endpoint, moment, timeout=60, env=os.environ | {"PYTHONPATH": paths}
        )
        assert result.returncode == 0, result.stderr
        outcome = json.loads(result.stdout.splitlines()[-1])
        outcome["records"] = log_api.records
        outcome["stderr"] = re.sub(r"0x[0-9a-f]+", "0x", result.stderr)
        log_api.clear()
        for record in outcome["records"]:
            for name in ("timestamp", "process", "thread"):
                del record[name]
        print(package, moment, outcome["paths"], outcome["stderr"])
        outcomes[moment] = outcome
    plain = outcomes["never"]
    for moment in ("before", "after"):
        for part in ("records", "seen", "stderr"):
            assert outcomes[moment][part] == plain[part], moment
        assert outcomes[moment]["paths"] == outcomes["before"]["paths"]
    if package in EXTRAS:
        assert EXTRAS[package] in plain["records"][0]["extra"]
    else:
        assert len(plain["seen"]) >= 4
