"""A schedule in plain words: "At 06:00 on weekdays, Europe/Berlin"."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from penstock.core import cron, recurrence, wall_time
from penstock.core.schedules import Cron, Interval, Once, RRule, Schedule


def describe(schedule: Schedule) -> str:
    """What the schedule says, for people; always ends with its zone."""
    return f"{_words(schedule)}, {schedule.timezone}"


def _words(schedule: Schedule) -> str:
    match schedule:
        case Cron():
            return _cron(schedule)
        case Interval():
            return _interval(schedule)
        case RRule():
            return _rrule(schedule)
        case Once():
            return _once(schedule)


# cronsim's words, and shorter ones.
SHORTER = (
    (r"\bMonday through Friday\b", "weekdays"),
    (r"\bon Saturday and Sunday\b", "at weekends"),
    (r"^Every (second|\d+\w\w) (minute|hour) (?:of|past) every hour\b", r"Every \1 \2"),
    (r"^At minute 0 past every (second|\d+\w\w) hour\b", r"Every \1 hour"),
    (r"^Every second (minute|hour)\b", r"Every 2 \1s"),
    (r"^Every (\d+)(?:st|nd|rd|th) (minute|hour)\b", r"Every \1 \2s"),
    (r"^At the start of every hour\b", "Every hour"),
)


def _cron(schedule: Cron) -> str:
    from cronsim.explain import Expression  # noqa: PLC0415  keeps it off the import path

    expression = Expression(cron.fields(schedule.cron))
    expression.day_and = expression.day_and or not schedule.day_or
    words = expression.explain()
    for long, short in SHORTER:
        words = re.sub(long, short, words)
    return words


def _interval(schedule: Interval) -> str:
    anchor = schedule.anchor.astimezone(wall_time.zone(schedule.timezone))
    every, days = f"Every {_length(schedule.interval)}", schedule.interval / timedelta(days=1)
    if days == 1:
        return f"{every} at {_time_of(anchor)}"
    if days == 7:
        return f"{every} on {DAYS[anchor.weekday()]} at {_time_of(anchor)}"
    return f"{every}, counted from {anchor:%Y-%m-%d} {_time_of(anchor)}"


UNITS = (("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _length(interval: timedelta) -> str:
    """``day``, ``2 weeks``, ``1 hour and 30 minutes``."""
    seconds, parts = interval.total_seconds(), list[tuple[float, str]]()
    for unit, length in UNITS:
        if unit == "second" or (unit == "week" and seconds % length):  # 10 days, not 1 week and 3 days
            count = seconds if unit == "second" else 0
        else:
            count = seconds // length
        if count:
            parts.append((count, unit))
            seconds -= count * length
    if len(parts) == 1 and parts[0][0] == 1:
        return parts[0][1]
    return _listed([f"{count:g} {unit}{'s' if count != 1 else ''}" for count, unit in parts])


def _rrule(schedule: RRule) -> str:
    """A single rule of an everyday kind in words; any other as it is written."""
    found = recurrence.read(schedule.rrule, schedule.timezone)
    rule = _options(schedule.rrule)
    simple = not (found.except_rules or found.dates or found.except_dates) and len(found.rules) == 1
    if not simple or not rule.keys() <= {"FREQ", "INTERVAL", "BYDAY", "BYHOUR", "BYMINUTE", "BYSECOND", "UNTIL"}:
        return f"By the rule `{' '.join(schedule.rrule.split())}`"
    start: datetime = found.rules[0]._dtstart  # noqa: SLF001  it tells in no other way
    return f"{_every(rule)}{_on(rule, start)}{_at(rule, start)}"


def _options(text: str) -> dict[str, str]:
    rule = next((line for line in text.upper().split() if "FREQ=" in line), "").removeprefix("RRULE:")
    return recurrence.options_of(rule)


NOUNS = {"SECONDLY": "second", "MINUTELY": "minute", "HOURLY": "hour", "DAILY": "day", "WEEKLY": "week",
         "MONTHLY": "month", "YEARLY": "year"}  # fmt: skip


def _every(rule: dict[str, str]) -> str:
    noun, interval = NOUNS[rule["FREQ"]], int(rule.get("INTERVAL", 1))
    return f"Every {noun}" if interval == 1 else f"Every {interval} {noun}s"


def _on(rule: dict[str, str], start: datetime) -> str:
    if "BYDAY" in rule:
        days = rule["BYDAY"].split(",")
        if set(days) == {"MO", "TU", "WE", "TH", "FR"}:
            return " on weekdays"
        return f" on {_listed([_day(day) for day in days])}"
    if rule["FREQ"] == "WEEKLY":
        return f" on {DAYS[start.weekday()]}"
    if rule["FREQ"] == "MONTHLY":
        return f" on day {start.day}"
    return f" on {start:%m-%d}" if rule["FREQ"] == "YEARLY" else ""


def _day(code: str) -> str:
    name = next(day for day in DAYS if day[:2].upper() == code[-2:])
    nth = code[:-2].removeprefix("+")
    which = {"": "", "1": "the first ", "2": "the second ", "3": "the third ", "4": "the fourth ", "-1": "the last "}
    return f"{which.get(nth, f'number {nth} of ')}{name}"


def _at(rule: dict[str, str], start: datetime) -> str:
    if rule["FREQ"] in ("HOURLY", "MINUTELY", "SECONDLY"):
        return "".join(f", {key.removeprefix('BY').lower()} {rule[key]}" for key in rule if key[2:] in PARTS)
    hours, minutes, seconds = (
        [int(number) for number in rule.get(f"BY{part}", str(default)).split(",")]
        for part, default in zip(PARTS, (start.hour, start.minute, start.second), strict=True)
    )
    times = [f"{hour:02}:{minute:02}" for hour in hours for minute in minutes]
    return f" at {_listed(times)}" + (f", second {_listed([str(one) for one in seconds])}" if seconds != [0] else "")


PARTS = ("HOUR", "MINUTE", "SECOND")


def _once(schedule: Once) -> str:
    zone = wall_time.zone(schedule.timezone)
    times = [time.astimezone(zone) for time in schedule.at]
    texts = [f"{time:%Y-%m-%d} at {_time_of(time)}" for time in times]
    if len(texts) > 3:
        return f"{len(texts)} times, from {texts[0]} to {texts[-1]}"
    return f"Once, on {texts[0]}" if len(texts) == 1 else f"On {_listed(texts)}"


def _time_of(time: datetime) -> str:
    return f"{time:%H:%M}" if not time.second else f"{time:%H:%M:%S}"


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""
