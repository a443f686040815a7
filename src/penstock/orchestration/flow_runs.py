"""Flow runs: made, looked up, cancelled, let go on; one use case each."""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, TypedDict, Unpack

from penstock import errors
from penstock.clock import boot_id
from penstock.core import names, records
from penstock.core.deployments import DeploymentSpec, Job
from penstock.core.operations import Page, checked_limit
from penstock.core.operations import flow_runs as ask
from penstock.core.runs import Explanation, FlowRun, LogEntry, StateChange
from penstock.core.states import FINAL, StateType
from penstock.journal.folder import MAIN
from penstock.orchestration import deletion, overview, retention, why
from penstock.orchestration.fold import record, record_all
from penstock.orchestration.local import Home
from penstock.orchestration.suspended import end_without_worker
from penstock.orchestration.turns import give_turn
from penstock.orchestration.work_pools import pool_of, queue_of, wake
from penstock.store.interface import Store, Transaction
from penstock.store.rows import CursorRow, FlowRow
from penstock.store.work import WorkRow, job_to_json

CANCELLED_BY_HAND = "cancelled_by_hand"
"""The topic of runs whose process on this machine is to be ended."""

MAX_BUCKETS = 366
MAX_NODES = 10_000
MAX_PRUNED = 10_000
MAX_LINES = 1000
LATEST = 1 << 60


def list_flow_runs(tx: Transaction, given: ask.ListFlowRuns) -> Page[FlowRun]:
    deployment = None if given.deployment is None else overview.deployment_of(tx, given.deployment).id
    page = overview.flow_runs(
        tx,
        flow=given.flow,
        states=(*given.state, *given.state_name),
        tags=given.tag,
        name=given.name,
        since=given.since,
        parent=given.parent if given.parent is not None else None if given.roots else ...,
        deployment=deployment,
        pool=given.pool,
        queue=given.queue,
        limit=checked_limit(given.limit),
        cursor=given.after,
    )
    return Page(items=[overview.in_a_list(each) for each in page.items], next=page.next)


def list_due_flow_runs(tx: Transaction, given: ask.ListDueFlowRuns) -> Page[FlowRun]:
    limit = checked_limit(given.limit)
    found = tx.work.due(
        after=(-1, "") if given.after is None else overview.flow_run_place(given.after),
        until=given.until,
        pool=given.pool,
        queue=given.queue,
        deployment=None if given.deployment is None else overview.deployment_of(tx, given.deployment).id,
        limit=limit + 1,
    )
    rows = {row.id: row for row in tx.flow_runs.rows(run_id for run_id, _ in found[:limit])}
    items = [overview.in_a_list(rows[run_id].view()) for run_id, _ in found[:limit] if run_id in rows]
    last = found[limit - 1] if len(found) > limit else None
    return Page(items=items, next=f"{last[1]}.{last[0]}" if last else None)


