"""What workers ask and tell: claims, heartbeats, and how the processes of runs ended."""

from __future__ import annotations

from msgspec.structs import replace

from penstock import errors
from penstock.core.operations import work as ask
from penstock.core.runs import FlowRun
from penstock.core.states import StateType
from penstock.core.work import (
    HEARTBEAT_SECONDS,
    LEASE_SECONDS,
    Claim,
    ExitReason,
    Sequel,
    Verdict,
    sequel,
)
from penstock.orchestration import claims, concurrency_limits, pauses
from penstock.orchestration.flow_runs import direct, finish, go_on
from penstock.orchestration.work_pools import pool_of, queue_of, wake
from penstock.store.interface import Transaction
from penstock.store.rows import texts
from penstock.store.work import WorkRow, job_to_json
from penstock.store.work_pools import WorkerRow

MAX_BACKOFF_SECONDS = 60.0


def register_worker(tx: Transaction, given: ask.RegisterWorker) -> ask.Registered:
    pool = pool_of(tx, given.pool)
    if given.type != pool.type:
        raise errors.UsageError(
            f"The work pool `{pool.name}` is for workers of type `{pool.type}`, not: `{given.type}`",
            hint=f"start it with `--type {pool.type}`, or in another pool",
        )
    for name in given.queues:
        queue_of(tx, pool.name, name)
    known = tx.work_pools.worker(given.id)
    row = WorkerRow(
        id=given.id,
        name=given.name,
        work_pool=pool.name,
        type=given.type,
        host=given.host,
        version=given.version,
        run_limit=given.limit,
        started_at=known.started_at if known else tx.now,
        seen_at=tx.now,
        status="online",
        queues=texts(given.queues),
        prefixes=texts(given.queue_prefixes),
    )
    tx.work_pools.save_worker(row)
    return ask.Registered(
        worker=row.view(tx.now),
        job_template=dict(pool.view().job_template),
        heartbeat_seconds=HEARTBEAT_SECONDS,
        lease_seconds=LEASE_SECONDS,
    )


def claim_flow_runs(tx: Transaction, given: ask.ClaimFlowRuns) -> list[Claim]:
    found = claims.claim_together(tx, [given])[0]
    if isinstance(found, errors.PenstockError):
        raise found
    return found


def heartbeat(tx: Transaction, given: ask.Heartbeat) -> list[ask.Judged]:
    worker = claims.worker_of(tx, given.worker_id)
    # It may have been under way since before the worker was told to stop.
    status = "draining" if given.draining or worker.status == "draining" else "online"
    tx.work_pools.see_worker(worker.id, tx.now, status)
    held = {each.run_id: each for each in given.runs}
    known = tx.work.rows(held)
    mine = [run_id for run_id, each in held.items() if _is_of(known.get(run_id), worker.id, each.attempt)]
    tx.work.renew(mine, worker.id, tx.now, tx.now + _micros(LEASE_SECONDS))
    return [_judged(known.get(each.run_id), worker.id, each) for each in given.runs]


def await_orders(tx: Transaction, given: ask.AwaitOrders) -> list[ask.Judged]:
    worker = claims.worker_of(tx, given.worker_id)
    held = [ask.Held(run_id=row.run_id, attempt=row.attempt) for row in tx.work.of_worker(worker.id)]
    known = tx.work.rows(each.run_id for each in held)
    judged = (_judged(known.get(each.run_id), worker.id, each) for each in held)
    return [each for each in judged if _is_order(each, is_paused=each.run_id in given.paused)]


def pin_commit(tx: Transaction, given: ask.PinCommit) -> str:
    work = _work(tx, given.run_id)
    job = work.what()
    if job.code_commit is None and work.status == "claimed" and work.attempt == given.attempt:
        work.job = job_to_json(replace(job, code_commit=given.commit))
        tx.work.save(work)
        return given.commit
    return job.code_commit or given.commit


def report_exit(tx: Transaction, given: ask.ReportExit) -> FlowRun:
    work = _work(tx, given.run_id)
    tx.lock(given.run_id)
    if given.draining:
        tx.work_pools.see_worker(given.worker_id, tx.now, "draining")
    if _is_of(work, given.worker_id, given.attempt):
        conclude(tx, work, given.reason, given.message)
    row = tx.flow_runs.row(given.run_id)
    assert row is not None
    return row.view()


def retire_worker(tx: Transaction, given: ask.RetireWorker) -> None:
    worker = tx.work_pools.worker(given.worker_id)
    if worker is None:
        return
    for row in tx.work.of_worker(worker.id):
        work = _work(tx, row.run_id)
        tx.lock(row.run_id)
        if _is_of(work, worker.id, row.attempt):
            conclude(tx, work, ExitReason.DRAINED, f"Worker {worker.name} has stopped")
    tx.work_pools.see_worker(worker.id, tx.now, "offline")


