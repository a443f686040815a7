from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock import errors
from penstock.core.schedule_words import describe
from penstock.core.schedules import (
    Cron,
    Interval,
    Once,
    RRule,
    Schedule,
    from_mapping,
    latest_occurrences,
    next_occurrence,
    occurrences,
    to_mapping,
)

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def shown(schedule: Schedule, after: datetime, count: int) -> list[str]:
    """What the clock of the schedule's zone shows, with its offset, at the next occurrences."""
    zone = ZoneInfo(schedule.timezone)
    return [f"{one.astimezone(zone):%m-%d %H:%M %z}" for one in occurrences(schedule, after, count=count)]


# ── cron ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_cron_names_times_on_the_wall_of_its_zone():
    assert shown(Cron("0 6 * * MON-FRI", "Europe/Berlin"), utc(2024, 3, 29), 3) == [
        "03-29 06:00 +0100",
        "04-01 06:00 +0200",
        "04-02 06:00 +0200",
    ]


def test_a_fixed_time_in_a_gap_comes_once_at_the_first_instant_after_it():
    assert shown(Cron("30 2 * * *", "Europe/Berlin"), utc(2024, 3, 30), 3) == [
        "03-30 02:30 +0100",
        "03-31 03:00 +0200",
        "04-01 02:30 +0200",
    ]


def test_several_fixed_times_in_a_gap_share_the_one_instant_after_it():
    assert shown(Cron("0,20,40 2,3 * * *", "Europe/Berlin"), utc(2024, 3, 31), 4) == [
        "03-31 03:00 +0200",
        "03-31 03:20 +0200",
        "03-31 03:40 +0200",
        "04-01 02:00 +0200",
    ]


def test_a_fixed_time_in_an_overlap_comes_once_at_the_first():
    assert shown(Cron("30 2 * * *", "Europe/Berlin"), utc(2024, 10, 26, 12), 2) == [
        "10-27 02:30 +0200",
        "10-28 02:30 +0100",
    ]


def test_an_hourly_cron_in_new_york_comes_at_both_of_the_one_oclocks_of_november():
    assert shown(Cron("@hourly", "America/New_York"), utc(2024, 11, 3, 4), 4) == [
        "11-03 01:00 -0400",
        "11-03 01:00 -0500",
        "11-03 02:00 -0500",
        "11-03 03:00 -0500",
    ]


def test_hours_that_are_all_listed_are_a_wildcard_too():
    both = [Cron(f"30 {hours} * * *", "America/New_York") for hours in ("*", "0-23", "*/1")]

    assert len({tuple(occurrences(one, utc(2024, 11, 3), count=12)) for one in both}) == 1


def test_a_cron_asked_from_within_the_first_of_two_hours_still_sees_the_second():
    assert shown(Cron("*/30 * * * *", "America/New_York"), utc(2024, 11, 3, 5, 45), 3) == [
        "11-03 01:00 -0500",
        "11-03 01:30 -0500",
        "11-03 02:00 -0500",
    ]


def test_a_day_that_a_zone_skips_has_its_fixed_time_at_the_start_of_the_next():
    assert shown(Cron("0 6 * * *", "Pacific/Apia"), utc(2011, 12, 29), 3) == [
        "12-29 06:00 -1000",
        "12-31 00:00 +1400",
        "12-31 06:00 +1400",
    ]


def test_leap_days_come_in_leap_years():
    found = occurrences(Cron("0 0 29 2 *"), utc(2096, 1, 1), count=2)

    assert list(found) == [utc(2096, 2, 29), utc(2104, 2, 29)]


