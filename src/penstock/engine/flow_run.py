"""The life of a flow run, written once, as a generator of effects."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from penstock import errors
from penstock.core import log_levels, names, outcomes, parameters, records, states
from penstock.core.result_records import ResultRecord
from penstock.core.states import State, StateType
from penstock.engine import hooks, limits, run_logs, task_run
from penstock.engine.effects import Call, Life, Sleep, WaitFor
from penstock.engine.futures import AsyncFuture, Future, MappedFutures
from penstock.engine.replay import History
from penstock.engine.runs import FlowRun, Tally
from penstock.journal import reader


def life(run: FlowRun, began: records.FlowRunBegan, refusal: errors.ParameterError | None = None) -> Life:
    """Record that the run starts; run the flow, with retries; record how it ended.

    With a ``refusal`` the parameters did not fit: the run fails before any code of the flow.
    """
    attempt, spec = run.attempt, run.spec
    run.started_at = began.at
    attempt.journal.append(began)
    if refusal is not None:
        state = states.Failed(f"Validation of flow parameters failed with error: {refusal.message}", refusal)
    else:
        if spec.hooks.running:
            yield from hooks.call(spec.hooks.running, spec.owner, run, states.Running())
        state = yield from _tries(run)
        if state.is_completed():
            state = _diverged(run, state)
    if state.is_paused():
        _move(run, state)
        hint = f"`penstock flow-run resume {run.name}` continues it"
        error = errors.PausedRun(f"Flow run `{run.name}` is suspended. {state.message}", hint=hint)
        run.state = state = states.Suspended(state.message, error)
        return state
    end(run, state)
    if spec.hooks is not hooks.NO_HOOKS:
        known = _as_wished(run, state)
        yield from hooks.call(hooks.for_state(spec.hooks, known), spec.owner, run, known)
    return state


def _as_wished(run: FlowRun, state: State) -> State:
    """What an interruption means, where the one who told the process to end has said why."""
    lease = run.attempt.lease
    if lease is None or state.name != "Interrupted":
        return state
    if lease.wish == "cancel":
        return states.Cancelled("Flow run was cancelled", state.data)
    if lease.wish == "time out":
        return states.TimedOut("Flow run exceeded its time limit", state.data)
    return states.Pending("Another worker goes on with it") if lease.wish == "yield" else state


def began(run: FlowRun, kept_arguments: ResultRecord | None) -> records.FlowRunBegan:
    """The record of the start; ``kept_arguments`` lets another process start the run again."""
    spec = run.spec
    return records.FlowRunBegan(
        at=run.attempt.clock.now(),
        flow_run_id=run.id,
        attempt=run.attempt.number,
        name=run.name,
        flow_name=spec.name,
        flow_version=spec.version,
        entrypoint=spec.entrypoint,
        parameters=parameters.preview(run.arguments, spec.signature),
        arguments=kept_arguments,
        tags=tuple(sorted(run.tags)),
        parent_flow_run_id=run.called_by,
        parent_task_run_id=run.parent.id if run.parent is not None else None,
        source=run.source,
        forked_from=run.attempt.source_run_id if run.parent is None else None,
        code_version=spec.version,
        description=spec.description[:500],
    )


def name_of(run: FlowRun) -> str:
    """The run's name: as the flow's options ask; otherwise two words drawn from its id."""
    given = run.spec.run_name
    if given is None:
        return names.name_of(run.id)
    return task_run.render_name(given, run.arguments, run.spec.name)


def end(run: FlowRun, state: State) -> None:
    """Record the final state."""
    attempt = run.attempt
    result: ResultRecord | None = None
    if state.is_completed():
        result = attempt.results.keep(state.data, run.spec, lambda about: _complain(run, about))
    elif isinstance(state.data, Exception | SystemExit) and not isinstance(state.data, errors.ParameterError):
        run_logs.say_about_exception(run, state.data)
    attempt.journal.append(
        records.FlowRunEnded(
            attempt.clock.now(), run.id, state.type.value, state.name, state.message, result, run.run_count
        )
    )
    run.state = state


def _tries(run: FlowRun) -> Life:
    spec, attempt = run.spec, run.attempt
    args, kwargs = spec.signature.to_call(run.arguments)
    while True:
        try:
            value = yield Call(spec.fn, args, kwargs, run, spec.kind, spec.timeout_seconds)
            if run.crew is not None:
                yield WaitFor(run.tally.idle(run))
            yield from _settle(value)
        except (errors.JournalError, GeneratorExit):
            _stop(run)
            raise  # it could not be recorded, or nobody wants to know
        except BaseException as error:  # noqa: BLE001  whatever user code raises is an outcome
            state = yield from _after(run, error)
        else:
            state = outcomes.of_value(_with_states(value), run.tally.counts)
        _close_crew(run)
        if state.type is not StateType.FAILED or run.run_count > spec.retry.retries:
            return state
        if isinstance(state.data, BaseException):
            run_logs.say_about_exception(run, state.data)
        delay = spec.retry.delay_before(run.run_count + 1, attempt.clock.chance())
        text = run_logs.about_retry(run.run_count, spec.retry.retries, delay)
        run_logs.say(run, log_levels.INFO, run_logs.FLOW_RUNS, text)
        _move(run, states.AwaitingRetry(state.message))
        if delay:
            yield Sleep(delay)
        run.run_count += 1
        _move(run, states.Retrying(f"Retry {run.run_count - 1} of {spec.retry.retries}"))
        _start_over(run)


def _after(run: FlowRun, error: BaseException) -> Life:
    """What it means that the flow's code was left by an exception."""
    attempt = run.attempt
    if isinstance(error, outcomes.Suspension):
        state = states.Suspended(str(error))
    else:
        is_over = isinstance(error, limits.TimeIsUp)
        if attempt.told_to_end and not isinstance(error, Exception):
            error = outcomes.Terminated()  # a coroutine is told to end by cancelling it
        state = outcomes.of_exception(error, "Flow", run.spec.timeout_seconds if is_over else None)
    if state.name in ("TimedOut", "Interrupted", "Cancelled"):
        _stop(run)
    elif run.crew is not None:
        yield WaitFor(run.tally.idle(run))
    return state


