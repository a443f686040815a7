from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import errors
from penstock.core import states, transitions
from penstock.core.states import FINAL, State, StateType, Unloaded
from penstock.core.transitions import FOLLOWS, may_follow

types = st.sampled_from(StateType)


# States -------------------------------------------------------------------------------------------


def test_a_state_is_named_after_its_type_unless_it_has_a_finer_name():
    assert State(type=StateType.COMPLETED).name == "Completed"
    assert State(type=StateType.COMPLETED, name="Cached").name == "Cached"


@pytest.mark.parametrize(
    ("state", "kind", "name"),
    [
        (states.Scheduled(), StateType.SCHEDULED, "Scheduled"),
        (states.Scheduled(name="Late"), StateType.SCHEDULED, "Late"),
        (states.AwaitingRetry(), StateType.SCHEDULED, "AwaitingRetry"),
        (states.Pending(), StateType.PENDING, "Pending"),
        (states.Running(), StateType.RUNNING, "Running"),
        (states.Retrying(), StateType.RUNNING, "Retrying"),
        (states.Completed(), StateType.COMPLETED, "Completed"),
        (states.Completed(name="Skipped"), StateType.COMPLETED, "Skipped"),
        (states.Cached(), StateType.COMPLETED, "Cached"),
        (states.Failed(), StateType.FAILED, "Failed"),
        (states.TimedOut(), StateType.FAILED, "TimedOut"),
        (states.NotReady(), StateType.FAILED, "NotReady"),
        (states.Crashed(), StateType.CRASHED, "Crashed"),
        (states.Interrupted(), StateType.CRASHED, "Interrupted"),
        (states.Cancelled(), StateType.CANCELLED, "Cancelled"),
        (states.Paused(), StateType.PAUSED, "Paused"),
    ],
    ids=lambda value: str(value),
)
def test_each_word_for_a_state_is_of_its_type(state: State, kind: StateType, name: str):
    assert (state.type, state.name) == (kind, name)
    assert state.is_final == (kind in FINAL) == kind.is_final
    asked = {
        StateType.SCHEDULED: state.is_scheduled(),
        StateType.PENDING: state.is_pending(),
        StateType.RUNNING: state.is_running(),
        StateType.PAUSED: state.is_paused(),
        StateType.COMPLETED: state.is_completed(),
        StateType.FAILED: state.is_failed(),
        StateType.CRASHED: state.is_crashed(),
        StateType.CANCELLED: state.is_cancelled(),
    }
    assert [each for each, answer in asked.items() if answer] == [kind]


def test_the_result_of_a_completed_run_is_its_value():
    assert states.Completed(data=3).result() == 3
    assert states.Completed().result() is None


def test_a_kept_value_is_read_when_it_is_asked_for():
    class Kept(Unloaded):
        def load(self) -> int:
            return 7

    assert states.Completed(data=Kept()).result() == 7


def test_a_value_that_is_kept_nowhere_is_missing():
    with pytest.raises(errors.MissingResult):
        states.Completed(data=Unloaded()).result()


def test_the_result_of_a_failed_run_is_its_exception_raised_or_returned():
    error = ValueError("no")

    with pytest.raises(ValueError, match="no"):
        states.Failed(data=error).result()
    assert states.Failed(data=error).result(raise_on_failure=False) is error


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (states.Failed("why"), errors.FailedRun),
        (states.Crashed("why"), errors.CrashedRun),
        (states.Cancelled("why"), errors.CancelledRun),
        (states.Running("why"), errors.UnfinishedRun),
    ],
)
def test_a_state_without_an_exception_raises_one_of_its_kind_with_its_message(state: State, kind: type[Exception]):
    with pytest.raises(kind, match="why"):
        state.result()


def test_a_state_without_a_message_says_its_name_at_least():
    with pytest.raises(errors.UnfinishedRun, match="The run is Pending"):
        states.Pending().result()


def test_a_state_tells_when_it_was_entered():
    state = State(type=StateType.RUNNING, at=1_700_000_000_123_456)

    assert state.timestamp == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)


def test_a_state_reads_as_its_name_and_message():
    assert str(states.Failed("it broke")) == "Failed('it broke')"
    assert str(states.Completed()) == "Completed()"


def test_a_state_can_be_pickled():
    state = states.Failed("it broke", ValueError("x"))

    assert str(pickle.loads(pickle.dumps(state)).data) == "x"


# Transitions --------------------------------------------------------------------------------------


def test_every_type_has_its_row():
    assert set(FOLLOWS) == {None, *StateType}


@given(types, types)
def test_nothing_follows_a_final_state_but_in_a_new_attempt(before: StateType, after: StateType):
    if before in FINAL:
        assert not may_follow(before, after)
        assert may_follow(before, after, new_attempt=True) == (after in transitions.REOPENS[before])
    else:
        assert may_follow(before, after) == may_follow(before, after, new_attempt=True)


@given(st.lists(types, max_size=30))
def test_a_run_that_keeps_to_the_table_ends_at_most_once(path: list[StateType]):
    state: StateType | None = None
    taken: list[StateType] = []
    for after in path:
        if may_follow(state, after):
            state = after
            taken.append(after)

    assert all(each not in FINAL for each in taken[:-1])


@given(types)
def test_every_final_state_can_be_reached_from_any_that_is_not(before: StateType):
    if before not in FINAL:
        assert all(may_follow(before, after) for after in FINAL)


@given(types)
def test_what_is_being_cancelled_does_not_start_again(after: StateType):
    assert may_follow(StateType.CANCELLING, after) == (after in FINAL)


@pytest.mark.parametrize("name", ["Late", "Resuming", "Suspended", "TimedOut", "Poison", "AwaitingRetry"])
def test_the_names_that_a_server_gives_can_be_asked_for(name: str):
    assert states.meant(name.lower()) == name
