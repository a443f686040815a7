from __future__ import annotations

from typing import Any

import pytest
from tests.orchestration.plant import Plant

from penstock import errors
from penstock.core import records
from penstock.core.operations import flow_runs as of_runs
from penstock.core.operations import pauses as ask
from penstock.core.operations import work as of_work
from penstock.core.work import ExitReason
from penstock.testing import FakeClock

SCHEMA = {
    "type": "object",
    "properties": {"approve": {"type": "boolean"}, "reason": {"type": "string", "default": ""}},
    "required": ["approve"],
    "additionalProperties": False,
}


def under_way(plant: Plant, attempt: int = 1) -> str:
    run = plant.create(name="otter")
    plant.claim()
    plant.begin(run, attempt)
    return run


def pause(
    plant: Plant,
    run: str,
    attempt: int = 1,
    *,
    suspends: bool = False,
    schema: dict[str, Any] = SCHEMA,
    key: str = "p",
    seconds: float | None = None,
    round_: int = 1,
) -> None:
    """The process of the run comes to a pause."""
    at = plant.now()
    state = "Suspended" if suspends else "Paused"
    deadline = None if seconds is None else at + int(seconds * 1e6)
    plant.tell(
        run,
        attempt,
        records.TaskDefined(0, "penstock.pause", "pause"),
        records.TaskRunBegan(at, f"{run}/{key}", run, run, 0, f"pause-{key}", kind="pause"),
        records.InputAwaited(at, run, f"{run}/{key}", round_, schema, "Waits", deadline, suspends),
        records.TaskRunMoved(at + 1, f"{run}/{key}", "PAUSED", state, "Waits"),
        records.FlowRunMoved(at + 2, run, "PAUSED", state, "Waits"),
    )


def resume(plant: Plant, run: str, value: dict[str, Any] | None = None, **options: Any) -> str:
    return plant.ask(ask.ResumeFlowRun(run=run, input=value, by="ada", **options)).state_name


def given(plant: Plant, run: str, key: str = "p", round_: int = 1) -> list[dict[str, Any]]:
    found = plant.ask(ask.AwaitRunInput(run_id=run, key=f"{run}/{key}", round=round_))
    return [each.value for each in found]


def waits(plant: Plant, run: str) -> list[str]:
    return [each.key for each in plant.ask(ask.ListRunInputs(run=run))]


# ── paused ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_paused_run_says_what_it_waits_for_until_it_has_it(plant: Plant):
    run = under_way(plant)
    pause(plant, run, seconds=60)
    (wanted,) = plant.ask(ask.ListRunInputs(run="otter"))
    before = given(plant, run)
    resume(plant, run, {"approve": True})

    assert (wanted.schema, wanted.message, wanted.suspends) == (SCHEMA, "Waits", False)
    assert (wanted.deadline or 0) - wanted.asked_at == 60_000_000
    assert (before, given(plant, run)) == ([], [{"approve": True}])
    assert waits(plant, run) == []


def test_an_input_is_checked_before_it_is_taken(plant: Plant):
    run = under_way(plant)
    pause(plant, run)

    with pytest.raises(errors.ParameterError, match=r"`approve` should be true or false, not: `3`") as caught:
        resume(plant, run, {"approve": 3})
    with pytest.raises(errors.ParameterError, match=r"It needs a value for `approve`"):
        resume(plant, run)
    with pytest.raises(errors.ParameterError, match=r"It takes no `aprove`; did you mean `approve`\?"):
        resume(plant, run, {"aprove": True})
    with pytest.raises(errors.ParameterError, match=r"`approve`\? It needs a value for `approve`\n"):
        resume(plant, run, {"aprove": True})
    assert caught.value.hint == "it takes: approve, reason"
    assert waits(plant, run) == [f"{run}/p"]


def test_a_run_that_waits_for_no_input_takes_none(plant: Plant):
    run = under_way(plant)
    pause(plant, run, schema={})

    with pytest.raises(errors.ParameterError, match="waits for no input"):
        resume(plant, run, {"approve": True})
    resume(plant, run)
    assert given(plant, run) == [{}]


