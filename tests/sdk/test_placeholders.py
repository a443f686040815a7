from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

import pytest

from penstock.errors import UsageError
from penstock.sdk.placeholders import Placeholder, nodes_in_text

RESULT = Placeholder("extract-0", "task `extract`")


def test_it_survives_being_passed_around():
    other = Placeholder("extract-0", "task `extract`")
    named = {RESULT: 1}

    assert named[RESULT] == 1
    assert {RESULT, other} == {other, RESULT}
    assert other != RESULT
    assert copy.deepcopy([RESULT])[0].penstock_node == "extract-0"
    assert isinstance(RESULT.columns["a"].mean(axis=0), Placeholder)


def test_it_is_printed_as_what_it_stands_for_and_found_again_in_texts():
    assert f"{RESULT:>30,} {RESULT!s}" == "<result of extract-0> <result of extract-0>"
    assert nodes_in_text(f"s3://{RESULT}/{Placeholder('b-1', 'task `b`')}.csv") == ["extract-0", "b-1"]
    assert nodes_in_text("nothing") == []


def test_other_libraries_do_not_find_their_protocols_in_it():
    assert not hasattr(RESULT, "_repr_html_")
    assert not hasattr(RESULT, "__array__")


REFUSED: dict[str, Callable[[Any], Any]] = {
    "tested for truth": bool,
    "iterated or unpacked": list,
    "asked for its length": len,
    "searched": lambda result: 1 in result,
    "compared": lambda result: result == "done",
    "compared ": lambda result: result < 3,
    "calculated with": lambda result: result + 1,
    "calculated with ": lambda result: 1 - result,
    "calculated with  ": lambda result: -result,
    "made a number": int,
    "used as a path": os.fspath,
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_it_cannot_do_is_told_with_what_helps(what: str):
    with pytest.raises(UsageError) as caught:
        REFUSED[what](RESULT)

    assert f"task `extract` was not run, and its result cannot be {what.strip()}" in caught.value.message
    assert "viz_return_value" in (caught.value.hint or "")


def test_entering_it_as_a_context_is_refused():
    result: Any = RESULT

    with pytest.raises(UsageError, match="entered as a context"), result:
        pass


def test_a_subflow_has_no_viz_return_value_to_recommend():
    with pytest.raises(UsageError) as caught:
        bool(Placeholder("child-0", "flow `child`"))

    assert caught.value.hint == "let a task look into the result"
