"""Schedules become runs: each slot one run, with any number of servers, restarts, redeployments and clock changes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from penstock import errors
from penstock.core import slots
from penstock.core.deployments import DeploymentSpec, ScheduleSpec
from penstock.core.slots import Decision, Facts, NotRun
from penstock.core.timestamps import as_datetime, as_microseconds
from penstock.orchestration import flow_runs
from penstock.orchestration.deployments import check_parameters, next_look
from penstock.orchestration.flow_runs import NewRun
from penstock.orchestration.turns import give_turn
from penstock.orchestration.work_pools import queue_of, wake
from penstock.store.deployments import ScheduleRow, SlotRow
from penstock.store.interface import Store, Transaction

BATCH = 50
"""So many schedules in one transaction."""

MAX_BATCHES = 20
"""Then whoever looks may do something else first, such as end: on a slow machine there is always something due."""

PAUSE_SECONDS = 30.0
"""Who did not look for longer has missed what came meanwhile."""

_BY_PARAMETERS = "parameters"
"""Why a slot has no run: its parameters do not fit the flow any more."""


class Looking(NamedTuple):
    """Since when somebody has been looking without a pause, and when last. Lost without harm."""

    since: int
    last: int


class Scheduled(NamedTuple):
    """What was done, and when there is something to do again."""

    runs: int
    not_run: int
    looking: Looking
    next_at: int | None
    ended_at: int
    """When all that was done: from then on there is to be waited."""
    failures: tuple[str, ...] = ()
    """Schedules that could not be decided, and why. The others were."""


def run_once(store: Store, looking: Looking | None = None) -> Scheduled:
    """Make the runs that are due, and wake the pools whose waiting runs have become due."""
    looking = store.run(lambda tx: _looking(tx, looking))
    runs = not_run = 0
    failures: list[str] = []
    skipped: set[tuple[str, str]] = set()
    for _ in range(MAX_BATCHES):
        batch = store.run(lambda tx: _decide_some(tx, looking, skipped, failures))
        runs += batch.runs
        not_run += batch.not_run
        if batch.schedules < BATCH:
            break
    next_at, ended_at = store.run(lambda tx: (_wake_and_look_ahead(tx, looking), tx.now))
    return Scheduled(runs, not_run, looking, next_at, ended_at, tuple(failures))


class _Batch(NamedTuple):
    schedules: int
    runs: int
    not_run: int


def _looking(tx: Transaction, before: Looking | None) -> Looking:
    """Whoever paused, or whose clock jumped, begins anew."""
    if before is None or not 0 <= tx.now - before.last <= PAUSE_SECONDS * 1e6:
        return Looking(tx.now, tx.now)
    return Looking(before.since, tx.now)


def _decide_some(tx: Transaction, looking: Looking, skipped: set[tuple[str, str]], failures: list[str]) -> _Batch:
    found = tx.schedules.due(tx.now, BATCH + len(skipped)) or tx.schedules.ahead(tx.now, BATCH)
    found = [row for row in found if (row.deployment_id, row.name) not in skipped][:BATCH]
    deployments = {row.id: row for row in tx.deployments.rows({row.deployment_id for row in found})}
    specs: dict[str, DeploymentSpec] = {}
    unfinished = tx.work.of_schedules((row.deployment_id, row.name) for row in found)
    plan = _Plan([], [], [], set())
    not_run = 0
    for row in found:
        deployment = deployments.get(row.deployment_id)
        if deployment is None:
            tx.schedules.forget(row.deployment_id, row.name)
            continue
        try:
            if deployment.id not in specs:
                specs[deployment.id] = deployment.deployment_spec()
            spec = specs[deployment.id]
            not_run += _decide(tx, spec, row, looking, unfinished.get((row.deployment_id, row.name), []), plan)
        except errors.StoreError:
            raise
        except Exception as error:  # noqa: BLE001  one schedule that cannot be decided does not hold up the others
            skipped.add((row.deployment_id, row.name))
            failures.append(f"{deployment.flow_name}/{deployment.name}, schedule {row.name}: {error}")
            row.trouble = f"It could not be decided: {error}"
            tx.schedules.save([row])
    return _Batch(len(found), _carry_out(tx, plan), not_run)


class _Plan(NamedTuple):
    """What was decided for some schedules, to be written at once."""

    slots: list[SlotRow]
    runs: list[NewRun]
    """Of those slots that were not known."""
    schedules: list[ScheduleRow]
    queues: set[tuple[str, str]]
    """Pools and queues that are there."""


def _carry_out(tx: Transaction, plan: _Plan) -> int:
    """Write it; says how many runs were made."""
    new = tx.schedules.take_slots(plan.slots)
    runs = [run for run in plan.runs if run.run_id in new]
    flow_runs.create(tx, runs)
    tx.schedules.save(plan.schedules)
    return len(runs)


def _decide(
    tx: Transaction,
    spec: DeploymentSpec,
    row: ScheduleRow,
    looking: Looking,
    unfinished: list[tuple[str, str]],
    plan: _Plan,
) -> int:
    """Decide the slots of one schedule up to now; says how many records of no run there are."""
    schedule = row.schedule_spec()
    held = sum(status == "held" for _, status in unfinished)
    if held == len(unfinished) > 0:  # what they wait for has ended while it was decided that they wait
        give_turn(tx, row.deployment_id, row.name)
        held -= 1
    facts = Facts(unfinished=len(unfinished) - held, waiting=held, looking_since=as_datetime(looking.since))
    decision = slots.decide(
        schedule.schedule, as_datetime(row.slots_until), as_datetime(tx.now), schedule.policy, facts
    )
    if decision.cancels_unfinished:
        _cancel(tx, (run_id for run_id, _ in unfinished))
    row.trouble = None
    place = spec.work_pool, spec.work_queue
    if decision.due and place not in plan.queues:
        queue_of(tx, *place)
        plan.queues.add(place)
    for due in decision.due:
        _plan_run(tx, spec, row, schedule, due.slot, plan, is_held=due.waits)
    plan.slots.extend(_left_out(row, each) for each in decision.not_run)
    row.slots_until = as_microseconds(decision.cursor)
    row.look_at = _look_at(decision, schedule, row.slots_until)
    plan.schedules.append(row)
    return len(decision.not_run)


def _plan_run(
    tx: Transaction,
    spec: DeploymentSpec,
    row: ScheduleRow,
    schedule: ScheduleSpec,
    slot: datetime,
    plan: _Plan,
    *,
    is_held: bool,
) -> None:
    at = as_microseconds(slot)
    parameters = {**spec.parameters, **schedule.parameters}
    run_id = tx.new_id()
    try:
        check_parameters(spec, parameters)
    except errors.ParameterError as error:
        row.trouble = error.message
        plan.slots.append(SlotRow(row.deployment_id, row.name, at, at, 1, None, _BY_PARAMETERS))
        return
    plan.slots.append(SlotRow(row.deployment_id, row.name, at, at, 1, run_id, None))
    plan.runs.append(
        NewRun(
            spec=spec,
            run_id=run_id,
            queue=spec.work_queue,
            deployment_id=row.deployment_id,
            parameters=parameters,
            due_at=at,
            source="schedule",
            schedule=row.name,
            is_held=is_held,
        )
    )


def _left_out(row: ScheduleRow, each: NotRun) -> SlotRow:
    first, last = as_microseconds(each.first), as_microseconds(each.last)
    return SlotRow(row.deployment_id, row.name, first, last, each.count, None, each.reason.value)


def _cancel(tx: Transaction, run_ids: Iterable[str]) -> None:
    for run_id in sorted(run_ids):
        work = tx.work.row(run_id)
        if work is not None and work.status != "done":
            flow_runs.cancel(
                tx, work, by="its schedule", message="Cancelled because the next run of its schedule is due"
            )


def _look_at(decision: Decision, schedule: ScheduleSpec, slots_until: int) -> int | None:
    return (
        next_look(schedule, slots_until) if decision.look_again_at is None else as_microseconds(decision.look_again_at)
    )


def _wake_and_look_ahead(tx: Transaction, looking: Looking) -> int | None:
    """Wake the pools whose runs have become due since the last look; say when the next run or slot is due."""
    for pool in tx.work.pools_due(looking.last - int(PAUSE_SECONDS * 1e6), tx.now):
        wake(tx, pool)
    coming = [at for at in (tx.schedules.next_look(), tx.work.next_due(tx.now)) if at is not None]
    return min(coming, default=None)
