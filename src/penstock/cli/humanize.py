"""Times, durations and sizes as people write them, and back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from penstock import errors

SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_AGO = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)\s*")


def iso(microseconds: int) -> str:
    """``2026-11-23T02:37:56.125000Z``: for machines."""
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds")[:-6] + "Z"


def local(microseconds: int) -> str:
    """``2026-11-23 03:37:56 CET``: for people, in the zone of this machine."""
    moment = (_EPOCH + timedelta(microseconds=microseconds)).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S} {moment.tzname()}"


def local_clock(microseconds: int) -> str:
    """``03:37:56.125``: the time of day, for log lines on a terminal."""
    moment = (_EPOCH + timedelta(microseconds=microseconds)).astimezone()
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"


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


def counted(count: int, one: str, many: str | None = None) -> str:
    """``1 run``, ``1,024 runs``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def moment(text: str, now: int) -> int:
    """The time that ``2h`` (ago), ``2026-11-23`` or ``2026-11-23T02:37Z`` says, in microseconds.

    A time without a zone is one of this machine. Raises `UsageError` for anything else.
    """
    if ago := _AGO.fullmatch(text):
        return now - round(float(ago[1]) * _UNITS[ago[2]] * SECOND)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise errors.UsageError(
            f"Not a time: `{text}`", hint="say how long ago, like `2h` or `30min`, or a date like `2026-11-23T08:00`"
        ) from None
    return round((parsed.astimezone(UTC) - _EPOCH).total_seconds() * SECOND)


def span(text: str) -> float:
    """The seconds of a length of time like ``90d`` or ``12h``. Raises `UsageError` for anything else."""
    if match := _AGO.fullmatch(text):
        return float(match[1]) * _UNITS[match[2]]
    raise errors.UsageError(f"Not a length of time: `{text}`", hint="say a number and a unit: `30d`, `12h`, `45min`")
