"""Parameters against the schema of a flow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from penstock.core import parameters
from penstock.core.parameter_schemas import check_schema, problems


class Credentials(BaseModel):
    user: str
    password: SecretStr


def etl(
    year: int,
    months: list[int] = [1, 2],  # noqa: B006  as people write it
    color: Literal["yellow", "green"] = "yellow",
    day: date | None = None,
    at: datetime = datetime(2020, 1, 1),  # noqa: DTZ001  as people write it
    pair: tuple[int, str] = (1, "a"),
    note: str = None,  # type: ignore[assignment]  # noqa: RUF013  as people write it
    credentials: Credentials | None = None,
) -> None: ...


def open_ended(name: str, **more: Any) -> None: ...


SCHEMA = parameters.schema(parameters.Signature.of(etl))


@pytest.mark.parametrize(
    "given",
    [
        {"year": 2021},
        {"year": 2021, "months": [1, 2, 3, 4], "color": "green"},
        {"year": 2021, "day": "2021-05-01", "at": "2021-05-01T10:00:00"},
        {"year": 2021, "day": None, "at": "2021-05-01", "pair": [1, "b"], "credentials": None},
        {"year": 2021, "note": None},
        {"year": 2021, "credentials": {"user": "root", "password": "root"}},
    ],
)
def test_values_that_fit_are_no_problem(given: dict[str, Any]):
    assert problems(SCHEMA, given) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"year": "2021"}, '`year` should be a whole number, not: `"2021"`'),
        ({"year": True}, "`year` should be a whole number, not: `true`"),
        ({"months": 5}, "`months` should be a list, not: `5`"),
        ({"months": [1, "two"]}, '`months[1]` should be a whole number, not: `"two"`'),
        ({"color": "red"}, '`color` should be one of `"yellow"`, `"green"`, not: `"red"`'),
        ({"day": "tomorrow"}, '`day` should be a date like `2026-11-25` or null, not: `"tomorrow"`'),
        ({"at": "noon"}, '`at` should be a time like `2026-11-25T06:00:00Z`, not: `"noon"`'),
        ({"pair": [1, 2]}, "`pair[1]` should be a text, not: `2`"),
        ({"pair": [1]}, "`pair` does not fit: [1] has less than 2 items"),
        ({"mnths": [1]}, "It has no parameter `mnths`; did you mean `months`?"),
        ({"credentials": 5}, "`credentials` should be an object (`Credentials`) or null; its value is not shown here"),
    ],
)
def test_each_misfit_is_a_sentence(given: dict[str, Any], told: str):
    assert problems(SCHEMA, {"year": 2021} | given) == [told]


@pytest.mark.parametrize(
    ("described", "value", "told"),
    [
        ({"$ref": "#/definitions/Model"}, {}, "`x` needs a value for `a`"),
        ({"$ref": "#/definitions/Model"}, {"a": 1, "b": 2}, "`x` has no field `b`"),
        ({"const": "v1"}, "v2", '`x` should be `"v1"`, not: `"v2"`'),
        ({"minimum": 3}, 1, "`x` does not fit: 1 is less than the minimum of 3"),
        ({"writeOnly": True, "minLength": 9}, "secret", "`x` does not fit; its value is not shown here"),
        (
            {"oneOf": [{"const": 1}, {"enum": ["a", "b"]}, {"type": "boolean"}]},
            "c",
            '`x` should be `1`, `"a"` or `"b"` or true or false, not: `"c"`',
        ),
        ({"anyOf": [{"minimum": 3}, {"type": "null"}]}, 1, "`x` does not fit: 1 is not valid under any of the schemas"),
    ],
)
def test_other_rules_are_told_as_well(described: dict[str, Any], value: Any, told: str):
    model = {"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}

    (problem,) = problems({"properties": {"x": described}, "definitions": {"Model": model}}, {"x": value})

    assert problem.startswith(told)
    assert "secret" not in problem


def test_a_missing_value_matters_only_when_all_have_to_be_there():
    assert problems(SCHEMA, {}) == ["It needs a value for `year`"]
    assert problems(SCHEMA, {}, complete=False) == []


def test_an_unknown_name_far_from_all_others_is_told_with_those_that_there_are():
    assert problems(SCHEMA, {"year": 1, "xyz": 1})[0].startswith(
        "It has no parameter `xyz`; its parameters are: `year`, "
    )
    assert problems(parameters.schema(parameters.Signature.of(lambda: None)), {"xyz": 1}) == [
        "It has no parameter `xyz`; it takes none"
    ]


def test_a_flow_that_takes_any_name_is_given_any_name():
    schema = parameters.schema(parameters.Signature.of(open_ended))

    assert problems(schema, {"name": "x", "whatever": [1]}) == []


def test_a_secret_is_never_shown():
    told = problems(SCHEMA, {"year": 1, "credentials": {"user": 5, "password": 12345678}})

    assert told
    assert "12345678" not in " ".join(told)


def test_long_values_and_many_problems_are_shortened():
    told = problems(SCHEMA, {"year": "x" * 1000, "months": ["x"] * 1000})

    assert len(told) == 21
    assert told[-1] == "… and 981 more"
    assert max(map(len, told)) < 150


def test_a_schema_that_says_nothing_refuses_nothing():
    assert problems({}, {"anything": 1}) == []


def test_the_schemas_of_prefect_2_are_understood():
    schema = {
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
            "pair": {
                "title": "pair",
                "position": 1,
                "type": "array",
                "items": [{"type": "integer"}, {"type": "string"}],
            },
            "limit": {"title": "limit", "position": 2, "type": "integer"},
            "model": {"title": "model", "position": 3, "allOf": [{"$ref": "#/definitions/Model"}]},
        },
        "required": ["model"],
        "definitions": {"Model": {"title": "Model", "type": "object", "properties": {"a": {"type": "integer"}}}},
    }

    assert problems(schema, {"model": {"a": 1}, "months": [3], "pair": [1, "a"], "limit": None}) == []
    assert problems(schema, {"model": {"a": "x"}, "pair": ["a", "a"]}) == [
        '`model.a` should be a whole number, not: `"x"`',
        '`pair[0]` should be a whole number, not: `"a"`',
    ]


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A web server that keeps what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002  as its base calls it

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_nothing_that_a_schema_refers_to_is_fetched(listener: tuple[str, list[str]]):
    address, asked = listener
    schema = {"properties": {"x": {"$ref": f"{address}/evil.json"}, "y": {"$ref": "file:///etc/passwd"}}}

    told = problems(schema, {"x": 1, "y": 2})

    assert [line.partition(":")[0] for line in told] == [
        "The schema of parameter `x` cannot be used",
        "The schema of parameter `y` cannot be used",
    ]
    assert check_schema(schema) == told
    assert asked == []


def test_a_pattern_that_would_take_for_ever_does_not():
    schema = {"properties": {"x": {"type": "string", "pattern": r"^(a|a)*(?=b)$"}}}

    assert problems(schema, {"x": "a" * 40 + "c"}) != []


def test_what_is_no_json_or_nested_without_end_is_refused():
    value: Any = []
    for _ in range(100_000):
        value = [value]
    lists = {"type": "array", "items": {"$ref": "#/definitions/Lists"}}
    schema = {"properties": {"x": {"$ref": "#/definitions/Lists"}}, "definitions": {"Lists": lists}}

    assert problems(schema, {"x": value})[0].startswith("`x` is no JSON value: ")
    assert problems(schema, {"x": [object()]})[0].startswith("`x` is no JSON value: ")
    assert problems(schema, {"x": [[[]]]}) == []


@pytest.mark.parametrize("schema", [{"properties": [1]}, {"properties": {"x": 1}}, {"properties": {}, "required": 5}])
def test_what_is_no_schema_is_told(schema: dict[str, Any]):
    assert len(check_schema(schema)) == 1
    assert problems(schema, {"x": 1}) == check_schema(schema)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "type properties items anyOf allOf $ref $defs required enum const pattern format x y".split()
            ),
            inner
            | st.sampled_from(["object", "array", "integer", "#", "#/definitions/x", "#/properties/x", "(", "date"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(
    st.sampled_from(["properties", "required", "definitions", "$defs", "additionalProperties", "type"]),
    JSON,
    max_size=5,
)


@given(schema=OBJECTS, parameters=st.dictionaries(st.sampled_from("xyz"), JSON, max_size=3))
def test_whatever_is_given_is_answered_by_sentences(schema: dict[str, Any], parameters: dict[str, Any]):
    """The API takes any JSON for a schema, and for parameters."""
    told = [*check_schema(schema), *problems(schema, parameters), *problems(schema, parameters, complete=False)]

    assert all(isinstance(each, str) for each in told)


@given(described=JSON, value=JSON)
def test_whatever_describes_a_parameter_is_answered_by_sentences(described: Any, value: Any):
    schema = {"properties": {"x": described}, "definitions": {"x": described}}

    assert all(isinstance(each, str) for each in [*check_schema(schema), *problems(schema, {"x": value})])
