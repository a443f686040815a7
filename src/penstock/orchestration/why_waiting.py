"""What a run that has not ended waits for: its time, a worker, a place, a slot, somebody's decision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from penstock.core.concurrency import about_waiting, clock_time
from penstock.core.runs import FlowRun, Reason
from penstock.core.states import StateType
from penstock.core.timestamps import as_datetime
from penstock.core.wording import counted
from penstock.core.work import GRACE_SECONDS, SILENT_SECONDS
from penstock.orchestration import concurrency_limits
from penstock.store.interface import Transaction
from penstock.store.work import WorkRow
from penstock.store.work_pools import WorkerRow

_NAMED = 5
"""So many runs are told by name, the others by number."""
_START_SERVER = "`penstock server start` starts one"


def of_work(tx: Transaction, run: FlowRun, *, is_served: bool = True) -> Iterator[Reason]:
    """Why a worker's run is not executed, or not ended yet; ``is_served``: a server is there to hand it to workers."""
    work = tx.work.look(run.id)
    if work is None or work.status == "done" or run.is_final:
        return
    if not is_served:
        yield _no_server(run, work)
    if work.status == "held":
        yield _held(tx, run, work)
    elif work.status == "waiting" and work.due_at > tx.now:
        yield _not_due(tx, run, work)
    elif work.status == "waiting":
        found = list(_unclaimed(tx, run, work))
        if not found and is_served:
            message = "Nothing keeps it: a worker claims it at any moment."
            if work.losses:
                message = f"{message} One that could not get its code leaves it to others for a quarter of a minute."
            found = [Reason("unclaimed", run.id, message, {})]
        yield from found
    elif work.status == "claimed" and is_served:
        yield from _claimed(tx, run, work)


def of_slots(tx: Transaction, run: FlowRun) -> Iterator[Reason]:
    """What the code of a run waits for, of concurrency limits."""
    for row, obstacles in concurrency_limits.obstacles_of(tx, run.root_run_id):
        if run.id != run.root_run_id and not _is_in(tx, row.task_run_id, run):
            continue
        who = f"Task run `{row.task_run_name or row.task_run_id}`" if row.task_run_id else f"Flow run `{run.name}`"
        message = about_waiting(obstacles)
        message = f"{who} {message[0].lower()}{message[1:]}."
        details = {
            "task_run_id": row.task_run_id,
            "since": row.arrived_at,
            "limits": [each.limit for each in obstacles],
            "keys": sorted({each.key for each in obstacles if each.key}),
            "ahead": max(each.ahead for each in obstacles),
            "holders": [holder.run_id or holder.who for each in obstacles for holder in each.holders],
        }
        yield Reason("slot", row.task_run_id or run.id, message, details)


def of_inputs(tx: Transaction, run: FlowRun) -> Iterator[Reason]:
    """What a run waits for that somebody has to give it."""
    for row in tx.run_inputs.open(run.root_run_id):
        if run.id not in (run.root_run_id, row.flow_run_id):
            continue
        schema = row.what()
        required = [name for name in schema.get("properties", ()) if name in schema.get("required", ())]
        inputs = "".join(f" --input {name}=…" for name in required)
        until = "" if row.deadline is None else f", until {_time(row.deadline)}"
        what = "an input" if schema else "somebody to resume it"
        message = (
            f"Since {_time(row.asked_at)} it waits for {what}{until}: `penstock flow-run resume {run.name}{inputs}`."
        )
        details = {"key": row.key, "schema": schema, "asked_at": row.asked_at, "deadline": row.deadline}
        yield Reason("input", row.key, message, details)
    work = tx.work.look(run.root_run_id)
    if work is not None and work.wish is not None:
        done = "paused" if work.wish == "pause" else "suspended"
        message = f"It was {done} by {work.wished_by or 'a user'}: `penstock flow-run resume {run.name}` undoes that."
        yield Reason("input", run.id, message, {"by": work.wished_by, "wish": work.wish})


