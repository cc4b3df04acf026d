"""A client of GET /api/logs/stream, as a browser's EventSource is one."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any, NamedTuple


class Event(NamedTuple):
    """What the server sent: a record (type ""), or `missed`."""

    type: str
    data: Any


class Stream:
    """One connection to the stream; events come as they are asked for."""

    def __init__(
        self,
        collector: Any,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 20.0,
        **parameters: str | int,
    ) -> None:
        self.connection = http.client.HTTPConnection(
            collector.host, collector.port, timeout=timeout
        )
        target = "/api/logs/stream?" + urllib.parse.urlencode(parameters)
        self.connection.request("GET", target, headers=dict(headers or {}))
        self.response = self.connection.getresponse()
        self.last_id = ""

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Goes away without a word, as clients do."""
        self.response.close()
        self.connection.close()

    def lines(self) -> list[str]:
        """The lines of the next block, to its blank line; none at the end of the stream."""
        lines = []
        while line := self.response.readline().decode().rstrip("\n"):
            lines.append(line)
        return lines

    def next(self) -> Event | None:
        """The next event; None when the server has ended the stream."""
        while lines := self.lines():
            fields = dict(line.split(": ", 1) for line in lines if ": " in line)
            self.last_id = fields.get("id", self.last_id)
            if "data" in fields:
                return Event(fields.get("event", ""), json.loads(fields["data"]))
        return None

    def take(self, count: int) -> list[Any]:
        """The next `count` records."""
        records = []
        while len(records) < count:
            event = self.next()
            assert event is not None, f"the stream ended after {len(records)} records"
            assert event.type == "", event
            records.append(event.data)
        return records