def conclude(tx: Transaction, work: WorkRow, reason: ExitReason, message: str) -> Sequel | None:
    """The process of a claimed run is gone: decide what becomes of the run. None if it had ended by itself.

    The caller holds the work and the run's lock, in this order, and has folded what its journal says.
    """
    run = tx.flow_runs.row(work.run_id)
    assert run is not None
    concurrency_limits.end_of_attempt(tx, work.run_id, work.attempt)
    if run.ended_at is not None:
        finish(tx, work)
        return None
    is_loss = reason in (ExitReason.LOST, ExitReason.LACKING)
    work.losses = (0 if run.progress_attempt >= work.attempt else work.losses) + is_loss
    if run.state_type == StateType.PAUSED and run.state_name == "Suspended" and work.cancelled_at is None:
        pauses.conclude_suspended(tx, work)
        wake(tx, work.work_pool)
        return None
    if work.wish == "suspend" and work.cancelled_at is None and reason is ExitReason.DRAINED:
        by = work.wished_by or "a user"
        direct(tx, work, StateType.PAUSED, "Suspended", f"Suspended by {by}", by=work.wished_by or "", lost=True)
        pauses.conclude_suspended(tx, work)
        wake(tx, work.work_pool)
        return None
    crashed = reason in (ExitReason.CRASHED, ExitReason.ENDED, ExitReason.NOT_STARTED)
    crashes = run.crashes + (run.lost_attempt < work.attempt)
    what = sequel(
        reason=reason,
        is_cancelling=work.cancelled_at is not None,
        on_crash=work.on_crash,
        crashes=crashes,
        losses=work.losses,
        is_alone=reason is ExitReason.LACKING and not _has_others(tx, work),
    )
    if what is Sequel.CANCEL:  # whoever cancelled it may have said why
        message = (run.state_type == StateType.CANCELLING and run.state_message) or _who_cancelled(work)
    message = message or "Its process is gone"
    if what is Sequel.RESUME:
        times = crashes if crashed else work.losses if is_loss else 0
        delay = min(2.0 ** (times - 1), MAX_BACKOFF_SECONDS) if times > 1 else 0.0
        go_on(tx, work, "Resuming", message, delay_seconds=delay, lost=True, crashed=crashed)
        return what
    count = f"{crashes} crashes without progress"
    if reason is ExitReason.LOST:
        count = f"{work.losses} attempts without progress that ended with what was around them"
    elif reason is ExitReason.LACKING:
        count = f"{work.losses} attempts without progress"
    type_, name, told = _final(what, message, count)
    direct(tx, work, type_, name, told, by=work.cancelled_by or "", lost=True, crashed=crashed)
    finish(tx, work)
    return what


def _has_others(tx: Transaction, work: WorkRow) -> bool:
    """Whether another worker is there that serves the run's queue."""
    return any(
        row.id != work.worker_id and row.serves(work.work_queue) and row.status_at(tx.now) == "online"
        for row in tx.work_pools.workers(work.work_pool)
    )


def _final(what: Sequel, message: str, count: str) -> tuple[StateType, str, str]:
    if what is Sequel.CANCEL:
        return StateType.CANCELLED, "Cancelled", message
    if what is Sequel.TIME_OUT:
        return StateType.FAILED, "TimedOut", message
    if what is Sequel.POISON:
        return StateType.CRASHED, "Poison", f"Set aside after {count}. The last: {message}"
    return StateType.CRASHED, "Crashed", message


def _judged(work: WorkRow | None, worker_id: str, held: ask.Held) -> ask.Judged:
    if work is None or not _is_of(work, worker_id, held.attempt):
        reason = "it was deleted" if work is None else f"attempt {work.attempt} is under way, or the run is over"
        return ask.Judged(run_id=held.run_id, attempt=held.attempt, verdict=Verdict.SUPERSEDED, reason=reason)
    if work.cancelled_at is not None:
        reason = _who_cancelled(work)
        return ask.Judged(run_id=held.run_id, attempt=held.attempt, verdict=Verdict.CANCEL, reason=reason)
    if work.wish is not None:
        wished, done = (Verdict.PAUSE, "Paused") if work.wish == "pause" else (Verdict.SUSPEND, "Suspended")
        reason = f"{done} by {work.wished_by or 'a user'}"
        return ask.Judged(run_id=held.run_id, attempt=held.attempt, verdict=wished, reason=reason)
    return ask.Judged(run_id=held.run_id, attempt=held.attempt, verdict=Verdict.GO_ON)


def _is_order(judged: ask.Judged, *, is_paused: bool) -> bool:
    """Whether a worker has to do something that it may not have done yet."""
    if judged.verdict is Verdict.PAUSE:
        return not is_paused
    if judged.verdict is Verdict.GO_ON:
        return is_paused
    return judged.verdict is not Verdict.SUPERSEDED


def _is_of(work: WorkRow | None, worker_id: str, attempt: int) -> bool:
    return work is not None and (work.status, work.worker_id, work.attempt) == ("claimed", worker_id, attempt)


def _who_cancelled(work: WorkRow) -> str:
    return f"Cancelled by {work.cancelled_by or 'a user'}"


def _work(tx: Transaction, run_id: str) -> WorkRow:
    row = tx.work.row(run_id)
    if row is None:
        raise errors.NotFound(f"No worker's run has the id: `{run_id}`")
    return row


def _micros(seconds: float) -> int:
    return int(seconds * 1e6)