def _is_in(tx: Transaction, task_run_id: str | None, run: FlowRun) -> bool:
    return task_run_id is not None and any(row.flow_run_id == run.id for row in tx.task_runs.rows([task_run_id]))


def _not_due(tx: Transaction, run: FlowRun, work: WorkRow) -> Reason:
    seconds = (work.due_at - tx.now) / 1e6
    when = f"{_time(work.due_at)}, in {_span(seconds)}"
    details = {"due_at": work.due_at, "seconds": seconds}
    if work.attempt > 0 and run.crashes:
        message = f"It goes on at {when}: the longer, the more attempts ended without progress ({run.crashes} so far)."
        return Reason("resuming", run.id, message, {**details, "crashes": run.crashes})
    if work.attempt > 0 and work.losses:
        message = (
            f"It goes on at {when}: the longer, the more often a worker was lost or lacked its code ({work.losses})."
        )
        return Reason("resuming", run.id, message, {**details, "losses": work.losses})
    return Reason("scheduled", run.id, f"It is due at {when}.", details)


def _no_server(run: FlowRun, work: WorkRow) -> Reason:
    if work.status != "claimed":
        message = f"No server runs here, so no worker hears of it: {_START_SERVER}."
        return Reason("no_server", run.id, message, {})
    message = f"No server runs here: what worker `{run.worker}` does is known when one does. {_START_SERVER}."
    if work.cancelled_at is not None:
        message = f"{_cancelled(work)} Worker `{run.worker}` hears of it when a server runs here: {_START_SERVER}."
    return Reason("no_server", run.id, message, {"worker": run.worker})


def _held(tx: Transaction, run: FlowRun, work: WorkRow) -> Reason:
    earlier = tx.work.of_schedule(work.deployment_id or "", work.schedule or "")
    ids = [run_id for run_id, status in earlier if run_id != run.id and status != "held"]
    message = f"Runs of the schedule `{work.schedule}` do not overlap: it starts when {_some(tx, ids)} has ended."
    return Reason("held", run.id, message, {"schedule": work.schedule, "runs": ids})


def _unclaimed(tx: Transaction, run: FlowRun, work: WorkRow) -> Iterator[Reason]:
    """What keeps workers from claiming a run that is due: all of it, as there may be several things to mend."""
    pool, queue = work.work_pool, work.work_queue
    pool_row = tx.work_pools.pool(pool)
    queue_row = tx.work_pools.queue(pool, queue)
    if pool_row is not None and pool_row.paused:
        message = f"The work pool `{pool}` is paused: `penstock work-pool resume {pool}` undoes that."
        yield Reason("pool_paused", run.id, message, {"work_pool": pool})
    if queue_row is not None and queue_row.paused:
        message = f"The work queue `{queue}` is paused: `penstock work-queue resume {queue} -p {pool}` undoes that."
        yield Reason("queue_paused", run.id, message, {"work_pool": pool, "work_queue": queue})
    yield from _no_worker(tx, run, work)
    if pool_row is not None and pool_row.run_limit is not None:
        yield from _full(tx, run, "pool", f"work pool `{pool}`", pool_row.run_limit, tx.work.claimed_ids(pool))
    if queue_row is not None and queue_row.run_limit is not None:
        yield from _full(
            tx, run, "queue", f"work queue `{queue}`", queue_row.run_limit, tx.work.claimed_ids(pool, queue=queue)
        )
    if work.deployment_id is not None:
        limit = tx.deployments.limits(pool).get(work.deployment_id)
        if limit is not None:
            claimed = tx.work.claimed_ids(pool, deployment_id=work.deployment_id)
            yield from _full(tx, run, "deployment", "deployment", limit, claimed)
    ahead = tx.work.ahead_of(work, tx.now)
    if ahead:
        verb = "comes" if ahead == 1 else "come"
        message = f"{counted(ahead, 'run')} of the queue `{queue}` {verb} before it."
        yield Reason("position", run.id, message, {"ahead": ahead, "work_queue": queue})


