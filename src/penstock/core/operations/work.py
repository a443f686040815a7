"""What workers ask and tell."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from penstock.core.operations import Permission, Request, operation
from penstock.core.runs import FlowRun
from penstock.core.work import MAX_EXCEPTED, Claim, ExitReason, Verdict, Worker


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker has to know."""

    worker: Worker
    job_template: dict[str, Any] = {}
    heartbeat_seconds: float
    lease_seconds: float


@operation("POST", "/workers", Permission.WORK)
class RegisterWorker(Request[Registered], frozen=True, kw_only=True):
    """A worker begins to serve a pool. Queues that it names are made if they do not exist.

    An unknown pool is refused, and one of another type. ``id`` is the worker's own: asking again changes nothing more.
    """

    id: str
    name: str
    pool: str
    queues: tuple[str, ...] = ()
    queue_prefixes: tuple[str, ...] = ()
    """Also of queues whose names begin so."""
    type: str = "process"
    host: str = ""
    version: str = ""
    limit: int | None = None


@operation("POST", "/workers/{worker_id}/claim", Permission.WORK)
class ClaimFlowRuns(Request[list[Claim]], frozen=True, kw_only=True):
    """Take up to ``limit`` due runs of the worker's pool and queues, in the order of their turn.

    Without any, the answer waits for up to ``wait_seconds`` for one to become due.
    """

    worker_id: str
    pool: str
    limit: int = 1
    wait_seconds: float = 0
    except_deployments: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_EXCEPTED)] = ()
    """Their ids. Runs of these are left to other workers: this one could not get their code."""

    def topic(self) -> str:
        return f"work:{self.pool}"


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A run that a worker has under way."""

    run_id: str
    attempt: int


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    run_id: str
    attempt: int
    verdict: Verdict
    reason: str = ""


@operation("POST", "/workers/{worker_id}/heartbeat", Permission.WORK, is_idempotent=True)
class Heartbeat(Request[list[Judged]], frozen=True, kw_only=True):
    """The worker lives, and so do these runs: their leases are renewed. Says what to do with each.

    ``draining``: it claims no more.
    """

    worker_id: str
    runs: tuple[Held, ...] = ()
    draining: bool = False


@operation("GET", "/workers/{worker_id}/orders", Permission.WORK)
class AwaitOrders(Request[list[Judged]], frozen=True, kw_only=True):
    """What the worker is to do now, without waiting for its next heartbeat: which of its runs to end, pause, let go on.

    ``paused`` are those that it has paused already. Without any, the answer waits for up to ``wait_seconds``.
    """

    worker_id: str
    paused: tuple[str, ...] = ()
    wait_seconds: float = 0

    def topic(self) -> str:
        return f"worker:{self.worker_id}"


@operation("POST", "/flow-runs/{run_id}/exit", Permission.WORK, is_idempotent=True)
class ReportExit(Request[FlowRun], frozen=True, kw_only=True):
    """The process of an attempt is gone, and all that its journal says has been sent. Says what became of the run.

    Told too late, when the run is another's, it changes nothing.
    """

    run_id: str
    worker_id: str
    attempt: int
    reason: ExitReason
    message: str = ""
    exit_code: int | None = None
    draining: bool = False
    """Whether the worker is about to stop: a question for work that it has asked before is answered with nothing."""


@operation("POST", "/flow-runs/{run_id}/commit", Permission.WORK, is_idempotent=True)
class PinCommit(Request[str], frozen=True, kw_only=True):
    """The commit that a git ref stood for at the first claim; the answer is the one to use."""

    run_id: str
    attempt: int
    commit: str


@operation("DELETE", "/workers/{worker_id}", Permission.WORK)
class RetireWorker(Request[None], frozen=True, kw_only=True):
    """The worker is gone by its own will. What it still held is let go, to be resumed elsewhere."""

    worker_id: str
