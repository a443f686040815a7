from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core import caching
from penstock.core.caching import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    RUN_ID,
    TASK_SOURCE,
    CacheContext,
    CachePolicy,
    Component,
    key_of,
    task_input_hash,
)

policies = st.sampled_from([INPUTS, TASK_SOURCE, RUN_ID, FLOW_PARAMETERS, NO_CACHE])


def context(**changed: Any) -> CacheContext:
    given_: dict[str, Any] = {
        "task": None,
        "task_key": "m.t",
        "flow_run_id": "run",
        "flow_parameters": {"p": 1},
        "source": lambda: "source",
        "digest": lambda value: None if value is ... else repr(value),
    }
    return CacheContext(**{**given_, **changed})


def key(policy: CachePolicy, arguments: dict[str, Any], **changed: Any) -> str | None:
    return key_of(policy.components(context(**changed), arguments))


def test_inputs_are_the_arguments_one_by_one_whatever_their_order():
    assert INPUTS.components(context(), {"b": 2, "a": 1}) == [
        Component("task", "m.t"), Component("a", "1"), Component("b", "2"),
    ]  # fmt: skip
    assert key(INPUTS, {"b": 2, "a": 1}) == key(INPUTS, {"a": 1, "b": 2})
    assert key(INPUTS, {"a": 1}) != key(INPUTS, {"a": 2})


@pytest.mark.parametrize(
    ("policy", "changed"),
    [
        (TASK_SOURCE, {"source": lambda: "other"}),
        (RUN_ID, {"flow_run_id": "other"}),
        (FLOW_PARAMETERS, {"flow_parameters": {"p": 2}}),
        (INPUTS, {"task_key": "m.other"}),
    ],
)
def test_a_key_depends_on_what_its_policy_names(policy: CachePolicy, changed: dict[str, Any]):
    assert key(policy, {"a": 1}) != key(policy, {"a": 1}, **changed)


def test_a_key_does_not_depend_on_what_its_policy_does_not_name():
    assert key(INPUTS, {"a": 1}) == key(INPUTS, {"a": 1}, source=lambda: "other", flow_run_id="other")
    assert key(TASK_SOURCE, {"a": 1}) == key(TASK_SOURCE, {"a": 2})


def test_an_argument_can_be_left_out_of_the_key():
    policy = INPUTS - "verbose"

    assert key(policy, {"a": 1, "verbose": True}) == key(policy, {"a": 1, "verbose": False})
    assert key(policy + TASK_SOURCE, {"a": 1, "verbose": 1}) == key(policy + TASK_SOURCE, {"a": 1, "verbose": 2})
    assert RUN_ID - "a" == RUN_ID


@given(policies, policies, policies)
def test_policies_add_up_whatever_the_brackets(a: CachePolicy, b: CachePolicy, c: CachePolicy):
    assert (a + b) + c == a + (b + c)
    assert a + a == a
    assert a + NO_CACHE == a
    assert hash(a + b) == hash(a + b)


def test_a_policy_says_what_it_is_made_of():
    assert repr(DEFAULT) == "INPUTS + TASK_SOURCE + RUN_ID"
    assert repr(INPUTS - "b" - "a") == "INPUTS - 'a' - 'b'"
    assert repr(NO_CACHE) == "NO_CACHE"
    assert INPUTS != "INPUTS"


def test_what_cannot_be_hashed_gives_no_key():
    assert key(INPUTS, {"a": 1, "b": ...}) is None
    assert task_input_hash(context(), {"a": ...}) is None


def test_the_hash_of_a_tasks_input_depends_on_source_and_arguments_and_not_on_the_run():
    before = task_input_hash(context(), {"a": 1})

    assert before == task_input_hash(context(flow_run_id="other"), {"a": 1})
    assert before != task_input_hash(context(source=lambda: "other"), {"a": 1})
    assert before != task_input_hash(context(), {"a": 2})
    assert before is not None
    assert len(before) <= caching.MAX_KEY_LENGTH


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=4), st.text(max_size=5))
def test_keys_of_different_components_differ(pairs: list[tuple[str, str]], extra: str):
    components = [Component(*pair) for pair in pairs]

    assert key_of(components) == key_of(list(components))
    assert key_of([*components, Component("x", extra)]) != key_of(components)


def test_a_source_with_any_character_can_be_digested():
    assert key(TASK_SOURCE, {}, source=lambda: "\udce9") is not None