def _no_worker(tx: Transaction, run: FlowRun, work: WorkRow) -> Iterator[Reason]:
    pool, queue = work.work_pool, work.work_queue
    known = [(each, each.status_at(tx.now)) for each in tx.work_pools.workers(pool)]
    online = [each for each, status in known if status == "online"]
    silent = [each for each, status in known if status == "silent"]
    serving = [each for each in online if each.serves(queue)]
    if not online:
        told = "".join(f" `{each.name}` was not heard of since {_time(each.seen_at)}." for each in silent[:_NAMED])
        message = f"No worker of the pool `{pool}` is online: `penstock worker start -p {pool}` starts one.{told}"
        yield Reason("no_worker", run.id, message, {"work_pool": pool})
    elif not serving:
        command = f"penstock worker start -p {pool} -q {queue}"
        message = f"No worker that is online serves the queue `{queue}`: `{command}` starts one."
        yield Reason("no_worker", run.id, message, {"work_pool": pool, "work_queue": queue})
    elif all(_is_full(tx, each) for each in serving):
        told = ", ".join(f"`{each.name}` ({each.run_limit})" for each in serving[:_NAMED])
        message = f"Each worker that could take it executes as many runs as it may: {told}."
        yield Reason("workers_full", run.id, message, {"workers": [each.name for each in serving]})


def _is_full(tx: Transaction, worker: WorkerRow) -> bool:
    return worker.run_limit is not None and len(tx.work.of_worker(worker.id)) >= worker.run_limit


def _full(tx: Transaction, run: FlowRun, kind: str, what: str, limit: int, claimed: list[str]) -> Iterator[Reason]:
    if len(claimed) >= limit:
        by = f": {_some(tx, claimed)}" if claimed else ""
        message = f"Its {what} has at most {counted(limit, 'run')} under way at once{by}."
        yield Reason(f"{kind}_full", run.id, message, {"limit": limit, "runs": claimed})


def _claimed(tx: Transaction, run: FlowRun, work: WorkRow) -> Iterator[Reason]:
    worker = tx.work_pools.worker(work.worker_id or "")
    name = f"Worker `{worker.name}` on {worker.host}" if worker and worker.host else f"Worker `{run.worker}`"
    if work.cancelled_at is not None:
        message = (
            f"{_cancelled(work)} {name} is ending its processes, those with "
            f"force that have not ended {GRACE_SECONDS:.0f} seconds after they were told to."
        )
        details = {"since": work.cancelled_at, "by": work.cancelled_by, "worker": run.worker}
        yield Reason("cancelling", run.id, message, details)
    elif run.state_type is StateType.PENDING:
        yield Reason("claimed", run.id, f"{name} has claimed it, and is about to start it.", {"worker": run.worker})
    silent = (tx.now - (work.renewed_at or tx.now)) / 1e6
    if silent > SILENT_SECONDS:
        left = max(0.0, ((work.lease_ends_at or tx.now) - tx.now) / 1e6)
        message = f"{name} was not heard of for {_span(silent)}. In {_span(left)} the run is given to another one."
        yield Reason("worker_silent", run.id, message, {"worker": run.worker, "seconds": silent})


def _cancelled(work: WorkRow) -> str:
    by = f" by {work.cancelled_by}" if work.cancelled_by else ""
    return f"It was cancelled{by} at {clock_time(work.cancelled_at or 0)}."


def _some(tx: Transaction, ids: Iterable[str]) -> str:
    """Runs by name, if they are few."""
    every = list(ids)
    names = [row.name for row in tx.flow_runs.rows(every[:_NAMED])]
    told = ", ".join(f"`{name}`" for name in sorted(names)) or "an earlier one"
    rest = len(every) - len(names)
    return f"{told} and {counted(rest, 'other')}" if names and rest > 0 else told


def _time(at: int) -> str:
    return f"{as_datetime(at):%Y-%m-%d %H:%M:%S} UTC"


def _span(seconds: float) -> str:
    if seconds < 1:
        return "a moment"
    for size, unit, below, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = int(seconds % size // below)
            return f"{int(seconds // size)} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds:.0f} s"