def test_days_of_the_month_and_of_the_week_are_either_or_both():
    either, both = (Cron("0 0 13 * FRI", day_or=day_or) for day_or in (True, False))

    assert [one.day for one in occurrences(either, utc(2024, 9, 1), count=4)] == [6, 13, 20, 27]
    assert [one.day for one in occurrences(both, utc(2024, 9, 1), utc(2025, 8, 1))] == [13, 13, 13]


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("@daily", "0 0 * * *"),
        ("@Midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * sun"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 JAN *"),
        ("@annually", "0 0 1 1 *"),
        ("@hourly", "0 * * * *"),
        ("0 0 * * FRI-SUN", "0 0 * * 0,5,6"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * * SUN-SUN", "0 0 * * 0"),
        ("0 0 5-5/2 * *", "0 0 5 * *"),
    ],
)
def test_names_and_aliases_stand_for_numbers(expression: str, same: str):
    one, other = (list(occurrences(Cron(text), utc(2024, 1, 1), count=20)) for text in (expression, same))

    assert one == other


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("60 * * * *", "The minute of the cron expression .* is not valid: `60`"),
        ("0 25 * * *", "The hour of .* is not valid: `25`"),
        ("0 0 0 * *", "The day-of-month of .* is not valid: `0`"),
        ("0 0 * 13 *", "The month of .* is not valid: `13`"),
        ("0 0 * * FUN", "The day-of-week of .* is not valid: `FUN`"),
        ("0 0 * * */0", "The day-of-week of .* is not valid"),
        ("0 0 * *", "five fields, this one has 4"),
        ("* * * * * *", "five fields, this one has 6"),
        ("@reboot", "no such alias"),
        ("0 0 31 2 *", "no day that fits"),
        ("", "is a text such as"),
        (None, "is a text such as"),
        ("0 " * 400, "at most 500 characters"),
    ],
)
def test_a_cron_expression_that_is_wrong_says_where(expression: Any, message: str):
    with pytest.raises(errors.UsageError, match=message):
        Cron(expression)


def test_a_day_that_is_both_and_never_comes_is_refused():
    with pytest.raises(errors.UsageError, match="no day that fits"):
        Cron("0 0 30 2 MON", day_or=False)


@given(
    st.text("0123456789*/-,#LWMONJA ", max_size=20)
    | st.lists(st.sampled_from(["*", "1", "*/5", "L", "1#2", "5L", "1/0", "LW/2", "MON"]), min_size=5, max_size=5).map(
        " ".join
    )
)
@example("0 0 * * 1,2#3/2")
@example("9" * 490)
def test_whatever_is_written_is_a_cron_or_a_usage_error(text: str):
    try:
        schedule = Cron(text)
    except errors.UsageError:
        return
    assert next_occurrence(schedule, utc(2024, 1, 1)) is not None
    assert describe(schedule).endswith(", UTC")


# ── zones ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("zone", "meant"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("new york", "America/New_York"),
    ],
)
def test_a_zone_that_does_not_exist_gets_a_suggestion(zone: str, meant: str):
    with pytest.raises(errors.UsageError, match=f"no time zone of that name: `{zone}`") as refused:
        Cron("@daily", zone)

    assert refused.value.hint == f"did you mean `{meant}`?"


@pytest.mark.parametrize("zone", ["localtime", "Europe", "../../etc/passwd", "x" * 5000, "a\0b", "/etc/localtime"])
def test_what_is_no_zone_on_every_machine_is_refused(zone: str):
    with pytest.raises(errors.UsageError, match="no time zone"):
        Interval(timedelta(hours=1), timezone=zone)


def test_zones_work_where_the_system_has_none():
    code = (
        "from datetime import datetime, UTC; from penstock.core.schedules import Cron, next_occurrence\n"
        "import zoneinfo; assert zoneinfo.TZPATH == ()\n"
        "print(next_occurrence(Cron('0 6 * * *', 'Europe/Berlin'), datetime(2024, 7, 1, tzinfo=UTC)))"
    )
    env = {**os.environ, "PYTHONTZPATH": ""}
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env)

    assert ran.stdout.strip() == "2024-07-01 04:00:00+00:00"


