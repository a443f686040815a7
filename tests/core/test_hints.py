# ruff: noqa: UP006, UP007, UP035, UP045  users write hints in these ways too
from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import partial, wraps
from pathlib import Path, PurePath
from typing import Annotated, Any, List, Literal, NamedTuple, Optional, TypedDict, Union

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core import hints


class Colour(Enum):
    YELLOW = "yellow"


class Word(StrEnum):
    A = "a"


class Text(str):
    __slots__ = ()


def test_hints_are_resolved_when_annotations_are_text():
    def load(months: list[int], where: Path | None = None) -> None: ...

    found = hints.resolved(load)

    assert found["months"] == list[int]
    assert found["where"] == Path | None


def test_a_hint_may_name_a_class_of_the_surrounding_function_that_the_body_uses():
    class Local: ...

    def load(one: Local) -> Any:
        return Local, one

    assert hints.resolved(load) == {"one": Local, "return": Any}


def test_a_variable_without_a_value_yet_is_passed_over():
    def load(one: Later, two: int) -> Any:
        return Later, one, two

    assert hints.resolved(load)["two"] is int

    class Later: ...

    assert hints.resolved(load)["one"] is Later


def test_what_cannot_be_resolved_is_left_out_and_the_rest_is_kept():
    def load(one: Nowhere, two: int, three: 1 + "x", four: "not python") -> None: ...  # pyright: ignore[reportUndefinedVariable, reportInvalidTypeForm]  meant  # noqa: F821, UP037  meant

    assert {name: hint for name, hint in hints.resolved(load).items() if name != "return"} == {"two": int}


def test_hints_are_found_behind_wrappers_partials_methods_classes_and_instances():
    def load(one: int) -> None: ...

    @wraps(load)
    def wrapped(*args: Any, **kwargs: Any) -> None: ...

    class Loader:
        label: str = ""

        def __init__(self, one: int) -> None: ...

        def load(self, one: int) -> None: ...

        def __call__(self, one: int) -> None: ...

    for fn in (load, wrapped, partial(load, 1), Loader, Loader(1), Loader(1).load):
        assert hints.resolved(fn)["one"] is int
        assert "label" not in hints.resolved(fn)


def test_a_builtin_has_no_hints():
    assert hints.resolved(sorted) == {}
    assert hints.resolved(len) == {}


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "int"),
        (None, "None"),
        (Optional[int], "int | None"),
        (Union[list[int], str], "list[int] | str"),
        (int | str, "int | str"),
        (List[int], "list[int]"),
        (dict[str, list[Path]], "dict[str, list[Path]]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Literal["yellow", "green"], "Literal['yellow', 'green']"),
        (Annotated[int, pydantic.Field(gt=0)], "int"),
        (Sequence[int], "Sequence[int]"),
        (Callable[[int], str], "Callable[int, str]"),
        (Colour, "Colour"),
        (Any, "Any"),
        (1, "1"),
    ],
)
def test_a_hint_is_described_as_people_write_it(hint: Any, text: str):
    assert hints.describe(hint) == text


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (3, int),
        (True, bool),
        ("a", str),
        (1.5, float),
        (b"", bytes),
        (None, None),
        (None, type(None)),
        (object(), Any),
        (object(), object),
        ([1, 2], list[int]),
        ([1, 2], List[int]),
        ([1, "a"], list),
        ([], list[int]),
        ([[1], []], list[list[int]]),
        ({"a": [Path("x")]}, dict[str, list[Path]]),
        ({1: [2]}, Mapping[int, Sequence[int]]),
        ((1, 2), Sequence[int]),
        ((1, 2, 3), tuple[int, ...]),
        ((1, "a"), tuple[int, str]),
        ({1}, set[int]),
        (frozenset({1}), frozenset[int]),
        (None, Optional[int]),
        ("a", int | str),
        ([1], int | list[int]),
        ("yellow", Literal["yellow", "green"]),
        ([1, 1], list[Literal[1, 2]]),
        (Colour.YELLOW, Colour),
        (Word.A, Word),
        (dt.date(2021, 1, 1), dt.date),
        (dt.datetime(2021, 1, 1, tzinfo=dt.UTC), dt.datetime),
        (dt.timedelta(1), dt.timedelta),
        (Path("x"), Path),
    ],
)
def test_a_value_of_the_hinted_type_needs_no_pydantic_and_pydantic_would_not_change_it(value: Any, hint: Any):
    adapter = pydantic.TypeAdapter(hint)

    assert hints.fits(value, hint)
    assert adapter.validate_python(value) == value
    assert type(adapter.validate_python(value)) is type(value)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("3", int),
        (True, int),
        (1, bool),
        (3, float),
        (Text("a"), str),
        ([1, "2"], list[int]),
        ([True], list[int]),
        ((1,), list[int]),
        ("ab", Sequence[str]),
        ({"a": "1"}, dict[str, int]),
        ({1: 1}, dict[str, int]),
        ((1, 2), tuple[int]),
        ([1], tuple[int, ...]),
        (1, Literal[True]),
        (dt.datetime(2021, 1, 1, tzinfo=dt.UTC), dt.date),
        (PurePath("x"), Path),
        (3, int.__add__),
        (3, Annotated[int, pydantic.Field(gt=5)]),
    ],
)
def test_everything_else_is_left_to_pydantic(value: Any, hint: Any):
    assert not hints.fits(value, hint)


