from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import errors
from penstock.core import outcomes, states
from penstock.core.outcomes import StateCounts, count, describe, of_exception, of_value
from penstock.core.states import State, StateType

any_state = st.sampled_from(
    [
        states.Completed(),
        states.Cached(),
        states.Failed(),
        states.TimedOut(),
        states.NotReady(),
        states.Crashed(),
        states.Cancelled(),
        states.Running(),
        states.Pending(),
    ]
)
final = any_state.filter(lambda state: state.is_final)


def shown(state: State) -> tuple[str, str | None]:
    return state.name, state.message


@given(any_state)
def test_a_returned_state_counts_as_it_is(state: State):
    assert of_value(state, count([states.Failed()])) is state


@pytest.mark.parametrize("value", [0, "", [], {}, (), [1], [states.Completed(), 1], {"state": states.Failed()}])
def test_any_other_value_is_success_whatever_the_task_runs_did(value: Any):
    state = of_value(value, count([states.Failed()]))

    assert state.is_completed()
    assert state.data == value


def test_nothing_returned_means_that_all_task_runs_count():
    assert shown(of_value(None, count([states.Completed(), states.Cached()]))) == ("Completed", "All states completed.")
    assert shown(of_value(None, count([states.Completed(), states.Failed()]))) == ("Failed", "1/2 states failed.")


def test_nothing_returned_and_nothing_run_is_success():
    assert of_value(None, None).is_completed()
    assert of_value(None, StateCounts()).is_completed()


@pytest.mark.parametrize("collection", [list, tuple, lambda many: many])
def test_returned_states_count_together(collection: Any):
    many = [states.Completed(), states.Failed("a"), states.Crashed("b")]

    state = of_value(collection(many), StateCounts())

    assert shown(state) == ("Failed", "2/3 states failed.")
    assert list(state.data) == many


@pytest.mark.parametrize(
    ("many", "name", "message"),
    [
        ([states.Completed()] * 3, "Completed", "All states completed."),
        ([states.Completed(), states.Cancelled(), states.Failed()], "Cancelled", "1/3 states cancelled."),
        ([states.Completed(), states.NotReady()], "Failed", "1/2 states are not ready."),
        ([states.Failed(), states.NotReady(), states.TimedOut()], "Failed", "2/3 states failed, 1 not ready."),
        ([states.Cancelled(), states.NotReady()], "Cancelled", "1/2 states cancelled, 1 not ready."),
        ([states.Completed(), states.Running()], "Failed", "1/2 states are not final."),
    ],
)
def test_many_states_make_one(many: list[State], name: str, message: str):
    assert shown(outcomes.together(count(many))) == (name, message)


@given(st.lists(final, min_size=1))
def test_many_final_states_are_completed_only_if_all_are(many: list[State]):
    state = outcomes.together(count(many))

    assert state.is_completed() == all(each.is_completed() for each in many)
    assert state.is_cancelled() == any(each.is_cancelled() for each in many)
    assert count(many).total == len(many)


def test_an_exception_is_a_failure_that_tells_of_it():
    error = ValueError("no good")
    state = of_exception(error, "Task")

    assert shown(state) == ("Failed", "Task run encountered an exception. ValueError: no good")
    assert state.data is error


def test_too_long_is_timed_out():
    error = errors.TimedOut("x")

    assert shown(of_exception(error, "Flow", 1)) == ("TimedOut", "Flow run exceeded timeout of 1.0 seconds")
    assert of_exception(error, "Flow").name == "Failed"


def test_a_keyboard_interrupt_is_an_interruption_not_a_failure():
    assert of_exception(KeyboardInterrupt(), "Flow").name == "Interrupted"
    assert of_exception(KeyboardInterrupt(), "Flow").type is StateType.CRASHED


def test_a_cancelled_coroutine_is_cancelled():
    assert of_exception(asyncio.CancelledError(), "Task").is_cancelled()


def test_a_run_that_crashed_is_not_a_failure_of_the_code():
    assert shown(of_exception(errors.CrashedRun("the worker died"), "Task")) == ("Crashed", "the worker died")


def test_leaving_the_process_is_told_with_its_code():
    assert describe(SystemExit(3)) == "SystemExit: sys.exit(3) was called"


def test_an_exception_that_says_nothing_is_told_by_its_type():
    assert describe(ValueError()) == "ValueError"


def test_an_exception_that_cannot_tell_of_itself_is_told_by_its_type():
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert describe(Broken()) == "Broken: (its text raises RuntimeError)"


def test_an_exception_that_says_very_much_is_cut_short():
    assert len(describe(ValueError("x" * 1_000_000))) < 20_000


def test_what_an_exception_says_can_always_be_written_down():
    describe(ValueError("\udce9")).encode()
