# ruff: noqa: UP006, UP007, UP035, UP045  users write hints in these ways too
from __future__ import annotations

import datetime as dt
import inspect
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial, wraps
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Dict,
    List,
    Literal,
    Optional,
    ParamSpec,
    Protocol,
    Required,
    TypedDict,
    Union,
    Unpack,
)

import pandas as pd
import pydantic
import pydantic.v1
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import errors
from penstock.core.parameters import Signature, parse_cli, preview, schema, validate
from penstock.core.rendering import MASK

P = ParamSpec("P")


def plain(x: Any) -> None: ...
def two(months: Any, year: Any = 2021) -> None: ...
def every_kind(a: Any, /, b: Any, c: Any = 3, *d: Any, e: Any, f: Any = 6, **g: Any) -> None: ...
def nothing() -> None: ...
def keyword_only(*, one: Any, two: Any = 2) -> None: ...
def open_ended(*args: Any, **kwargs: Any) -> None: ...


class Loader:
    def load(self, x: Any, y: Any = 1) -> None: ...

    @staticmethod
    def still(x: Any) -> None: ...

    @classmethod
    def made(cls, x: Any) -> None: ...

    def __call__(self, x: Any) -> None: ...


def bind(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    return Signature.of(fn).bind(args, kwargs)


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(errors.ParameterError) as refused:
        call()
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None
    return str(refused.value)


class TestBinding:
    def test_arguments_are_named_and_defaults_applied(self):
        assert bind(plain, 1) == bind(plain, x=1) == {"x": 1}
        assert bind(two, [1]) == {"months": [1], "year": 2021}
        assert bind(two, year=2020, months=[1]) == {"months": [1], "year": 2020}
        assert bind(nothing) == {}

    def test_every_kind_of_parameter_is_bound_in_the_order_of_the_signature(self):
        bound = bind(every_kind, 1, 2, 9, 8, 7, e=5, z=0)

        assert list(bound.items()) == [("a", 1), ("b", 2), ("c", 9), ("d", (8, 7)), ("e", 5), ("f", 6), ("g", {"z": 0})]

    def test_methods_are_bound_without_their_self(self):
        assert bind(Loader().load, 1) == {"x": 1, "y": 1}
        assert bind(Loader.load, None, 1) == {"self": None, "x": 1, "y": 1}
        assert bind(Loader.still, 1) == bind(Loader().still, 1) == bind(Loader.made, 1) == bind(Loader(), 1) == {"x": 1}

    def test_what_wraps_a_function_has_its_parameters(self):
        @wraps(two)
        def wrapper(*args: Any, **kwargs: Any) -> None: ...

        assert bind(wrapper, [1]) == {"months": [1], "year": 2021}
        assert bind(partial(two, [1])) == {"year": 2021}
        assert bind(partial(two, months=[1])) == {"months": [1], "year": 2021}
        assert bind(Path) == {"args": (), "kwargs": {}}

    def test_what_says_nothing_of_its_parameters_takes_anything(self):
        assert bind(min, 1, 2, key=3) == {"args": (1, 2), "kwargs": {"key": 3}}

    def test_names_that_the_binding_itself_might_use_are_names_like_others(self):
        def odd(bind: Any, self: Any = 1, args: Any = 2, _debug: Any = 3, naïve: Any = 4) -> None: ...  # noqa: PLC2401  meant

        assert bind(odd, 0, naïve=5) == {"bind": 0, "self": 1, "args": 2, "_debug": 3, "naïve": 5}

    def test_private_names_of_methods_are_bound_by_the_name_that_python_gives_them(self):
        class Private:
            def load(self, __x: Any) -> None: ...  # noqa: PYI063  meant

        assert bind(Private().load, 1) == {"_Private__x": 1}

    def test_a_signature_reads_its_function_only_when_asked(self):
        signature = Signature.of(123)  # pyright: ignore[reportArgumentType]  meant

        assert signature.name == "int"

    def test_a_signature_can_be_pickled(self):
        signature = Signature.of(every_kind)
        signature.bind((1, 2), {"e": 3})

        assert pickle.loads(pickle.dumps(signature)).fn is every_kind


class TestRefusingACall:
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: bind(two), "`two()` needs a value for `months`\nhint: it takes `months` and `year`"),
            (
                lambda: bind(two, mnths=[1]),
                (
                    "`two()` has no parameter `mnths`; it needs a value for `months`\n"
                    "hint: did you mean `months`? It takes `months` and `year`"
                ),
            ),
            (lambda: bind(two, 1, zzz=1), "`two()` has no parameter `zzz`\nhint: it takes `months` and `year`"),
            (lambda: bind(two, 1, months=2), "`two()` got two values for `months`\nhint: it takes `months` and `year`"),
            (
                lambda: bind(two, 1, 2, 3),
                "`two()` takes at most 2 positional arguments and got 3\nhint: it takes `months` and `year`",
            ),
            (
                lambda: bind(plain, 1, 2),
                "`plain()` takes at most 1 positional argument and got 2\nhint: it takes `x`",
            ),
            (
                lambda: bind(nothing, 1),
                "`nothing()` takes no positional arguments and got 1\nhint: it takes no parameters",
            ),
            (
                lambda: bind(keyword_only, two=1),
                "`keyword_only()` needs a value for `one`\nhint: it takes `one` and `two`",
            ),
            (
                lambda: bind(every_kind),
                (
                    "`every_kind()` needs a value for `a`, `b` and `e`\n"
                    "hint: it takes `a`, `b`, `c`, `d`, `e`, `f` and `g`"
                ),
            ),
            (
                lambda: Signature.of(open_ended).bind((), {1: 2}),  # pyright: ignore[reportArgumentType]  meant
                "`open_ended()` cannot be called with these arguments\nhint: it takes `args` and `kwargs`",
            ),
        ],
    )
    def test_the_message_names_the_function_and_each_parameter(self, call: Callable[[], Any], message: str):
        assert refusal(call) == message

    def test_a_positional_only_parameter_given_by_name_is_explained(self):
        def fn(a: Any, /) -> None: ...

        assert "takes `a` by position, not by name; it needs a value for `a`" in refusal(lambda: bind(fn, a=1))


