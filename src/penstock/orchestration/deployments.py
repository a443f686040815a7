"""Deployments and their schedules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from heapq import merge
from itertools import islice, repeat
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from penstock import errors
from penstock.core import parameter_schemas, wire
from penstock.core.deployments import SHORT_NAME, Deployment, DeploymentSpec, ScheduleSpec, ScheduleState
from penstock.core.infrastructure import overridden, process_job
from penstock.core.operations import Page, checked_limit
from penstock.core.operations import deployments as ask
from penstock.core.runs import FlowRun
from penstock.core.schedules import next_occurrence, occurrences
from penstock.core.states import StateType
from penstock.core.suggestions import did_you_mean
from penstock.core.timestamps import as_datetime, as_microseconds
from penstock.orchestration import flow_runs
from penstock.orchestration.flow_runs import NewRun
from penstock.orchestration.overview import deployment_of, place
from penstock.orchestration.turns import give_turn
from penstock.orchestration.work_pools import pool_of, queue_of
from penstock.store.deployments import FIRST, DeploymentRow, ScheduleRow, as_json
from penstock.store.interface import Transaction

MAX_OCCURRENCES = 1000
FAR_FUTURE = 1 << 60
LONGEST_SHOWN = 500
"""Characters of a run's name, and of a tag."""
MAX_TAGS = 100
END_OF_TIME = 253_370_764_800_000_000
"""The year 9999, which calendars do not go beyond."""


def apply_deployment(tx: Transaction, given: ask.ApplyDeployment) -> ask.Applied:
    spec = given.spec
    pool_of(tx, spec.work_pool)
    _check(spec)
    tx.lock(f"deployment:{spec.full_name}")
    known = tx.deployments.named(spec.flow_name, spec.name)
    before = known.deployment_spec() if known else None
    changed = _changed(before, spec)
    if not given.dry_run:
        row = DeploymentRow(
            id=known.id if known else tx.new_id(),
            flow_name=spec.flow_name,
            name=spec.name,
            work_pool=spec.work_pool,
            work_queue=queue_of(tx, spec.work_pool, spec.work_queue).name,
            created_at=known.created_at if known else tx.now,
            updated_at=tx.now if changed or known is None else known.updated_at,
            paused=int(spec.paused),
            run_limit=spec.concurrency_limit,
            spec=as_json(spec),
        )
        tx.deployments.save(row)
        _apply_schedules(tx, row.id, spec.schedules)
        tx.wake("schedules")
        known = row
    return ask.Applied(
        deployment=_view(tx, known) if known else _unsaved(tx, spec), created=before is None, changed=changed
    )


def list_deployments(tx: Transaction, given: ask.ListDeployments) -> Page[Deployment]:
    limit = checked_limit(given.limit)
    after = _place(given.after)
    found: list[DeploymentRow] = []
    while len(found) <= limit:
        portion = tx.deployments.page(after=after, flow=given.flow, pool=given.pool, limit=limit + 1)
        found += [row for row in portion if _meets(row, given)]
        if len(portion) <= limit:
            break
        after = (portion[-1].flow_name, portion[-1].name)
    rows = found[:limit]
    more = len(found) > limit
    return Page(items=_views(tx, rows), next=f"{rows[-1].flow_name}/{rows[-1].name}" if more else None)


def get_deployment(tx: Transaction, given: ask.GetDeployment) -> Deployment:
    return _view(tx, deployment_of(tx, given.deployment))


def delete_deployment(tx: Transaction, given: ask.DeleteDeployment) -> None:
    row = deployment_of(tx, given.deployment)
    tx.schedules.forget(row.id)
    for run_id in sorted(tx.work.not_begun(row.id)):
        work = tx.work.row(run_id)
        if work is not None and work.status in ("waiting", "held"):
            flow_runs.cancel(tx, work, by="", message="Its deployment was deleted")
    tx.schedules.forget_slots(row.id)
    tx.deployments.forget(row.id)


