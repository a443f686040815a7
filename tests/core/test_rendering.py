from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.rendering import MASK, rendered, short_repr


class Colour(Enum):
    YELLOW = "yellow"


class Level(IntEnum):
    HIGH = 3


class Login(pydantic.BaseModel):
    user: str
    password: pydantic.SecretStr
    token: str = pydantic.Field(default="t0ken", repr=False)


@dataclass
class Box:
    size: int
    hidden: str = field(default="hunter2", repr=False)


class Point(msgspec.Struct):
    x: int
    y: float


class Text(str):
    __slots__ = ()


class Broken:
    def __repr__(self) -> str:
        raise ValueError("no repr")


class BrokenDict(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no items")


class Attribute:
    def __init__(self, name: str, *, repr: bool) -> None:  # noqa: A002  attrs calls it so
        self.name, self.repr = name, repr


class LikeAttrs:
    __attrs_attrs__ = (Attribute("a", repr=True), Attribute("b", repr=False))
    a, b = 1, 2


def shown(value: Any) -> Any:
    return rendered({"value": value})["value"]


@pytest.mark.parametrize("value", [None, True, 3, 1 - 2**63, 2.5, "text", [1, [2]], {"a": {"b": None}}, [], {}])
def test_what_json_can_hold_is_shown_as_it_is(value: Any):
    assert shown(value) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (dt.datetime(2021, 1, 2, 3, 4, tzinfo=dt.UTC), "2021-01-02T03:04:00+00:00"),
        (dt.date(2021, 1, 2), "2021-01-02"),
        (Path("/data/a.csv"), "/data/a.csv"),
        (PurePosixPath("b"), "b"),
        (Decimal("1.10"), "1.10"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Colour.YELLOW, "yellow"),
        (Level.HIGH, 3),
        (Text("sub"), "sub"),
        ((1, 2), [1, 2]),
        ({"b", "a"}, ["a", "b"]),
        ({1: 2}, {"1": 2}),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (2**64, "18446744073709551616"),
        pytest.param(10**5000, "int of 16610 bits", id="huge"),
        (b"\x00abc", r"bytes: b'\x00abc'"),
        (int, "type: <class 'int'>"),
        (Point(1, 2), {"x": 1, "y": 2}),
        (LikeAttrs(), {"a": 1, "b": MASK}),
    ],
)
def test_other_values_are_shown_by_the_nearest_thing_in_json(value: Any, expected: Any):
    assert shown(value) == expected


def test_secrets_are_masked_wherever_they_are():
    secret = pydantic.SecretStr("hunter2")

    assert shown(secret) == MASK
    assert shown({"deep": [secret]}) == {"deep": [MASK]}
    assert shown(Login(user="me", password=secret)) == {"user": "me", "password": MASK, "token": MASK}
    assert shown(Box(1)) == {"size": 1, "hidden": MASK}


def test_a_plain_value_under_a_hidden_name_is_masked_and_a_model_shows_its_other_fields():
    login = Login(user="me", password=pydantic.SecretStr("hunter2"))
    values = rendered({"a": "hunter2", "b": login, "c": None}, hidden=frozenset("abc"))

    assert values == {"a": MASK, "b": {"user": "me", "password": MASK, "token": MASK}, "c": None}


def test_long_values_are_shortened_and_say_how_much_is_missing():
    assert shown("x" * 1000) == "x" * 199 + "…"
    assert shown(list(range(1000))) == [*range(50), "… 950 more"]
    assert shown({str(i): i for i in range(60)})["…"] == "10 more"
    assert len(shown(set(range(10_000)))) == 51


def test_nested_values_are_shown_to_a_depth_and_in_all_to_a_number():
    loop: list[Any] = []
    loop.append(loop)

    assert "[[" in str(shown(loop))
    assert len(str(shown([[i] * 50 for i in range(50)]))) < 5000


def test_a_file_name_that_is_not_unicode_can_still_be_recorded():
    assert shown("caf\udce9") == r"caf\udce9"
    assert rendered({"caf\udce9": 1}) == {r"caf\udce9": 1}


def test_a_value_that_breaks_when_asked_does_not_break_what_shows_it():
    assert shown(Broken()) == "Broken: <Broken, whose repr raised ValueError>"
    assert shown(BrokenDict()) == "<BrokenDict, which raised RuntimeError when it was to be shown>"


def test_a_short_repr_is_no_longer_than_asked_for():
    assert short_repr("abc") == "'abc'"
    assert len(short_repr("x" * 10_000_000, 20)) == 20
    assert len(short_repr(list(range(1000)), 20)) == 20


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)) | st.binary()
    | st.datetimes() | st.timedeltas() | st.decimals() | st.uuids() | st.just(Colour.YELLOW),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=30,
)  # fmt: skip


@given(anything)
def test_whatever_is_shown_can_be_written_as_msgpack_and_as_json(value: Any):
    result = rendered({"value": value})

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(result)) == result
    assert msgspec.json.encode(result)
