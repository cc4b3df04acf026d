"""A small web shop whose log goes to a log aggregation API: the application of `./run demo`.

    python examples/web_service.py --endpoint http://127.0.0.1:8080/api/logs

Only LOGGING below knows of the handler; the rest logs as any application does, from many threads,
at every level, with extras and with tracebacks. Standard library only. `--ledger FILE` also writes
each record to a file as one line of JSON: the demo compares what was logged with what arrived.
"""

import argparse
import itertools
import json
import logging
import logging.config
import re
import signal
import threading
from contextvars import ContextVar
from datetime import datetime, timezone
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request": {"()": "__main__.RequestContext"}},
    "handlers": {
        "api": {
            "class": "log_aggregator_handler.LogAggregatorHandler",
            "filters": ["request"],
            "fields": {"service": "shop", "environment": "demo"},
        },
    },
    "root": {"level": "DEBUG", "handlers": ["api"]},
}

request_id: ContextVar[str] = ContextVar("request_id", default="-")


class RequestContext(logging.Filter):
    """Gives each record the request that it belongs to and a number of its own."""

    numbers = itertools.count(1)

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "event"):  # several handlers may have this filter
            record.event = next(self.numbers)
            record.request_id = request_id.get()
        return True


class LedgerFormatter(logging.Formatter):
    """One line of JSON for each record, in the API's terms, from the record alone."""

    STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "timestamp": datetime.fromtimestamp(record.created, timezone.utc).isoformat(
                timespec="microseconds"
            ),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger_name": record.name,
            "module": record.module,
            "filename": record.filename,
            "funcName": record.funcName,
            "lineno": record.lineno,
            "process": record.process,
            "thread": record.thread,
            "threadName": record.threadName,
            "extra": {k: v for k, v in vars(record).items() if k not in self.STANDARD},
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


class PaymentDeclined(Exception):
    pass


class Shop:
    """Products, their stock, and orders. Its methods may be called from any thread."""

    PRICES: ClassVar = {"tea": 490, "coffee": 650, "cocoa": 380, "mate": 720}
    LOW_STOCK = 5

    def __init__(self) -> None:
        self.log = logging.getLogger("shop.orders")
        self.lock = threading.Lock()
        self.stock = dict.fromkeys(self.PRICES, 60)
        self.orders: dict[int, int] = {}
        self.order_ids = itertools.count(1001)

    def order(self, product: str, quantity: int) -> int | None:
        """The new order's id, None where there are not enough left."""
        with self.lock:
            left = self.stock[product] - quantity
            if left < 0:
                self.log.critical("%s is sold out", product, extra={"product": product})
                self.stock[product] = 60  # the next delivery
                return None
            self.stock[product] = left
            order_id = next(self.order_ids)
            self.orders[order_id] = quantity * self.PRICES[product]
        self.log.debug(
            "reserved %d of %s, %d left", quantity, product, left, extra={"product": product}
        )
        if left <= self.LOW_STOCK:
            self.log.warning("only %d of %s left", left, product, extra={"left": left})
        self.log.info(
            "order %d placed",
            order_id,
            extra={"order": {"id": order_id, "product": product, "quantity": quantity}},
        )
        return order_id

    def pay(self, order_id: int, card: str) -> None:
        cents = self.orders[order_id]
        try:
            self._charge(card, cents)
        except PaymentDeclined:
            self.log.exception("payment of order %d failed", order_id, extra={"cents": cents})
            raise
        self.log.info("order %d paid", order_id, extra={"cents": cents, "euros": cents / 100})

    def _charge(self, card: str, cents: int) -> None:
        if card.endswith("0"):
            raise PaymentDeclined(f"card ending in {card[-2:]}: no cover for {cents / 100:.2f} €")


class Request(BaseHTTPRequestHandler):
    """GET /products, POST /orders {product, quantity}, POST /orders/ID/pay {card}."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are written apart
    numbers = itertools.count(1)
    shop: Shop
    log = logging.getLogger("shop.http")

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        self.log.debug(format, *args, extra={"client": self.client_address[0]})

    def _answer(self, method: Any) -> None:
        token = request_id.set(f"r{next(self.numbers)}")
        try:
            status, answer = method()
        except Exception:
            self.log.exception("%s %s failed", self.command, self.path)
            status, answer = HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "internal error"}
        body = json.dumps(answer).encode()
        # Logged before the answer goes out: who has the answer knows that the records were made.
        self.log_request(status)
        self.wfile.write(
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        request_id.reset(token)

    def _get(self) -> tuple[HTTPStatus, Any]:
        if self.path == "/products":
            return HTTPStatus.OK, Shop.PRICES
        self.log.warning("nothing at %s", self.path, extra={"path": self.path})
        return HTTPStatus.NOT_FOUND, {"error": "not found"}

    def _post(self) -> tuple[HTTPStatus, Any]:
        text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            body = json.loads(text)
            if self.path == "/orders":
                return self._order(body["product"], int(body["quantity"]))
            if match := re.fullmatch(r"/orders/(\d+)/pay", self.path):
                return self._pay(int(match[1]), body["card"])
        except (ValueError, KeyError) as error:
            self.log.warning(
                "bad request: %r", error, extra={"body": text.decode(errors="replace")}
            )
            return HTTPStatus.BAD_REQUEST, {"error": "bad request"}
        return HTTPStatus.NOT_FOUND, {"error": "not found"}

    def _order(self, product: str, quantity: int) -> tuple[HTTPStatus, Any]:
        order_id = self.shop.order(product, quantity)
        if order_id is None:
            return HTTPStatus.CONFLICT, {"error": "sold out"}
        return HTTPStatus.CREATED, {"order": order_id}

    def _pay(self, order_id: int, card: str) -> tuple[HTTPStatus, Any]:
        try:
            self.shop.pay(order_id, card)
        except PaymentDeclined:
            return HTTPStatus.PAYMENT_REQUIRED, {"error": "declined"}
        return HTTPStatus.OK, {"paid": order_id}


def configure_logging(endpoint: str | None, ledger: str | None) -> None:
    config: dict[str, Any] = LOGGING
    if endpoint:  # else .env or the environment say it
        config["handlers"]["api"]["api_endpoint"] = endpoint
    if ledger:
        config["formatters"] = {"ledger": {"()": "__main__.LedgerFormatter"}}
        config["handlers"]["ledger"] = {
            "class": "logging.FileHandler",
            "filename": ledger,
            "formatter": "ledger",
            "filters": ["request"],
        }
        config["root"]["handlers"].append("ledger")
    logging.config.dictConfig(config)


def main() -> None:
    parser = argparse.ArgumentParser(description="a web shop whose log goes to an API")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--endpoint", help="the API, http://127.0.0.1:8080/api/logs for example")
    parser.add_argument("--ledger", help="also write each record to this file")
    options = parser.parse_args()
    configure_logging(options.endpoint, options.ledger)

    log = logging.getLogger("shop")
    Request.shop = Shop()
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Request)
    server.daemon_threads = True
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=server.serve_forever, name="server").start()
    log.info("open", extra={"port": server.server_port, "products": sorted(Shop.PRICES)})
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    stop.wait()
    server.shutdown()
    log.info("closed", extra={"orders": len(Request.shop.orders)})
    # What is still queued is delivered when the interpreter ends, by logging.shutdown.


if __name__ == "__main__":
    main()
