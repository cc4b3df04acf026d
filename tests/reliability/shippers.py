"""The handlers under test, inside the application: ours and the peers', by name.

Each is set up as its own documentation says, with its defaults; where a run needs an option, it
comes in `options`. What a shipper does at the end of a program is what it does by itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Shipper(NamedTuple):
    handler: logging.Handler
    report: Callable[[], dict[str, Any]]
    """After the end: `dropped`, how many records it says that it gave up, and what else it counts.
    A shipper that does not count says 0; harness.Shipper.counts_drops tells them apart."""


def ours(endpoint: str, spool: str | None, options: dict[str, Any]) -> Shipper:
    from log_aggregator_handler import LogAggregatorHandler

    if spool is not None:
        options = {**options, "spool_dir": spool}
    handler = LogAggregatorHandler(endpoint, **options)

    def report() -> dict[str, Any]:
        stats = handler.stats()
        dropped = sum(stats["dropped"].values()) + stats.get("adopted_dropped", 0)
        return {**stats, "causes": stats["dropped"], "dropped": dropped}

    return Shipper(handler, report)


def logstash(endpoint: str, spool: str | None, options: dict[str, Any]) -> Shipper:
    from logstash_async.handler import (  # type: ignore[import-not-found,unused-ignore]
        AsynchronousLogstashHandler,
    )

    address = urlsplit(endpoint)
    database = None if spool is None else os.path.join(spool, "events.db")
    handler = AsynchronousLogstashHandler(
        address.hostname, address.port, database_path=database, **options
    )
    return Shipper(handler, lambda: {"dropped": 0})


def otel(endpoint: str, spool: str | None, options: dict[str, Any]) -> Shipper:
    # Off by default; it makes the SDK count what it drops.
    os.environ["OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"] = "true"
    from opentelemetry.exporter.otlp.proto.http._log_exporter import (  # type: ignore[import-not-found,unused-ignore]
        OTLPLogExporter,
    )
    from opentelemetry.instrumentation.logging.handler import (  # type: ignore[import-not-found,unused-ignore]
        LoggingHandler,
    )
    from opentelemetry.sdk._logs import (  # type: ignore[import-not-found,unused-ignore]
        LoggerProvider,
    )
    from opentelemetry.sdk._logs.export import (  # type: ignore[import-not-found,unused-ignore]
        BatchLogRecordProcessor,
    )
    from opentelemetry.sdk.metrics import (  # type: ignore[import-not-found,unused-ignore]
        MeterProvider,
    )
    from opentelemetry.sdk.metrics.export import (  # type: ignore[import-not-found,unused-ignore]
        InMemoryMetricReader,
    )

    assert spool is None, "it has none"
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    provider = LoggerProvider()
    exporter = OTLPLogExporter(endpoint=endpoint, meter_provider=meters)
    provider.add_log_record_processor(
        BatchLogRecordProcessor(exporter, meter_provider=meters, **options)
    )

    def report() -> dict[str, Any]:
        data = reader.get_metrics_data()
        points = [
            (metric.name, dict(point.attributes), point.value)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name.endswith((".log.processed", ".log.exported"))
            for point in metric.data.data_points
        ]
        dropped = sum(value for _, attributes, value in points if "error.type" in attributes)
        return {"dropped": dropped, "points": points}

    return Shipper(LoggingHandler(logger_provider=provider), report)


SHIPPERS = {"ours": ours, "logstash": logstash, "otel": otel}
