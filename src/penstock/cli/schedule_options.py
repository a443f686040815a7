"""The options by which commands are given schedules."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from cyclopts import Parameter

from penstock import errors
from penstock.cli import humanize
from penstock.core.deployments import ScheduleSpec
from penstock.sdk import schedule_choices

OneCron = Annotated[str | None, Parameter(name="--cron", metavar="CRON", help='At these times, as in `"0 6 * * MON"`.')]
OneInterval = Annotated[
    str | None,
    Parameter(name="--interval", metavar="LENGTH", help="Every so often: seconds, or a length like `15min`."),
]
OneRRule = Annotated[
    str | None,
    Parameter(name="--rrule", metavar="RULE", help='By a rule of RFC 5545, as in `"FREQ=DAILY;BYHOUR=6"`.'),
]
AnchorDate = Annotated[
    str | None,
    Parameter(
        name="--anchor-date", metavar="DATE", help="Count the interval from this time, as in `2026-01-01T06:00`."
    ),
]
Timezone = Annotated[
    str | None, Parameter(name="--timezone", metavar="ZONE", help="The zone of these times, as in `Europe/Berlin`.")
]


def one(
    cron: str | None, interval: str | None, rrule: str | None, anchor_date: str | None, timezone: str | None
) -> ScheduleSpec | None:
    """The one schedule that was asked for, if one was. Raises `UsageError` for two, or for one that cannot be."""
    found = schedule_choices.chosen(
        cron=cron,
        interval=None if interval is None else _interval(interval),
        rrule=rrule,
        anchor_date=anchor_date,
        timezone=timezone,
    )
    if found and len(found) > 1:
        raise errors.UsageError("Only one schedule can be given: a cron, an interval or a rule")
    return found[0] if found else None


def _interval(text: str) -> timedelta:
    try:
        return timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        return timedelta(seconds=humanize.span(text))
