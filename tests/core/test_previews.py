from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.previews import LIMIT, preview

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner) | st.frozensets(st.text())
    ),
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "None"),
        (3, "3"),
        (True, "True"),
        ("text", "'text'"),
        (b"bytes", "b'bytes'"),
        (bytearray(b"x"), "bytearray(b'x')"),
        ([1, "a", None], "[1, 'a', None]"),
        ((1,), "(1)"),
        ({3}, "{3}"),
        ({"a": [1]}, "{'a': [1]}"),
        ("x" * 300, "'" + "x" * 200 + "'… (300 characters)"),
        (b"x" * 300, f"{b'x' * 50!r}… (300 bytes)"),
        (list(range(1000)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, … 1000 in all]"),
        (dict.fromkeys(range(30)), "{" + ", ".join(f"{n}: None" for n in range(20)) + ", … 30 in all}"),
        ([[[[[[1]]]]]], "[[[[[… 1 in all]]]]]"),
        ([{1: {2: {3: {4: {5: 6}}}}}], "[{1: {2: {3: {… 1 in all}}}}]"),
        (range(3), "range(0, 3)"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_value_is_shown_shortly(value: Any, shown: str):
    assert preview(value) == shown


@pytest.mark.slow
@settings(max_examples=25)
@given(anything)
def test_a_preview_is_never_much_longer_than_its_limit_and_can_be_written(value: Any):
    text = preview(value)

    assert len(text) <= LIMIT * 4
    text.encode()


@pytest.mark.parametrize("value", [10**5000, [10**5000], -(10**5000)], ids=["int", "list", "negative"])
def test_an_integer_too_long_to_be_written_has_a_preview_too(value: Any):
    assert preview(value) == f"<{type(value).__name__} (its repr raises ValueError)>"


def test_an_object_whose_repr_is_broken_has_a_preview_too():
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert preview(Broken()) == "<Broken (its repr raises RuntimeError)>"
    assert preview([Broken()]) == "<list (its repr raises RuntimeError)>"


def test_an_object_is_shown_by_its_repr_cut_short():
    class Wordy:
        def __repr__(self) -> str:
            return "w" * 1000

    assert preview(Wordy()) == "w" * 200 + "…"


def test_an_array_tells_shape_and_type():
    class Array:
        shape = (3, 4)
        dtype = "float64"

    class Plain:
        shape = (5,)

    assert preview(Array()) == "<Array 3 × 4 float64>"
    assert preview(Plain()) == "<Plain 5>"


def test_a_data_frame_tells_shape_columns_and_their_types_and_its_rows_are_not_looked_at():
    class Types:
        iloc = ("int64", "object")

    class DataFrame:
        shape = (1_000_000, 2)
        columns = ("fare", "zone")
        dtypes = Types()

        def __repr__(self) -> str:
            raise AssertionError("too long")

    class Lazy:
        shape = (2, 1)
        columns = ("x",)

    assert preview(DataFrame()) == "<DataFrame 1000000 × 2; fare: int64, zone: object>"
    assert preview(Lazy()) == "<Lazy 2 × 1; x>"


def test_a_container_that_holds_itself_has_a_preview():
    endless: list[Any] = []
    endless.append(endless)

    assert len(preview(endless)) < LIMIT
