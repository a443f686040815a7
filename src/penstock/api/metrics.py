"""Metrics for Prometheus: what this process did, counted as it happens, and what goes on, counted when asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler, get

from penstock.api.admission import NEEDS
from penstock.api.context import Context
from penstock.api.counts import head, line
from penstock.api.described import Raw
from penstock.core.access import Permission
from penstock.orchestration import measures
from penstock.orchestration.measures import Measures
from penstock.store.interface import Store
from penstock.version import __version__

MEDIA_TYPE = "text/plain; version=0.0.4"


def routes(context: Context) -> list[HTTPRouteHandler]:
    """At ``/metrics``, where Prometheus looks."""

    @get("/metrics", name="metrics", opt={NEEDS: frozenset({Permission.READ})})
    async def show(request: Request[Any, Any, Any]) -> Response[str]:  # noqa: ARG001  every request gets the same
        measured = await context.in_thread(_measure, context.store)
        lines = [*_of_store(measured), *_of_services(context), *context.counts.lines()]
        return Response("\n".join(lines) + "\n", media_type=MEDIA_TYPE)

    return [show]


def _measure(store: Store) -> Measures:
    with store.reading() as tx:
        return measures.measure(tx)


def _of_store(measured: Measures) -> Iterable[str]:
    yield from head("penstock_info", "gauge", "The version of the server.")
    yield line("penstock_info", 1, version=__version__)
    yield from head("penstock_unfinished_runs", "gauge", "Flow runs that have not ended.")
    for (kind, name), count in sorted(measured.unfinished.items()):
        yield line("penstock_unfinished_runs", count, type=kind, state=name)
    yield from head("penstock_work_runs", "gauge", "Runs that wait for a worker and are due, and runs under way.")
    for (pool, queue, status), count in sorted(measured.work.items()):
        yield line("penstock_work_runs", count, pool=pool, queue=queue, status=status)
    yield from head("penstock_late_runs", "gauge", "Runs that are due for long, and no worker has claimed.")
    for pool, count in sorted(measured.late.items()):
        yield line("penstock_late_runs", count, pool=pool)
    yield from head("penstock_workers", "gauge", "Workers.")
    for (pool, status), count in sorted(measured.workers.items()):
        yield line("penstock_workers", count, pool=pool, status=status)


def _of_services(context: Context) -> Iterable[str]:
    yield from head("penstock_service_age_seconds", "gauge", "How long ago a service has done its work, last.")
    for loop in context.loops:
        yield line("penstock_service_age_seconds", round(loop.age_seconds, 3), service=loop.name)
    yield from head("penstock_service_failures", "gauge", "How often in a row a service has failed.")
    for loop in context.loops:
        yield line("penstock_service_failures", loop.failures, service=loop.name)


DESCRIBED = (
    Raw(
        "get",
        "/metrics",
        "metrics",
        "Numbers for Prometheus: runs, work, workers, services, requests.",
        tag="server",
        permissions=(Permission.READ,),
        answer={"text/plain": {"schema": {"type": "string"}}},
    ),
)