def _start_over(run: FlowRun) -> None:
    """For a retry: nothing has been called yet, but what was completed is known."""
    attempt = run.attempt
    if attempt.history is None:
        attempt.history = History()
    attempt.history.renew(History(reader.read_all(attempt.journal.path)), run.id)
    run.seen = {}
    run.tally = Tally()


def _settle(value: Any) -> Generator[Any, Any, None]:
    """Wait for the futures that a flow returns."""
    for future in _futures(value):
        if not future.done():
            yield WaitFor(future)


def _futures(value: Any) -> list[Future | MappedFutures]:
    many = value if isinstance(value, list | tuple | set) else (value,)
    plain = (each.sync if isinstance(each, AsyncFuture) else each for each in many)
    return [each for each in plain if isinstance(each, Future | MappedFutures)]


def _with_states(value: Any) -> Any:
    """What a flow returned, with futures replaced by their states."""
    if isinstance(value, AsyncFuture):
        value = value.sync
    if isinstance(value, Future):
        return value.state
    if isinstance(value, MappedFutures):
        return [future.state for future in value]
    if isinstance(value, list | tuple | set) and _futures(value):
        return type(value)(each for item in value for each in _states_of(item))
    return value


def _states_of(item: Any) -> list[Any]:
    """An item that a flow returned among others: the states of futures, anything else as it is."""
    if isinstance(item, MappedFutures):
        return [future.state for future in item]
    return [item.state if isinstance(item, Future | AsyncFuture) else item]


def _diverged(run: FlowRun, state: State) -> State:
    """Record where code and journal disagreed; with ``replay="strict"`` that is a failure."""
    history = run.attempt.history
    if history is None or run.parent is not None:
        return state
    found = history.never_asked()
    for each in found[:1000]:
        run.attempt.journal.append(
            records.ReplayDiverged(
                run.attempt.clock.now(), run.id, each.scope_id, each.task_key, each.kind, each.detail
            )
        )
    if found and run.replay == "strict":
        text = "\n".join(f"  {each.task_key}: {each.detail}" for each in found[:10])
        error = errors.ReplayDiverged(
            f"The journal holds {len(found)} finished task runs that the code did not ask for:\n{text}",
            hint='use replay="recompute" to go on without them, or fork the run',
        )
        return states.Failed(error.message, error)
    return state


def _stop(run: FlowRun) -> None:
    if run.crew is not None:
        run.crew.stop()


def _close_crew(run: FlowRun) -> None:
    if run.crew is not None:
        run.crew.close()
        run.crew = None


def _move(run: FlowRun, state: State) -> None:
    attempt = run.attempt
    attempt.journal.append(
        records.FlowRunMoved(attempt.clock.now(), run.id, state.type.value, state.name, state.message, run.run_count)
    )


def _complain(run: FlowRun, about: str) -> None:
    if run.attempt.complain_once(run.spec.key, about):
        run_logs.say(run, log_levels.WARNING, run_logs.FLOW_RUNS, f"Flow `{run.spec.name}`: {about}")