def pause_deployment(tx: Transaction, given: ask.PauseDeployment) -> Deployment:
    return _pause(tx, given.deployment, is_paused=True)


def resume_deployment(tx: Transaction, given: ask.ResumeDeployment) -> Deployment:
    return _pause(tx, given.deployment, is_paused=False)


def save_schedule(tx: Transaction, given: ask.SaveSchedule) -> Deployment:
    row = deployment_of(tx, given.deployment)
    spec = row.deployment_spec()
    others = [each for each in spec.schedules if each.name != given.schedule.name]
    return _with_schedules(tx, row, spec, (*others, given.schedule))


def delete_schedule(tx: Transaction, given: ask.DeleteSchedule) -> Deployment:
    row = deployment_of(tx, given.deployment)
    spec = row.deployment_spec()
    _schedule_of(tx, row, given.schedule)
    return _with_schedules(tx, row, spec, tuple(each for each in spec.schedules if each.name != given.schedule))


def pause_schedule(tx: Transaction, given: ask.PauseSchedule) -> Deployment:
    return _pause_schedule(tx, given.deployment, given.schedule, is_paused=True)


def resume_schedule(tx: Transaction, given: ask.ResumeSchedule) -> Deployment:
    return _pause_schedule(tx, given.deployment, given.schedule, is_paused=False)


def preview_occurrences(tx: Transaction, given: ask.PreviewOccurrences) -> list[ask.Occurrence]:
    row = deployment_of(tx, given.deployment)
    if not 1 <= given.count <= MAX_OCCURRENCES:
        raise errors.UsageError(f"`count` is 1 to {MAX_OCCURRENCES}, not: `{given.count}`")
    specs = [each.schedule_spec() for each in tx.schedules.of([row.id])]
    if given.schedule is not None:
        specs = [_schedule_of(tx, row, given.schedule).schedule_spec()]
    if given.after is not None and not 0 <= given.after < END_OF_TIME:
        raise errors.UsageError(f"`after` is microseconds since 1970, not: `{given.after}`")
    after = as_datetime(tx.now if given.after is None else given.after)
    found = [zip(occurrences(spec.schedule, after, count=given.count), repeat(spec)) for spec in specs]
    soonest = islice(merge(*found, key=lambda each: each[0]), given.count)
    return [_occurrence(spec, at) for at, spec in soonest]


def list_slots(tx: Transaction, given: ask.ListSlots) -> Page[ask.Slot]:
    row = deployment_of(tx, given.deployment)
    limit = checked_limit(given.limit)
    before = FAR_FUTURE if given.after is None else place(given.after)
    found = tx.schedules.slots(row.id, schedule=given.schedule, before=before, limit=limit)
    items = [
        ask.Slot(
            schedule=each.schedule,
            slot=each.slot,
            last=each.last,
            count=each.slots,
            run_id=each.run_id,
            reason=each.reason,
        )
        for each in found
    ]
    return Page(items=items, next=str(found[-1].slot) if len(found) == limit else None)


