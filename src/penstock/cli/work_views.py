"""How work queues and workers are shown."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.cli.table import Cell, Column
from penstock.cli.views import Style, View
from penstock.core.work import Worker, WorkQueue


def _work_queue_rows(found: Sequence[WorkQueue], style: Style) -> list[list[Cell]]:  # noqa: ARG001  as above
    return [
        [
            Cell(queue.name),
            Cell(queue.pool),
            Cell(str(queue.priority)),
            limit(queue.concurrency_limit),
            claimed(is_paused=queue.paused),
            Cell(str(queue.waiting)),
            Cell(str(queue.running)),
        ]
        for queue in found
    ]


WORK_QUEUES = View[WorkQueue](
    (
        Column("NAME"),
        Column("WORK POOL"),
        Column("PRIORITY", right=True, shrinks=False),
        Column("LIMIT", right=True, shrinks=False),
        Column("STATUS", shrinks=False),
        Column("WAITING", right=True, shrinks=False),
        Column("RUNNING", right=True, shrinks=False),
    ),
    _work_queue_rows,
)


def limit(limit: int | None) -> Cell:
    return Cell("" if limit is None else str(limit))


def claimed(*, is_paused: bool) -> Cell:
    return Cell("paused", "yellow") if is_paused else Cell("active", "green")


WORKER_STYLES = {"online": "green", "draining": "yellow", "silent": "yellow", "offline": "dim"}


def _worker_rows(found: Sequence[Worker], style: Style) -> list[list[Cell]]:
    ids = style.ids([worker.id for worker in found])
    return [
        [
            Cell(worker.name),
            Cell(worker.pool),
            Cell(", ".join(worker.queues) or "all"),
            Cell(worker.status, WORKER_STYLES[worker.status]),
            Cell("" if worker.limit is None else str(worker.limit)),
            style.time(worker.seen_at),
            short,
        ]
        for worker, short in zip(found, ids, strict=True)
    ]


WORKERS = View[Worker](
    (
        Column("NAME"),
        Column("POOL"),
        Column("QUEUES"),
        Column("STATUS", shrinks=False),
        Column("LIMIT", right=True),
        Column("SEEN", shrinks=False),
        Column("ID", drops=True),
    ),
    _worker_rows,
)
