"""Schedules against an oracle that steps through real minutes and asks the zone what its clock shows.

The oracle shares nothing with the implementation: it reads cron fields by itself, and never goes from a wall time to
an instant, only from instants to wall times.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.core.schedules import Cron, Interval, RRule, Schedule, latest_occurrences, next_occurrence, occurrences

ZONES = sorted(available_timezones() - {"localtime", "Factory"})
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
Matches = Callable[[datetime], bool]


# ── the oracle ───────────────────────────────────────────────────────────────────────────────────────────────────────


def read(field: str, lowest: int, highest: int) -> set[int]:
    """The numbers of a plain cron field."""
    numbers: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        low, _, high = ("*" if span == "*" else span).partition("-")
        first = lowest if low == "*" else int(low)
        last = highest if low == "*" or (step and not high) else int(high or low)
        numbers |= set(range(first, last + 1, int(step or 1)))
    return numbers


def cron_matches(expression: str) -> Matches:
    minute, hour, day, month, weekday = expression.split()
    minutes, hours, months = read(minute, 0, 59), read(hour, 0, 23), read(month, 1, 12)
    days, weekdays = read(day, 1, 31), {number % 7 for number in read(weekday, 0, 7)}
    either = day[0] != "*" and weekday[0] != "*"

    def matches(shown: datetime) -> bool:
        by_day, by_weekday = shown.day in days, (shown.weekday() + 1) % 7 in weekdays
        fits = (by_day or by_weekday) if either else (by_day and by_weekday)
        return fits and shown.month in months and shown.hour in hours and shown.minute in minutes

    return matches


def wildcard_hours(expression: str) -> bool:
    hour = expression.split()[1]
    return hour[0] == "*" or read(hour, 0, 23) == set(range(24))


def oracle(matches: Matches, zone: str, after: datetime, before: datetime, *, every_instant: bool) -> list[datetime]:
    """Each minute after ``after``, up to ``before``, that is an occurrence.

    Fixed times: the minute is one if the clock has now come to, or jumped over, a matching time for the first time.
    To know what it has shown before, the oracle starts two days early.
    """
    where, found = ZoneInfo(zone), list[datetime]()
    instant = after - 2 * DAY
    highest = instant.astimezone(where).replace(tzinfo=None)
    while instant < before:
        instant += MINUTE
        shown = instant.astimezone(where).replace(tzinfo=None)
        if every_instant:
            due = matches(shown)
        else:
            new = int((shown - highest) / MINUTE)
            due = any(matches(highest + number * MINUTE) for number in range(1, new + 1))
            highest = max(highest, shown)
        if due and instant > after:
            found.append(instant)
    return found


def offset(zone: ZoneInfo, instant: datetime) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()


@functools.cache
def transitions(name: str, first_year: int, last_year: int) -> list[datetime]:
    """When the zone's clock was put forward or back, to the minute."""
    zone, found = ZoneInfo(name), list[datetime]()
    one = datetime(first_year, 1, 1, tzinfo=UTC)
    while one.year <= last_year:
        if offset(zone, one) != offset(zone, one + DAY):
            low, high = one, one + DAY
            while high - low > MINUTE:
                middle = low + (high - low) // MINUTE // 2 * MINUTE
                low, high = (middle, high) if offset(zone, middle) == offset(zone, low) else (low, middle)
            found.append(high)
        one += DAY
    return found


def check(expression: str, zone: str, after: datetime, before: datetime) -> None:
    expected = oracle(cron_matches(expression), zone, after, before, every_instant=wildcard_hours(expression))
    assert list(occurrences(Cron(expression, zone), after, before)) == expected


# ── cron ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_oracle_reads_what_is_known():
    gap, overlap = datetime(2024, 3, 30, 12, tzinfo=UTC), datetime(2024, 11, 3, 4, tzinfo=UTC)

    assert read("1-5/2,9", 0, 59) == {1, 3, 5, 9}
    assert read("*/20", 0, 59) == {0, 20, 40}
    assert read("50/5", 0, 59) == {50, 55}
    assert oracle(cron_matches("30 2 * * *"), "Europe/Berlin", gap, gap + DAY, every_instant=False) == [
        datetime(2024, 3, 31, 1, tzinfo=UTC)
    ]
    assert oracle(cron_matches("0 1 * * *"), "America/New_York", overlap, overlap + DAY / 4, every_instant=True) == [
        datetime(2024, 11, 3, 5, tzinfo=UTC),
        datetime(2024, 11, 3, 6, tzinfo=UTC),
    ]
    assert transitions("Europe/Berlin", 2024, 2024) == [
        datetime(2024, 3, 31, 1, tzinfo=UTC), datetime(2024, 10, 27, 1, tzinfo=UTC)
    ]  # fmt: skip


