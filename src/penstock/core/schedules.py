"""When a deployment runs: `Cron`, `Interval`, `RRule` and `Once`, and the instants that each of them names.

What becomes of an hour that a zone's clock skips or shows twice ("Scheduling" in the semantics):

- A time of the day (``0 6 * * *``, intervals of a day or longer, ``FREQ=DAILY``) is a time on the wall. In a gap it
  comes once, at the first instant after it; in an overlap once, at the first of the two.
- What goes by the hour or finer (an hour of ``*`` in cron, intervals below a day, ``FREQ=HOURLY``) comes at every
  real instant: an hourly cron in New York comes at both of the 01:00 of November.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import islice, takewhile
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import force_setattr

from penstock import errors
from penstock.core import cron, recurrence, wall_time

DEFAULT_ANCHOR = datetime(2020, 1, 1)  # noqa: DTZ001  a wall time
"""What intervals are counted from when nothing is said: midnight of a day long ago, in the schedule's zone."""
SHORTEST_INTERVAL = timedelta(seconds=1)
MAX_TIMES = 1000
DAY = timedelta(days=1)


class Cron(msgspec.Struct, frozen=True, tag="cron", tag_field="type"):
    """The times that a cron expression names: ``Cron("0 6 * * MON-FRI", "Europe/Berlin")``.

    Five fields, names of days and months, or an alias such as ``@daily``. When days of the month and of the week
    are both restricted, a day has to be one of either; with ``day_or=False``, of both. (As in Debian's cron, a
    field that starts with ``*`` does not count as restricted.)
    """

    cron: str
    timezone: str = ""
    """Default: UTC."""
    day_or: bool = True

    def __post_init__(self) -> None:
        force_setattr(self, "timezone", self.timezone or "UTC")
        wall_time.zone(self.timezone)
        cron.check(self.cron, day_or=self.day_or)


class Interval(msgspec.Struct, frozen=True, tag="interval", tag_field="type"):
    """Every so often: ``Interval(timedelta(minutes=15))``.

    Counted from ``anchor_date``, forward and backward; it may lie in the future. Days and longer are counted on
    the wall, so that what comes at 06:00 stays at 06:00; anything below a day in real time.
    """

    interval: timedelta
    anchor_date: datetime | None = None
    """Default: midnight of 2020-01-01. Without a zone, a time in the schedule's. Kept with its offset from UTC."""
    timezone: str = ""
    """Default: the zone of ``anchor_date``, if it has one with a name, else UTC."""

    def __post_init__(self) -> None:
        force_setattr(self, "interval", _checked_interval(self.interval))
        force_setattr(
            self, "timezone", self.timezone or getattr(getattr(self.anchor_date, "tzinfo", None), "key", "UTC")
        )
        force_setattr(self, "anchor_date", _checked_anchor(self.anchor_date, wall_time.zone(self.timezone)))

    @property
    def anchor(self) -> datetime:
        assert self.anchor_date is not None
        return self.anchor_date


class RRule(msgspec.Struct, frozen=True, tag="rrule", tag_field="type"):
    """The times that an RFC 5545 recurrence names: ``RRule("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18")``.

    One rule, or lines of DTSTART, RRULE, EXRULE, RDATE and EXDATE; at most 6,500 characters. Dates without a zone
    are in the schedule's. Without DTSTART, the rule starts at midnight of 2020-01-01.
    """

    rrule: str
    timezone: str = ""
    """Default: the TZID of DTSTART, else UTC."""

    def __post_init__(self) -> None:
        named = recurrence.zone_named_in(self.rrule) if isinstance(self.rrule, str) else None  # pyright: ignore[reportUnnecessaryIsInstance]  from users
        force_setattr(self, "timezone", self.timezone or named or "UTC")
        recurrence.read(self.rrule, self.timezone)


class Once(msgspec.Struct, frozen=True, tag="once", tag_field="type"):
    """At given times, once each: ``Once.of(datetime(2026, 1, 1, 6), timezone="Europe/Berlin")``."""

    at: tuple[datetime, ...]
    """Times without a zone are in the schedule's. Kept as UTC, earliest first."""
    timezone: str = ""
    """Default: UTC."""

    @classmethod
    def of(cls, *at: datetime, timezone: str = "") -> Once:
        return cls(at, timezone)

    def __post_init__(self) -> None:
        force_setattr(self, "timezone", self.timezone or "UTC")
        force_setattr(self, "at", _checked_times(self.at, wall_time.zone(self.timezone)))


