"""Schedules as files say them: one as ``schedule:``, several as ``schedules:``, each with its name and parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from penstock import errors
from penstock.core.deployments import DEFAULT_SCHEDULE, ScheduleSpec, named_schedules
from penstock.core.schedules import KINDS, Schedule, from_mapping, to_mapping
from penstock.core.slots import Policy
from penstock.core.yaml_text import Section

TIMES = (*KINDS, "timezone", "day_or", "anchor_date")
"""What says when."""
_POLICY = {
    "catchup": ("catchup", str),
    "overlap": ("overlap", str),
    "catchup_limit": ("limit", int),
    "catchup_window": ("window", timedelta),
    "catchup_batch": ("batch", int),
    "catchup_pace": ("pace", timedelta),
    "grace": ("grace", timedelta),
}
"""What says what becomes of missed and of overlapping slots, and the field of `Policy` that each is. Spans: seconds."""
_OF_PREFECT = {
    "max_active_runs": "give the deployment a `concurrency_limit`",
    "max_scheduled_runs": "runs are made when they are due",
    "replaces": "a schedule keeps its past under its name",
}
_KEYS = (*TIMES, "type", "name", "slug", "parameters", "paused", "active", "schedule", *_POLICY, *_OF_PREFECT)


def read(section: Section, notes: list[str]) -> tuple[ScheduleSpec, ...]:
    """The schedules of a deployment: of its keys ``schedule``, ``schedules``, and those that say when."""
    found: list[ScheduleSpec] = []
    if any(section.has(kind) for kind in KINDS):
        found.append(ScheduleSpec(schedule=_schedule(section)))
    if (one := section.section("schedule")) is not None:
        found.append(_read_one(one, notes))
    found += [_read_one(each, notes) for each in section.sections("schedules")]
    try:
        return named_schedules(found)
    except errors.UsageError as error:
        raise section.problem(error.message, "schedules") from None


def written(specs: Sequence[ScheduleSpec]) -> dict[str, Any]:
    """The keys that say these schedules: ``schedule`` for one without more to it, else ``schedules``."""
    if not specs:
        return {"schedule": None}
    if len(specs) == 1 and specs[0] == ScheduleSpec(schedule=specs[0].schedule):
        return {"schedule": _times(specs[0].schedule)}
    return {"schedules": [_write_one(spec) for spec in specs]}


def _read_one(section: Section, notes: list[str]) -> ScheduleSpec:
    section.refuse_others_than(_KEYS)
    notes += [
        f"{section.place(key)}: `{key}` is not read: {why}" for key, why in _OF_PREFECT.items() if section.has(key)
    ]
    inner = section.section("schedule") or section
    if inner is not section:
        inner.refuse_others_than((*TIMES, "type"))
    active = section.flag("active")
    paused = section.flag("paused")
    if active is not None and active is paused:
        raise section.problem("A schedule cannot be both active and paused", "paused")
    return ScheduleSpec(
        name=section.text("name") or section.text("slug") or DEFAULT_SCHEDULE,
        schedule=_schedule(inner),
        parameters=section.mapping("parameters"),
        paused=bool(paused) or active is False,
        policy=_policy(section),
    )


def _schedule(section: Section) -> Schedule:
    said = {key: value for key, value in section.plain().items() if key in TIMES}
    if said.get("day_or") is not None:
        said["day_or"] = section.flag("day_or")
    try:
        return from_mapping(said)
    except errors.UsageError as error:
        kind = next((kind for kind in KINDS if section.has(kind)), None)
        raise section.problem(error.message, kind, hint=error.hint) from None


def _policy(section: Section) -> Policy:
    given: dict[str, Any] = {}
    for key, (field, kind) in _POLICY.items():
        if kind is timedelta:
            seconds = section.value(key, float)
            value = None if seconds is None else timedelta(seconds=seconds)
        else:
            value = section.value(key, kind)
        if value is not None:
            given[field] = value
    try:
        return Policy(**given)
    except errors.UsageError as error:
        key = next(key for key, (field, _) in _POLICY.items() if error.message.startswith(field))
        raise section.problem(error.message, key, hint=error.hint) from None


def _write_one(spec: ScheduleSpec) -> dict[str, Any]:
    said: dict[str, Any] = {"name": spec.name, **_times(spec.schedule)}
    if spec.parameters:
        said["parameters"] = spec.parameters
    if spec.paused:
        said["paused"] = True
    usual = Policy()
    for key, (field, _) in _POLICY.items():
        value = getattr(spec.policy, field)
        if value != getattr(usual, field):
            said[key] = _seconds(value) if isinstance(value, timedelta) else value
    return said


def _times(schedule: Schedule) -> dict[str, Any]:
    said: Mapping[str, Any] = to_mapping(schedule)
    return {key: value or None if key == "timezone" else value for key, value in said.items()}


def _seconds(span: timedelta) -> float:
    seconds = span.total_seconds()
    return int(seconds) if seconds.is_integer() else seconds