def values(lowest: int, highest: int) -> st.SearchStrategy[str]:
    number = st.integers(lowest, highest)
    spans = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.integers(1, 20)
    steps = st.builds("{}/{}".format, st.one_of(st.just("*"), spans), step)
    return st.lists(st.one_of(number.map(str), spans, steps), min_size=1, max_size=3).map(",".join) | st.just("*")


crons = st.builds(
    "{} {} {} {} {}".format,
    values(0, 59), values(0, 23), values(1, 28), st.just("*") | values(1, 12), st.just("*") | values(0, 7),
)  # fmt: skip
starts = st.integers(0, 70 * 365 * 1440).map(lambda minutes: datetime(1975, 1, 1, tzinfo=UTC) + minutes * MINUTE)


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone, and a moment that is more often than not near a change of its clock."""
    zone = draw(st.sampled_from(ZONES))
    year = draw(st.integers(1990, 2037))
    changes = transitions(zone, year, year)
    if changes and draw(st.integers(0, 3)):
        return zone, draw(st.sampled_from(changes)) + draw(st.integers(-1500, 300)) * MINUTE
    return zone, draw(starts)


@pytest.mark.slow
@settings(max_examples=150)
@given(crons, moments())
@example("0 * * * *", ("America/New_York", datetime(2024, 11, 3, 5, 30, tzinfo=UTC)))
@example("15 1,2,3 * * *", ("Australia/Lord_Howe", datetime(2024, 4, 6, 12, tzinfo=UTC)))
@example("* 0-3 * * *", ("Australia/Lord_Howe", datetime(2024, 10, 5, 12, tzinfo=UTC)))
@example("0 6,18 * * *", ("Pacific/Apia", datetime(2011, 12, 29, 12, tzinfo=UTC)))
@example("*/30 * * * *", ("Pacific/Apia", datetime(2011, 12, 30, 8, tzinfo=UTC)))
@example("0 0 * * *", ("America/Santiago", datetime(2024, 9, 7, 12, tzinfo=UTC)))
@example("30 2 * * *", ("Africa/Casablanca", datetime(2025, 2, 22, 12, tzinfo=UTC)))
@example("0 2 29 2 *", ("Europe/Berlin", datetime(2024, 2, 28, 12, tzinfo=UTC)))
@example("0 0 29 2 *", ("America/Nuuk", datetime(2023, 2, 28, 12, tzinfo=UTC)))
def test_cron_comes_when_the_oracle_says(expression: str, moment: tuple[str, datetime]):
    zone, after = moment

    check(expression, zone, after, after + 30 * HOUR)


def by_their_clocks() -> Iterator[tuple[str, datetime]]:
    """Each change of a zone's clock from 2023 to 2027, once for all zones that share it."""
    seen: set[object] = set()
    for zone in ZONES:
        for change in transitions(zone, 2023, 2027):
            before = offset(ZoneInfo(zone), change - MINUTE)
            key = (change, before, offset(ZoneInfo(zone), change))
            if key not in seen:
                seen.add(key)
                yield zone, change


@pytest.mark.slow
def test_around_each_change_of_any_zones_clock_all_kinds_come_as_they_should():
    """What is expected is worked out from the two offsets alone: no zone is asked for a wall time."""
    changes = list(by_their_clocks())

    assert len(changes) > 200
    assert {"Australia/LHI", "Africa/Casablanca"} <= {zone for zone, _ in changes}
    for zone, change in changes:
        where = ZoneInfo(zone)
        old, new = offset(where, change - MINUTE), offset(where, change)
        assert old is not None
        assert new is not None
        first, last = change - 4 * HOUR, change + 4 * HOUR
        shown = [
            (one, (one + (old if one < change else new)).replace(tzinfo=None))
            for one in (first + number * 15 * MINUTE for number in range(1, 33))
        ]
        hourly = [one for one, wall in shown if wall.minute == 0]
        fixed = dict[datetime, datetime]()
        for one, wall in shown:
            fixed.setdefault(wall, one)
        skipped = {
            (change + old).replace(tzinfo=None) + number * 15 * MINUTE
            for number in range(int((new - old) / (15 * MINUTE)))
        }
        every_quarter = sorted({*fixed.values(), *([change] if skipped else [])})

        assert list(occurrences(Cron("0 * * * *", zone), first, last)) == hourly, (zone, change)
        # Each hour by name, so that every slot is one at a fixed time: 24 in a list would be a wildcard.
        hours = sorted({wall.hour for _, wall in shown} | {wall.hour for wall in skipped})
        quarters = Cron(f"0,15,30,45 {','.join(map(str, hours))} * * *", zone)
        assert list(occurrences(quarters, first, last)) == every_quarter, (zone, change)
        by_rule = RRule(f"FREQ=DAILY;BYHOUR={','.join(map(str, hours))};BYMINUTE=0,15,30,45", zone)
        assert list(occurrences(by_rule, first, last)) == every_quarter, (zone, change)
        assert list(occurrences(RRule("FREQ=HOURLY", zone), first, last)) == hourly, (zone, change)


