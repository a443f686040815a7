"""The life of a task run, written once, as a generator of effects."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from penstock import errors
from penstock.core import log_levels, outcomes, plain_text, records, states
from penstock.core.previews import preview
from penstock.core.result_records import ResultRecord
from penstock.core.states import State, StateType
from penstock.engine import cache, hooks, leases, limits, run_logs
from penstock.engine.attempt import JournaledResult
from penstock.engine.effects import Call, Life, Sleep, WaitFor
from penstock.engine.results import footprint
from penstock.engine.runs import TaskRun

if TYPE_CHECKING:
    from penstock.core.ports import Booking

MAX_CRASHES = 3
"""How often a task is tried again whose worker process died."""
_MAX_UPSTREAM = 1000
"""More edges than anyone can look at; a record names this many."""


def life(run: TaskRun) -> Life:
    """Use the recorded result; or the cache; or run the task, with retries; then record how it ended."""
    run.name = run.name or name_of(run)
    run.inputs = _describe(run.arguments)
    known = recorded(run)
    if known is not None:
        return known
    lease = run.attempt.lease
    if lease is not None and not lease.holds():
        yield from leases.wait(run, lease)
    begin(run)
    spec = run.spec
    if spec.hooks.running:
        yield from hooks.call(spec.hooks.running, spec.owner, run, states.Running())
    try:
        if not spec.caches:
            state = yield from _attempt(run)
            end(run, state)
        else:
            state = yield from _through_cache(run)
    except errors.JournalError:
        raise  # it could not be recorded
    except GeneratorExit:  # nobody asks for the rest of what it generates
        _close(run)
        raise
    except Exception as error:  # noqa: BLE001  functions in the task's options are the user's code as well
        state = end(run, outcomes.of_exception(error, "Task"))
    if spec.hooks is not _NONE:
        yield from hooks.call(hooks.for_state(spec.hooks, state), spec.owner, run, state)
    return state


def _close(run: TaskRun) -> None:
    """Record that a generator was closed before its end."""
    with suppress(errors.JournalError):  # it may be closed long after the run has ended
        end(run, states.Cancelled("It was closed before it had given all its items"))


def begin(run: TaskRun, kind: str = "task") -> None:
    """Record that the task run starts; past the journal's size cap, or interrupted before, it does not."""
    attempt, spec = run.attempt, run.spec
    if attempt.history is not None:
        _compare_with_history(run)
    if attempt.journal.is_full:
        raise errors.StorageFull(
            f"The journal of this run has reached its size cap of {attempt.settings.journal_max_bytes} bytes",
            hint="raise PENSTOCK_JOURNAL_MAX_BYTES, or split the run into several",
        )
    attempt.running[run.id] = run.name
    attempt.journal.append_soon(
        records.TaskRunBegan(
            attempt.clock.now(),
            run.id,
            run.flow.id,
            run.parent.id,
            define(run),
            run.name,
            tuple(run.upstream[:_MAX_UPSTREAM]),
            run.inputs,
            tuple(sorted(run.tags)) if run.tags is not spec.tags else (),
            run.address,
            kind,
        )
    )
    if spec.on_interrupt == "fail":
        attempt.journal.sync()


def define(run: TaskRun) -> int:
    """The number under which this journal knows the task."""
    spec = run.spec
    index = run.attempt.journal.defined(spec.key)
    if index is not None:
        return index
    return run.attempt.journal.define(
        records.TaskDefined(
            0,
            spec.key,
            spec.name,
            tuple(sorted(spec.tags)),
            spec.description[:500],
            spec.version or "",
            spec.on_interrupt,
        )
    )


def end(
    run: TaskRun, state: State, result: ResultRecord | None = None, cache_text: str = "", *, told: bool = False
) -> State:
    """Record the final state, with the result in place, before anybody is given it.

    ``told``: the traceback of a failure is in the log already.
    """
    attempt = run.attempt
    attempt.running.pop(run.id, None)
    if state.type is StateType.COMPLETED:
        if result is None:
            result = attempt.results.keep(state.data, run.spec, lambda about: _complain(run, about))
        ended = records.TaskRunEnded(
            attempt.clock.now(), run.id, result, "COMPLETED", state.name, state.message, run.run_count, cache_text
        )
        offset = attempt.journal.append(ended)
        if state.data is not None:
            _remember(run, state.data, result, offset)
    else:
        is_failure = isinstance(state.data, Exception | SystemExit) and state.name not in ("NotReady", "Cancelled")
        if is_failure and not told:
            run_logs.say_about_exception(run, state.data)
        how = (state.type.value, state.name, state.message, run.run_count, cache_text)
        attempt.journal.append(records.TaskRunEnded(attempt.clock.now(), run.id, None, *how))
    run.state = state
    return state


