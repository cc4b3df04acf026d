"""./run screenshots: the log page as it looks, light and dark, into docs/images/page-*.png.

A real collector gets an hour in the life of a web shop from real handlers, and headless Chromium
opens the page. Times, choices and the browser's clock are fixed, so that an image changes only with
the page.
"""

import linecache
import logging
import math
import random
import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect, sync_playwright

from demo import COMMAND, ROOT, server
from log_aggregator_handler import LogAggregatorHandler

NOW = datetime(2026, 3, 27, 14, 32, 51, 208_000, tzinfo=timezone.utc).timestamp()
HOUR_S = 3600
# The payment gateway is slow for a while.
INCIDENT = range(1000, 1420)
# So many arrive exactly in order: more than the image shows.
IN_ORDER = 60

PAYMENTS = """
import sys


def send(request, timeout):
    raise TimeoutError(f"gateway.example did not answer within {timeout} s")


def charge(order, amount):
    try:
        send({"order": order, "amount": amount}, timeout=2.5)
    except TimeoutError:
        return sys.exc_info()
"""


def payments() -> dict[str, Any]:
    """A module of the shop; tracebacks show its lines."""
    name = "/srv/shop/shop/payments.py"
    linecache.cache[name] = (len(PAYMENTS), None, PAYMENTS.splitlines(keepends=True), name)
    module: dict[str, Any] = {}
    exec(compile(PAYMENTS, name, "exec"), module)
    return module


class Shop:
    """What the shop logs. Its choices are seeded."""

    def __init__(self) -> None:
        self.random = random.Random(7)
        self.charge = payments()["charge"]
        self.order = 48_210

    def hour(self) -> Iterator[tuple[str, logging.LogRecord]]:
        """(host, record), ordered by time."""
        seconds = 0.0
        while seconds < HOUR_S:
            rate = 1.1 + 0.5 * math.sin(seconds / 500) + 0.25 * math.sin(seconds / 90)
            seconds += self.random.expovariate(rate)
            for offset, record in enumerate(self.request(seconds)):
                record.created = NOW - HOUR_S + seconds + 0.0124 * offset
                record.msecs = record.created % 1 * 1000
                if record.created <= NOW:
                    yield record.__dict__.pop("on"), record

    def request(self, seconds: float) -> Iterator[logging.LogRecord]:
        self.order += 1
        web = f"web-{self.random.randint(1, 2)}"
        took_ms = round(self.random.lognormvariate(3.2, 0.5), 1)
        user = {"user_id": self.random.randint(100, 999), "request_id": f"{self.order * 7919:08x}"}
        kind = self.random.random()
        amount = self.random.randint(5, 90) + 0.9
        is_incident = int(HOUR_S - seconds) in INCIDENT or HOUR_S - seconds < 40
        if kind < 0.35:
            yield self.record(web, "DEBUG", "shop.cache", "hit products:page:%d", kind * 40, **user)
        elif kind < 0.64:
            yield self.record(
                web, "INFO", "shop.web", "GET /products 200 in %.1f ms", took_ms, **user
            )
        elif kind < 0.93:
            order = {"order": {"id": self.order, "amount": amount, "items": 3}}
            yield self.record(
                web, "INFO", "shop.web", "POST /orders 201 in %.1f ms", took_ms, **user, **order
            )
            yield from self.payment(user, amount, is_incident)
        elif kind < 0.96:
            statement = "slow query, %d ms: SELECT id, name FROM product WHERE name LIKE ?"
            yield self.record(web, "WARNING", "shop.db", statement, 400 + took_ms * 9, **user)
        else:
            yield self.record(
                "worker-1", "INFO", "shop.mail", "receipt for order %d sent", self.order
            )

    def payment(
        self, user: dict[str, Any], amount: float, is_incident: bool
    ) -> Iterator[logging.LogRecord]:
        if not is_incident or self.random.random() < 0.35:
            yield self.record(
                "worker-1", "INFO", "shop.payments", "order %d paid, %.2f EUR", self.order, amount
            )
            return
        retry = "gateway is slow: order %d is tried again in 2 s"
        yield self.record("worker-1", "WARNING", "shop.payments", retry, self.order, **user)
        yield self.record(
            "worker-1",
            "ERROR",
            "shop.payments",
            "payment of order %d failed",
            self.order,
            exc_info=self.charge(self.order, amount),
            **user,
            order={"id": self.order, "amount": amount, "currency": "EUR"},
            attempt=3,
        )
        if self.random.random() < 0.06:
            queue = "payments are suspended: %d orders wait"
            yield self.record("worker-1", "CRITICAL", "shop.payments", queue, self.order % 40)

    def record(
        self, host: str, level: str, logger: str, message: str, *args: Any, **extra: Any
    ) -> Any:
        module = logger.rpartition(".")[2]
        return logging.makeLogRecord(
            {
                "on": host,
                "name": logger,
                "levelname": level,
                "levelno": logging.getLevelName(level),
                "msg": message,
                "args": args,
                "pathname": f"/srv/shop/shop/{module}.py",
                "filename": f"{module}.py",
                "module": module,
                "lineno": 10 + len(message),
                "funcName": "charge" if module == "payments" else "handle",
                "process": 4211,
                "processName": "MainProcess",
                "thread": 140_301_775_296_192,
                "threadName": "worker-3",
                "exc_info": None,
                **extra,
            }
        )


def fill(endpoint: str) -> None:
    hosts = ("web-1", "web-2", "worker-1")
    handlers = {host: LogAggregatorHandler(endpoint, host=host) for host in hosts}
    records = list(Shop().hour())
    for left, (host, record) in zip(range(len(records), 0, -1), records, strict=True):
        handlers[host].handle(record)
        if left == IN_ORDER:
            for handler in handlers.values():
                handler.flush()
        elif left < IN_ORDER:
            handlers[host].flush()
    for handler in handlers.values():
        handler.close()


def shoot(browser: Browser, url: str, scheme: Any, path: Path) -> None:
    page = browser.new_page(
        viewport={"width": 1280, "height": 880},
        color_scheme=scheme,
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    page.clock.set_fixed_time(datetime.fromtimestamp(NOW, timezone.utc))
    page.goto(url)
    expect(page.get_by_role("status")).to_have_text("Live")
    page.locator("tr.error").first.click()
    expect(page.get_by_text("Traceback")).to_be_visible()
    expect(page.locator(".legend")).to_contain_text("error")
    page.mouse.move(0, 0)
    page.screenshot(path=path)
    page.close()


def main() -> None:
    chromium = shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:{folder}/logs.sqlite"
        arguments = (COMMAND, "serve", "--listen", "127.0.0.1:0", "--store", store)
        with server("collector", *arguments, folder=Path(folder)) as (url, _):
            fill(f"{url}/api/logs")
            with sync_playwright() as playwright:
                # As root Chromium has no sandbox; it loads nothing but the page.
                browser = playwright.chromium.launch(
                    executable_path=chromium, chromium_sandbox=False
                )
                for scheme in ("light", "dark"):
                    path = ROOT / "docs" / "images" / f"page-{scheme}.png"
                    shoot(browser, url, scheme, path)
                    print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