# ── intervals and rules ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@settings(max_examples=25)
@given(moments(), st.integers(1, 3), st.integers(0, 23), st.integers(0, 59))
@example(("Pacific/Apia", datetime(2011, 12, 29, 12, tzinfo=UTC)), 1, 6, 0)
def test_an_interval_of_days_keeps_its_time_on_the_wall(
    moment: tuple[str, datetime], days: int, hour: int, minute: int
):
    zone, after = moment
    schedule = Interval(timedelta(days=days), datetime(2000, 1, 1, hour, minute), zone)  # noqa: DTZ001  a wall time
    anchor = schedule.anchor.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    # In the year 2000 itself the anchor may lie in a gap; then its own wall time is another.

    def matches(shown: datetime) -> bool:
        return (shown - anchor) % timedelta(days=days) == timedelta(0)

    expected = oracle(matches, zone, after, after + 2 * DAY, every_instant=False)
    assert list(occurrences(schedule, after, after + 2 * DAY)) == expected


@given(moments(), st.integers(1, 86399), starts)
def test_an_interval_below_a_day_is_counted_in_real_time(moment: tuple[str, datetime], seconds: int, anchor: datetime):
    zone, after = moment
    found = list(occurrences(Interval(timedelta(seconds=seconds), anchor, zone), after, count=5))

    assert all((one - anchor) % timedelta(seconds=seconds) == timedelta(0) for one in found)
    assert [later - one for one, later in pairwise(found)] == [timedelta(seconds=seconds)] * 4
    assert timedelta(0) < found[0] - after <= timedelta(seconds=seconds)


@pytest.mark.slow
@settings(max_examples=25)
@given(
    moments(),
    st.integers(0, 23),
    st.integers(0, 59),
    st.sampled_from([("MO,WE", {0, 2}), ("SU", {6}), ("TU,TH,SA", {1, 3, 5})]),
)
def test_a_weekly_rule_comes_when_the_oracle_says(
    moment: tuple[str, datetime], hour: int, minute: int, days: tuple[str, set[int]]
):
    zone, after = moment
    schedule = RRule(f"DTSTART:19700101T{hour:02}{minute:02}00\nRRULE:FREQ=WEEKLY;BYDAY={days[0]}", zone)

    def matches(shown: datetime) -> bool:
        return shown.weekday() in days[1] and (shown.hour, shown.minute) == (hour, minute)

    assert list(occurrences(schedule, after, after + 2 * DAY)) == oracle(
        matches, zone, after, after + 2 * DAY, every_instant=False
    )


# ── what holds for all ───────────────────────────────────────────────────────────────────────────────────────────────

RULES = [
    "FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "FREQ=HOURLY;INTERVAL=5", "FREQ=MINUTELY;INTERVAL=7", "FREQ=WEEKLY;INTERVAL=2",
    "FREQ=MONTHLY;BYDAY=-1FR", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;INTERVAL=3", "FREQ=YEARLY;BYYEARDAY=-1",
    "FREQ=DAILY;INTERVAL=3\nEXRULE:FREQ=WEEKLY;BYDAY=MO", "FREQ=DAILY;COUNT=3000",
]  # fmt: skip
schedules: st.SearchStrategy[Schedule] = st.one_of(
    st.builds(Cron, crons, st.sampled_from(ZONES)),
    st.builds(Interval, st.timedeltas(timedelta(seconds=1), 40 * DAY), starts, st.sampled_from(ZONES)),
    st.builds(RRule, st.sampled_from(RULES), st.sampled_from(ZONES)),
)


@given(schedules, st.integers(0, 12), moments())
def test_windows_that_adjoin_share_no_occurrence_and_miss_none(
    schedule: Schedule, cut: int, moment: tuple[str, datetime]
):
    after = moment[1]
    whole = list(occurrences(schedule, after, count=12))
    assert whole == sorted(set(whole))
    assert all(one > after and one.tzinfo is UTC for one in whole)
    if not whole:
        return
    middle = whole[min(cut, len(whole) - 1)]

    assert list(occurrences(schedule, after, middle)) + list(occurrences(schedule, middle, whole[-1])) == whole
    assert next_occurrence(schedule, middle - timedelta(microseconds=1)) == middle


@given(schedules, moments(), st.integers(1, 5), st.integers(0, 15), st.floats(0, 0.9))
def test_the_latest_occurrences_are_the_end_of_all(
    schedule: Schedule, moment: tuple[str, datetime], count: int, more: int, beyond: float
):
    after = moment[1]
    found = list(occurrences(schedule, after, count=more))
    before = (found[-1] if found else after) + timedelta(seconds=beyond)

    assert latest_occurrences(schedule, after, before, count) == found[-count:]
