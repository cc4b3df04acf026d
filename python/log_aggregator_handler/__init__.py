"""Ships log records to a central log aggregation API over HTTP.

import logging
from log_aggregator_handler import LogAggregatorHandler

handler = LogAggregatorHandler("http://127.0.0.1:8080/api/logs")
logging.basicConfig(level="INFO", handlers=[handler])
logging.info("hello")
"""

from log_aggregator_handler._accelerate import accelerate, decelerate
from log_aggregator_handler._core import __version__
from log_aggregator_handler.handler import LogAggregatorHandler, Stats

__all__ = ["LogAggregatorHandler", "Stats", "__version__", "accelerate", "decelerate"]
