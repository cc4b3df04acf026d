"""A shop that takes orders in Python and prices them in C++, with one log for both.

shop.py ENDPOINT
"""

import logging
import sys

import pricing  # type: ignore[import-not-found]

from log_aggregator_handler import LogAggregatorHandler

logger = logging.getLogger("shop.orders")


def take(order: int, items: int) -> None:
    logger.info("order received", extra={"order": order, "items": items})
    total = pricing.price(order, items)
    logger.info("order taken", extra={"order": order, "total": total})


def main() -> None:
    handler = LogAggregatorHandler(sys.argv[1])
    logging.basicConfig(level="INFO", handlers=[handler])
    pricing.use_handler(handler)
    for order, items in enumerate((1, 12, 3), start=1):
        take(order, items)


if __name__ == "__main__":
    main()