def _remember(run: TaskRun, value: Any, result: ResultRecord, offset: int) -> None:
    attempt = run.attempt
    size = footprint(result, value)
    attempt.values.returned(value, run.address, run.id, size)
    if run.future is not None and result.kept:
        kept = JournaledResult(attempt.results, attempt.journal.path, offset, run.spec)
        attempt.values.hold_for(run.future, kept, size)


def recorded(run: TaskRun) -> State | None:
    """The recorded outcome of an earlier attempt, if this task run is not to be executed again."""
    attempt = run.attempt
    history = attempt.history
    if history is None:
        return None
    known_id = run.source_id or run.id
    scope_id = run.parent.source_id or run.parent.id
    record = history.find(known_id, scope_id)
    if record is None:
        if run.spec.on_interrupt == "fail" and history.was_interrupted(known_id):
            return _interrupted_before(run)
        return None
    try:
        value = attempt.results.load(record, run.spec)
    except errors.MissingResult as error:
        message = f"Task run `{run.name}` had completed, and runs again: {error.message}"
        run_logs.say(run, log_levels.WARNING, run_logs.TASK_RUNS, message)
        return None
    began = history.began.get(known_id)
    run.name = began.name if began is not None else run.name
    if run.source_id is not None:
        attempt.journal.append(
            records.TaskRunReused(
                attempt.clock.now(),
                run.id,
                run.flow.id,
                run.parent.id,
                define(run),
                run.name,
                attempt.source_run_id or attempt.run_id,
                record,
                tuple(run.upstream[:_MAX_UPSTREAM]),
                run.address,
                run.inputs,
            )
        )
    if value is not None:
        attempt.values.returned(value, run.address, run.id, footprint(record, value))
    run.state = states.Completed(data=value)
    return run.state


def _interrupted_before(run: TaskRun) -> State:
    message = 'Interrupted in an earlier attempt, and not run again (on_interrupt="fail")'
    return end(run, states.Failed(message, errors.FailedRun(message), name="Interrupted"))


def _compare_with_history(run: TaskRun) -> None:
    """Note a call that no earlier attempt completed; with ``replay="strict"`` refuse one that replaces another."""
    history = run.attempt.history
    assert history is not None
    known_id = run.source_id or run.id
    scope_id = run.parent.source_id or run.parent.id
    history.note_new(known_id, scope_id, run.spec.key, run.inputs)
    if run.flow.replay == "strict" and run.future is None:
        recorded = history.replaced_call(known_id, scope_id, run.spec.key)
        if recorded is not None:
            raise errors.ReplayDiverged(
                f"Task `{run.spec.name}` is called with other inputs than the journal holds:\n"
                f"  - recorded: {recorded}\n  + now:      {run.inputs}",
                hint='use replay="recompute" to run it anew, or fork the run',
            )


def _through_cache(run: TaskRun) -> Life:
    """The cached value, or the task's own, which is then put into the cache."""
    asked = cache.question(run)
    assert asked is not None
    answer = yield from cache.ask(run, asked)
    if isinstance(answer, cache.CacheEntry):
        try:
            value = run.attempt.results.load(answer.result, run.spec)
        except errors.MissingResult as error:
            run_logs.say(
                run, log_levels.WARNING, run_logs.TASK_RUNS, f"The cached result is computed anew: {error.message}"
            )
            if asked.path is not None:
                asked.path.unlink(missing_ok=True)
            answer = yield from cache.ask(run, asked)
        else:
            state = State(type=StateType.COMPLETED, name="Cached", data=value)
            return end(run, state, answer.result, asked.text)
    lease = answer if isinstance(answer, cache.Lease) else None
    try:
        state = yield from _attempt(run)
        result = None
        if state.type is StateType.COMPLETED:
            result = run.attempt.results.keep(state.data, run.spec, lambda about: _complain(run, about))
            if asked.path is not None:
                cache.put(run, asked, result)
        return end(run, state, result, asked.text)
    finally:
        if lease is not None:
            cache.give_back(run, asked, lease)


