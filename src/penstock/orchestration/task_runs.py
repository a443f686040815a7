"""Task runs: looked up, counted, explained."""

from __future__ import annotations

from penstock import errors
from penstock.core.operations import MAX_ITEMS, Page, checked_limit
from penstock.core.operations import task_runs as ask
from penstock.core.runs import Explanation, StateChange, StateCount, TaskRun
from penstock.orchestration import overview, why
from penstock.store.interface import Transaction


def list_task_runs(tx: Transaction, given: ask.ListTaskRuns) -> Page[TaskRun]:
    page = overview.task_runs(
        tx,
        overview.flow_run(tx, given.run).id,
        states=(*given.state, *given.state_name),
        limit=checked_limit(given.limit),
        cursor=given.after,
    )
    return Page(items=[overview.in_a_list(each) for each in page.items], next=page.next)


def count_task_runs(tx: Transaction, given: ask.CountTaskRuns) -> list[StateCount]:
    if len(given.run) > MAX_ITEMS:
        raise errors.UsageError(f"The task runs of up to {MAX_ITEMS} runs are counted, not of: `{len(given.run)}`")
    return tx.task_runs.state_counts(dict.fromkeys(given.run))


def get_task_run(tx: Transaction, given: ask.GetTaskRun) -> TaskRun:
    return overview.task_run(tx, given.task_run)


def explain_task_run(tx: Transaction, given: ask.ExplainTaskRun) -> Explanation:
    return why.explain_task_run(tx, given.task_run)


def list_task_run_states(tx: Transaction, given: ask.ListTaskRunStates) -> list[StateChange]:
    return overview.state_history(tx, overview.task_run(tx, given.task_run).id)