class TestGivingEveryParameterByName:
    def test_positional_only_and_variadic_parameters_have_names_too(self):
        given_by_name = {"a": 1, "b": 2, "d": [4, 5], "e": 6, "z": 7}

        bound = Signature.of(every_kind).bind_names(given_by_name)

        assert bound == {"a": 1, "b": 2, "c": 3, "d": (4, 5), "e": 6, "f": 6, "g": {"z": 7}}
        assert list(bound) == ["a", "b", "c", "d", "e", "f", "g"]

    def test_bound_arguments_can_be_bound_again(self):
        signature = Signature.of(every_kind)
        bound = signature.bind((1, 2, 3, 4), {"e": 5, "z": 6})

        assert signature.bind_names(bound) == bound

    def test_one_value_for_a_variadic_parameter_is_one_item(self):
        assert Signature.of(open_ended).bind_names({"args": "ab"}) == {"args": ("ab",), "kwargs": {}}
        assert Signature.of(open_ended).bind_names({"kwargs": 1}) == {"args": (), "kwargs": {"kwargs": 1}}

    def test_what_does_not_fit_is_refused_like_a_call(self):
        assert refusal(lambda: Signature.of(two).bind_names({"yaer": 1})) == (
            "`two()` has no parameter `yaer`; it needs a value for `months`\n"
            "hint: did you mean `year`? It takes `months` and `year`"
        )