def run_deployment(tx: Transaction, given: ask.RunDeployment) -> FlowRun:
    row = deployment_of(tx, given.deployment)
    if given.idempotency_key is not None:
        if not 1 <= len(given.idempotency_key) <= 500:
            raise errors.UsageError("An idempotency key has 1 to 500 characters")
        tx.lock(f"deployment_key:{row.id}:{given.idempotency_key}")
        known = tx.deployments.run_of_key(row.id, given.idempotency_key)
        found = tx.flow_runs.row(known) if known is not None else None
        if found is not None:
            return found.view()
    if given.due_at is not None and given.in_seconds is not None:
        raise errors.UsageError("A run starts at a time, or after a time: `due_at` and `in_seconds` exclude each other")
    due_at = given.due_at if given.due_at is not None else tx.now + _micros(given.in_seconds or 0)
    if not 0 <= due_at < END_OF_TIME:
        raise errors.UsageError(f"No run can start at that time: `{due_at}`")
    if given.parent_flow_run_id is not None:
        _refuse_while_cancelled(tx, given.parent_flow_run_id)
    _check_shown(given)
    spec = row.deployment_spec()
    parameters = {**spec.parameters, **given.parameters}
    check_parameters(spec, parameters)
    if given.job_variables and spec.infrastructure.get("type", "process") == "process":
        # Raises what a worker would, which is too late.
        process_job({}, overridden(spec.infrastructure, given.job_variables))
    run = NewRun(
        spec=spec,
        run_id=tx.new_id(),
        queue=queue_of(tx, spec.work_pool, given.work_queue or spec.work_queue).name,
        deployment_id=row.id,
        parameters=parameters,
        due_at=due_at,
        source="deployment",
        name=given.name,
        tags=given.tags,
        priority=given.priority,
        job_variables=given.job_variables,
        parent_flow_run_id=given.parent_flow_run_id,
        parent_task_run_id=given.parent_task_run_id,
        asked_by_run_id=given.asked_by_run_id,
    )
    flow_runs.create(tx, [run])
    if given.idempotency_key is not None:
        tx.deployments.save_key(row.id, given.idempotency_key, run.run_id, tx.now)
    made = tx.flow_runs.row(run.run_id)
    assert made is not None
    return made.view()


def _refuse_while_cancelled(tx: Transaction, caller_id: str) -> None:
    """A run that is cancelled calls no more: its cancelling has taken care of those that it had called."""
    caller = tx.flow_runs.row(caller_id)
    if caller is None:
        return  # what it recorded has not come yet
    tx.lock(caller.root_run_id)
    root = tx.flow_runs.row(caller.root_run_id)
    if root is not None and root.state_type in (StateType.CANCELLING, StateType.CANCELLED):
        raise errors.AlreadyEnded(f"The run that asks for it was cancelled: `{root.name}`")


def _check_shown(given: ask.RunDeployment) -> None:
    """Whatever lists runs shows these of each."""
    if len(given.name or "") > LONGEST_SHOWN:
        raise errors.UsageError(f"`name` has at most {LONGEST_SHOWN} characters")
    if any(len(tag) > LONGEST_SHOWN for tag in given.tags):
        raise errors.UsageError(f"A tag has at most {LONGEST_SHOWN} characters")
    if len(given.tags) > MAX_TAGS:
        raise errors.UsageError(f"At most {MAX_TAGS} tags are given to a run, not: `{len(given.tags)}`")


def _micros(seconds: float) -> int:
    """Microseconds; as many as there are at most, when nobody waits for so long."""
    return int(max(min(seconds * 1e6, FAR_FUTURE), -FAR_FUTURE))


# ── what others here need ────────────────────────────────────────────────────────────────────────────────────────────


def check_parameters(spec: DeploymentSpec, parameters: Mapping[str, Any], *, complete: bool = True) -> None:
    """Raises `ParameterError` when they do not fit the flow's schema, and the deployment wants them to.

    With ``complete=False`` some may be missing: they come when a run is made.
    """
    wire.check_numbers(dict(parameters))
    if not spec.enforce_parameter_schema or not spec.parameter_schema:
        return
    problems = parameter_schemas.problems(spec.parameter_schema, parameters, complete=complete)
    if problems:
        raise errors.ParameterError(
            f"The parameters do not fit the flow `{spec.flow_name}`: {'; '.join(problems)}",
            hint=f"its parameters are: {', '.join(spec.parameter_schema.get('properties', {})) or 'none'}",
        )


def next_look(spec: ScheduleSpec, slots_until: int) -> int | None:
    """When a schedule has its next slot."""
    following = next_occurrence(spec.schedule, as_datetime(slots_until))
    return None if following is None else as_microseconds(following)


