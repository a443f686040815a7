"""Recurrence rules (RFC 5545): RRULE, EXRULE, RDATE, EXDATE and DTSTART, walked through as wall times.

dateutil expands the rules. It does so from DTSTART on, each time; so rules that go by the week or finer are moved
close to where they are asked for, by whole intervals, which leaves their occurrences what they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, NamedTuple

from penstock import errors
from penstock.core import wall_time

LONGEST = 6500
"""More characters than this are refused, as by Prefect."""
MAX_COUNT = 10_000
"""A larger COUNT is refused: each occurrence up to it has to be looked at."""
MAX_INTERVAL = 100_000
MAX_RULES = 20
MAX_TIMES_A_DAY = 1440
"""As many as there are minutes. BYHOUR, BYMINUTE and BYSECOND of a rule by days or longer name no more."""
MAX_STEPS = 100_000
"""So many times of its FREQ are looked at for the next occurrence. What comes more rarely held up whoever asks."""
DEFAULT_START = datetime(2020, 1, 1)  # noqa: DTZ001  a wall time
"""DTSTART when there is none, as in Prefect. (dateutil would take the time of day at which it is asked.)"""


class Recurrence(NamedTuple):
    """Rules and dates that make up a set, all in wall times of one zone."""

    rules: tuple[Any, ...]
    except_rules: tuple[Any, ...]
    dates: tuple[datetime, ...]
    except_dates: tuple[datetime, ...]

    def walls(self, after: datetime) -> Iterator[datetime]:
        """The wall times later than ``after``, one by one. Raises `UsageError` when the next one is too far off."""
        from dateutil.rrule import rruleset  # noqa: PLC0415  keeps it off the import path

        together: Any = rruleset()
        # More than when it was read: from other days on it may be further to the next one.
        patience = _Patience(MAX_STEPS if self.except_rules else 5 * MAX_STEPS)
        for rule in self.rules:
            together.rrule(_with_patience(_moved_close_to(after, rule), patience))
        for rule in self.except_rules:
            together.exrule(_with_patience(_moved_close_to(after, rule), patience))
        for date in self.dates:
            together.rdate(date)
        for date in self.except_dates:
            together.exdate(date)
        for one in together.xafter(after):
            yield one
            patience.renew()

    @property
    def goes_by_the_hour(self) -> bool:
        """Whether a rule names every so many hours, minutes or seconds, rather than times of the day."""
        from dateutil.rrule import HOURLY  # noqa: PLC0415  as above

        return any(rule._freq >= HOURLY and "byhour" not in _written(rule) for rule in self.rules)  # noqa: SLF001  it tells in no other way


def zone_named_in(text: str) -> str | None:
    """The zone of DTSTART's TZID, if the text has one."""
    zones = {zone for line in _lines(text) if line.name == "DTSTART" and (zone := line.options.get("TZID"))}
    return zones.pop() if len(zones) == 1 else None


@lru_cache(maxsize=1024)
def read(text: str, zone: str) -> Recurrence:
    """What the text says, in wall times of that zone. Raises `UsageError` for what is no recurrence rule."""
    if not isinstance(text, str) or not text.strip():  # pyright: ignore[reportUnnecessaryIsInstance]  from users
        raise errors.UsageError(f"A recurrence rule is a text such as `FREQ=DAILY;BYHOUR=6`: `{text!r}`")
    if len(text) > LONGEST:
        raise errors.UsageError(f"A recurrence rule can have at most {LONGEST} characters: `{len(text)}`")
    where = wall_time.zone(zone)
    lines = _lines(text)
    start = _start(lines, where)
    if sum(line.name in ("RRULE", "EXRULE") for line in lines) > MAX_RULES:
        raise errors.UsageError(f"A recurrence can have at most {MAX_RULES} rules", hint="give several schedules")
    rules = [_rule(line.value, start, where) for line in lines if line.name == "RRULE"]
    except_rules = [_rule(line.value, start, where) for line in lines if line.name == "EXRULE"]
    dates = _dates("RDATE", lines, where)
    if not rules and not dates:
        raise errors.UsageError(f"There is no rule or date in the recurrence rule: `{text}`")
    found = Recurrence(tuple(rules), tuple(except_rules), dates, _dates("EXDATE", lines, where))
    if except_rules:
        next(found.walls(max(start, wall_time.EARLIEST)), None)  # raises when they leave nothing
    return found