class TestCalling:
    def test_bound_arguments_turn_into_the_same_call(self):
        signature = Signature.of(every_kind)

        assert signature.to_call(signature.bind((1, 2, 3, 4), {"e": 5, "z": 6})) == (
            (1, 2, 3, 4),
            {"e": 5, "f": 6, "z": 6},
        )

    def test_the_order_of_the_dict_does_not_matter(self):
        assert Signature.of(two).to_call({"year": 1, "months": 2}) == ((2, 1), {})

    def test_what_is_left_out_gets_its_default(self):
        assert Signature.of(two).to_call({"months": 2}) == ((2, 2021), {})
        assert Signature.of(keyword_only).to_call({"one": 1}) == ((), {"one": 1, "two": 2})

    def test_what_the_function_does_not_take_is_refused(self):
        assert "has no parameter `monts`" in refusal(lambda: Signature.of(two).to_call({"months": 1, "monts": 2}))
        assert "has no parameter `z`" in refusal(lambda: Signature.of(plain).to_call({"x": 1, "z": 2}))


names = st.sampled_from(["a", "b", "c", "d", "e"])
kinds = st.sampled_from(list(inspect.Parameter.POSITIONAL_ONLY.__class__))


@st.composite
def functions(draw: st.DrawFn) -> Callable[..., Any]:
    """A function with parameters of any kinds, which returns what it was called with."""
    parameters: list[inspect.Parameter] = []
    seen: set[Any] = set()
    for kind in sorted(draw(st.lists(kinds, max_size=5))):
        variadic = kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        if variadic and kind in seen:
            continue
        seen.add(kind)
        positional = not variadic and kind is not inspect.Parameter.KEYWORD_ONLY
        must = positional and any(p.default is not p.empty for p in parameters)
        default = inspect.Parameter.empty if variadic or not (must or draw(st.booleans())) else len(parameters)
        parameters.append(inspect.Parameter("abcde"[len(parameters)], kind, default=default))
    text = str(inspect.Signature(parameters))
    space: dict[str, Any] = {}
    exec(f"def fn{text}: return dict(locals())", space)
    return space["fn"]


class TestBindingAsPythonDoes:
    @given(functions(), st.lists(st.integers(), max_size=6), st.dictionaries(names, st.integers()))
    def test_bind_agrees_with_the_call_itself(self, fn: Callable[..., Any], args: list[int], kwargs: dict[str, int]):
        # Not with inspect: Python 3.13.0's binds a positional-only parameter by name where the call fails.
        signature = Signature.of(fn)
        try:
            expected = fn(*args, **kwargs)
        except TypeError:
            with pytest.raises(errors.ParameterError):
                signature.bind(args, kwargs)
        else:
            assert signature.bind(args, kwargs) == expected
            assert list(signature.bind(args, kwargs)) == list(inspect.signature(fn).parameters)

    @given(functions(), st.lists(st.integers(), max_size=6), st.dictionaries(names, st.integers()))
    def test_the_call_made_of_bound_arguments_is_the_call_that_was_bound(
        self, fn: Callable[..., Any], args: list[int], kwargs: dict[str, int]
    ):
        signature = Signature.of(fn)
        try:
            bound = signature.bind(args, kwargs)
        except errors.ParameterError:
            return
        new_args, new_kwargs = signature.to_call(bound)

        assert fn(*new_args, **new_kwargs) == fn(*args, **kwargs)

    @given(functions())
    def test_a_wrapped_function_has_the_same_shape_as_the_plain_one(self, fn: Callable[..., Any]):
        @wraps(fn)
        def wrapped(*args: Any, **kwargs: Any) -> Any: ...

        assert Signature.of(wrapped).shape == Signature.of(fn).shape


class Colour(Enum):
    YELLOW = "yellow"
    GREEN = "green"


class Database(pydantic.BaseModel):
    host: str
    port: int = 5432


class Login(pydantic.BaseModel):
    user: str
    password: pydantic.SecretStr
    port: int = 1


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    frame: Annotated[int, pydantic.Field(gt=0)]


class Old(pydantic.v1.BaseModel):
    a: int


@dataclass
class Box:
    size: int
    frame: pd.DataFrame | None = None


class Keys(TypedDict, total=False):
    key: Required[Annotated[int, pydantic.Field(gt=0)]]
    other: str


class UnresolvedKeys(TypedDict):
    key: Nowhere  # pyright: ignore[reportUndefinedVariable]  meant  # noqa: F821  meant


