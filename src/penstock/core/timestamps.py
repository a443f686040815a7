"""Times as they are kept everywhere, microseconds since 1970 UTC, and as `datetime`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def as_datetime(at: int) -> datetime:
    """Microseconds since 1970 as a time, in UTC."""
    return _EPOCH + at * _MICROSECOND


def as_microseconds(when: datetime) -> int:
    """A time as microseconds since 1970; one without a zone is one of this machine."""
    return (when.astimezone(UTC) - _EPOCH) // _MICROSECOND
