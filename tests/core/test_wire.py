"""How requests travel: taken apart and put together again, each is what it was."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import errors
from penstock.core import operations, wire
from penstock.core.operations import Operation, Request, operation_of
from penstock.core.operations.deployments import GetDeployment, PauseSchedule, RunDeployment
from penstock.core.operations.flow_runs import ListFlowRuns
from penstock.core.operations.work import ClaimFlowRuns, Heartbeat, Held
from penstock.core.states import StateType

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
KEPT = st.integers(-(1 << 63), (1 << 64) - 1)
PATH_VALUE = TEXT.filter(lambda text: text not in {".", ".."})


def there_and_back(request: Request[Any]) -> Request[Any]:
    """The request as the other side makes it again."""
    operation = operation_of(request)
    path, body = wire.parts(request)
    parsed = urlsplit(path)
    values = path_values(operation, parsed.path)
    if wire.has_body(operation):
        assert not parsed.query
        return wire.from_body(operation, values, body or b"")
    assert body is None
    return wire.from_query(operation, values, parse_qsl(parsed.query, keep_blank_values=True))


def path_values(operation: Operation, path: str) -> dict[str, str]:
    pairs = zip(operation.path.split("/"), path.split("/"), strict=True)
    return {name[1:-1]: unquote(value) for name, value in pairs if name.startswith("{")}


@given(name=PATH_VALUE, schedule=PATH_VALUE)
def test_any_text_travels_as_one_segment_of_a_path(name: str, schedule: str):
    for request in (GetDeployment(deployment=name), PauseSchedule(deployment=name, schedule=schedule)):
        assert there_and_back(request) == request


@given(
    flow=st.none() | TEXT,
    state=st.lists(st.sampled_from(StateType)),
    tag=st.lists(TEXT),
    since=st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
    roots=st.booleans(),
)
def test_what_the_path_does_not_name_travels_in_the_query(
    flow: str | None, state: list[StateType], tag: list[str], since: int | None, roots: bool
):
    request = ListFlowRuns(flow=flow, state=tuple(state), tag=tuple(tag), since=since, roots=roots)

    assert there_and_back(request) == request


@given(
    parameters=st.dictionaries(TEXT, st.recursive(st.none() | st.booleans() | KEPT | TEXT, st.lists)),
    seconds=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    tags=st.lists(TEXT),
)
def test_or_as_json_in_the_body(parameters: dict[str, Any], seconds: float | None, tags: list[str]):
    request = RunDeployment(deployment="a/b", parameters=parameters, in_seconds=seconds, tags=tuple(tags))

    assert there_and_back(request) == request


def test_what_has_its_default_does_not_travel():
    assert wire.parts(ListFlowRuns()) == ("/flow-runs", None)
    assert wire.parts(ClaimFlowRuns(worker_id="w", pool="p")) == ("/workers/w/claim", b'{"pool":"p"}')
    assert wire.parts(GetDeployment(deployment="my flow/a~b")).path == "/deployments/my%20flow~1a~0b"


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_path_cannot_carry_what_would_make_it_another_path(value: str):
    with pytest.raises(errors.UsageError, match="`deployment` cannot be"):
        wire.parts(GetDeployment(deployment=value))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "a JSON object"),
        (b'{"nope": 1}', "unknown field `nope`"),
        (b'{"deployment": "x"}', "`deployment` is given by the path"),
        (b'{"priority": "1"}', r"Expected `int`, got `str` - at `\$.priority`"),
        (b'{"priority": 9223372036854775808}', "`priority` is out of range"),
        (b'{"priority": 1e400}', "not JSON|Expected"),
        (b'{"name": "a\\u0000b"}', "`name` holds a NUL character"),
        (b'{"tags": ["a", "\\u0000"]}', "`tags` holds a NUL character"),
        (b'{"parameters": ' + b"[" * 70 + b"]" * 70 + b"}", "nested too deeply"),
        (b"[" * 100_000, "not JSON|nested too deeply"),
        (b'{"parameters": {"x": [18446744073709551616]}}', "more than 64 bits"),
        (b'{"parameters": {"x": {"y": -9223372036854775809}}}', "more than 64 bits"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_with_the_reason(body: bytes, said: str):
    with pytest.raises(errors.UsageError, match=said):
        wire.from_body(operation_of(RunDeployment), {"deployment": "a~1b"}, body)


def test_what_is_nested_just_so_deeply_is_taken():
    deep = b"[" * 62 + b"]" * 62
    body = b'{"parameters": {"x": %s, "y": %s}}' % (deep, deep)

    request: Any = wire.from_body(operation_of(RunDeployment), {"deployment": "d"}, body)
    assert set(request.parameters) == {"x", "y"}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ([("nope", "1")], "unknown field `nope`"),
        ([("limit", "1"), ("limit", "2")], "only once: `limit`"),
        ([("limit", "many")], r"at `\$.limit`"),
        ([("state", "ASLEEP")], r"at `\$.state\[0\]`"),
        ([("since", "99999999999999999999")], "`since` is out of range"),
    ],
)
def test_a_query_that_does_not_fit_is_refused_with_the_reason(query: list[tuple[str, str]], said: str):
    with pytest.raises(errors.UsageError, match=said):
        wire.from_query(operation_of(ListFlowRuns), {}, query)


def test_nested_values_are_looked_at_too():
    body = b'{"runs": [{"run_id": "r", "attempt": 99999999999999999999}]}'
    with pytest.raises(errors.UsageError, match="out of range"):
        wire.from_body(operation_of(Heartbeat), {"worker_id": "w"}, body)
    fine = wire.from_body(operation_of(Heartbeat), {"worker_id": "w"}, b'{"runs": [{"run_id": "r", "attempt": 1}]}')
    assert fine == Heartbeat(worker_id="w", runs=(Held(run_id="r", attempt=1),))


def test_every_operation_can_travel():
    paths: set[tuple[str, str]] = set()
    for operation in operations.every():
        assert set(operation.path_fields) <= set(operation.request.__struct_fields__)
        shape = "/".join("{}" if part.startswith("{") else part for part in operation.path.split("/"))
        assert (operation.method, shape) not in paths, "two operations would be one route"
        paths.add((operation.method, shape))
