"""Times, durations and sizes, there and back."""

from __future__ import annotations

import pytest

from penstock import errors
from penstock.cli import humanize
from penstock.clock import time_of_day

NOON = 1_763_899_200_000_000


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (-5, "0 us"),
        (850, "850 us"),
        (85_000, "85 ms"),
        (12_340_000, "12.3 s"),
        (59_960_000, "1 min"),
        (245_000_000, "4 min 5 s"),
        (3_600_000_000, "1 h"),
        (7_830_000_000, "2 h 10 min"),
        (273_600_000_000, "3 d 4 h"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(microseconds: int, text: str):
    assert humanize.duration(microseconds) == text


def test_machines_get_utc_and_people_their_own_zone():
    assert humanize.iso(NOON) == "2025-11-23T12:00:00.000000Z"
    assert humanize.local(NOON) == "2025-11-23 13:00:00 CET"
    assert time_of_day(NOON + 125_000) == "13:00:00.125"


@pytest.mark.parametrize(
    ("text", "ago_seconds"),
    [
        ("90s", 90),
        ("30min", 1800),
        ("1.5h", 5400),
        ("2d", 172800),
        ("2025-11-23T11:00Z", 3600),
        ("2025-11-23T12:00", 3600),
        ("2025-11-23T12:00:00+01:00", 3600),
    ],
)
def test_a_time_is_a_date_or_how_long_ago(text: str, ago_seconds: int):
    assert humanize.moment(text, NOON) == NOON - ago_seconds * 1_000_000


@pytest.mark.parametrize("text", ["", "soon", "5", "5y", "2025-13-01"])
def test_anything_else_is_no_time(text: str):
    with pytest.raises(errors.UsageError, match="Not a time"):
        humanize.moment(text, NOON)


def test_a_span_needs_a_unit():
    assert humanize.span("90d") == 90 * 86400
    with pytest.raises(errors.UsageError, match="Not a length of time"):
        humanize.span("90")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (3500, "3.4 KiB"), (5 << 20, "5.0 MiB"), (2 << 40, "2.0 TiB")]
)
def test_a_size_is_told_in_powers_of_1024(count: int, text: str):
    assert humanize.size(count) == text


def test_things_are_counted_with_their_plural():
    assert [humanize.counted(count, "run") for count in (0, 1, 1024)] == ["0 runs", "1 run", "1,024 runs"]
    assert humanize.counted(2, "crash", "crashes") == "2 crashes"


@pytest.mark.parametrize(
    ("away", "said"), [(0, "now"), (400_000, "now"), (300_000_000, "in 5 min"), (-3_600_000_000, "1 h ago")]
)
def test_when_something_is_due(away: int, said: str):
    assert humanize.due(1_000_000_000 + away, 1_000_000_000) == said