st.register_type_strategy(Path, st.just(Path("x")))
scalars = {
    int: st.integers(), str: st.text(), float: st.floats(allow_nan=False), bool: st.booleans(), type(None): st.none()
}  # fmt: skip
simple_hints = st.recursive(
    st.sampled_from([*scalars, dt.date, dt.datetime, Path, Colour]),
    lambda inner: st.one_of(
        inner.map(lambda hint: list[hint]),
        inner.map(lambda hint: Optional[hint]),
        inner.map(lambda hint: tuple[hint, ...]),
        inner.map(lambda hint: dict[str, hint]),
        st.tuples(inner, inner).map(lambda pair: Union[pair]),
        st.tuples(inner, inner).map(lambda pair: tuple[pair]),
    ),
    max_leaves=4,
)
values = st.recursive(
    st.one_of(*scalars.values(), st.dates(), st.datetimes(), st.just(Path("x")), st.just(Colour.YELLOW)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=6,
)


def identical(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(identical(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(identical, one, other))
    return one == other or str(one) == str(other) == "nan"


@given(st.data())
def test_whatever_fits_pydantic_would_leave_as_it_is(data: st.DataObject):
    hint = data.draw(simple_hints)
    value = data.draw(values | st.from_type(hint))

    if hints.fits(value, hint):
        assert identical(pydantic.TypeAdapter(hint).validate_python(value), value)


@given(st.data())
def test_coercing_agrees_with_pydantic(data: st.DataObject):
    hint = data.draw(simple_hints)
    value = data.draw(values)
    coerce = hints.coercer(hint)
    assert coerce is not None
    try:
        expected = pydantic.TypeAdapter(hint).validate_python(value)
    except pydantic.ValidationError:
        with pytest.raises(pydantic.ValidationError):
            coerce(value)
    else:
        assert identical(coerce(value), expected)


class Login(pydantic.BaseModel):
    user: str
    password: pydantic.SecretStr


class Tree(pydantic.BaseModel):
    children: list[Tree] = []


@dataclass
class Holder:
    logins: list[Login]


class Keys(TypedDict):
    key: pydantic.SecretBytes


class Pair(NamedTuple):
    user: str
    password: pydantic.Secret[int]


class Struct(msgspec.Struct):
    login: Login | None = None


@dataclass
class Unresolved:
    password: SecretOfSomebody  # pyright: ignore[reportUndefinedVariable]  meant  # noqa: F821  meant


@dataclass
class UnresolvedAndOpen:
    size: SizeOfSomebody  # pyright: ignore[reportUndefinedVariable]  meant  # noqa: F821  meant


SECRETS = [
    pydantic.SecretStr, Optional[pydantic.SecretStr], dict[str, pydantic.SecretBytes], pydantic.Secret[int], Login,
    list[Login], Holder, Keys, Pair, Struct, Unresolved, Annotated[pydantic.SecretStr, "x"],
]  # fmt: skip


@pytest.mark.parametrize("hint", SECRETS)
def test_a_secret_is_found_wherever_a_hint_holds_it(hint: Any):
    assert hints.holds_secret(hint)


@pytest.mark.parametrize("hint", [int, list[int], Tree, UnresolvedAndOpen, Any, None, Colour, Literal["secret"]])
def test_other_hints_hold_no_secret(hint: Any):
    assert not hints.holds_secret(hint)


def test_telling_what_fits_imports_no_pydantic():
    code = (
        "import sys, datetime, pathlib; from typing import Any, Literal, Optional; from penstock.core import hints\n"
        "assert hints.fits([1], list[int]) and hints.fits(None, Optional[int]) and not hints.fits('3', int)\n"
        "assert hints.fits(datetime.date.min, datetime.date) and hints.fits(pathlib.Path('x'), pathlib.Path | None)\n"
        "assert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
