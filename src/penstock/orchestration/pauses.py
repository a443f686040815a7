"""Runs that wait for somebody: paused and suspended, by their own code or from outside, and resumed with an input."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from penstock import errors
from penstock.core import records
from penstock.core.operations import pauses as ask
from penstock.core.parameter_schemas import problems
from penstock.core.runs import FlowRun
from penstock.core.states import StateType
from penstock.orchestration import overview
from penstock.orchestration.flow_runs import direct, finish, go_on, locked
from penstock.orchestration.fold import record
from penstock.orchestration.suspended import end_if_overdue, overdue
from penstock.orchestration.turns import waits_its_turn
from penstock.store.interface import Store, Transaction
from penstock.store.rows import FlowRow
from penstock.store.run_inputs import InputRow
from penstock.store.work import WorkRow

BATCH = 100


def list_run_inputs(tx: Transaction, given: ask.ListRunInputs) -> list[ask.RunInput]:
    run = overview.flow_run(tx, given.run)
    return [_view(row) for row in tx.run_inputs.open(run.root_run_id) if run.id in (run.root_run_id, row.flow_run_id)]


def resume_flow_run(tx: Transaction, given: ask.ResumeFlowRun) -> FlowRun:
    """Raises `AlreadyEnded` for a run that has ended, `UsageError` for one that does not wait."""
    asked = overview.flow_run(tx, given.run)
    work, root = locked(tx, asked.root_run_id)
    if root.ended_at is not None:
        raise errors.AlreadyEnded(
            f"The run has ended: `{asked.name}` is {root.state_name}",
            hint=f"`penstock flow-run retry {root.name}` lets a run that failed go on",
        )
    waits = [row for row in tx.run_inputs.open(root.id) if _is_meant(row, asked, given.key)]
    if len(waits) > 1:
        keys = "`, `".join(row.key for row in waits)
        raise errors.UsageError(f"The run waits at several pauses: `{asked.name}`", hint=f"name one as `key`: `{keys}`")
    if waits:
        _give(tx, root, waits[0], given)
        _let_go_on(tx, work, given.by)
    elif not _is_undone(tx, work, given.by) and not _was_given(tx, asked, given):
        raise errors.UsageError(
            f"The run does not wait to be resumed: `{asked.name}` is {asked.state_name}",
            hint=f"`penstock flow-run why {asked.name}` says what it waits for",
        )
    return overview.flow_run(tx, asked.id)


def pause_flow_run(tx: Transaction, given: ask.PauseFlowRun) -> FlowRun:
    return _wished(tx, given.run, "pause", given.by)


def suspend_flow_run(tx: Transaction, given: ask.SuspendFlowRun) -> FlowRun:
    return _wished(tx, given.run, "suspend", given.by)


def await_run_input(tx: Transaction, given: ask.AwaitRunInput) -> list[ask.GivenInput]:
    return [
        ask.GivenInput(value=row.given(), by=row.given_by or "")
        for row in tx.run_inputs.rows(given.run_id, [given.key])
        if row.given_at is not None and row.round == given.round
    ]


def run_once(store: Store) -> int:
    """End the suspended runs for which no input has come in time; says how many."""
    found = store.run(lambda tx: tx.run_inputs.overdue(tx.now, BATCH))
    return sum(store.run(lambda tx, run_id=run_id: _end_overdue(tx, run_id)) for run_id in found)


def _end_overdue(tx: Transaction, run_id: str) -> bool:
    work, root = locked(tx, run_id)
    if work is None or work.status == "done":
        return end_if_overdue(tx, root)
    message = overdue(tx, root)
    if message is None or work.status != "suspended":
        return False
    direct(tx, work, StateType.FAILED, "TimedOut", message, lost=True)
    finish(tx, work)
    return True


def conclude_suspended(tx: Transaction, work: WorkRow) -> None:
    """The process of a run that is suspended is gone: it waits, unless somebody has resumed it meanwhile."""
    if work.wish == "suspend" or tx.run_inputs.open(work.run_id):
        work.let_go("suspended")
        tx.work.save(work)
        return
    go_on(tx, work, "Resuming", "Resumed")


def _view(row: InputRow) -> ask.RunInput:
    return ask.RunInput(
        key=row.key,
        flow_run_id=row.flow_run_id,
        round=row.round,
        asked_at=row.asked_at,
        deadline=row.deadline,
        suspends=bool(row.suspends),
        message=row.message,
        schema=row.what(),
    )


def _is_meant(row: InputRow, asked: FlowRun, key: str | None) -> bool:
    return asked.id in (asked.root_run_id, row.flow_run_id) and key in (None, row.key)


def _give(tx: Transaction, root: FlowRow, row: InputRow, given: ask.ResumeFlowRun) -> None:
    if row.deadline is not None and row.deadline < tx.now:
        raise errors.AlreadyEnded(f"It is too late to resume the run: `{root.name}`")
    value = given.input or {}
    _check(row.what(), value)
    record(
        tx,
        root.id,
        records.InputGiven(tx.now, row.flow_run_id, row.key, row.round, value, given.by),
        attempt=root.attempt,
    )
    tx.wake(f"input:{root.id}")


def _check(schema: dict[str, Any], value: dict[str, Any]) -> None:
    if not schema:
        if value:
            raise errors.ParameterError("The run waits for no input, only to be resumed")
        return
    found = problems(schema, value)
    if found:
        names = ", ".join(schema.get("properties", ()))
        raise errors.ParameterError(f"The input does not fit. {_sentences(found)}", hint=f"it takes: {names}")


def _sentences(found: Iterable[str]) -> str:
    said = (each.replace("It has no parameter", "It takes no") for each in found)
    return " ".join(each if each.endswith("?") else f"{each}." for each in said).removesuffix(".")


def _was_given(tx: Transaction, asked: FlowRun, given: ask.ResumeFlowRun) -> bool:
    """Whether the run was resumed just so before."""
    return any(
        row.given_at is not None and row.given() == (given.input or {})
        for row in tx.run_inputs.rows(asked.root_run_id)
        if _is_meant(row, asked, given.key)
    )


def _let_go_on(tx: Transaction, work: WorkRow | None, by: str) -> None:
    """A suspended run that waits for nothing more is executed again by whoever claims it."""
    if work is not None and work.status == "suspended" and not tx.run_inputs.open(work.run_id):
        work.wish = work.wished_by = None
        go_on(tx, work, "Resuming", f"Resumed by {by or 'a user'}", by=by)


def _is_undone(tx: Transaction, work: WorkRow | None, by: str) -> bool:
    """Whether the run was paused or suspended from outside; then it is not any more."""
    if work is None or work.wish is None:
        return False
    work.wish = work.wished_by = None
    if work.status == "suspended":
        due_at, waits = work.due_at, waits_its_turn(tx, work)
        go_on(tx, work, "Resuming", f"Resumed by {by or 'a user'}", by=by)
        if waits:
            work.status, work.due_at = "held", due_at
            tx.work.save(work)
    else:
        tx.work.save(work)
        tx.wake(f"worker:{work.worker_id}")
    return True


def _wished(tx: Transaction, run: str, wish: str, by: str) -> FlowRun:
    asked = overview.flow_run(tx, run)
    if asked.root_run_id != asked.id:
        raise errors.UsageError(
            f"A subflow run cannot be {_DONE[wish]} without the run that called it: `{asked.name}`",
            hint=f"name that run: `{asked.root_run_id}`",
        )
    work, root = locked(tx, asked.id)
    if root.ended_at is not None:
        raise errors.AlreadyEnded(f"The run has ended already: `{root.name}` is {root.state_name}")
    if work is None or work.status == "done":
        raise errors.UsageError(
            f"The run was started by hand, and no worker can have it wait: `{root.name}`",
            hint="Ctrl-C interrupts it, `penstock flow-run resume` continues it; its code can call `pause_flow_run()`",
        )
    if work.cancelled_at is not None:
        raise errors.AlreadyEnded(f"The run is being cancelled: `{root.name}`")
    if work.status == "suspended" or work.wish == wish:
        return asked
    work.wish, work.wished_by = wish, by
    if work.status == "claimed":
        tx.work.save(work)
        tx.wake(f"worker:{work.worker_id}")
    else:
        work.wish = "suspend"
        direct(tx, work, StateType.PAUSED, "Suspended", f"Suspended by {by or 'a user'}", by=by)
        work.let_go("suspended")
        tx.work.save(work)
    return overview.flow_run(tx, asked.id)


_DONE = {"pause": "paused", "suspend": "suspended"}
