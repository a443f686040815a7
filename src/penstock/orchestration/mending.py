"""What is kept apart from journals is made to fit what they say: the work of runs, above all.

Of a database that was damaged, some of it may be lost. No run is to wait for ever because of that: it gets what it
lacks anew as far as something else tells what that was, and ends otherwise.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import NamedTuple

from penstock.core import names, records
from penstock.core.deployments import Job
from penstock.core.states import StateType
from penstock.core.work import LEASE_SECONDS
from penstock.orchestration.deployments import put_back_schedules
from penstock.orchestration.flow_runs import direct, finish
from penstock.orchestration.fold import record
from penstock.orchestration.suspended import end_without_worker
from penstock.orchestration.turns import overlap_of
from penstock.orchestration.work_pools import queue_of, wake
from penstock.store.interface import Store, Transaction
from penstock.store.rows import FlowRow, texts_in, unpack
from penstock.store.work import WorkRow, job_to_json

_SECOND = 1_000_000


class Mended(NamedTuple):
    """What was made to fit."""

    told_again: int = 0
    """Runs of which nothing was known but their work: they go on."""
    set_up_again: int = 0
    """Runs whose work was lost: they are executed as their deployment says now."""
    ended: int = 0
    """Runs that cannot go on: nothing tells how they ended, or what is to be executed."""
    schedules: int = 0
    """Schedules that were lost: they are as their deployment says."""

    def and_then(self, later: Mended) -> Mended:
        """All of it together."""
        return Mended(*(one + other for one, other in zip(self, later, strict=True)))


class _Done(Enum):
    TOLD_AGAIN = "told_again"
    SET_UP_AGAIN = "set_up_again"
    ENDED = "ended"


def mend(store: Store, *, is_all_told: bool) -> Mended:
    """Let all that is kept apart from journals fit what they say. What fits stays as it is.

    Unless ``is_all_told``, there are journals that are not folded yet: no run is ended before.
    """
    schedules = store.run(lambda tx: sum([put_back_schedules(tx, row) for row in list(tx.deployments.every())]))
    wrong = store.ask(lambda tx: [run_id for run_id, _, _ in tx.work.contradictions()])
    done = Counter(store.run(lambda tx, run_id=run_id: _mend(tx, run_id, is_all_told=is_all_told)) for run_id in wrong)
    store.run(_put_back_queues)
    return Mended(**{each.value: done[each] for each in _Done}, schedules=schedules)


def _put_back_queues(tx: Transaction) -> None:
    pools = {row.name for row in tx.work_pools.pools()}
    for pool, queue in tx.work.places():
        if pool in pools:
            queue_of(tx, pool, queue)


def _mend(tx: Transaction, run_id: str, *, is_all_told: bool) -> _Done | None:
    work = tx.work.row(run_id)
    tx.lock(run_id)
    run = tx.flow_runs.row(run_id)
    if work is None:
        if run is None or run.ended_at is not None:
            return None
        return _set_up_again(tx, run) or (_end_unknown(tx, run) if is_all_told else None)
    if run is None and (work.status == "done" or tx.flow_runs.deleted_among([run_id])):
        if is_all_told:
            tx.work.forget([run_id])
        return None
    if run is None or (run.ended_at is None and not run.is_managed and work.status != "done"):
        return _tell_again(tx, work, run)
    if is_all_told and run.ended_at is not None and work.status in ("waiting", "held", "suspended"):
        finish(tx, work)
    elif is_all_told and run.ended_at is None and work.status == "done" and _was_ended(work, run):
        type_ = StateType.CRASHED if work.cancelled_at is None else StateType.CANCELLED
        direct(tx, work, type_, type_.capitalize(), "It had ended, but how is not known any more", lost=True)
        return _Done.ENDED
    return None


def _was_ended(work: WorkRow, run: FlowRow) -> bool:
    """Whether it was not somebody who went on with it by hand after its workers had done with it."""
    return run.attempt <= work.attempt or run.began_attempt == 0


def _tell_again(tx: Transaction, work: WorkRow, run: FlowRow | None) -> _Done:
    """What the store had told of the run, to itself, is lost; what it is to do is not."""
    job = work.what()
    deployment = tx.deployments.row(work.deployment_id or "")
    spec = deployment.deployment_spec() if deployment is not None else None
    attempt = max(work.attempt, 1 if run is None else run.attempt)
    created = records.FlowRunCreated(
        at=tx.now if run is None else run.created_at,
        flow_run_id=work.run_id,
        name=names.name_of(work.run_id) if run is None else run.name,
        flow_name=job.flow_name,
        parameters=job.parameters,
        due_at=work.due_at,
        work_pool=work.work_pool,
        work_queue=work.work_queue,
        entrypoint=job.entrypoint,
        flow_version=spec.version if spec is not None else "",
        tags=texts_in(run.tags) if run is not None else spec.tags if spec is not None else (),
        deployment_id=work.deployment_id,
        parent_flow_run_id=None if run is None else run.parent_flow_run_id,
        parent_task_run_id=None if run is None else run.parent_task_run_id,
        source="deployment" if work.schedule is None else "schedule",
        description=spec.description[:500] if spec is not None else "",
    )
    type_, name = _state_of(work) if run is None else (StateType(run.state_type), run.state_name)
    message = "What was recorded of it before is lost" if run is None else run.state_message
    said = records.FlowRunDirected(tx.now, work.run_id, type_.value, name, message)
    record(tx, work.run_id, created, said, attempt=attempt)
    return _Done.TOLD_AGAIN


def _state_of(work: WorkRow) -> tuple[StateType, str]:
    if work.status == "suspended":
        return StateType.PAUSED, "Suspended"
    if work.status == "claimed":
        return (StateType.PENDING, "Pending") if work.cancelled_at is None else (StateType.CANCELLING, "Cancelling")
    return StateType.SCHEDULED, "Resuming" if work.attempt else "Scheduled"


def _end_unknown(tx: Transaction, run: FlowRow) -> _Done:
    message = "What it was to execute is lost, and its deployment is not there any more"
    end_without_worker(tx, run, StateType.CRASHED, "Crashed", message)
    return _Done.ENDED


def _set_up_again(tx: Transaction, run: FlowRow) -> _Done | None:
    """What the run is to execute is lost. Its deployment, if it is there, says what is the same for all of its runs."""
    deployment = tx.deployments.row(run.deployment_id or "")
    if deployment is None or run.work_pool is None:
        return None
    spec = deployment.deployment_spec()
    work = WorkRow.unclaimed(
        run_id=run.id,
        status="waiting",
        work_pool=run.work_pool,
        work_queue=run.work_queue or spec.work_queue,
        priority=0,
        due_at=run.created_at if run.due_at is None else run.due_at,
        attempt=_attempts_claimed(run),
        deployment_id=deployment.id,
        schedule=tx.schedules.of_run(run.id),
        on_crash=spec.on_crash,
        job=job_to_json(Job.of(spec, unpack(run.parameters), {})),
    )
    _bring_up_to_date(tx, work, run)
    tx.work.save(work)
    wake(tx, work.work_pool)
    tx.wake("schedules")
    return _Done.SET_UP_AGAIN


def _attempts_claimed(run: FlowRow) -> int:
    """How many claims of the run there were. Before the first, its attempt counts as 1 already."""
    begun = max(run.began_attempt, run.fence)
    return begun if run.attempt == 1 and run.state_type in (StateType.SCHEDULED, StateType.PAUSED) else run.attempt


def _bring_up_to_date(tx: Transaction, work: WorkRow, run: FlowRow) -> None:
    """As it was, as far as the run's state says how."""
    if run.state_type == StateType.SCHEDULED:
        work.late = int(run.state_name == "Late")
        if work.schedule is not None and _waits_its_turn(tx, work, work.schedule):
            work.status = "held"
    elif run.state_name == "Suspended":
        work.status = "suspended"
        work.wish = None if tx.run_inputs.open(run.id) else "suspend"
    else:
        # Its worker goes on with it if it is heard of; if not, the lease ends, and the run is judged as any other. It
        # counts as granted long ago, so that the time in which there is no server is added to it.
        work.status = "claimed"
        workers = [each for each in tx.work_pools.workers(work.work_pool) if each.name == run.worker]
        work.worker_id = max(workers, key=lambda each: each.seen_at).id if workers else ""
        work.renewed_at, work.lease_ends_at = 0, tx.now + int(LEASE_SECONDS * _SECOND)
        if run.state_type == StateType.CANCELLING:
            work.cancelled_at, work.cancelled_by = tx.now, ""


def _waits_its_turn(tx: Transaction, work: WorkRow, schedule: str) -> bool:
    deployment_id = work.deployment_id or ""
    return overlap_of(tx, deployment_id, schedule) == "queue_one" and any(
        status != "held" for _, status in tx.work.of_schedule(deployment_id, schedule)
    )