def test_importing_schedules_loads_no_library_that_reads_them():
    code = (
        "import sys; from penstock.core import schedules, schedule_words, slots\n"
        "assert not {'cronsim', 'dateutil', 'zoneinfo'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ── intervals ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_interval_is_counted_from_its_anchor_in_both_directions():
    schedule = Interval(timedelta(minutes=45), utc(2024, 1, 1))

    assert next_occurrence(schedule, utc(2024, 1, 1)) == utc(2024, 1, 1, 0, 45)
    assert next_occurrence(schedule, utc(2023, 12, 31, 23)) == utc(2023, 12, 31, 23, 15)


def test_an_interval_of_a_day_keeps_the_time_on_the_wall():
    schedule = Interval(timedelta(days=1), datetime(2024, 3, 1, 2, 30), "Europe/Berlin")  # noqa: DTZ001  a wall time

    assert shown(schedule, utc(2024, 3, 30), 3) == ["03-30 02:30 +0100", "03-31 03:00 +0200", "04-01 02:30 +0200"]


def test_an_interval_below_a_day_is_real_time():
    schedule = Interval(timedelta(hours=12), datetime(2024, 3, 1, 6), "Europe/Berlin")  # noqa: DTZ001  a wall time

    assert shown(schedule, utc(2024, 3, 30), 4) == [
        "03-30 06:00 +0100",
        "03-30 18:00 +0100",
        "03-31 07:00 +0200",
        "03-31 19:00 +0200",
    ]


def test_an_interval_takes_the_zone_of_its_anchor():
    assert Interval(timedelta(days=1), datetime(2024, 7, 1, 6, tzinfo=BERLIN)).timezone == "Europe/Berlin"
    assert Interval(timedelta(days=1), datetime(2024, 7, 1, 6, tzinfo=timezone(timedelta(hours=2)))).timezone == "UTC"


def test_an_interval_without_an_anchor_starts_at_midnight():
    assert shown(Interval(timedelta(days=1), timezone="Asia/Tokyo"), utc(2024, 1, 1), 1) == ["01-02 00:00 +0900"]


@pytest.mark.parametrize(
    ("interval", "message"),
    [
        (timedelta(0), "longer than nothing"),
        (timedelta(seconds=-5), "longer than nothing"),
        (0, "longer than nothing"),
        (timedelta(milliseconds=999), "a second or longer"),
        ("1h", "is a timedelta"),
        (True, "is a timedelta"),
        (float("nan"), "is a timedelta"),
        (float("inf"), "is a timedelta"),
        (10**15, "is a timedelta"),
        (None, "is a timedelta"),
    ],
)
def test_an_interval_that_is_no_time_is_refused(interval: Any, message: str):
    with pytest.raises(errors.UsageError, match=message):
        Interval(interval)


def test_the_longest_interval_does_not_come_again():
    assert next_occurrence(Interval(timedelta.max, utc(2024, 1, 1)), utc(2024, 1, 1)) is None
    assert next_occurrence(Interval(timedelta.max, utc(2024, 1, 1)), utc(2023, 1, 1)) == utc(2024, 1, 1)


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rule_starts_at_midnight_of_its_zone_when_it_says_nothing_else():
    assert shown(RRule("FREQ=DAILY", "Europe/Berlin"), utc(2024, 1, 1), 2) == ["01-02 00:00 +0100", "01-03 00:00 +0100"]


def test_dates_of_a_rule_are_taken_in_whatever_zone_they_are_written():
    rule = RRule(
        "DTSTART;TZID=Europe/Berlin:20240101T060000\n"
        "RRULE:FREQ=DAILY;UNTIL=20240105T050000Z\n"
        "EXDATE;TZID=Europe/Berlin:20240102T060000\n"
        "EXDATE:20240103T050000Z\n"
        "RDATE:20240110T120000,20240111T120000"
    )

    assert rule.timezone == "Europe/Berlin"
    assert shown(rule, utc(2023, 1, 1), 9) == [
        "01-01 06:00 +0100",
        "01-04 06:00 +0100",
        "01-05 06:00 +0100",
        "01-10 12:00 +0100",
        "01-11 12:00 +0100",
    ]


def test_several_rules_and_exceptions_make_one_set():
    rule = RRule("RRULE:FREQ=DAILY;BYHOUR=6\nRRULE:FREQ=WEEKLY;BYDAY=SU;BYHOUR=9\nEXRULE:FREQ=WEEKLY;BYDAY=SA;BYHOUR=6")

    assert shown(rule, utc(2024, 1, 5), 3) == ["01-05 06:00 +0000", "01-07 06:00 +0000", "01-07 09:00 +0000"]


def test_a_rule_that_counts_comes_that_often_wherever_one_starts_to_look():
    rule = RRule("DTSTART:20240101T060000\nRRULE:FREQ=DAILY;COUNT=3")

    assert shown(rule, utc(2020, 1, 1), 9) == ["01-01 06:00 +0000", "01-02 06:00 +0000", "01-03 06:00 +0000"]
    assert shown(rule, utc(2024, 1, 2, 12), 9) == ["01-03 06:00 +0000"]
    assert next_occurrence(rule, utc(2024, 1, 3, 6)) is None


def test_a_rule_by_the_hour_comes_at_every_real_instant():
    assert shown(RRule("FREQ=HOURLY", "America/New_York"), utc(2024, 11, 3, 4), 3) == [
        "11-03 01:00 -0400",
        "11-03 01:00 -0500",
        "11-03 02:00 -0500",
    ]


def test_a_rule_that_ends_within_the_first_of_two_hours_still_comes_in_the_second():
    rule = RRule("FREQ=HOURLY;UNTIL=20241103T010000", "America/New_York")

    assert shown(rule, utc(2024, 11, 3, 4), 9) == ["11-03 01:00 -0400", "11-03 01:00 -0500"]


def test_a_rule_whose_count_is_never_reached_goes_on_as_far_as_there_are_days():
    rule = RRule("DTSTART:20240101T000000\nRRULE:FREQ=YEARLY;COUNT=10000")

    assert shown(rule, utc(2150, 6, 1), 1) == ["01-01 00:00 +0000"]


def test_every_second_week_stays_every_second_week_however_far_away():
    rule = RRule("DTSTART:20200106T060000\nRRULE:FREQ=WEEKLY;INTERVAL=2")
    found = list(occurrences(rule, utc(2035, 1, 1), count=3))

    assert all((one - utc(2020, 1, 6, 6)) % timedelta(weeks=2) == timedelta(0) for one in found)
    assert found[1] - found[0] == found[2] - found[1] == timedelta(weeks=2)


SIXTY = ",".join(map(str, range(60)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is a text such as"),
        (None, "is a text such as"),
        ("FREQ=DAILY;" + "X" * 6500, "at most 6500 characters"),
        ("DTSTART:20240101\nDTSTART:20240102\nRRULE:FREQ=DAILY", "one DTSTART only, this one has 2"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20240101", "no more than one of COUNT and UNTIL"),
        ("FREQ=DAILY;COUNT=10001", "COUNT of a recurrence rule .* 1 to 10000"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL of a recurrence rule"),
        ("FREQ=DAILY;INTERVAL=x", "INTERVAL of a recurrence rule"),
        ("FREQ=OFTEN", "is not valid: `invalid 'FREQ': OFTEN`"),
        ("DAILY", "is not valid"),
        ("FREQ=DAILY;BYHOUR=24", "is not valid"),
        ("FREQ=DAILY;UNTIL=soon", "UNTIL of the recurrence rule is no date: `SOON`"),
        ("EXDATE:20240101", "no rule or date"),
        ("VEVENT:1", "no such part: `VEVENT`"),
        ("DTSTART;TZID=Mars/Base:20240101T000000\nRRULE:FREQ=DAILY", "no time zone of that name: `Mars/Base`"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "no day that fits"),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=TU", "no day that fits"),
        ("RRULE:FREQ=DAILY\nEXRULE:FREQ=DAILY", "hardly any time, or none"),
        ("RRULE:FREQ=MINUTELY\nEXRULE:FREQ=SECONDLY", "hardly any time, or none"),
        ("FREQ=SECONDLY;BYSETPOS=5", "hardly any time, or none"),
        ("FREQ=SECONDLY;BYHOUR=3;BYMONTH=2;BYMONTHDAY=29", "hardly any time, or none"),
        ("FREQ=SECONDLY;BYHOUR=3;BYMONTH=2;BYMONTHDAY=29;COUNT=9", "hardly any time, or none"),
        (f"FREQ=DAILY;BYMINUTE={SIXTY};BYSECOND={SIXTY}", "at most 1440 times of a day"),
        ("\n".join(["RRULE:FREQ=DAILY"] * 21), "at most 20 rules"),
    ],
)
def test_a_rule_that_is_wrong_says_why(text: Any, message: str):
    with pytest.raises(errors.UsageError, match=message):
        RRule(text)


@pytest.mark.parametrize(
    ("text", "coming"),
    [
        ("FREQ=SECONDLY;BYHOUR=3;BYDAY=MO", "01-08 03:00 +0000"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", "02-29 00:00 +0000"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "02-29 00:00 +0000"),
        ("RRULE:FREQ=DAILY\nEXRULE:FREQ=DAILY;BYMONTH=1,2,3,4,5,6,7,8,9,10,11", "12-01 00:00 +0000"),
    ],
)
def test_a_time_that_comes_seldom_is_found_all_the_same(text: str, coming: str):
    assert shown(RRule(text), utc(2024, 1, 1, 4), 1) == [coming]


PARTS = [
    "FREQ=DAILY", "FREQ=WEEKLY", "FREQ=", "BYDAY=MO", "BYDAY=0MO", "BYDAY=", "BYHOUR=6", "BYHOUR=a", "COUNT=3", "=",
    "BYSETPOS=1", "BYMONTHDAY=-1", "WKST=XX", "RRULE:", "RDATE:20240101", "DTSTART:20240101", "EXDATE:1",
    "UNTIL=20300101", "FREQ=SECONDLY", "EXRULE:FREQ=DAILY",
]  # fmt: skip


@given(st.lists(st.sampled_from(PARTS) | st.text(max_size=5), max_size=4), st.sampled_from([";", "\n"]))
def test_whatever_is_written_is_a_rule_or_a_usage_error(parts: list[str], between: str):
    try:
        schedule = RRule(between.join(parts))
    except errors.UsageError:
        return
    list(occurrences(schedule, utc(2024, 1, 1), count=2))
    assert describe(schedule).endswith(schedule.timezone)


# ── once ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_off_times_come_once_each_in_order():
    schedule = Once.of(utc(2024, 5, 1), datetime(2024, 1, 1, 6), utc(2024, 5, 1), timezone="Europe/Berlin")  # noqa: DTZ001  a wall time

    assert list(occurrences(schedule, utc(2020, 1, 1))) == [utc(2024, 1, 1, 5), utc(2024, 5, 1)]
    assert list(occurrences(schedule, utc(2024, 1, 1, 5))) == [utc(2024, 5, 1)]


@pytest.mark.parametrize("at", [(), [utc(2024, 1, 1)] * 1001, ("2024",), (None,), (utc(1, 1, 1),), "2024-01-01"])
def test_one_off_times_that_are_none_are_refused(at: Any):
    with pytest.raises(errors.UsageError):
        Once(at)


# ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_window_ends_with_the_occurrence_at_its_end():
    schedule = Cron("0 * * * *")

    assert list(occurrences(schedule, utc(2024, 1, 1, 1), utc(2024, 1, 1, 3))) == [
        utc(2024, 1, 1, 2),
        utc(2024, 1, 1, 3),
    ]
    assert list(occurrences(schedule, utc(2024, 1, 1), utc(2024, 1, 2), 1)) == [utc(2024, 1, 1, 1)]
    assert list(occurrences(schedule, utc(2024, 1, 1), count=-1)) == []


def test_asking_with_a_time_without_a_zone_is_refused_at_once():
    with pytest.raises(errors.UsageError, match="`after` has to have a time zone"):
        occurrences(Cron("@daily"), datetime(2024, 1, 1))  # noqa: DTZ001  meant


@pytest.mark.parametrize("schedule", [Cron("@daily", "Asia/Tokyo"), Interval(timedelta(days=1)), RRule("FREQ=YEARLY")])
def test_at_the_ends_of_the_calendar_there_is_an_answer(schedule: Schedule):
    assert next_occurrence(schedule, utc(9000, 1, 1)) is None
    assert list(occurrences(schedule, utc(3999, 12, 31, 23))) == []
    early = next_occurrence(schedule, utc(2, 1, 1))
    assert early is not None
    assert early.year >= 1799
    with pytest.raises(errors.UsageError, match="no year that can be scheduled"):
        next_occurrence(schedule, datetime.max.replace(tzinfo=UTC))


def test_the_latest_of_many_are_found_without_looking_at_all():
    found = latest_occurrences(Cron("* * * 1-6 *"), utc(2000, 1, 1), utc(2023, 12, 31), 2)

    assert found == [utc(2023, 6, 30, 23, 58), utc(2023, 6, 30, 23, 59)]


# ── what people write ────────────────────────────────────────────────────────────────────────────────────────────────

PREFECT = [
    ({"cron": "0 5 1 * *", "timezone": "Europe/Berlin", "day_or": True}, Cron("0 5 1 * *", "Europe/Berlin")),
    ({"cron": "0 5 1 * *", "timezone": None}, Cron("0 5 1 * *")),
    (
        {"interval": 3600.0, "anchor_date": "2023-02-14T10:57:14+00:00", "timezone": "America/Chicago"},
        Interval(timedelta(hours=1), utc(2023, 2, 14, 10, 57, 14), "America/Chicago"),
    ),
    (
        {"interval": 86400, "anchor_date": utc(2023, 1, 1), "timezone": None},
        Interval(timedelta(days=1), utc(2023, 1, 1)),
    ),
    ({"rrule": "FREQ=DAILY;BYHOUR=6", "timezone": "Asia/Tokyo"}, RRule("FREQ=DAILY;BYHOUR=6", "Asia/Tokyo")),
    ({"at": "2026-01-01T06:00:00", "timezone": "Europe/Berlin"}, Once.of(utc(2026, 1, 1, 5), timezone="Europe/Berlin")),
]


@pytest.mark.parametrize(("written", "schedule"), PREFECT)
def test_the_shapes_of_prefects_files_are_read(written: dict[str, Any], schedule: Schedule):
    assert from_mapping(written) == schedule


@pytest.mark.parametrize("schedule", [schedule for _, schedule in PREFECT] + [Interval(timedelta(seconds=1.5))])
def test_a_schedule_comes_back_as_it_was_written(schedule: Schedule):
    as_json = msgspec.json.encode(to_mapping(schedule))

    assert from_mapping(msgspec.json.decode(as_json)) == schedule
    assert from_mapping(msgspec.to_builtins(schedule)) == schedule
    assert msgspec.json.decode(msgspec.json.encode(schedule), type=Schedule) == schedule
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(schedule), type=Schedule) == schedule
    assert hash(schedule) == hash(from_mapping(to_mapping(schedule)))


def test_what_is_written_holds_what_prefect_calls_it():
    assert to_mapping(Cron("@daily")) == {"cron": "@daily", "timezone": "UTC", "day_or": True}
    assert to_mapping(Interval(timedelta(hours=1), utc(2023, 1, 1))) == {
        "interval": 3600,
        "anchor_date": "2023-01-01T00:00:00Z",
        "timezone": "UTC",
    }


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({}, "A schedule is one of cron, interval, rrule, at: `nothing`"),
        ({"cron": "@daily", "interval": 60}, "one of .*: `cron, interval`"),
        ({"cron": "@daily", "zone": "UTC"}, "no such key: `zone`"),
        ({"cron": 5}, "cannot be read"),
        ({"interval": "soon"}, "cannot be read"),
        ({"interval": 0}, "longer than nothing"),
        ({"interval": 60, "anchor_date": "tomorrow"}, "cannot be read"),
        ({"at": ["x"]}, "cannot be read"),
    ],
)
def test_a_mapping_that_is_no_schedule_is_refused(written: dict[str, Any], message: str):
    with pytest.raises(errors.UsageError, match=message):
        from_mapping(written)


# ── in words ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (Cron("0 6 * * MON-FRI", "Europe/Berlin"), "At 06:00 on weekdays, Europe/Berlin"),
        (Cron("@daily"), "At 00:00 every day, UTC"),
        (Cron("@hourly"), "Every hour, UTC"),
        (Cron("*/15 * * * *"), "Every 15 minutes, UTC"),
        (Cron("*/2 * * * *"), "Every 2 minutes, UTC"),
        (Cron("0 */2 * * *"), "Every 2 hours, UTC"),
        (Cron("0 9 * * SAT,SUN"), "At 09:00 at weekends, UTC"),
        (Cron("0 9 1 * MON", day_or=False), "At 09:00 on the first day of month if it's on Monday, UTC"),
        (Interval(timedelta(days=1), timezone="Europe/Berlin"), "Every day at 00:00, Europe/Berlin"),
        (Interval(timedelta(weeks=1), utc(2024, 1, 1, 6)), "Every week on Monday at 06:00, UTC"),
        (Interval(timedelta(minutes=90)), "Every 1 hour and 30 minutes, counted from 2020-01-01 00:00, UTC"),
        (Interval(timedelta(days=10)), "Every 10 days, counted from 2020-01-01 00:00, UTC"),
        (
            Interval(timedelta(seconds=2.5), utc(2024, 1, 1, 0, 0, 1)),
            "Every 2.5 seconds, counted from 2024-01-01 00:00:01, UTC",
        ),
        (RRule("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR;BYHOUR=9"), "Every 2 weeks on Monday and Friday at 09:00, UTC"),
        (RRule("FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR"), "Every day on weekdays at 00:00, UTC"),
        (RRule("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18"), "Every month on the last Friday at 18:00, UTC"),
        (RRule("FREQ=MONTHLY"), "Every month on day 1 at 00:00, UTC"),
        (RRule("FREQ=YEARLY;BYSECOND=5"), "Every year on 01-01 at 00:00, second 5, UTC"),
        (RRule("FREQ=WEEKLY"), "Every week on Wednesday at 00:00, UTC"),
        (RRule("FREQ=HOURLY;BYMINUTE=5"), "Every hour, minute 5, UTC"),
        (RRule("FREQ=DAILY\nEXDATE:20240101"), "By the rule `FREQ=DAILY EXDATE:20240101`, UTC"),
        (Once.of(utc(2026, 1, 1, 5), timezone="Europe/Berlin"), "Once, on 2026-01-01 at 06:00, Europe/Berlin"),
        (Once.of(utc(2026, 1, 1), utc(2026, 1, 2)), "On 2026-01-01 at 00:00 and 2026-01-02 at 00:00, UTC"),
        (
            Once.of(*(utc(2026, 1, day) for day in range(1, 6))),
            "5 times, from 2026-01-01 at 00:00 to 2026-01-05 at 00:00, UTC",
        ),
    ],
)
def test_a_schedule_is_told_in_words(schedule: Schedule, words: str):
    assert describe(schedule) == words