def put_back_schedules(tx: Transaction, row: DeploymentRow) -> int:
    """Keep the schedules that belong to a deployment and were lost; says how many. They go on after their last slot."""
    there = {each.name for each in tx.schedules.of([row.id])}
    lost = [spec for spec in row.deployment_spec().schedules if spec.name not in there]
    for spec in lost:
        last = tx.schedules.slots(row.id, schedule=spec.name, before=FAR_FUTURE, limit=1)
        until = last[0].last if last else tx.now
        look_at = next_look(spec, until)
        tx.schedules.save([ScheduleRow(row.id, spec.name, int(spec.paused), until, look_at, None, as_json(spec))])
    return len(lost)


# ── details ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check(spec: DeploymentSpec) -> None:
    if spec.concurrency_limit is not None and not 0 <= spec.concurrency_limit <= 1_000_000:
        raise errors.UsageError(f"A concurrency limit is 0 to 1,000,000, not: `{spec.concurrency_limit}`")
    if spec.timeout_seconds is not None and not 0 < spec.timeout_seconds < 1e9:
        raise errors.UsageError(f"A time limit is longer than nothing, not: `{spec.timeout_seconds}`")
    for each in spec.schedules:
        if not re.match(SHORT_NAME, each.name):
            raise errors.UsageError(f"A schedule's name is 1 to 100 letters, digits, ` `, `.`, `_`, `-`: `{each.name}`")
    if spec.enforce_parameter_schema and (wrong := parameter_schemas.check_schema(spec.parameter_schema)):
        raise errors.UsageError(f"The schema of the flow's parameters cannot be used: {wrong[0]}")
    check_parameters(spec, spec.parameters, complete=False)
    for each in spec.schedules:
        check_parameters(spec, {**spec.parameters, **each.parameters})


def _changed(before: DeploymentSpec | None, spec: DeploymentSpec) -> tuple[str, ...]:
    if before is None:
        return ()
    return tuple(name for name in spec.__struct_fields__ if getattr(before, name) != getattr(spec, name))


def _apply_schedules(tx: Transaction, deployment_id: str, specs: Iterable[ScheduleSpec]) -> None:
    """Schedules that keep their name keep how far they are; what has run does not run again."""
    known = {row.name: row for row in tx.schedules.of([deployment_id])}
    wanted = {spec.name: spec for spec in specs}
    for name in known.keys() - wanted.keys():
        tx.schedules.forget(deployment_id, name)
    rows = [_schedule_row(deployment_id, spec, known.get(spec.name), tx.now) for spec in wanted.values()]
    tx.schedules.save(rows)
    for name, row in known.items():
        if name in wanted and wanted[name].policy.overlap == "allow" != row.schedule_spec().policy.overlap:
            give_turn(tx, deployment_id, name)


def _schedule_row(deployment_id: str, spec: ScheduleSpec, known: ScheduleRow | None, now: int) -> ScheduleRow:
    if known is not None and known.schedule_spec() == spec:
        return known
    was_off = known is None or known.paused or known.schedule_spec().schedule != spec.schedule
    until = now if known is None or (was_off and not spec.paused) else known.slots_until
    return ScheduleRow(deployment_id, spec.name, int(spec.paused), until, next_look(spec, until), None, as_json(spec))


def _with_schedules(
    tx: Transaction, row: DeploymentRow, spec: DeploymentSpec, schedules: tuple[ScheduleSpec, ...]
) -> Deployment:
    changed = msgspec.structs.replace(spec, schedules=schedules)
    _check(changed)
    row.spec = as_json(changed)
    row.updated_at = tx.now
    tx.deployments.save(row)
    _apply_schedules(tx, row.id, schedules)
    tx.wake("schedules")
    return _view(tx, row)


