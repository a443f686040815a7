"""Work pools, their queues, and the workers that serve them."""

from __future__ import annotations

from typing import Any

from penstock.core.operations import Permission, Request, operation
from penstock.core.runs import FlowRun
from penstock.core.work import Worker, WorkPool, WorkQueue

NO_LIMIT = -1
"""As a ``concurrency_limit``: the limit is taken away."""


@operation("POST", "/work-pools", Permission.AUTHOR)
class CreateWorkPool(Request[WorkPool], frozen=True, kw_only=True):
    """Add a pool. One of that name is refused, unless ``overwrite`` is set: then it takes these values."""

    name: str
    type: str = "process"
    description: str = ""
    job_template: dict[str, Any] = {}
    concurrency_limit: int | None = None
    paused: bool = False
    overwrite: bool = False


@operation("GET", "/work-pools", Permission.READ)
class ListWorkPools(Request[list[WorkPool]], frozen=True, kw_only=True):
    """All pools, by name."""


@operation("GET", "/work-pools/{pool}", Permission.READ)
class GetWorkPool(Request[WorkPool], frozen=True, kw_only=True):
    pool: str


@operation("PATCH", "/work-pools/{pool}", Permission.AUTHOR, is_idempotent=True)
class UpdateWorkPool(Request[WorkPool], frozen=True, kw_only=True):
    """Change what is given. A ``concurrency_limit`` of -1 takes the limit away."""

    pool: str
    description: str | None = None
    job_template: dict[str, Any] | None = None
    concurrency_limit: int | None = None
    paused: bool | None = None


@operation("DELETE", "/work-pools/{pool}", Permission.AUTHOR)
class DeleteWorkPool(Request[None], frozen=True, kw_only=True):
    """Forget a pool. Refused while deployments or unfinished runs name it, and for the default pool."""

    pool: str


@operation("PUT", "/work-pools/{pool}/queues/{queue}", Permission.OPERATE)
class SaveWorkQueue(Request[WorkQueue], frozen=True, kw_only=True):
    """Make a queue, or change what is given. A ``concurrency_limit`` of -1 takes the limit away."""

    pool: str
    queue: str
    priority: int | None = None
    concurrency_limit: int | None = None
    paused: bool | None = None
    description: str | None = None


@operation("GET", "/work-queues", Permission.READ)
class ListWorkQueues(Request[list[WorkQueue]], frozen=True, kw_only=True):
    """Queues by pool, priority and name, with how many runs wait and run in each."""

    pool: str | None = None
    name: str | None = None
    """Only queues whose names begin so."""


@operation("DELETE", "/work-pools/{pool}/queues/{queue}", Permission.AUTHOR)
class DeleteWorkQueue(Request[None], frozen=True, kw_only=True):
    """Forget a queue. Refused while unfinished runs name it, and for the queue `default`."""

    pool: str
    queue: str


@operation("GET", "/work-pools/{pool}/preview", Permission.READ)
class PreviewWork(Request[list[FlowRun]], frozen=True, kw_only=True):
    """The runs that would be claimed next, in the order of their turn."""

    pool: str
    queue: str | None = None
    hours: float = 0
    """How far ahead scheduled runs count."""
    limit: int = 50


@operation("GET", "/workers", Permission.READ)
class ListWorkers(Request[list[Worker]], frozen=True, kw_only=True):
    """Workers that were seen of late, by pool and name."""

    pool: str | None = None
