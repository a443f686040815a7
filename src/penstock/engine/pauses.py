"""A flow run that waits for somebody, written once: a task run stands for the pause, and its result is the input.

So a resumed run, which calls its functions again, has the input at once, as it has the results of tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from msgspec.structs import replace

from penstock import errors
from penstock.core import log_levels, outcomes, records, states
from penstock.core.records import InputAwaited
from penstock.core.states import State
from penstock.engine import moves, run_logs, task_run
from penstock.engine.effects import Life, WaitFor
from penstock.engine.runs import FlowRun, TaskRun


class Wanted(NamedTuple):
    """What a flow run waits for."""

    schema: dict[str, Any]
    """The JSON Schema of the input, an object; empty if it only waits to be resumed."""
    message: str
    """What people are told."""
    timeout_seconds: float | None
    suspends: bool
    """Whether its process ends meanwhile."""
    parse: Callable[[dict[str, Any]], Any]
    """Makes of the input what the flow gets. Raises `ParameterError` when it does not do after all."""


class Given(NamedTuple):
    """What somebody gave."""

    value: dict[str, Any]
    by: str = ""


class Asked(Protocol):
    """A question to whoever keeps the run, whether the input is there. Drivers wait for it."""

    given: Given | None

    def wait(self) -> object: ...

    async def wait_async(self) -> object: ...


class Inputs(Protocol):
    """Whoever keeps the run, as far as its inputs are concerned."""

    def wait_for(self, question: InputAwaited) -> Asked:
        """Done when it is there, or when its time is over."""
        ...


def life(run: TaskRun, wanted: Wanted, inputs: Inputs) -> Life:
    """Use the recorded input; else ask for one, and wait for it, or end the process."""
    known = task_run.recorded(run)
    if known is not None:
        return known
    attempt = run.attempt
    run.name = run.name or task_run.name_of(run)
    question = _question(run, wanted)
    task_run.begin(run, "pause")
    attempt.journal.append(question)
    try:
        state = yield from _resumed(run, wanted, inputs, question)
    except (errors.JournalError, GeneratorExit, outcomes.Suspension):
        raise
    except BaseException as error:  # noqa: BLE001  as of any task
        state = outcomes.of_exception(error, "Task")
    return task_run.end(run, state, told=True)


def _resumed(run: TaskRun, wanted: Wanted, inputs: Inputs, question: InputAwaited) -> Life:
    """Wait for somebody; how the pause has ended."""
    attempt = run.attempt
    answer = None if attempt.history is None else attempt.history.answer(question)
    given = None if answer is None else Given(answer.value, answer.by)
    while True:
        if given is None:
            if wanted.suspends:
                _suspend(run, question)
            given = yield from _wait(run, question, inputs)
        if given is None:
            message = f"Nobody resumed it within {_seconds(wanted.timeout_seconds)}"
            return states.TimedOut(message, errors.TimedOut(message))
        try:
            value = wanted.parse(given.value)
        except errors.ParameterError as error:
            message = f"The input of {given.by or 'a user'} does not do: {error.message}"
            run_logs.say(run.flow, log_levels.WARNING, run_logs.FLOW_RUNS, message)
            question = replace(question, at=attempt.clock.now(), round=question.round + 1, message=message)
            attempt.journal.append(question)
            given = None
            continue
        text = f"Resumed by {given.by}" if given.by else "Resumed"
        run_logs.say(run.flow, log_levels.INFO, run_logs.FLOW_RUNS, text)
        return states.Completed(text, value)


def _question(run: TaskRun, wanted: Wanted) -> InputAwaited:
    """What is asked. What was asked before is asked for as long as before, as somebody may have answered.

    If that time is over and nobody has, whoever has the run go on wants to be asked anew.
    """
    attempt, now = run.attempt, run.attempt.clock.now()
    earlier, is_open = (None, False) if attempt.history is None else attempt.history.question(run.id, now)
    if earlier is not None and is_open:
        return replace(earlier, at=now)
    seconds = wanted.timeout_seconds
    return records.InputAwaited(
        at=now,
        flow_run_id=run.flow.id,
        key=run.id,
        round=1 if earlier is None else earlier.round + 1,
        schema=wanted.schema,
        message=wanted.message,
        deadline=None if seconds is None else now + int(seconds * 1e6),
        suspends=wanted.suspends,
    )


def _wait(run: TaskRun, question: InputAwaited, inputs: Inputs) -> Any:
    flow: FlowRun = run.flow
    paused = states.Paused(question.message)
    run_logs.say(flow, log_levels.INFO, run_logs.FLOW_RUNS, f"Paused. {question.message}")
    with moves.shown(run, paused), moves.shown(flow, paused):
        waited = inputs.wait_for(question)
        yield WaitFor(waited)
    return waited.given


def _suspend(run: TaskRun, question: InputAwaited) -> None:
    """Leave the flow's code; what is recorded makes the run go on here."""
    run.attempt.running.pop(run.id, None)
    moves.move(run, states.Suspended(question.message))
    raise outcomes.Suspension(question.message)


def suspended(run: TaskRun, state: State) -> None:
    """The subflow run that a task run stands for is suspended, and so is the run that called it."""
    run.attempt.running.pop(run.id, None)
    moves.move(run, state)
    raise outcomes.Suspension(state.message)


def _seconds(seconds: float | None) -> str:
    return f"{seconds or 0:g} seconds"
