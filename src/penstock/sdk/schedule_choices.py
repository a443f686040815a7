"""The schedules that somebody asks for: by `cron=`, `interval=`, `rrule=`, or as objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, cast

from penstock import errors
from penstock.core.deployments import ScheduleSpec, named_schedules
from penstock.core.schedules import Cron, Interval, Once, RRule, Schedule, from_mapping


def chosen(
    *,
    cron: str | Iterable[str] | None = None,
    interval: float | timedelta | Iterable[float | timedelta] | None = None,
    rrule: str | Iterable[str] | None = None,
    anchor_date: datetime | str | None = None,
    timezone: str | None = None,
    day_or: bool = True,
    schedule: Any = None,
    schedules: Iterable[Any] | None = None,
) -> tuple[ScheduleSpec, ...] | None:
    """All that were asked for, each with a name; None when nothing was said of schedules.

    A ``timezone`` and an ``anchor_date`` are of the ones made here; objects have their own. Raises `UsageError` for
    a time that cannot be, and for a zone that does not exist.
    """
    zone = timezone or ""
    made: list[Schedule] = [Cron(each, zone, day_or) for each in _several(cron)]
    made += [_interval(each, anchor_date, zone) for each in _several(interval)]
    made += [RRule(each, zone) for each in _several(rrule)]
    if anchor_date is not None and interval is None:
        raise errors.UsageError("An anchor date is of an interval, and there is none")
    if timezone is not None and not made:
        raise errors.UsageError(
            "A time zone needs a schedule to be the zone of",
            hint="one by cron, interval or rrule; objects have their own",
        )
    if not made and schedule is None and schedules is None:
        return None
    given = [*made, *([] if schedule is None else [schedule]), *(schedules or ())]
    return named_schedules([_spec(each) for each in given])


def _several(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple | set | frozenset) else [given]


def _interval(given: Any, anchor_date: datetime | str | None, zone: str) -> Interval:
    try:
        anchor = datetime.fromisoformat(anchor_date) if isinstance(anchor_date, str) else anchor_date
    except ValueError:
        raise errors.UsageError(
            f"Not a date: `{anchor_date}`", hint="write it as in `2026-11-25` or `2026-11-25T06:00:00+01:00`"
        ) from None
    return Interval(given, anchor, zone)


def _spec(given: Any) -> ScheduleSpec:
    if isinstance(given, ScheduleSpec):
        return given
    if isinstance(given, Cron | Interval | RRule | Once):
        return ScheduleSpec(schedule=given)
    if isinstance(given, Mapping):
        return ScheduleSpec(schedule=from_mapping(cast("Mapping[str, Any]", given)))
    raise errors.UsageError(
        f"Not a schedule: `{given!r}`", hint="give a CronSchedule, an IntervalSchedule, an RRuleSchedule"
    )