Schedule: TypeAlias = Cron | Interval | RRule | Once
"""Any of them. Tagged by ``type`` on the wire; for files that people write, see `from_mapping`."""


def _checked_interval(given: Any) -> timedelta:
    if (
        isinstance(given, int | float) and not isinstance(given, bool) and abs(given) < 1e13
    ):  # seconds, as in Prefect's YAML
        given = timedelta(seconds=given)
    if not isinstance(given, timedelta):
        raise errors.UsageError(f"An interval is a timedelta, or a number of seconds: `{given!r}`")
    if given <= timedelta(0):
        raise errors.UsageError(f"An interval has to be longer than nothing: `{given}`")
    if given < SHORTEST_INTERVAL:
        raise errors.UsageError(
            f"An interval has to be a second or longer: `{given}`", hint="let one run do the work of a second in a loop"
        )
    return given


def _checked_anchor(given: datetime | None, zone: tzinfo) -> datetime:
    instant = wall_time.first_instant(DEFAULT_ANCHOR, zone) if given is None else _instant(given, "anchor_date", zone)
    local = instant.astimezone(zone)
    offset = local.utcoffset()
    assert offset is not None
    # With a plain offset it can be compared and written down. (Before zones, offsets had seconds, which cannot.)
    return local.astimezone(timezone(offset)) if offset % timedelta(minutes=1) == timedelta(0) else instant


def _checked_times(given: Any, zone: tzinfo) -> tuple[datetime, ...]:
    times: list[Any] = list(given) if isinstance(given, Iterable) and not isinstance(given, str | bytes) else [given]
    if not 1 <= len(times) <= MAX_TIMES:
        raise errors.UsageError(f"A one-off schedule has 1 to {MAX_TIMES} times: `{len(times)}`")
    return tuple(sorted({_instant(time, "A time of a one-off schedule", zone) for time in times}))


def _instant(given: Any, name: str, zone: tzinfo | None = None) -> datetime:
    """``given`` as UTC. Without a zone of its own it is a wall time of ``zone``, or refused where there is none."""
    if not isinstance(given, datetime):
        raise errors.UsageError(f"{name} has to be a datetime: `{given!r}`")
    if given.tzinfo is None and zone is None:
        raise errors.UsageError(
            f"{name} has to have a time zone: `{given}`", hint="add `tzinfo=datetime.UTC`, or another"
        )
    if not 1 < given.year < 9999:
        raise errors.UsageError(f"{name} is in no year that can be scheduled: `{given}`")
    if given.tzinfo is None and zone is not None:
        return wall_time.first_instant(given.replace(fold=0), zone)
    return given.astimezone(UTC)


# ── occurrences ──────────────────────────────────────────────────────────────────────────────────────────────────────


def occurrences(
    schedule: Schedule, after: datetime, before: datetime | None = None, count: int | None = None
) -> Iterator[datetime]:
    """The instants that the schedule names, rising, in UTC: later than ``after``, up to and including ``before``.

    So that windows that adjoin share no occurrence and miss none. They are computed as you ask for them; most
    schedules never end, so give ``before`` or ``count``, or stop asking. Where a window starts makes no difference
    to what is in it.
    """
    found = _later_than(schedule, _instant(after, "`after`"))
    if before is not None:
        end = _instant(before, "`before`")
        found = takewhile(lambda one: one <= end, found)
    return found if count is None else islice(found, max(count, 0))


def next_occurrence(schedule: Schedule, after: datetime) -> datetime | None:
    """The first occurrence later than ``after``; None when there is none any more."""
    return next(occurrences(schedule, after), None)


def latest_occurrences(schedule: Schedule, after: datetime, before: datetime, count: int = 1) -> list[datetime]:
    """The last ``count`` occurrences of a window, rising; all of them when there are fewer.

    It looks at some hundred of them, however many there are: a year of every minute takes about as long as a day.
    """
    found = list(occurrences(schedule, after, before, count))
    if not found or len(found) < count:
        return found
    last = _instant(before, "`before`")
    beyond = last  # fewer than `count` come after this, always
    while len(following := list(occurrences(schedule, found[0], last, count))) == count:
        middle = found[0] + (beyond - found[0]) // 2
        later = list(occurrences(schedule, middle, last, count))
        if len(later) == count:
            found = later
        else:
            found, beyond = following, middle
    return found


