"""What this process did, counted as it happens."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import Any

from litestar.types import Scope

from penstock import telemetry

BUCKETS = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0)
"""Seconds within which requests were answered."""

_COUNTED = {
    "operation.done claim_flow_runs": ("penstock_claims_total", "Runs that workers have claimed here."),
    "journals.folded": ("penstock_folded_records_total", "Records of journals that were folded here."),
    "store.tried_again": ("penstock_store_retries_total", "Transactions that had to be tried again."),
}
"""What is counted of telemetry: by ``count`` where it says one."""

WAITS = "waits"
"""The name of the attribute of routes whose answers may wait for something, so that how long they take says nothing."""


class Counts:
    """Counts of this process. Safe to use from any thread."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._events: Counter[str] = Counter()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: Counter[str] = Counter()
        self._within: dict[str, list[int]] = {}
        self._unsubscribe = telemetry.subscribe(self._hear)

    def close(self) -> None:
        """Count no more."""
        self._unsubscribe()

    def see(self, scope: Scope, status: int, seconds: float) -> None:
        """A request was answered; see `door.Door`."""
        handler: Any = scope.get("route_handler")
        # Not the path: names of runs in it would make a series each.
        name = (handler and handler.name) or "other"
        with self._mutex:
            self._requests[name, str(scope.get("method", "")), status] += 1
            if handler is None or not handler.opt.get(WAITS):
                self._seconds[name] += seconds  # pyright: ignore[reportArgumentType]  a counter of seconds
                within = self._within.setdefault(name, [0] * (len(BUCKETS) + 1))
                within[bisect_left(BUCKETS, seconds)] += 1

    def _hear(self, event: str, details: dict[str, Any]) -> None:
        event = " ".join(filter(None, (event, details.get("operation"))))
        if event in _COUNTED:
            with self._mutex:
                self._events[event] += details.get("count", 1)

    def lines(self) -> Iterable[str]:
        """What was counted, as Prometheus reads it."""
        with self._mutex:
            events, requests, seconds = dict(self._events), dict(self._requests), dict(self._seconds)
            within = {name: list(counts) for name, counts in self._within.items()}
        for event, (name, said) in _COUNTED.items():
            yield from head(name, "counter", said)
            yield f"{name} {events.get(event, 0)}"
        yield from head("penstock_http_requests_total", "counter", "Requests that were answered.")
        for (route, method, status), count in sorted(requests.items()):
            yield line("penstock_http_requests_total", count, route=route, method=method, status=str(status))
        name = "penstock_http_request_seconds"
        yield from head(name, "histogram", "How long answers took, except for those that wait on purpose.")
        for route, counts in sorted(within.items()):
            total = 0
            for bound, count in zip((*BUCKETS, "+Inf"), counts, strict=True):
                total += count
                yield line(f"{name}_bucket", total, route=route, le=str(bound))
            yield line(f"{name}_sum", round(seconds[route], 6), route=route)
            yield line(f"{name}_count", total, route=route)


def head(name: str, kind: str, said: str) -> tuple[str, str]:
    """The lines that introduce a metric, as Prometheus reads them."""
    return f"# HELP {name} {said}", f"# TYPE {name} {kind}"


def line(name: str, value: float, **labels: str) -> str:
    """One value of a metric."""
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{told}}} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
