from __future__ import annotations

import dataclasses
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import UsageError
from penstock.sdk import plain_json


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Model(pydantic.BaseModel):
    day: date


@dataclasses.dataclass
class Point:
    x: Decimal


class Entry(msgspec.Struct):
    at: time


def plain(value: Any) -> Any:
    return plain_json.of(value, "The value", 10_000)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2**63, "9223372036854775808"),
        (1.5, 1.5),
        (math.nan, None),
        (-math.inf, "-inf"),
        ("ü", "ü"),
        ("\udc80", "\\udc80"),
        (Decimal("1.10"), "1.10"),
        (Decimal("NaN"), None),
        (Decimal("sNaN"), None),
        (datetime(2024, 1, 2, 3, 4, tzinfo=UTC), "2024-01-02T03:04:00+00:00"),
        (date(2024, 1, 2), "2024-01-02"),
        (timedelta(hours=1), "1:00:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("a/b"), "a/b"),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        ({1: (2, {3})}, {"1": [2, [3]]}),
        pytest.param(frozenset({"b", "a"}), ["a", "b"], id="a set"),
        (Model(day=date(2024, 1, 2)), {"day": "2024-01-02"}),
        (Point(Decimal(1)), {"x": "1"}),
        (Entry(time(12)), {"at": "12:00:00"}),
    ],
    ids=repr,
)
def test_values_are_given_the_form_that_json_has_for_them(value: Any, kept: Any):
    assert plain(value) == kept
    assert type(plain(value)) is type(kept)


@pytest.mark.slow  # importing them
def test_values_of_numpy_and_pandas_are_given_theirs():
    numpy = pytest.importorskip("numpy")
    pandas = pytest.importorskip("pandas")
    values = [numpy.int64(3), numpy.float32("nan"), numpy.array([[1, 2]]), pandas.NaT, pandas.NA, numpy.bool_(1)]

    assert plain([*values, pandas.Timestamp("2024-01-02")]) == [
        3,
        None,
        [[1, 2]],
        None,
        None,
        True,
        "2024-01-02T00:00:00",
    ]


def test_what_has_no_form_is_refused_with_its_place():
    with pytest.raises(UsageError) as caught:
        plain({"rows": [1, {"file": b"bytes"}]})

    assert (
        caught.value.message
        == "The value holds something that has no form in JSON at 'rows' at 1 at 'file': `builtins.bytes`"
    )


def test_secrets_are_refused():
    with pytest.raises(UsageError, match="holds a secret at 'password'"):
        plain({"password": pydantic.SecretStr("hunter2")})


def test_a_value_that_contains_itself_is_refused():
    value: list[Any] = []
    value.append(value)

    with pytest.raises(UsageError, match="contains itself"):
        plain(value)


def test_too_much_is_refused_with_its_size():
    with pytest.raises(UsageError, match=r"is 10,002 bytes long, and at most 10,000 are kept"):
        plain("x" * 10_000)


@pytest.mark.slow
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.decimals() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers() | st.text(), inner, max_size=3),
    max_leaves=10,
))  # fmt: skip
def test_whatever_is_kept_can_be_recorded_and_read_as_json(value: Any):
    kept = plain_json.of(value, "The value", 1 << 20)

    assert msgspec.json.decode(msgspec.json.encode(kept)) == kept
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(kept)) == kept