def count_flow_runs(tx: Transaction, given: ask.CountFlowRuns) -> ask.FlowRunCounts:
    if not 1 <= given.buckets <= MAX_BUCKETS:
        raise errors.UsageError(f"`buckets` is 1 to {MAX_BUCKETS}, not: `{given.buckets}`")
    if not 0 <= given.since < given.until <= LATEST:
        raise errors.UsageError("`since` and `until` are times, in microseconds since 1970 UTC, the earlier one first")
    width = -(-(given.until - given.since) // given.buckets)
    found = tx.flow_runs.counts(
        since=given.since,
        until=given.until,
        width=width,
        parts=given.buckets,
        flow=given.flow,
        deployment=None if given.deployment is None else overview.deployment_of(tx, given.deployment).id,
        roots=given.roots,
    )
    parts: list[dict[StateType, int]] = [{} for _ in range(given.buckets)]
    counts: dict[StateType, int] = {}
    for number, kind, count in found:
        parts[number][kind] = count
        counts[kind] = counts.get(kind, 0) + count
    return ask.FlowRunCounts(
        total=sum(counts.values()),
        counts=counts,
        buckets=[ask.Bucket(start=given.since + number * width, counts=part) for number, part in enumerate(parts)],
    )


def get_flow_run(tx: Transaction, given: ask.GetFlowRun) -> FlowRun:
    return overview.flow_run(tx, given.run)


def explain_flow_run(tx: Transaction, given: ask.ExplainFlowRun) -> Explanation:
    return why.explain_flow_run(tx, given.run)


def list_flow_run_states(tx: Transaction, given: ask.ListFlowRunStates) -> list[StateChange]:
    return overview.state_history(tx, overview.flow_run(tx, given.run).id)


def get_flow_run_graph(tx: Transaction, given: ask.GetFlowRunGraph) -> ask.RunGraph:
    if not 1 <= given.limit <= MAX_NODES:
        raise errors.UsageError(f"`limit` is 1 to {MAX_NODES:,}, not: `{given.limit}`")
    run = overview.flow_run(tx, given.run)
    page = overview.task_runs(tx, run.id, limit=given.limit)
    subflows: dict[str | None, str] = {}
    if any(each.kind == "subflow" for each in page.items):
        subflows = {row.parent_task_run_id: row.id for row in tx.flow_runs.page(parent=run.id, limit=MAX_NODES)}
    nodes = [
        ask.RunNode(
            id=each.id,
            name=each.name,
            task_name=each.task_name,
            kind=each.kind,
            state_type=each.state_type,
            state_name=each.state_name,
            started_at=each.started_at,
            ended_at=each.ended_at,
            upstream=each.upstream,
            flow_run_id=subflows.get(each.id),
        )
        for each in page.items
    ]
    return ask.RunGraph(nodes=nodes, is_whole=page.next is None)


def list_logs(tx: Transaction, given: ask.ListLogs) -> ask.Logs:
    if not 1 <= given.limit <= MAX_LINES:
        raise errors.UsageError(f"`limit` is 1 to {MAX_LINES:,}, not: `{given.limit}`")
    lines = overview.logs(
        tx,
        overview.flow_run(tx, given.run).id,
        level=given.level,
        task=given.task,
        since=given.since,
        after=overview.place(given.after),
        limit=given.limit,
        tail=given.tail,
        subflows=given.subflows,
    )
    more = len(lines) == given.limit and not given.tail
    return ask.Logs(items=lines, names=_names(tx, lines), next=str(lines[-1].sequence) if more else None)


def follow_flow_run(tx: Transaction, given: ask.FollowFlowRun) -> ask.Progress:
    run = overview.flow_run(tx, given.run)
    seen_event, _, seen_line = (given.after or "0.0").partition(".")
    event, line = overview.place(seen_event), overview.place(seen_line)
    events = tx.events.page(run_ids=(run.id,), after=event, limit=MAX_LINES)
    lines = overview.logs(
        tx,
        run.id,
        level=given.level,
        task=given.task,
        since=given.since,
        after=line,
        limit=MAX_LINES,
        subflows=True,
    )
    event = events[-1].sequence if events else event
    line = lines[-1].sequence if lines else line
    return ask.Progress(
        run=overview.in_a_list(run), events=events, logs=lines, names=_names(tx, lines), next=f"{event}.{line}"
    )


def _names(tx: Transaction, lines: Iterable[LogEntry]) -> dict[str, str]:
    """Who says the lines."""
    tasks = dict.fromkeys(line.task_run_id for line in lines if line.task_run_id is not None)
    flows = dict.fromkeys(line.flow_run_id for line in lines if line.task_run_id is None)
    names = {row.id: row.name for row in tx.task_runs.rows(tasks)}
    return names | {row.id: row.name for row in tx.flow_runs.rows(flows)}


def delete_flow_run(home: Home, store: Store, given: ask.DeleteFlowRun) -> None:
    with store.reading() as tx:
        row = _row(tx, given.run)
    if row.root_run_id == row.id and row.ended_at is None:
        raise errors.AlreadyRunning(f"The run has not ended: `{row.name}`", hint="cancel it first")
    deletion.delete(home, store, row.id)


def prune_flow_runs(home: Home, store: Store, given: ask.PruneFlowRuns) -> ask.Pruned:
    settings = home.settings
    days = settings.retention_days if given.older_than_days is None else given.older_than_days
    keep = settings.retention_runs if given.keep is None else given.keep
    if days < 0 or keep < 0 or not 1 <= given.at_most <= MAX_PRUNED:
        raise errors.UsageError(f"Days and runs are not less than 0, and `at_most` is 1 to {MAX_PRUNED:,}")
    return retention.prune(home, store, days, keep, dry_run=given.dry_run, at_most=given.at_most)


# ── a run is made ────────────────────────────────────────────────────────────────────────────────────────────────────


class NewRun(NamedTuple):
    """A run of a deployment that is to be made. ``queue`` is there."""

    spec: DeploymentSpec
    deployment_id: str
    parameters: Mapping[str, Any]
    """All that it gets, the deployment's own included; they have been checked."""
    due_at: int
    source: str
    run_id: str
    queue: str
    name: str | None = None
    tags: tuple[str, ...] = ()
    priority: int = 0
    job_variables: Mapping[str, Any] = {}
    schedule: str | None = None
    is_held: bool = False
    parent_flow_run_id: str | None = None
    parent_task_run_id: str | None = None
    asked_by_run_id: str | None = None


def create(tx: Transaction, runs: Collection[NewRun]) -> None:
    """Runs of deployments, which workers execute once they are due. Many together cost little more than one."""
    record_all(tx, [(run.run_id, 1, [_created(tx, run)]) for run in runs])
    tx.work.save(*(_work(run) for run in runs))
    for pool in {run.spec.work_pool for run in runs if run.due_at <= tx.now}:
        wake(tx, pool)
    if any(run.due_at > tx.now for run in runs):
        tx.wake("schedules")


def _created(tx: Transaction, run: NewRun) -> records.FlowRunCreated:
    spec = run.spec
    return records.FlowRunCreated(
        at=tx.now,
        flow_run_id=run.run_id,
        name=run.name or names.name_of(run.run_id),
        flow_name=spec.flow_name,
        parameters=dict(run.parameters),
        due_at=run.due_at,
        work_pool=spec.work_pool,
        work_queue=run.queue,
        entrypoint=spec.entrypoint,
        flow_version=spec.version,
        tags=tuple(dict.fromkeys((*spec.tags, *run.tags))),
        deployment_id=run.deployment_id,
        parent_flow_run_id=run.parent_flow_run_id,
        parent_task_run_id=run.parent_task_run_id,
        source=run.source,
        description=spec.description[:500],
    )


def _work(run: NewRun) -> WorkRow:
    spec = run.spec
    job = Job.of(spec, run.parameters, run.job_variables, asked_by_run_id=run.asked_by_run_id)
    return WorkRow.unclaimed(
        run_id=run.run_id,
        status="held" if run.is_held else "waiting",
        work_pool=spec.work_pool,
        work_queue=run.queue,
        priority=run.priority,
        due_at=run.due_at,
        attempt=0,
        deployment_id=run.deployment_id,
        schedule=run.schedule,
        on_crash=spec.on_crash,
        job=job_to_json(job),
    )


# ── people act on it ─────────────────────────────────────────────────────────────────────────────────────────────────


def cancel_flow_run(tx: Transaction, given: ask.CancelFlowRun) -> FlowRun:
    row = _row(tx, given.run)
    _refuse_subflow(row, "cancelled")
    work, row = locked(tx, row.id)
    if row.ended_at is not None:
        if row.state_type == StateType.CANCELLED:
            return row.view()
        raise errors.AlreadyEnded(f"The run has ended already: `{row.name}` is {row.state_name}")
    message = given.message or f"Cancelled by {given.by or 'a user'}"
    if (work is None or work.status == "done") and row.state_name == "Suspended":
        end_without_worker(tx, row, StateType.CANCELLED, "Cancelled", message, by=given.by)
        _cancel_called(tx, row.id, by=given.by, message=message)
    elif work is None or work.status == "done":
        _cancel_by_hand(tx, row, by=given.by, message=message)
    else:
        cancel(tx, work, by=given.by, message=message)
    return _row(tx, row.id).view()


def _cancel_by_hand(tx: Transaction, row: FlowRow, *, by: str, message: str) -> None:
    """Cancel a run that somebody started by hand. `orchestration.ending` ends its process if that is of this machine.

    Of another machine, whoever ships its journals does. Raises `RunsElsewhere` when nobody does so.
    """
    cursor = tx.journals.cursor(row.id, row.attempt, MAIN)
    shipped = tx.runs_elsewhere.row(row.id)
    if shipped is None and (cursor is None or not is_here(cursor)):
        where = "another machine" if cursor is None or not cursor.host else f"`{cursor.host}`"
        raise errors.RunsElsewhere(
            f"The run was started by hand on {where}, and only there its process can be ended: `{row.name}`",
            hint=f"`penstock flow-run cancel {row.name}` there does it",
        )
    if row.state_type != StateType.CANCELLING:
        details = {"type": StateType.CANCELLING.value, "name": "Cancelling", "message": message}
        record(tx, row.id, records.CommandIssued(tx.now, row.id, "cancel", by, details), attempt=row.attempt)
        _cancel_called(tx, row.id, by=by, message=message)
    tx.wake(CANCELLED_BY_HAND if shipped is None else f"shipper:{shipped.shipper_id}")


def is_here(cursor: CursorRow) -> bool:
    """Whether the process that writes a journal is, or was, one of this machine, since it was started."""
    here = boot_id()
    return cursor.boot_id == here if here else cursor.host == platform.node()


def cancel(tx: Transaction, work: WorkRow, *, by: str, message: str) -> None:
    """Cancel a run that has not ended: at once if it waits, and by way of its worker if it is under way.

    So are the runs of deployments that it has called and that have not ended, as its subflow runs are.
    """
    _cancel_called(tx, work.run_id, by=by, message=message)
    if work.status == "claimed":
        if work.cancelled_at is None:
            work.cancelled_at = tx.now
            work.cancelled_by = by
            tx.work.save(work)
            direct(tx, work, StateType.CANCELLING, "Cancelling", message, by=by)
        tx.wake(f"worker:{work.worker_id}")
        return
    direct(tx, work, StateType.CANCELLED, "Cancelled", message, by=by, lost=True)
    finish(tx, work)


def _cancel_called(tx: Transaction, run_id: str, *, by: str, message: str) -> None:
    for each in tx.flow_runs.unfinished_called(run_id):
        work, called = locked(tx, each.id)
        if work is not None and called.ended_at is None:
            cancel(tx, work, by=by, message=message)


def retry_flow_run(tx: Transaction, given: ask.RetryFlowRun) -> FlowRun:
    row = _row(tx, given.run)
    _refuse_subflow(row, "retried")
    work, row = locked(tx, row.id)
    if work is None and row.is_managed:
        raise errors.UsageError(
            f"What the run has executed is not there any more, so no worker can go on with it: `{row.name}`",
            hint="`penstock deployment run` makes a new one",
        )
    if work is None:
        raise errors.UsageError(
            f"The run was started by hand, so no worker can go on with it: `{row.name}`",
            hint=f"`penstock flow-run resume {row.name}` does so here",
        )
    if row.ended_at is None:
        raise errors.AlreadyRunning(f"The run has not ended: `{row.name}` is {row.state_name}")
    if row.state_type == StateType.COMPLETED:
        raise errors.AlreadyEnded(
            f"The run has completed: `{row.name}`", hint="`penstock flow-run rerun` and `fork` use what it has done"
        )
    queue_of(tx, pool_of(tx, work.work_pool).name, work.work_queue)  # which may have been deleted meanwhile
    work.wish = work.wished_by = None
    work.losses = 0
    go_on(tx, work, "AwaitingRetry", f"Retried by {given.by or 'a user'}", by=given.by, afresh=True)
    return _row(tx, row.id).view()


def go_on(
    tx: Transaction,
    work: WorkRow,
    name: str,
    message: str,
    *,
    by: str = "",
    delay_seconds: float = 0,
    lost: bool = False,
    crashed: bool = False,
    afresh: bool = False,
) -> None:
    """A run that no process executes now is to go on where it stopped, on any worker of its pool."""
    root = _row(tx, work.run_id)
    work.attempt = max(work.attempt, root.attempt)
    direct(tx, work, StateType.SCHEDULED, name, message, by=by, lost=lost, crashed=crashed, afresh=afresh)
    work.let_go("waiting")
    work.cancelled_at = work.cancelled_by = None
    work.late = 0
    work.due_at = tx.now + int(delay_seconds * 1e6)
    tx.work.save(work)
    if delay_seconds:
        tx.wake("schedules")
    wake(tx, work.work_pool)


def set_flow_run_state(tx: Transaction, given: ask.SetFlowRunState) -> FlowRun:
    row = _row(tx, given.run)
    _refuse_subflow(row, "given a state")
    if given.type not in FINAL:
        raise errors.UsageError(
            f"A run can only be given a final state, not: `{given.type.value}`",
            hint="`penstock flow-run retry` makes it run again",
        )
    work, row = locked(tx, row.id)
    is_by_hand = work is None or (work.status == "done" and row.state_name != "Suspended")
    if is_by_hand and row.ended_at is None:
        raise errors.AlreadyRunning(f"A process may be executing this run: `{row.name}`", hint="end it first")
    if work is not None and work.status == "claimed":
        raise errors.AlreadyRunning(f"A worker is executing this run: `{row.name}`", hint="cancel it first")
    name = given.name or given.type.value.capitalize()
    details = {"type": given.type.value, "name": name, "message": given.message or f"Set by {given.by or 'a user'}"}
    said = records.CommandIssued(tx.now, row.id, "set_state", given.by, details)
    record(tx, row.id, said, attempt=row.attempt)
    if work is not None and work.status != "done":
        finish(tx, work)
    return _row(tx, row.id).view()


# ── what others here need ────────────────────────────────────────────────────────────────────────────────────────────


def direct(
    tx: Transaction, work: WorkRow, type_: StateType, name: str, message: str | None = None, **more: Unpack[Direction]
) -> None:
    """Give a worker's run a state."""
    direct_all(tx, [work], type_, name, message, **more)


class Direction(TypedDict, total=False):
    """What else is said of it: fields of `records.FlowRunDirected`."""

    by: str
    worker: str | None
    lost: bool
    crashed: bool
    afresh: bool


def direct_all(
    tx: Transaction,
    works: Iterable[WorkRow],
    type_: StateType,
    name: str,
    message: str | None = None,
    **more: Unpack[Direction],
) -> dict[str, FlowRow]:
    """Give several runs the same state; returns their rows."""
    return record_all(
        tx,
        [
            (
                work.run_id,
                max(work.attempt, 1),
                [records.FlowRunDirected(tx.now, work.run_id, type_.value, name, message, **more)],
            )
            for work in works
        ],
    )


def finish(tx: Transaction, work: WorkRow) -> None:
    """The run has ended: nobody works on it, and what waited for its place may start."""
    work.let_go("done")
    tx.work.save(work)
    wake(tx, work.work_pool)
    tx.wake(f"run:{work.run_id}")
    if work.deployment_id is not None and work.schedule is not None:
        give_turn(tx, work.deployment_id, work.schedule)


def locked(tx: Transaction, run_id: str) -> tuple[WorkRow | None, FlowRow]:
    """A run and its work, which nobody changes until the transaction ends: the work first, as claims do."""
    work = tx.work.row(run_id)
    tx.lock(run_id)
    return work, _row(tx, run_id)


def _row(tx: Transaction, run: str) -> FlowRow:
    row = tx.flow_runs.row(run)
    if row is None:
        row = tx.flow_runs.row(overview.flow_run(tx, run).id)
    assert row is not None
    return row


def _refuse_subflow(row: FlowRow, what: str) -> None:
    if row.root_run_id != row.id:
        raise errors.UsageError(
            f"A subflow run cannot be {what} without the run that called it: `{row.name}`",
            hint=f"name that run: `{row.root_run_id}`",
        )