def _pause(tx: Transaction, name: str, *, is_paused: bool) -> Deployment:
    row = deployment_of(tx, name)
    was_paused = bool(row.paused)
    row.paused = int(is_paused)
    row.spec = as_json(msgspec.structs.replace(row.deployment_spec(), paused=is_paused))
    tx.deployments.save(row)
    if was_paused and not is_paused:
        _go_on_from_now(tx, [each for each in tx.schedules.of([row.id]) if not each.paused])
    return _view(tx, row)


def _pause_schedule(tx: Transaction, name: str, schedule: str, *, is_paused: bool) -> Deployment:
    row = deployment_of(tx, name)
    found = _schedule_of(tx, row, schedule)
    was_paused = bool(found.paused)
    found.paused = int(is_paused)
    found.spec = as_json(msgspec.structs.replace(found.schedule_spec(), paused=is_paused))
    tx.schedules.save([found])
    spec = row.deployment_spec()
    schedules = tuple(
        msgspec.structs.replace(each, paused=is_paused) if each.name == schedule else each for each in spec.schedules
    )
    row.spec = as_json(msgspec.structs.replace(spec, schedules=schedules))
    tx.deployments.save(row)
    if was_paused and not is_paused:
        _go_on_from_now(tx, [found])
    return _view(tx, row)


def _go_on_from_now(tx: Transaction, rows: list[ScheduleRow]) -> None:
    """What was paused was not missed."""
    for each in rows:
        each.slots_until = max(each.slots_until, tx.now)
        each.look_at = next_look(each.schedule_spec(), each.slots_until)
    tx.schedules.save(rows)
    tx.wake("schedules")


def _schedule_of(tx: Transaction, row: DeploymentRow, name: str) -> ScheduleRow:
    rows = {each.name: each for each in tx.schedules.of([row.id])}
    if name not in rows:
        known = f"its schedules are: {', '.join(rows)}" if rows else "it has none"
        hint = did_you_mean(name, rows) or known
        raise errors.NotFound(f"The deployment `{row.flow_name}/{row.name}` has no schedule: `{name}`", hint=hint)
    return rows[name]


def _occurrence(spec: ScheduleSpec, at: datetime) -> ask.Occurrence:
    zone = spec.schedule.timezone
    return ask.Occurrence(
        schedule=spec.name, at=as_microseconds(at), local=at.astimezone(ZoneInfo(zone)).isoformat(), timezone=zone
    )


def _meets(row: DeploymentRow, given: ask.ListDeployments) -> bool:
    if given.search is not None and given.search.lower() not in f"{row.flow_name}/{row.name}".lower():
        return False
    return given.tag is None or given.tag in row.deployment_spec().tags


def _place(after: str | None) -> tuple[str, str]:
    if after is None:
        return FIRST
    flow_name, _, name = after.partition("/")
    return flow_name, name


def _view(tx: Transaction, row: DeploymentRow) -> Deployment:
    return _views(tx, [row])[0]


def _views(tx: Transaction, rows: list[DeploymentRow]) -> list[Deployment]:
    schedules: dict[str, list[ScheduleState]] = {}
    for each in tx.schedules.of(row.id for row in rows):
        state = ScheduleState(
            name=each.name,
            spec=each.schedule_spec(),
            paused=bool(each.paused),
            cursor=each.slots_until,
            next_at=None if each.paused else each.look_at,
            trouble=each.trouble,
        )
        schedules.setdefault(each.deployment_id, []).append(state)
    return [
        Deployment(
            id=row.id,
            name=row.name,
            flow_name=row.flow_name,
            created_at=row.created_at,
            updated_at=row.updated_at,
            paused=bool(row.paused),
            spec=row.deployment_spec(),
            schedules=tuple(schedules.get(row.id, ())),
        )
        for row in rows
    ]


def _unsaved(tx: Transaction, spec: DeploymentSpec) -> Deployment:
    return Deployment(
        id="",
        name=spec.name,
        flow_name=spec.flow_name,
        created_at=tx.now,
        updated_at=tx.now,
        paused=spec.paused,
        spec=spec,
    )