class _Line(NamedTuple):
    name: str
    options: dict[str, str]
    value: str


NAMES = ("DTSTART", "RRULE", "EXRULE", "RDATE", "EXDATE")


def _lines(text: str) -> list[_Line]:
    unfolded = text.replace("\r\n", "\n").replace("\n ", "").replace("\n\t", "")
    lines = [_line(line) for line in unfolded.split()]
    for line in lines:
        if line.name not in NAMES:
            raise errors.UsageError(
                f"A recurrence rule can have no such part: `{line.name}`", hint=f"its parts are {', '.join(NAMES)}"
            )
    return lines


def _line(line: str) -> _Line:
    head, colon, value = line.partition(":")
    if not colon:
        return _Line("RRULE", {}, line.upper())
    name, *options = head.split(";")
    pairs = (option.partition("=") for option in options)
    return _Line(name.upper(), {key.upper(): option for key, _, option in pairs}, value.upper())


def _start(lines: list[_Line], where: tzinfo) -> datetime:
    starts = sorted(set(_dates("DTSTART", lines, where)))
    if len(starts) > 1:
        raise errors.UsageError(f"A recurrence rule can have one DTSTART only, this one has {len(starts)}")
    return starts[0] if starts else DEFAULT_START


def _dates(name: str, lines: list[_Line], where: tzinfo) -> tuple[datetime, ...]:
    named = [line for line in lines if line.name == name]
    return tuple(_date(name, text, line, where) for line in named for text in line.value.split(","))


def _date(name: str, text: str, line: _Line | None, where: tzinfo) -> datetime:
    """A date as a wall time of ``where``, whatever zone it is written in."""
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        raise errors.UsageError(
            f"{name} of the recurrence rule is no date: `{text}`", hint="dates are written `20240131T060000`"
        ) from None
    if date.tzinfo is None and line is not None and (zone := line.options.get("TZID")):
        date = date.replace(tzinfo=wall_time.zone(zone))
    return date if date.tzinfo is None else wall_time.wall(date, where)


def _rule(value: str, start: datetime, where: tzinfo) -> Any:
    from dateutil.rrule import rrulestr  # noqa: PLC0415  as above

    options = options_of(value)
    interval = _whole_number(options, "INTERVAL", MAX_INTERVAL)
    count = _whole_number(options, "COUNT", MAX_COUNT)
    until = options.pop("UNTIL", None)
    if count is not None and until is not None:
        raise errors.UsageError(f"A recurrence rule can have no more than one of COUNT and UNTIL: `{value}`")
    options.pop("COUNT", None)
    try:
        rule: Any = rrulestr(";".join(f"{name}={option}" for name, option in options.items()), dtstart=start)
        if len(rule._timeset or ()) > MAX_TIMES_A_DAY:  # noqa: SLF001  as below
            raise errors.UsageError(
                f"A recurrence rule can name at most {MAX_TIMES_A_DAY} times of a day: `{value}`",
                hint="`FREQ=MINUTELY` and `FREQ=SECONDLY` come more often",
            )
        comes = _ever_comes(rule, interval or 1)
    except (ValueError, TypeError, AttributeError, IndexError, KeyError, OverflowError) as wrong:
        raise errors.UsageError(f"The recurrence rule `{value}` is not valid: `{wrong}`") from None
    if not comes:
        raise errors.UsageError(f"There is no day that fits the recurrence rule: `{value}`")
    if count is not None:
        return rule.replace(until=_last_of(rule, count))
    return rule if until is None else rule.replace(until=_date("UNTIL", until, None, where))