def _later_than(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    if isinstance(schedule, Once):
        yield from (one for one in schedule.at if one > after)
        return
    latest = after
    for one in _from_about(schedule, after):
        if one > latest:  # what comes earlier was needed to get the order right; equal ones share the end of a gap
            yield one
            latest = one


def _from_about(schedule: Cron | Interval | RRule, after: datetime) -> Iterator[datetime]:
    """The occurrences, rising, from somewhat before ``after`` or from it on."""
    zone = wall_time.zone(schedule.timezone)
    if after.year >= wall_time.LATEST.year:
        return iter(())
    after = max(after, wall_time.EARLIEST.replace(tzinfo=UTC))
    if isinstance(schedule, Interval):
        if schedule.interval < DAY:
            return _elapsed(schedule.anchor.astimezone(UTC), schedule.interval, after)
        anchor = wall_time.wall(schedule.anchor, zone)
        return wall_time.first_instants(_elapsed(anchor, schedule.interval, wall_time.wall(after, zone)), zone)
    start = wall_time.wall_before_all_after(after, zone)
    if isinstance(schedule, Cron):
        by_the_hour = cron.goes_by_the_hour(schedule.cron)
        walls = cron.walls(schedule.cron, start, day_or=schedule.day_or)
    else:
        rules = recurrence.read(schedule.rrule, schedule.timezone)
        by_the_hour, walls = rules.goes_by_the_hour, rules.walls(start)
    walls = takewhile(lambda shown: shown < wall_time.LATEST, walls)
    return (wall_time.all_instants if by_the_hour else wall_time.first_instants)(walls, zone)


def _elapsed(anchor: datetime, interval: timedelta, after: datetime) -> Iterator[datetime]:
    """Anchor and whole intervals, from the last that is not after ``after``."""
    number = (after - anchor) // interval
    while True:
        try:
            one = anchor + number * interval
        except OverflowError:  # past the last year that there is, or before the first
            if number >= 0:
                return
        else:
            if one.year >= wall_time.LATEST.year:
                return
            if one.year > 1:
                yield one
        number += 1


# ── what people write ────────────────────────────────────────────────────────────────────────────────────────────────

KINDS: dict[str, type[Cron | Interval | RRule | Once]] = {
    "cron": Cron,
    "interval": Interval,
    "rrule": RRule,
    "at": Once,
}
"""The key that tells which schedule a mapping describes."""


def from_mapping(given: Mapping[str, Any]) -> Schedule:
    """The schedule that a mapping out of YAML or JSON describes: the shapes of Prefect 2, and ours.

    ``{cron, timezone, day_or}`` · ``{interval, anchor_date, timezone}``, the interval in seconds ·
    ``{rrule, timezone}`` · ``{at, timezone}``. What is null counts as not said; a ``type`` may be there.
    """
    said = {key: value for key, value in given.items() if value is not None and key != "type"}
    kinds = [key for key in KINDS if key in said]
    if len(kinds) != 1:
        raise errors.UsageError(
            f"A schedule is one of {', '.join(KINDS)}: `{', '.join(map(str, given)) or 'nothing'}`",
            hint="give each schedule an entry of its own" if kinds else None,
        )
    kind = KINDS[kinds[0]]
    for key in said:
        if key not in kind.__struct_fields__:
            raise errors.UsageError(
                f"A schedule by {kinds[0]} has no such key: `{key}`", hint=f"it has {', '.join(kind.__struct_fields__)}"
            )
    if kind is Once and not isinstance(said["at"], list | tuple):
        said["at"] = [said["at"]]
    if isinstance(said.get("interval"), int | float):
        said["interval"] = _checked_interval(said["interval"])
    try:
        return msgspec.convert(said, kind)
    except msgspec.ValidationError as wrong:
        raise errors.UsageError(f"The schedule cannot be read: `{wrong}`") from None


def to_mapping(schedule: Schedule) -> dict[str, Any]:
    """What `from_mapping` reads, of values that any YAML or JSON can hold; as Prefect 2 writes it."""
    said: dict[str, Any] = msgspec.to_builtins(schedule)
    del said["type"]
    if isinstance(schedule, Interval):
        seconds = schedule.interval.total_seconds()
        said["interval"] = int(seconds) if seconds.is_integer() else seconds
    if isinstance(schedule, Once):
        said["at"] = list(said["at"])
    return said