def test_the_same_input_again_changes_nothing_and_another_one_is_too_late(plant: Plant):
    run = under_way(plant)
    pause(plant, run)
    resume(plant, run, {"approve": True})
    resume(plant, run, {"approve": True})

    with pytest.raises(errors.UsageError, match="does not wait to be resumed"):
        resume(plant, run, {"approve": False})
    assert given(plant, run) == [{"approve": True}]


def test_of_several_pauses_one_has_to_be_named(plant: Plant):
    run = under_way(plant)
    pause(plant, run, key="a")
    pause(plant, run, key="b")

    with pytest.raises(errors.UsageError, match="waits at several pauses"):
        resume(plant, run, {"approve": True})
    resume(plant, run, {"approve": True}, key=f"{run}/b")
    assert waits(plant, run) == [f"{run}/a"]


def test_what_does_not_do_after_all_is_asked_for_again(plant: Plant):
    run = under_way(plant)
    pause(plant, run)
    resume(plant, run, {"approve": True})
    pause(plant, run, round_=2)
    resume(plant, run, {"approve": False})

    assert given(plant, run, round_=1) == []
    assert given(plant, run, round_=2) == [{"approve": False}]


def test_a_later_attempt_that_asks_again_finds_what_was_given(plant: Plant):
    run = under_way(plant)
    pause(plant, run)
    resume(plant, run, {"approve": True})
    plant.exit(run, 1, ExitReason.DRAINED)
    plant.claim()
    plant.begin(run, 2)
    pause(plant, run, 2)

    assert given(plant, run) == [{"approve": True}]
    assert waits(plant, run) == []


def test_whoever_waits_for_an_input_is_woken(plant: Plant):
    run = under_way(plant)
    pause(plant, run)
    topics: set[str] = set()
    stop = plant.store.subscribe(topics.update)
    resume(plant, run, {"approve": True})
    stop()

    assert ask.AwaitRunInput(run_id=run, key="p").topic() in topics


def test_a_run_that_does_not_wait_cannot_be_resumed(plant: Plant):
    run = under_way(plant)
    with pytest.raises(errors.UsageError, match="does not wait to be resumed: `otter` is Running"):
        resume(plant, run)
    plant.end(run, 1)
    with pytest.raises(errors.AlreadyEnded, match="`otter` is Completed"):
        resume(plant, run)


# ── suspended ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_suspended_run_is_nobodys_until_it_is_resumed(plant: Plant):
    run = under_way(plant)
    pause(plant, run, suspends=True)
    after_exit = plant.exit(run, 1)
    nothing = plant.claim()
    resumed = resume(plant, run, {"approve": True})
    (claim,) = plant.claim()

    assert (after_exit, nothing, resumed) == ("Suspended", [], "Resuming")
    assert (claim.run_id, claim.attempt) == (run, 2)
    assert plant.run(run).crashes == 0


def test_a_run_that_is_resumed_before_its_process_has_ended_goes_on_when_it_has(plant: Plant):
    run = under_way(plant)
    pause(plant, run, suspends=True)
    still = resume(plant, run, {"approve": True})
    after_exit = plant.exit(run, 1)

    assert (still, after_exit) == ("Suspended", "Resuming")
    assert len(plant.claim()) == 1


def test_a_suspended_run_that_nobody_resumes_in_time_fails(timed: Plant, clock: FakeClock):
    run = under_way(timed)
    pause(timed, run, suspends=True, seconds=60)
    timed.exit(run, 1)
    early = timed.rescue().ended
    clock.advance(61)
    late = timed.rescue().ended

    assert (early, late) == (0, 1)
    assert timed.run(run).state_name == "TimedOut"
    assert timed.run(run).state_message == "Nobody resumed it within 60 seconds"
    with pytest.raises(errors.AlreadyEnded):
        resume(timed, run, {"approve": True})


def test_a_suspended_run_can_be_cancelled(plant: Plant):
    run = under_way(plant)
    pause(plant, run, suspends=True)
    plant.exit(run, 1)

    assert plant.cancel(run).state_name == "Cancelled"
    assert plant.claim() == []


def test_a_paused_run_that_is_cancelled_is_ended_by_its_worker(plant: Plant):
    run = under_way(plant)
    pause(plant, run)

    assert plant.cancel(run).state_name == "Cancelling"
    assert plant.exit(run, 1, ExitReason.CANCELLED) == "Cancelled"


