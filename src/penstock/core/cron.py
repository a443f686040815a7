"""Cron expressions: five fields, names and aliases, checked, and walked through as wall times.

cronsim reads the fields, as Debian's cron does. What a zone's clock does to them is decided elsewhere: see
`wall_time`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import copy
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from penstock import errors

if TYPE_CHECKING:
    from cronsim import CronSim

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
FIELDS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, L (the last day) or LW (the last weekday)",
    "month": "1 to 12 or JAN to DEC",
    "day-of-week": "0 to 7 (0 and 7 are Sunday) or SUN to SAT, FRI#2 (the second Friday) or 5L (the last one)",
}
LONGEST = 500


def walls(expression: str, after: datetime, *, day_or: bool = True) -> Iterator[datetime]:
    """The wall times later than ``after`` that the expression names, one by one."""
    simulation = copy(_read(expression, day_or))
    simulation.dt = after.replace(microsecond=0)
    return simulation


def goes_by_the_hour(expression: str) -> bool:
    """Whether the hour is a wildcard (``*``, ``*/2``, ``0-23``), rather than a time that somebody chose."""
    hours = fields(expression)[1]
    return hours.startswith("*") or len(_read(expression, True).hours) == 24


def fields(expression: str) -> list[str]:
    """The five fields, aliases replaced."""
    parts = ALIASES.get(expression.strip().lower(), expression).upper().split()
    # cronsim takes 5-5/2, a span of one, for 5/2, which goes on to the end.
    parts = [re.sub(r"(?<!\w)(\w+)-\1/[1-9]\d*", r"\1", part) for part in parts]
    if len(parts) == 5:
        parts[4] = re.sub(r"\b([1-6]|MON|TUE|WED|THU|FRI|SAT)-(SUN|0)\b", r"\1-7", parts[4])  # FRI-SUN
    return parts


def check(expression: str, *, day_or: bool = True) -> None:
    """Raise `UsageError`, with the field that is to blame, for what is no cron expression."""
    if not isinstance(expression, str) or not expression.strip():  # pyright: ignore[reportUnnecessaryIsInstance]  from users
        raise errors.UsageError(f"A cron expression is a text such as `0 6 * * *`: `{expression!r}`")
    if len(expression) > LONGEST:
        raise errors.UsageError(f"A cron expression can have at most {LONGEST} characters: `{len(expression)}`")
    if expression.strip().startswith("@") and expression.strip().lower() not in ALIASES:
        raise errors.UsageError(
            f"There is no such alias of a cron expression: `{expression}`", hint=f"known: {', '.join(ALIASES)}"
        )
    parts = fields(expression)
    if len(parts) != len(FIELDS):
        raise errors.UsageError(
            f"A cron expression has five fields, this one has {len(parts)}: `{expression}`",
            hint=f"they are {', '.join(FIELDS)}" + ("; there is none for seconds" if len(parts) == 6 else ""),
        )
    for number, (name, values) in enumerate(FIELDS.items()):
        alone = " ".join(part if index == number else "*" for index, part in enumerate(parts))
        if not _is_readable(alone):
            raise errors.UsageError(
                f"The {name} of the cron expression `{expression}` is not valid: `{parts[number]}`",
                hint=f"{name}: {values}; lists 1,2 · ranges 1-5 · steps */5",
            )
    if not _is_readable(" ".join(parts)) or not _ever_comes(expression, day_or=day_or):
        raise errors.UsageError(f"There is no day that fits the cron expression: `{expression}`")


def _is_readable(expression: str) -> bool:
    from cronsim import CronSim, CronSimError  # noqa: PLC0415  keeps it off the import path

    try:
        CronSim(expression, SOME_TIME)
    except (CronSimError, ValueError, TypeError):  # cronsim lets a few of Python's own errors through
        return False
    return True


def _ever_comes(expression: str, *, day_or: bool) -> bool:
    return next(walls(expression, SOME_TIME, day_or=day_or), None) is not None


SOME_TIME = datetime(2000, 1, 1)  # noqa: DTZ001  a wall time


@lru_cache(maxsize=1024)
def _read(expression: str, day_or: bool) -> CronSim:  # noqa: FBT001  part of the key of a cache
    """The expression as cronsim has read it, to be copied: reading takes longer than a step."""
    from cronsim import CronSim  # noqa: PLC0415  as above

    simulation = CronSim(" ".join(fields(expression)), SOME_TIME)
    simulation.day_and = simulation.day_and or not day_or
    return simulation
