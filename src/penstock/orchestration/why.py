"""Why a run is in the state that it is in: sentences for people, reasons for programs."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.core.runs import Explanation, FlowRun, Reason, TaskRun
from penstock.core.states import StateType
from penstock.core.wording import counted
from penstock.orchestration import overview, why_waiting
from penstock.store.interface import Transaction

LOOKED_AT = 5000
"""So many task runs of a flow run are looked at one by one; of more, only the counts are told."""

_NAMED = 5
"""So many task runs are told by name, the others by number."""

_IN_LINE = "AwaitingConcurrencySlot"

_NOT_COMPLETED = tuple(state for state in StateType if state is not StateType.COMPLETED)


def explain_flow_run(tx: Transaction, flow_run_id: str, *, is_served: bool = True) -> Explanation:
    """Which task failed first and how, what waited for whom, and what a resume would do.

    ``is_served``: a server is there to hand runs to workers. Raises `NotFound` as `overview.flow_run` does.
    """
    run = overview.flow_run(tx, flow_run_id)
    tasks = _unfinished_or_failed(tx, run.id)
    reasons = [_state_of_flow_run(run)]
    if run.state_type is StateType.CRASHED and run.crashes > 1:
        message = f"{run.crashes} attempts in a row ended without a newly completed task."
        reasons.append(Reason("crashed", run.id, message, {"crashes": run.crashes}))
    reasons += why_waiting.of_work(tx, run, is_served=is_served)
    slots = [] if run.is_final else list(why_waiting.of_slots(tx, run))
    reasons += slots
    reasons += [] if run.is_final else why_waiting.of_inputs(tx, run)
    reasons += _failed_first(tx, tasks)
    reasons += _not_ready(tasks)
    reasons += _under_way([each for each in tasks if each.kind != "pause"], {each.subject for each in slots})
    reasons += _replayed(tx, run)
    if run.is_final and run.state_type is not StateType.COMPLETED:
        reasons.append(_resume(tx, run))
    return Explanation(tuple(reasons))


def explain_task_run(tx: Transaction, task_run_id: str) -> Explanation:
    """How a task run came to its state: its tries, whom it waited for, what the cache answered.

    Raises `NotFound` as `overview.task_run` does.
    """
    run = overview.task_run(tx, task_run_id)
    reasons = [_state_of_task_run(run)]
    if not run.is_final:
        flow = overview.flow_run(tx, run.flow_run_id)
        reasons += [each for each in why_waiting.of_slots(tx, flow) if each.subject == run.id]
    if run.run_count > 1:
        reasons.append(Reason("retried", run.id, f"It was tried {run.run_count} times.", {"run_count": run.run_count}))
    if run.state_name == "NotReady":
        reasons += _causes(tx, run)
    if run.reused_from is not None:
        where = "an earlier attempt" if run.reused_from == run.flow_run_id else f"run {run.reused_from}"
        message = f"In attempt {run.attempt} it was not executed: its result was recorded by {where}."
        reasons.append(Reason("reused", run.id, message, {"from_run_id": run.reused_from}))
    reasons += _cache(run)
    if run.kind == "subflow":
        reasons += _subflow(tx, run)
    return Explanation(tuple(reasons))


def _state_of_flow_run(run: FlowRun) -> Reason:
    message = f"Flow run `{run.name}` is {run.state_name}{_colon(run.state_message)}"
    details = {"type": run.state_type.value, "name": run.state_name, "message": run.state_message}
    return Reason("state", run.id, message, {**details, "attempt": run.attempt, "run_count": run.run_count})


def _state_of_task_run(run: TaskRun) -> Reason:
    message = f"Task run `{run.name}` is {run.state_name}{_colon(run.state_message)}"
    details = {"type": run.state_type.value, "name": run.state_name, "message": run.state_message}
    return Reason("state", run.id, message, {**details, "attempt": run.attempt, "run_count": run.run_count})


def _failed_first(tx: Transaction, tasks: list[TaskRun]) -> Iterator[Reason]:
    failed = [run for run in tasks if run.is_final and run.state_name not in {"NotReady", "Interrupted"}]
    if not failed:
        interrupted = [run for run in tasks if run.state_name == "Interrupted"]
        if interrupted:
            message = f"{_some(interrupted)} {_was(interrupted)} interrupted."
            yield Reason("crashed", interrupted[0].id, message, {"task_runs": [run.id for run in interrupted]})
        return
    first = min(failed, key=lambda run: (run.ended_at or 0, run.started_at))
    tries = f", after {first.run_count} tries" if first.run_count > 1 else ""
    message = f"Task run `{first.name}` was the first to end {first.state_name}{tries}{_colon(first.state_message)}"
    yield Reason("failed_first", first.id, message, {"name": first.name, "message": first.state_message})
    if first.kind == "subflow":
        yield from _subflow(tx, first)
    if len(failed) > 1:
        others = [run for run in failed if run.id != first.id]
        message = f"After it, {_some(others)} did not complete either."
        yield Reason("failed_later", first.id, message, {"task_runs": [run.id for run in others]})


def _not_ready(tasks: list[TaskRun]) -> Iterator[Reason]:
    waited = [run for run in tasks if run.state_name == "NotReady"]
    if not waited:
        return
    known = {run.id: run for run in tasks}
    causes = {cause: known[cause] for run in waited for cause in run.upstream if cause in known}
    roots = [run for run in causes.values() if run.state_name != "NotReady"] or list(causes.values())
    because = f", because {_some(roots)} did not complete" if roots else ""
    details = {"task_runs": [run.id for run in waited], "because_of": [run.id for run in roots]}
    yield Reason("not_ready", waited[0].id, f"{_some(waited)} could not start{because}.", details)


def _causes(tx: Transaction, run: TaskRun) -> Iterator[Reason]:
    rows = {row.id: row for row in tx.task_runs.rows(run.upstream)}
    causes = [rows[each].view() for each in run.upstream if each in rows]
    for cause in causes:
        if cause.state_type is not StateType.COMPLETED:
            message = f"It takes the result of `{cause.name}`, which is {cause.state_name}{_colon(cause.state_message)}"
            yield Reason("not_ready", cause.id, message, {"name": cause.name, "state": cause.state_name})


def _under_way(tasks: list[TaskRun], told: set[str]) -> Iterator[Reason]:
    """The task runs that have begun and not ended. What those wait for that are ``told`` has been said."""
    for run in [run for run in tasks if run.state_name == _IN_LINE and run.id not in told][:_NAMED]:
        yield Reason("slot", run.id, f"Task run `{run.name}`{_colon(run.state_message)}", {})
    running = [run for run in tasks if run.state_type is StateType.RUNNING and run.state_name != _IN_LINE]
    if running:
        message = f"{_some(running)} {_is(running)} running."
        yield Reason("running", running[0].id, message, {"task_runs": [run.id for run in running]})
    waiting = [
        run
        for run in tasks
        if not run.is_final and run.state_type is not StateType.RUNNING and run.state_name != _IN_LINE
    ]
    if waiting:
        message = f"{_some(waiting)} {_is(waiting)} waiting: {waiting[0].state_name}{_colon(waiting[0].state_message)}"
        yield Reason("waiting", waiting[0].id, message, {"task_runs": [run.id for run in waiting]})


def _replayed(tx: Transaction, run: FlowRun) -> Iterator[Reason]:
    for event in overview.events(tx, run_id=run.id, name="flow_run.replay_diverged"):
        told = event.payload
        if told.get("attempt", run.attempt) == run.attempt:
            message = (
                f"On replay the code had changed for task `{told['task_key']}` ({told['kind']}): {told.get('detail')}"
            )
            yield Reason("diverged", run.id, message, told)
    if run.forked_from:
        message = f"It was forked from run {run.forked_from}."
        yield Reason("reused", run.id, message, {"from_run_id": run.forked_from})


def _resume(tx: Transaction, run: FlowRun) -> Reason:
    completed = sum(count.task_runs for count in overview.state_counts(tx, run.id) if count.state_type == "COMPLETED")
    others = sum(count.task_runs for count in overview.state_counts(tx, run.id) if count.state_type != "COMPLETED")
    not_kept = [each for each in _looked_at(tx, run.id) if not _is_reusable(each)] if completed <= LOOKED_AT else []
    # A subflow run goes on with the run that called it.
    root = run if run.root_run_id == run.id else overview.flow_run(tx, run.root_run_id)
    # A worker has the code of its runs; whoever resumes one has it, or has not.
    command = "resume" if root.work_pool is None else "retry"
    message = (
        f"`penstock flow-run {command} {root.name}` would use {counted(completed - len(not_kept), 'recorded result')} "
        f"and run {counted(others + len(not_kept), 'task')} again, besides those that had not begun"
    )
    message += f" ({_some(not_kept)} kept no result)." if not_kept else "."
    details = {"reused": completed - len(not_kept), "run_again": others + len(not_kept), "not_kept": len(not_kept)}
    return Reason("resume", run.id, message, details)


def _cache(run: TaskRun) -> Iterator[Reason]:
    if not run.cache:
        return
    outcome, _, components = run.cache.partition(" [")
    parts = dict(part.split("=", 1) for part in components.rstrip("]").split(", ") if "=" in part)
    told = f" Its key is made of {', '.join(parts)}." if parts else ""
    details = {"outcome": outcome.partition(":")[0], "components": parts}
    yield Reason("cache", run.id, f"The cache was asked: {outcome}.{told}", details)


def _subflow(tx: Transaction, run: TaskRun) -> Iterator[Reason]:
    for child in overview.flow_runs(tx, parent=run.flow_run_id, limit=LOOKED_AT).items:
        if child.parent_task_run_id == run.id:
            message = (
                f"It stands for subflow run `{child.name}`, which is {child.state_name}{_colon(child.state_message)}"
            )
            yield Reason("subflow", child.id, message, {"name": child.name, "state": child.state_name})


def _unfinished_or_failed(tx: Transaction, flow_run_id: str) -> list[TaskRun]:
    return overview.task_runs(tx, flow_run_id, states=_NOT_COMPLETED, limit=LOOKED_AT).items


def _looked_at(tx: Transaction, flow_run_id: str) -> list[TaskRun]:
    return overview.task_runs(tx, flow_run_id, states=(StateType.COMPLETED,), limit=LOOKED_AT).items


def _is_reusable(run: TaskRun) -> bool:
    return run.result is not None and run.result.kept


def _some(runs: list[TaskRun]) -> str:
    """The runs by name, if they are few."""
    named = ", ".join(f"`{run.name}`" for run in runs[:_NAMED])
    rest = len(runs) - _NAMED
    return f"{named} and {counted(rest, 'other')}" if rest > 0 else named


def _is(runs: list[TaskRun]) -> str:
    return "is" if len(runs) == 1 else "are"


def _was(runs: list[TaskRun]) -> str:
    return "was" if len(runs) == 1 else "were"


def _colon(message: str | None) -> str:
    if not message:
        return "."
    return f": {message}" if message.endswith((".", "!", "?")) else f": {message}."