# ── from outside ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_has_not_begun_is_not_claimed_while_it_is_suspended(plant: Plant):
    run = plant.create()
    suspended = plant.ask(ask.SuspendFlowRun(run=run, by="ada"))
    nothing = plant.claim()
    resume(plant, run)

    assert (suspended.state_name, suspended.state_message) == ("Suspended", "Suspended by ada")
    assert nothing == []
    assert len(plant.claim()) == 1


def test_a_run_under_way_is_suspended_by_its_worker(plant: Plant):
    run = under_way(plant)
    plant.ask(ask.SuspendFlowRun(run=run, by="ada"))
    told = plant.heartbeat("w1", (run, 1))
    after_exit = plant.exit(run, 1, ExitReason.DRAINED)
    nothing = plant.claim()
    resume(plant, run)
    (claim,) = plant.claim()

    assert (told, after_exit, nothing) == (["suspend"], "Suspended", [])
    assert claim.attempt == 2
    assert plant.heartbeat("w1", (run, 2)) == ["go_on"]


def test_a_run_under_way_is_paused_until_it_is_resumed(plant: Plant):
    run = under_way(plant)
    for _ in range(2):
        plant.ask(ask.PauseFlowRun(run=run, by="ada"))
    paused = plant.heartbeat("w1", (run, 1))
    resume(plant, run)

    assert (paused, plant.heartbeat("w1", (run, 1))) == (["pause"], ["go_on"])


def test_its_worker_hears_at_once_and_once_that_a_run_is_paused_and_that_it_goes_on(plant: Plant):
    run = under_way(plant)

    def ordered(*paused: str) -> list[str]:
        return [each.verdict for each in plant.ask(of_work.AwaitOrders(worker_id="w1", paused=paused))]

    before = ordered()
    plant.ask(ask.PauseFlowRun(run=run, by="ada"))
    while_paused = ordered(), ordered(run)
    resume(plant, run)

    assert (before, while_paused) == ([], (["pause"], []))
    assert (ordered(run), ordered()) == (["go_on"], [])


def test_a_paused_run_that_crashes_stays_paused(plant: Plant):
    run = under_way(plant)
    plant.ask(ask.PauseFlowRun(run=run, by="ada"))
    plant.exit(run, 1, ExitReason.DRAINED)
    plant.claim()

    assert plant.heartbeat("w1", (run, 2)) == ["pause"]


def test_a_run_that_has_ended_or_is_being_cancelled_cannot_be_made_to_wait(plant: Plant):
    run = under_way(plant)
    plant.cancel(run)
    with pytest.raises(errors.AlreadyEnded, match="is being cancelled"):
        plant.ask(ask.PauseFlowRun(run=run))
    plant.exit(run, 1, ExitReason.CANCELLED)
    with pytest.raises(errors.AlreadyEnded, match="has ended already"):
        plant.ask(ask.SuspendFlowRun(run=run))


# ── why, and what is kept ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_waits_for_an_input_says_how_to_give_it(plant: Plant):
    run = under_way(plant)
    pause(plant, run, seconds=60)

    (reason,) = [each for each in plant.ask(of_runs.ExplainFlowRun(run=run)).reasons if each.kind == "input"]
    assert "it waits for an input, until " in reason.message
    assert reason.message.endswith("`penstock flow-run resume otter --input approve=…`.")
    assert reason.details["schema"] == SCHEMA


def test_a_run_that_was_paused_from_outside_says_by_whom(plant: Plant):
    run = under_way(plant)
    plant.ask(ask.PauseFlowRun(run=run, by="ada"))

    assert [each.message for each in plant.ask(of_runs.ExplainFlowRun(run=run)).reasons if each.kind == "input"] == [
        "It was paused by ada: `penstock flow-run resume otter` undoes that."
    ]


def test_inputs_are_forgotten_with_their_run(plant: Plant):
    run = under_way(plant)
    pause(plant, run)
    resume(plant, run, {"approve": True})
    plant.end(run, 1)
    plant.exit(run, 1)
    plant.ask(of_runs.DeleteFlowRun(run=run))

    with plant.store.reading() as tx:
        assert tx.run_inputs.rows(run) == []
