"""Times, durations and sizes as people write them, and back."""

from __future__ import annotations

import re
from datetime import datetime

from penstock import errors
from penstock.core import wording
from penstock.core.timestamps import as_datetime, as_microseconds

SECOND = 1_000_000

counted = wording.counted

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_WORDS = {"second": "s", "minute": "min", "hour": "h", "day": "d", "week": "w"}
_AGO = re.compile(rf"\s*(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w|(?:{'|'.join(_WORDS)})s?)\s*")


def iso(microseconds: int) -> str:
    """``2026-11-23T02:37:56.125000Z``: for machines."""
    return as_datetime(microseconds).isoformat(timespec="microseconds")[:-6] + "Z"


def local(microseconds: int) -> str:
    """``2026-11-23 03:37:56 CET``: for people, in the zone of this machine."""
    moment = as_datetime(microseconds).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S} {moment.tzname()}"


def duration(microseconds: int) -> str:
    """``85 ms``, ``12.3 s``, ``4 min 5 s``, ``2 h 10 min``, ``3 d 4 h``."""
    if microseconds < 1000:
        return f"{max(0, microseconds)} us"
    if microseconds < SECOND:
        return f"{microseconds // 1000} ms"
    seconds = microseconds / SECOND
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return _two(whole, 60, "min", 1, "s")
    if whole < 86400:
        return _two(whole, 3600, "h", 60, "min")
    return _two(whole, 86400, "d", 3600, "h")


def _two(seconds: int, large: int, large_name: str, small: int, small_name: str) -> str:
    rest = seconds % large // small
    return f"{seconds // large} {large_name}" + (f" {rest} {small_name}" if rest else "")


def due(at: int, now: int) -> str:
    """``in 5 min``, ``now``, ``3 min 20 s ago``."""
    away = at - now
    if abs(away) < SECOND:
        return "now"
    return f"in {duration(away)}" if away > 0 else f"{duration(-away)} ago"


def size(count: int) -> str:
    """``512 B``, ``3.4 KiB``, ``1.2 GiB``."""
    if count < 1024:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"


def moment(text: str, now: int) -> int:
    """The time that ``2h`` (ago), ``2026-11-23`` or ``2026-11-23T02:37Z`` says, in microseconds.

    A time without a zone is one of this machine. Raises `UsageError` for anything else.
    """
    if ago := _AGO.fullmatch(text):
        return now - round(_seconds(ago) * SECOND)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise errors.UsageError(
            f"Not a time: `{text}`", hint="say how long ago, like `2h` or `30min`, or a date like `2026-11-23T08:00`"
        ) from None
    return as_microseconds(parsed)


def _seconds(match: re.Match[str]) -> float:
    unit = match[2]
    return float(match[1]) * _UNITS[_WORDS.get(unit.removesuffix("s"), unit)]


def span(text: str) -> float:
    """The seconds of a length of time like ``90d`` or ``12h``. Raises `UsageError` for anything else."""
    if match := _AGO.fullmatch(text):
        return _seconds(match)
    raise errors.UsageError(f"Not a length of time: `{text}`", hint="say a number and a unit: `30d`, `12h`, `45min`")