class HasName(Protocol):
    name: str


class Refuses:
    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> Any:
        raise RuntimeError("no schema")


def validated(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    signature = Signature.of(fn)
    return validate(signature, signature.bind(args, kwargs), "etl")


def hinted(hint: Any, default: Any = inspect.Parameter.empty) -> Callable[..., Any]:
    def fn(x: Any) -> None: ...

    fn.__annotations__ = {"x": hint}
    fn.__defaults__ = None if default is inspect.Parameter.empty else (default,)
    return fn


def coerced(value: Any, hint: Any) -> Any:
    return validated(hinted(hint), value)["x"]


class TestValidating:
    @pytest.mark.parametrize(
        ("value", "hint", "expected"),
        [
            ("3", int, 3),
            (3, float, 3.0),
            ("yes", bool, True),
            (["1", 2], list[int], [1, 2]),
            ((1, "2"), List[int], [1, 2]),
            ({"1": ["2"]}, Dict[int, List[int]], {1: [2]}),
            (["1"], Union[int, Sequence[int]], [1]),
            ("5", Optional[int], 5),
            (None, Optional[int], None),
            ("2021-01-02", dt.date, dt.date(2021, 1, 2)),
            ("2021-01-02T03:04:05Z", dt.datetime, dt.datetime(2021, 1, 2, 3, 4, 5, tzinfo=dt.UTC)),
            ("P1D", dt.timedelta, dt.timedelta(1)),
            ("data/a.csv", Path, Path("data/a.csv")),
            (["a"], dict[str, list[Path]] | list[Path], [Path("a")]),
            ("yellow", Literal["yellow", "green"], "yellow"),
            (3, Literal[tuple(range(1, 13))], 3),
            ("green", Colour, Colour.GREEN),
            ({"host": "db"}, Database, Database(host="db")),
            ([{"host": "db", "port": "1"}], list[Database], [Database(host="db", port=1)]),
            ({"size": "3"}, Box, Box(3)),
            ({"key": "3"}, Keys, {"key": 3}),
            ("5", Annotated[int, pydantic.Field(gt=0)], 5),
            ("4", "int", 4),
            ("3", Any, "3"),
            ("4", "Nowhere", "4"),
            ("7", UnresolvedKeys, "7"),
            ("5", HasName, "5"),
            ("6", Refuses | Any, "6"),
        ],
    )
    def test_values_are_coerced_to_their_hints_as_pydantic_does(self, value: Any, hint: Any, expected: Any):
        result = coerced(value, hint)

        assert result == expected
        assert type(result) is type(expected)

    def test_values_that_fit_are_handed_on_and_not_copied(self):
        months = [1, 2]

        assert coerced(months, list[int]) is months
        assert coerced(months, Any) is months

    def test_variadic_parameters_are_validated_item_by_item(self):
        def fn(*args: int, **kwargs: int) -> None: ...

        assert validated(fn, "1", 2, a="3") == {"args": (1, 2), "kwargs": {"a": 3}}

    def test_unpacked_keyword_arguments_are_validated_by_their_names(self):
        def fn(**kwargs: Unpack[Keys]) -> None: ...

        assert validated(fn, key="1") == {"kwargs": {"key": 1}}
        assert "`kwargs`: expected Keys; at ['key']" in refusal(lambda: validated(fn, key="-1"))
        assert "`kwargs`: expected Keys; at ['key'], field required" in refusal(lambda: validated(fn, other="x"))

    def test_variadic_parameters_of_a_param_spec_take_anything(self):
        def fn(*args: P.args, **kwargs: P.kwargs) -> None: ...

        assert validated(fn, 1, a=2) == {"args": (1,), "kwargs": {"a": 2}}

    def test_any_class_may_be_a_hint_and_asks_for_an_instance(self):
        frame = pd.DataFrame({"a": [1]})

        assert coerced(frame, pd.DataFrame) is frame
        assert coerced(frame, Optional[pd.DataFrame]) is frame
        assert "`x`: expected DataFrame; input should be an instance of DataFrame: `3`" in refusal(
            lambda: coerced(3, pd.DataFrame)
        )

    def test_a_class_whose_own_schema_fails_asks_for_an_instance(self):
        refuses = Refuses()

        assert coerced(refuses, Refuses) is refuses
        assert "expected Refuses" in refusal(lambda: coerced(3, Refuses))

    def test_models_of_pydantic_1_ask_for_an_instance(self):
        old = Old(a=1)

        assert coerced(old, Old) is old
        assert coerced([old], list[Old])[0] is old
        assert coerced(old, Optional[Old]) is old
        assert "expected Old" in refusal(lambda: coerced({"a": 1}, Old))

    def test_a_default_of_none_needs_no_optional(self):
        assert validated(hinted(str, None)) == validated(hinted(str, None), None) == {"x": None}

    def test_a_default_is_coerced_like_a_value_and_left_as_written_when_it_does_not_fit(self):
        assert validated(hinted(dt.date, "2021-01-02")) == {"x": dt.date(2021, 1, 2)}
        assert validated(hinted(int, "later")) == {"x": "later"}
        assert "expected int" in refusal(lambda: validated(hinted(int, "later"), "sooner"))

    def test_a_field_as_default_gives_default_and_constraints(self):
        def fn(
            x: int = pydantic.Field(3, gt=0),
            y: list[int] = pydantic.Field(default_factory=list),  # noqa: B008  meant
            *,
            z: int = pydantic.Field(lt=9),
        ) -> None: ...

        first, second = bind(fn, z=1), bind(fn, z=1)

        assert first == {"x": 3, "y": [], "z": 1}
        assert first["y"] is not second["y"]
        assert Signature.of(fn).bind_names({"z": 1}) == first
        assert "expected int; input should be greater than 0: `-1`" in refusal(lambda: validated(fn, -1, z=1))
        assert "needs a value for `z`" in refusal(lambda: bind(fn))


class TestRefusingValues:
    def test_the_message_names_flow_parameter_type_and_value_one_line_each(self):
        def etl(months: list[int], year: int, color: Literal["yellow", "green"], good: int) -> None: ...

        assert refusal(lambda: validated(etl, [1, "x"], "next", "red", "3")) == (
            "Flow `etl` was given what does not fit the types of its parameters\n"
            "  `months`: expected list[int]; at [1], input should be a valid integer, "
            "unable to parse string as an integer: `'x'`\n"
            "  `year`: expected int; input should be a valid integer, unable to parse string as an integer: `'next'`\n"
            "  `color`: expected Literal['yellow', 'green']; input should be 'yellow' or 'green': `'red'`\n"
            "hint: pass such values, change the type hints, or turn this off with `validate_parameters=False`"
        )

    def test_a_wrong_value_inside_a_model_is_named_by_its_place(self):
        assert "expected list[Database]; at [0]['port'], input should be a valid integer" in refusal(
            lambda: coerced([{"host": "a", "port": "b"}], list[Database])
        )
        assert "expected Database; at ['host'], field required: `{'port': 1}`" in refusal(
            lambda: coerced({"port": 1}, Database)
        )
        assert "at ['frame'], input should be greater than 0 (and 1 more): `0`" in refusal(
            lambda: coerced({"frame": 0, "other": 1}, Strict)
        )

    def test_of_a_union_only_the_types_are_told(self):
        assert "  `x`: expected int | list[int]: `'a'`\n" in refusal(lambda: coerced("a", int | list[int]))

    def test_a_long_value_is_shortened(self):
        assert len(refusal(lambda: coerced("x" * 10_000, int)).splitlines()[1]) < 200

    @pytest.mark.parametrize("hint", [pydantic.SecretStr, Optional[pydantic.SecretStr], Login, list[Login]])
    @pytest.mark.parametrize("value", [["hunter2"], {"password": "hunter2"}, {"user": 1, "password": "hunter2"}])
    def test_a_secret_is_never_told(self, hint: Any, value: Any):
        message = refusal(lambda: coerced(value, hint))

        assert "hunter2" not in message
        assert f"`{MASK}`" in message


@given(
    st.sampled_from([int, str, list[int], dict[str, int], Optional[int], Union[int, str], dt.date, Database]), st.data()
)
def test_validating_agrees_with_pydantic(hint: Any, data: st.DataObject):
    text = st.sampled_from(["3", "x", "2021-01-01", ""])
    some = st.none() | st.booleans() | st.integers() | text | st.lists(st.integers() | text, max_size=3)
    value = data.draw(some | st.dictionaries(st.sampled_from(["host", "port"]), some, max_size=2))
    try:
        expected = pydantic.TypeAdapter(hint).validate_python(value)
    except pydantic.ValidationError:
        with pytest.raises(errors.ParameterError):
            coerced(value, hint)
    else:
        assert coerced(value, hint) == expected
        assert type(coerced(value, hint)) is type(expected)


class TestSchema:
    def test_it_has_the_shape_that_forms_know(self):
        def etl_parent_flow(months: list[int] = [1, 2], year: int = 2021, color: str = "yellow") -> None:  # noqa: B006  meant
            ...

        assert schema(Signature.of(etl_parent_flow)) == {
            "title": "Parameters",
            "type": "object",
            "properties": {
                "months": {
                    "title": "months",
                    "default": [1, 2],
                    "position": 0,
                    "type": "array",
                    "items": {"type": "integer"},
                },
                "year": {"title": "year", "default": 2021, "position": 1, "type": "integer"},
                "color": {"title": "color", "default": "yellow", "position": 2, "type": "string"},
            },
            "required": [],
            "definitions": {},
        }

    def test_models_and_enums_are_definitions_and_parameters_without_default_are_required(self):
        def fn(db: Database, colour: Colour = Colour.GREEN, other: Optional[Database] = None) -> None: ...

        made = schema(Signature.of(fn))

        assert made["required"] == ["db"]
        assert made["properties"]["db"] == {"title": "db", "position": 0, "$ref": "#/definitions/Database"}
        assert made["properties"]["colour"]["default"] == "green"
        assert made["properties"]["other"]["anyOf"] == [{"$ref": "#/definitions/Database"}, {"type": "null"}]
        assert set(made["definitions"]) == {"Database", "Colour"}

    def test_models_of_the_same_name_are_told_apart(self):
        class Other:
            class Database(pydantic.BaseModel):
                url: str

        def fn(one: Database, two: Any) -> None: ...

        fn.__annotations__["two"] = Other.Database
        made = schema(Signature.of(fn))

        assert len(made["definitions"]) == 2
        assert made["properties"]["one"]["$ref"] != made["properties"]["two"]["$ref"]

    def test_defaults_have_their_form_in_json_or_are_left_out(self):
        defaults = {
            "date": dt.date(2021, 1, 2),
            "path": Path("a"),
            "model": Database(host="a"),
            "frame": pd.DataFrame(),
            "odd": object(),
            "number": float("nan"),
            "secret": pydantic.SecretStr("hunter2"),
        }

        def fn(*, date: Any, path: Any, model: Any, frame: Any, odd: Any, number: Any, secret: Any) -> None: ...

        fn.__kwdefaults__ = defaults
        made = schema(Signature.of(fn))
        shown = {name: entry["default"] for name, entry in made["properties"].items() if "default" in entry}

        assert shown == {"date": "2021-01-02", "path": "a", "model": {"host": "a", "port": 5432}}
        assert made["required"] == []

    def test_a_default_that_holds_a_secret_is_left_out(self):
        def fn(login: Login, key: pydantic.SecretStr) -> None: ...

        fn.__defaults__ = (Login(user="me", password=pydantic.SecretStr("hunter2")), "hunter2")

        assert "hunter2" not in json.dumps(schema(Signature.of(fn)))

    def test_types_without_a_schema_take_anything(self):
        def fn(
            *,
            frame: pd.DataFrame,
            frames: list[pd.DataFrame],
            old: Old,
            box: Box,
            refuses: Refuses,
            call: Callable[[], int],
        ) -> None: ...

        made = schema(Signature.of(fn))["properties"]

        assert made["frame"] == {"title": "frame", "position": 0}
        assert made["frames"] == {"title": "frames", "position": 1, "type": "array", "items": {}}
        assert made["old"] == {"title": "old", "position": 2}
        assert made["box"]["$ref"] == "#/definitions/Box"
        assert made["refuses"] == {"title": "refuses", "position": 4}
        assert made["call"] == {"title": "call", "position": 5}

    def test_descriptions_come_from_the_docstring_unless_the_hint_has_its_own(self):
        def fn(
            a: int,
            b: Annotated[int, pydantic.Field(description="from the hint")],
            c: int = pydantic.Field(1, title="C!"),
        ) -> None:
            """Do it.

            Args:
                a: from the docstring
                b: not this
                c: the third
            """

        made = schema(Signature.of(fn))["properties"]

        assert made["a"]["description"] == "from the docstring"
        assert made["b"]["description"] == "from the hint"
        assert made["c"] == {"title": "C!", "default": 1, "position": 2, "type": "integer", "description": "the third"}

    def test_variadic_parameters_are_arrays_and_objects_that_nobody_needs_to_give(self):
        def fn(*args: int, **kwargs: str) -> None: ...

        made = schema(Signature.of(fn))

        assert made["properties"]["args"]["items"] == {"type": "integer"}
        assert made["properties"]["kwargs"]["additionalProperties"] == {"type": "string"}
        assert made["required"] == []

    def test_without_parameters_or_hints_there_is_little_to_say(self):
        assert schema(Signature.of(nothing))["properties"] == {}
        assert schema(Signature.of(plain))["properties"] == {"x": {"title": "x", "position": 0}}


class TestPreview:
    def test_arguments_are_shown_as_json_with_secrets_masked(self):
        secret = pydantic.SecretStr("hunter2")

        assert preview({"x": 1, "when": dt.date(2021, 1, 2), "key": secret}) == {
            "x": 1,
            "when": "2021-01-02",
            "key": MASK,
        }

    def test_a_value_that_was_not_validated_is_masked_by_its_hint(self):
        signature = Signature.of(hinted(Optional[pydantic.SecretStr]))

        assert preview({"x": "hunter2"}, signature) == {"x": MASK}
        assert preview({"x": None}, signature) == {"x": None}


class TestTheCommandLine:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("3", 3),
            ("1.5", 1.5),
            ("true", True),
            ("null", None),
            ("[1, 2]", [1, 2]),
            ('{"a": null}', {"a": None}),
            ('"3"', "3"),
            ("yellow", "yellow"),
            ("2021-01-02", "2021-01-02"),
            ("007", "007"),
            ("[1, 2", "[1, 2"),
            ("NaN", "NaN"),
            ("-Infinity", "-Infinity"),
            ("", ""),
            (" 3 ", 3),
            pytest.param("1" * 5000, "1" * 5000, id="a very large number"),
            pytest.param("[" * 100_000, "[" * 100_000, id="very deep"),
        ],
    )
    def test_values_are_json_and_bare_words_are_strings(self, text: str, value: Any):
        assert parse_cli(text) == value
        assert type(parse_cli(text)) is type(value)


def test_nothing_heavy_is_imported_until_a_value_needs_it():
    code = """
import sys
from typing import Any, Optional
from penstock.core.parameters import Signature, parse_cli, preview, validate

def etl(months: list[int], year: int = 2021, name: Optional[str] = None, anything: Any = None, plain=1, *rest: int): ...

signature = Signature.of(etl)
arguments = validate(signature, signature.bind(([1, 2], 2020, "a", object(), {}, 3), {}), "etl")
preview(arguments, signature)
parse_cli("[1]")
assert "pydantic" not in sys.modules
validate(signature, signature.bind((["1"],), {}), "etl")
assert "pydantic" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