def options_of(rule: str) -> dict[str, str]:
    """The parts of a rule: ``{"FREQ": "DAILY", "BYHOUR": "6"}``."""
    pairs = (pair.partition("=") for pair in rule.split(";") if pair)
    return {name: option for name, _, option in pairs}


def _whole_number(options: dict[str, str], name: str, most: int) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        hint = "use UNTIL" if name == "COUNT" else None
        raise errors.UsageError(
            f"{name} of a recurrence rule has to be a whole number, 1 to {most}: `{text}`", hint=hint
        )
    return int(text)


def _ever_comes(rule: Any, interval: int) -> bool:
    """Whether the rule has an occurrence at all.

    dateutil looks as far as the year 9999, day by day, which takes a minute. So ask it towards the end: the
    calendar repeats itself after 400 years.
    """
    unit = _unit(rule)
    if unit and "byeaster" not in _written(rule):
        close = rule._dtstart.replace(year=9599, day=min(rule._dtstart.day, 28))  # noqa: SLF001  as above
        rule = rule.replace(dtstart=_whole_steps(rule._dtstart, close, interval * unit))  # noqa: SLF001  as above
    return next(iter(_with_patience(rule, _Patience(2 * MAX_STEPS))), None) is not None


def _last_of(rule: Any, count: int) -> datetime | None:
    """The last of so many occurrences; None when it is further off than anybody schedules."""
    patience = _Patience()
    for number, shown in enumerate(_with_patience(rule, patience), 1):
        patience.renew()
        if number == count or shown.year > 2200:
            return shown if number == count else None
    return None


class _Patience:
    """How many steps may still be taken for the next occurrence, by all rules of a set together."""

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self._steps = self._left = steps

    def renew(self) -> None:
        self._left = self._steps

    def take_step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise errors.UsageError(
                f"The recurrence rule names hardly any time, or none: not one in {self._steps:,} of its FREQ",
                hint="a coarser FREQ names the same times, as `FREQ=DAILY;BYHOUR=3` does",
            )


class _CountedInterval(int):
    """An INTERVAL by which it is known how far dateutil goes: it is added once for each step.

    dateutil looks for the next occurrence up to the year 9999, and hands out nothing meanwhile.
    """

    patience: _Patience

    def __radd__(self, other: int) -> int:
        self.patience.take_step()
        return other + int(self)

    def __mul__(self, other: int) -> int:  # by weeks
        self.patience.take_step()
        return int(self) * other


def _with_patience(rule: Any, patience: _Patience) -> Any:
    found = rule.replace()
    found._interval = _CountedInterval(rule._interval)  # noqa: SLF001  as above
    found._interval.patience = patience  # noqa: SLF001  as above
    return found


def _moved_close_to(after: datetime, rule: Any) -> Any:
    unit, start = _unit(rule), rule._dtstart  # noqa: SLF001  as above
    if unit is None:
        return rule
    step = rule._interval * unit  # noqa: SLF001  as above
    # One step further back: a rule may choose among the days of the period that it starts in.
    close = _whole_steps(start, after, step) - step
    return rule.replace(dtstart=close) if close > start else rule


def _whole_steps(start: datetime, close: datetime, step: timedelta) -> datetime:
    return start + (close - start) // step * step


def _unit(rule: Any) -> timedelta | None:
    """How long one step of the rule's FREQ is; None for months and years, which differ."""
    from dateutil import rrule  # noqa: PLC0415  as above

    units: dict[int, timedelta] = {
        rrule.WEEKLY: timedelta(weeks=1),
        rrule.DAILY: timedelta(days=1),
        rrule.HOURLY: timedelta(hours=1),
        rrule.MINUTELY: timedelta(minutes=1),
        rrule.SECONDLY: timedelta(seconds=1),
    }
    return units.get(rule._freq)  # noqa: SLF001  as above


def _written(rule: Any) -> dict[str, Any]:
    """The BY… that the rule was written with, without those that come from DTSTART."""
    original: dict[str, Any] = rule._original_rule  # noqa: SLF001  as above
    return {name: value for name, value in original.items() if value is not None}
