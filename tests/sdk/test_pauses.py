from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, field_validator
from tests.api.serving import TOKEN, serving
from tests.sdk.conftest import Recorded

from penstock import errors, flow, pause_flow_run, resume_flow_run, settings, suspend_flow_run, task
from penstock.clock import SYSTEM
from penstock.core import records
from penstock.core.operations.flow_runs import CancelFlowRun, ListFlowRuns
from penstock.core.operations.pauses import ListRunInputs
from penstock.core.records import FlowRunMoved, TaskRunMoved
from penstock.core.runs import FlowRun
from penstock.input import RunInput
from penstock.sdk import connect
from penstock.services.loop import running
from penstock.services.tailer import Tailer
from penstock.store.sqlite import SqliteStore

pytestmark = pytest.mark.usefixtures("nobody_sends_runs")

SECONDS = 30


class Approval(RunInput):
    """Whether to go on."""

    approve: bool
    reason: str = "none"

    @field_validator("reason")
    @classmethod
    def is_polite(cls, reason: str) -> str:
        if reason == "because":
            raise ValueError("that is no reason")
        return reason


class Plain(BaseModel):
    number: int


@pytest.fixture(params=["home", "server"])
def keeper(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[str]:
    """Who keeps the runs of this home: whoever looks, or a server."""
    if request.param == "home":
        yield "home"
        return
    home.mkdir()
    with SqliteStore.open(home / "penstock.db", write=True) as store, serving(store) as served:
        monkeypatch.setenv("PENSTOCK_API_URL", served.url)
        monkeypatch.setenv("PENSTOCK_API_KEY", TOKEN)
        with running([Tailer(store, settings.load(), SYSTEM)], store, SYSTEM):
            yield "server"


def ask(request: Any) -> Any:
    with connect.asking(settings.load(), SYSTEM) as orchestrator:
        return orchestrator.ask(request)


def wait_until(condition: Callable[[], Any]) -> Any:
    deadline = SYSTEM.elapsed() + SECONDS
    while not (found := condition()):
        assert SYSTEM.elapsed() < deadline
        SYSTEM.sleep(0.02)
    return found


def latest() -> FlowRun | None:
    return next(iter(ask(ListFlowRuns(limit=1, roots=True)).items), None)


def in_state(name: str) -> Callable[[], FlowRun | None]:
    return lambda: run if (run := latest()) is not None and run.state_name == name else None


class Started:
    """A flow run in a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._value: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:  # noqa: BLE001  raised by `outcome`
            self._error = error

    def outcome(self) -> Any:
        self._thread.join(SECONDS)
        if self._error is not None:
            raise self._error
        return self._value


def test_a_paused_run_goes_on_with_the_input_that_it_is_given(keeper: str, recorded: Recorded[Any]):
    @task
    def look(number: int) -> int:
        return number

    @flow(flow_run_name="otter")
    def asks() -> tuple[int, Approval]:
        return look(1), pause_flow_run(Approval, timeout=SECONDS)

    started = Started(asks)
    run = wait_until(in_state("Paused"))
    (wanted,) = ask(ListRunInputs(run=run.id))
    if keeper == "home":  # a server has folded them, and deletes them at the end
        states = [each.name for each in recorded(FlowRunMoved)]
        assert states == ["Paused"]
    with pytest.raises(errors.ParameterError, match="`approve` should be true or false"):
        resume_flow_run("otter", {"approve": 3})
    resume_flow_run("otter", {"approve": True})

    assert started.outcome() == (1, Approval(approve=True))
    assert wanted.schema["required"] == ["approve"]
    assert wanted.message == (
        f"Waits for an input of `Approval` (approve, reason), for {SECONDS} seconds at most. Whether to go on."
    )


def test_an_input_that_the_model_refuses_is_asked_for_again(keeper: str):
    @flow
    def asks() -> Approval:
        return pause_flow_run(Approval, timeout=SECONDS)

    started = Started(asks)
    run = wait_until(in_state("Paused"))
    resume_flow_run(run.id, {"approve": True, "reason": "because"})
    (wanted,) = wait_until(lambda: [each for each in ask(ListRunInputs(run=run.id)) if each.round == 2])
    resume_flow_run(run.id, Approval(approve=False, reason="rain"))

    assert started.outcome() == Approval(approve=False, reason="rain")
    assert "`reason`: Value error, that is no reason" in wanted.message


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (int, 7, 7),
        (int, {"value": 8}, 8),
        (list[str], ["a"], ["a"]),
        (Plain, Plain(number=3), Plain(number=3)),
        (None, None, None),
        (Approval.with_initial_data(approve=True, description="Well?"), {}, Approval(approve=True)),
    ],
    ids=["a number", "as an object", "a list", "a plain model", "nothing", "with initial data"],
)
def test_an_input_may_be_of_any_type(kind: Any, given: Any, expected: Any):
    @flow
    def asks() -> Any:
        return pause_flow_run(kind, timeout=SECONDS)

    started = Started(asks)
    run = wait_until(in_state("Paused"))
    resume_flow_run(run.id, given)

    found = started.outcome()
    assert found == expected or found.model_dump() == expected.model_dump()


def test_coroutines_go_on_while_their_flow_is_paused(keeper: str):
    seen: list[int] = []

    @flow
    async def asks() -> int:
        async def others() -> None:
            await asyncio.to_thread(wait_until, in_state("Paused"))
            seen.append(1)
            await resume_flow_run("newt", 3)

        asks_now, _ = await asyncio.gather(pause_flow_run(int, timeout=SECONDS), others())
        return asks_now

    assert asyncio.run(asks.with_options(flow_run_name="newt")()) == 3
    assert seen == [1]


def test_nobody_comes_and_the_run_fails_with_a_sentence():
    @flow
    def asks() -> None:
        pause_flow_run(int, timeout=0.3)

    state = asks(return_state=True)

    assert state.is_failed()
    with pytest.raises(errors.TimedOut, match=r"Nobody resumed it within 0\.3 seconds"):
        state.result()


def test_a_suspended_run_ends_its_process_and_goes_on_with_the_input(keeper: str):
    calls: list[int] = []

    @task
    def once(number: int) -> int:
        calls.append(number)
        return number

    @flow
    def asks() -> tuple[int, int, int]:
        first = once(1)
        future = once.submit(2)
        value = suspend_flow_run(int)
        return first, future.result(), value

    with pytest.raises(errors.PausedRun, match=r"is suspended\. Waits for an input of `int` \(value\)"):
        asks()
    run = wait_until(in_state("Suspended"))
    again = asks.resume(run.id, return_state=True)
    resume_flow_run(run.id, 5)

    assert (again.name, again.type.value) == ("Suspended", "PAUSED")
    assert asks.resume(run.id) == (1, 2, 5)
    assert calls == [1, 2]


def test_the_input_of_a_run_that_crashes_later_is_not_asked_for_again():
    @flow
    def asks(path: str) -> int:
        value = suspend_flow_run(int)
        if not Path(path).exists():
            Path(path).touch()
            raise ValueError("not yet")
        return value

    marker = settings.load().home.parent / "marker"
    asks(str(marker), return_state=True)
    run = wait_until(in_state("Suspended"))
    resume_flow_run(run.id, 5)
    first = asks.resume(run.id, return_state=True)

    assert first.is_failed()
    assert asks.resume(run.id) == 5


def test_a_rerun_from_before_a_pause_asks_anew():
    @task
    def before() -> int:
        return 1

    @flow
    def asks() -> int:
        before()
        return suspend_flow_run(int)

    asks(return_state=True)
    run = wait_until(in_state("Suspended"))
    resume_flow_run(run.id, 5)
    first = asks.resume(run.id)
    again = asks.rerun(run.id, from_task="before", return_state=True)
    resume_flow_run(run.id, 6)

    assert (first, again.name, asks.resume(run.id)) == (5, "Suspended", 6)


def test_a_subflow_that_is_suspended_suspends_the_run_that_called_it(keeper: str):
    @flow
    def inner() -> int:
        return suspend_flow_run(int)

    @flow
    def outer() -> int:
        return inner(return_state=True).result() + 1

    state = outer(return_state=True)
    run = wait_until(in_state("Suspended"))
    resume_flow_run(run.id, 5)

    assert state.name == "Suspended"
    assert outer.resume(run.id) == 6


def test_pauses_are_told_apart_by_their_keys():
    @flow
    def asks() -> tuple[str, str]:
        return suspend_flow_run(str, key="name"), suspend_flow_run(str, key="town")

    asks(return_state=True)
    run = wait_until(in_state("Suspended"))
    resume_flow_run(run.id, "Ada")
    asks.resume(run.id, return_state=True)
    resume_flow_run(run.id, "London")

    assert asks.resume(run.id) == ("Ada", "London")


def test_a_suspended_run_that_nobody_resumes_in_time_fails(keeper: str):
    @flow
    def asks() -> None:
        suspend_flow_run(int, timeout=0.2)

    asks(return_state=True)
    if keeper == "server":
        pytest.skip("the rescuer of a server ends it: see tests/orchestration")
    run = wait_until(in_state("TimedOut"))

    assert run.state_message == "Nobody resumed it within 0.2 seconds"


def test_a_run_that_nobody_resumed_in_time_asks_anew_when_somebody_goes_on_with_it():
    seconds = [0.2]

    @flow
    def asks() -> int:
        return suspend_flow_run(int, timeout=seconds[0])

    asks(return_state=True)
    run = wait_until(in_state("TimedOut"))
    seconds[0] = SECONDS
    again = asks.resume(run.id, return_state=True)
    (wanted,) = ask(ListRunInputs(run=run.id))
    resume_flow_run(run.id, 5)

    assert (again.name, wanted.round) == ("Suspended", 2)
    assert (wanted.deadline or 0) - wanted.asked_at == SECONDS * 1_000_000
    assert asks.resume(run.id) == 5


def test_a_suspended_run_can_be_cancelled(keeper: str):
    @flow
    def asks() -> None:
        suspend_flow_run()

    asks(return_state=True)
    run = wait_until(in_state("Suspended"))

    assert ask(CancelFlowRun(run=run.id, by="ada")).state_name == "Cancelled"


def test_a_task_cannot_be_made_to_wait():
    @task
    def asks() -> None:
        pause_flow_run(int)

    @flow
    def inner() -> None:
        suspend_flow_run(int)

    @task
    def calls_a_flow() -> None:
        inner()

    @flow
    def outer() -> None:
        asks(return_state=True)
        calls_a_flow()

    with pytest.raises(errors.MissingContext, match=r"suspend_flow_run\(\)"):
        outer()
    with pytest.raises(errors.MissingContext, match=r"pause_flow_run\(\)"):
        pause_flow_run(int)


def test_what_cannot_be_asked_for_is_refused():
    @flow
    def asks(kind: Any, timeout: float) -> None:
        pause_flow_run(kind, timeout=timeout)

    with pytest.raises(errors.UsageError, match="`timeout` is a number of seconds above 0"):
        asks.with_options(validate_parameters=False)(int, 0)
    with pytest.raises(errors.UsageError, match="`wait_for_input` is a pydantic model"):
        asks.with_options(validate_parameters=False)(threading.Lock, 1)
    with pytest.raises(TypeError, match="Approval has no field `nothing`"):
        Approval.with_initial_data(nothing=1)


def test_a_flow_that_is_only_drawn_does_not_wait():
    @flow
    def asks() -> None:
        pause_flow_run(int)

    assert str(asks.visualize()) == "<drawing of 'asks': 0 nodes, 0 edges>"


def test_the_pause_is_a_task_run_that_shows_its_state(recorded: Recorded[Any]):
    @flow
    def asks() -> int:
        return pause_flow_run(int, timeout=SECONDS)

    started = Started(asks)
    run = wait_until(in_state("Paused"))
    moves = [(each.type, each.name) for each in recorded(TaskRunMoved)]
    (began,) = recorded(records.TaskRunBegan)
    resume_flow_run(run.id, 1)
    started.outcome()

    assert moves == [("PAUSED", "Paused")]
    assert (began.kind, began.name) == ("pause", "pause-0")