def _attempt(run: TaskRun) -> Life:
    """Call the function until it succeeds or there are no retries left."""
    spec = run.spec
    args, kwargs = spec.signature.to_call(run.arguments)
    crashes = 0
    while True:
        booking: Booking | None = None
        try:
            if run.tags:
                booking = yield from _slots(run)
            value = yield Call(spec.fn, args, kwargs, run, spec.kind, spec.timeout_seconds)
        except (errors.JournalError, GeneratorExit):
            if booking is not None:
                booking.release()
            raise  # it could not be recorded, or nobody wants to know
        except BaseException as error:  # noqa: BLE001  whatever user code raises is an outcome
            is_over = isinstance(error, limits.TimeIsUp)
            state = outcomes.of_exception(error, "Task", spec.timeout_seconds if is_over else None)
        else:
            state = value if isinstance(value, State) else states.Completed(data=value)
        if booking is not None:
            yield WaitFor(Release(booking))
        if state.type is StateType.COMPLETED:
            return state
        if state.type is StateType.CRASHED and state.name == "Crashed" and spec.on_interrupt == "retry":
            crashes += 1
            if crashes < MAX_CRASHES:
                _move(run, states.Retrying(f"Run again after a crash: {state.message}"))
                continue
        if not (yield from _retries(run, state)):
            return state
        run.run_count += 1


def _slots(run: TaskRun) -> Generator[Any, Any, Booking | None]:
    """The slots that its tags need, once they are there."""
    if run.attempt.open_slots is None:
        return None
    from penstock.engine import slots  # noqa: PLC0415  only for tasks that have tags

    return (yield from slots.hold(run))


class Release:
    """The release of a booking, as drivers wait for it."""

    def __init__(self, booking: Booking) -> None:
        self._booking = booking

    def wait(self) -> None:
        self._booking.release()

    async def wait_async(self) -> None:
        await self._booking.release_async()


def _retries(run: TaskRun, state: State) -> Generator[Any, Any, bool]:
    """Whether the task is tried again; waits until then."""
    spec, attempt = run.spec, run.attempt
    if state.type is not StateType.FAILED or run.run_count > spec.retry.retries:
        return False
    if spec.retry_condition_fn is not None:
        wanted = yield Call(spec.retry_condition_fn, (spec.owner, run, state), {}, run, "hook")
        if not wanted:
            return False
    if isinstance(state.data, BaseException):
        run_logs.say_about_exception(run, state.data)
    delay = spec.retry.delay_before(run.run_count + 1, attempt.clock.chance())
    run_logs.say(
        run, log_levels.INFO, run_logs.TASK_RUNS, run_logs.about_retry(run.run_count, spec.retry.retries, delay)
    )
    _move(run, states.AwaitingRetry(state.message))
    if delay:
        yield Sleep(delay)
    lease = attempt.lease
    if lease is not None and not lease.holds():
        yield from leases.wait(run, lease)
    _move(run, states.Retrying(f"Retry {run.run_count} of {spec.retry.retries}"), run.run_count + 1)
    return True


def _move(run: TaskRun, state: State, run_count: int | None = None) -> None:
    attempt = run.attempt
    attempt.journal.append(
        records.TaskRunMoved(
            attempt.clock.now(), run.id, state.type.value, state.name, state.message, run_count or run.run_count
        )
    )


def _complain(run: TaskRun, about: str) -> None:
    if run.attempt.complain_once(run.spec.key, about):
        run_logs.say(run, log_levels.WARNING, run_logs.TASK_RUNS, f"Task `{run.spec.name}`: {about}")


def name_of(run: TaskRun) -> str:
    spec = run.spec
    given = spec.run_name
    if given is None:
        counted = run.parent.seen
        with run.attempt.lock:
            number = counted.get(spec.name, 0)
            counted[spec.name] = number + 1
        return f"{spec.name}-{number}"
    return render_name(given, run.arguments, spec.name)


def render_name(given: Any, arguments: dict[str, Any], owner: str) -> str:
    """A run's name out of a template with ``{parameter}`` in it, or out of a function."""
    try:
        text = given() if callable(given) else given.format(**arguments)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise errors.UsageError(
            f"The run name of `{owner}` cannot be made ({type(error).__name__}: {error}): `{given}`",
            hint=f"known parameters: {', '.join(arguments)}",
        ) from None
    return plain_text.in_utf8(str(text)[:200])


def _describe(arguments: dict[str, Any]) -> str:
    return ", ".join([f"{name}={preview(value, 40)}" for name, value in arguments.items()])[:300]


_NONE = hooks.NO_HOOKS
