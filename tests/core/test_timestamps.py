from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from penstock.core.timestamps import as_datetime, as_microseconds


@pytest.mark.parametrize("at", [0, 1, 1_763_899_200_000_001, -1, 1 << 55])
def test_a_time_is_the_same_to_the_microsecond_either_way(at: int):
    assert as_microseconds(as_datetime(at)) == at
    assert as_datetime(at).tzinfo is UTC


def test_a_time_of_any_zone_is_kept():
    noon = datetime(2025, 11, 23, 12, tzinfo=UTC)

    assert as_microseconds(noon.astimezone(timezone(timedelta(hours=9)))) == as_microseconds(noon)
