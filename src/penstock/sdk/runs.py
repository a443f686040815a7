"""Running flows: puts settings, clock, journal and history together, and the engine does the rest."""

from __future__ import annotations

import contextvars
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec import structs

from penstock import clock, errors, settings
from penstock.core import outcomes, records
from penstock.core.assignments import Assignment
from penstock.core.parameters import Signature
from penstock.core.specs import FlowSpec, TaskSpec
from penstock.core.states import State
from penstock.core.suggestions import did_you_mean
from penstock.engine import async_driver, attempt, calls, flow_run, results, run_logs, sync_driver
from penstock.engine.attempt import Attempt
from penstock.engine.context import RunContext
from penstock.engine.effects import Life
from penstock.engine.replay import History
from penstock.engine.runs import FlowRun
from penstock.journal.lease import Held
from penstock.sdk import options, slots

if TYPE_CHECKING:
    from penstock.core.ports import Past


TERMINATED = 143
"""What a process exits with that was told to end while it executed a run: 128 + SIGTERM, as shells say."""


class Environment:
    """Where and on which clock runs happen. Tests have one of their own; see `penstock.testing`."""

    def __init__(self, chosen: settings.Settings, time: clock.Clock) -> None:
        self.settings = chosen
        self.clock = time


_environment: contextvars.ContextVar[Environment | None] = contextvars.ContextVar("penstock_environment", default=None)

quiet: contextvars.ContextVar[bool] = contextvars.ContextVar("penstock_quiet", default=False)
"""Whether runs show nothing on the terminal."""


def environment() -> Environment:
    """The environment in force: a test's, or the machine's with the settings read now."""
    return _environment.get() or Environment(settings.load(), clock.SYSTEM)


use_environment = _environment.set
reset_environment = _environment.reset


def run(
    spec: FlowSpec, args: tuple[Any, ...], kwargs: dict[str, Any], *, return_state: bool = False, source: str = "call"
) -> Any:
    """Run a flow as a run of its own. Gives what its kind of function gives: a value, a coroutine, a generator."""
    arguments = spec.signature.bind(args, kwargs)

    def start() -> Started:
        here = environment()
        return Started(spec, attempt.open_attempt(here.settings, here.clock, None), arguments, source=source)

    return _execute(spec, start, return_state=return_state)


def run_within(
    spec: FlowSpec,
    parent: RunContext,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    return_state: bool,
    wait_for: Iterable[Any],
) -> Any:
    """Run a flow as a subflow of the run that calls it."""
    arguments = spec.signature.bind(args, kwargs)
    tags = calls.added_tags.get()
    if spec.kind == "async":
        return _within_async(spec, parent, arguments, wait_for, tags, return_state=return_state)
    if spec.kind == "sync":
        state = calls.call_subflow(spec, parent, arguments, wait_for, tags)
        return state if return_state else state.result()
    raise errors.UsageError(
        f"A flow that is a generator cannot be a subflow: `{spec.name}`",
        hint="let the subflow return a list, or make it a task",
    )


async def _within_async(
    spec: FlowSpec,
    parent: RunContext,
    arguments: dict[str, Any],
    wait_for: Iterable[Any],
    tags: frozenset[str],
    *,
    return_state: bool,
) -> Any:
    state = await calls.call_subflow_async(spec, parent, arguments, wait_for, tags)
    return state if return_state else state.result()


def resume(spec: FlowSpec, run: str, *, from_task: str | None = None, return_state: bool = False) -> Any:
    """Begin the next attempt of a run. With ``from_task``, results from that task on are set aside."""
    _know_main(spec)

    def start() -> Started:
        here = environment()
        past, run_id = _past_of(here, run, goes_on=True)

        def edit(history: History) -> records.ResultsForgotten | None:
            return None if from_task is None else _forget_from(here, history, run_id, from_task)

        opened = attempt.open_attempt(here.settings, here.clock, past, run_id, edit=edit)
        try:
            began = _how_it_began(opened, run_id)
            arguments = _arguments(opened, began, spec)
        except BaseException:
            _discard(opened)
            raise
        source = "resume" if from_task is None else "rerun"
        return Started(spec, opened, arguments, name=began.name, tags=frozenset(began.tags), source=source)

    return _execute(spec, start, return_state=return_state)


def fork(spec: FlowSpec, run: str, parameters: Mapping[str, Any], *, return_state: bool = False) -> Any:
    """A new run with parameters of a past one, some of them replaced, and its results where inputs agree."""
    _know_main(spec)

    def start() -> Started:
        here = environment()
        past, run_id = _past_of(here, run)
        opened = attempt.open_attempt(here.settings, here.clock, past, fork_of=run_id)
        try:
            began = _how_it_began(opened, run_id)
            before = _arguments(opened, began, spec)
            arguments = spec.signature.bind_names({**before, **parameters})
        except BaseException:
            _discard(opened)
            raise
        return Started(spec, opened, arguments, source="fork", source_id=run_id, tags=frozenset(began.tags))

    return _execute(spec, start, return_state=return_state)


def execute(spec: FlowSpec, assignment: Assignment, past: Past) -> Any:
    """Execute the attempt that a worker was given; returns its final state, or what to ``await`` for it.

    The parameters are those of the assignment in every attempt. If they do not fit, the run fails.
    """
    _know_main(spec)

    def start() -> Started:
        here = environment()
        earlier = past if assignment.attempt > 1 else None
        opened = attempt.open_attempt(here.settings, here.clock, earlier, assignment.run_id, number=assignment.attempt)
        opened.assignment = assignment
        opened.lease = Held(assignment.lease) if assignment.lease else None
        refusal: errors.ParameterError | None = None
        arguments = dict(assignment.parameters)
        try:
            arguments = spec.signature.bind_names(arguments)
        except errors.ParameterError as error:
            refusal = error
        return Started(
            spec,
            opened,
            arguments,
            name=assignment.name,
            tags=frozenset(assignment.tags),
            source="deployment" if assignment.deployment_id else "call",
            called_by=assignment.parent_flow_run_id,
            refusal=refusal,
        )

    # Of a generator, too, the state is wanted: the drivers exhaust it.
    if spec.is_async:
        return _execute_async(start, return_state=True)
    return _execute_sync(start, return_state=True)


class Started:
    """A top-level flow run in its attempt, about to begin."""

    def __init__(
        self,
        spec: FlowSpec,
        opened: Attempt,
        arguments: dict[str, Any],
        *,
        name: str = "",
        source: str = "call",
        source_id: str | None = None,
        called_by: str | None = None,
        tags: frozenset[str] = frozenset(),
        refusal: errors.ParameterError | None = None,
    ) -> None:
        self.attempt = opened
        if opened.settings.api_url is not None:
            from penstock.sdk import shipping  # noqa: PLC0415  for those who have a server elsewhere

            shipping.begin(opened)
        validated, self.refusal = calls.validated(spec, arguments) if refusal is None else (arguments, refusal)
        self.run = FlowRun(
            spec,
            opened,
            opened.run_id,
            name,
            validated,
            source=source,
            source_id=source_id,
            called_by=called_by,
            tags=tags | calls.added_tags.get(),
        )
        self.run.name = name or flow_run.name_of(self.run)
        if self.run.replay == "off":
            opened.history = None
        self._arguments = arguments
        whose = {"run_name": self.run.name, "is_directed": opened.assignment is not None}
        opened.open_slots = partial(slots.granted, **whose)
        from penstock.sdk import console  # noqa: PLC0415  importing Penstock is to be quick

        self.display = console.display(self.run, quiet=quiet.get())

    def life(self) -> Life:
        """The life of the run, to be driven."""
        run = self.run
        run_logs.capture_prints()
        kept = self.attempt.results.keep(self._arguments, _ARGUMENTS, self._cannot_resume)
        # As they were given: what is a secret shows only in the parameters that were made of them.
        kept = structs.replace(kept, preview="")
        return flow_run.life(run, flow_run.began(run, kept), self.refusal)

    def _cannot_resume(self, about: str) -> None:
        run_logs.say(self.run, 30, run_logs.FLOW_RUNS, f"This run cannot be resumed: {about}")

    def ended(self, state: State | None) -> None:
        """Let go of the journal, and of the terminal."""
        from penstock.sdk import console  # noqa: PLC0415  as above

        self.display.end(state)
        try:
            self.attempt.close()
        except errors.JournalLost as error:
            _exit(error)
        finally:
            if self.attempt.settings.api_url is not None:
                from penstock.sdk import shipping  # noqa: PLC0415  as above

                shipping.end(self.attempt, state)
            if self.attempt.assignment is None:  # a worker's home is the worker's to tidy
                console.leave_home_tidy(self.attempt)


class _Arguments:
    persist_result = True
    result_storage = None
    result_serializer = None


_ARGUMENTS = _Arguments()


def _execute(spec: FlowSpec, start: Callable[[], Started], *, return_state: bool) -> Any:
    if spec.kind == "async":
        return _execute_async(start, return_state=return_state)
    if spec.kind == "sync":
        return _execute_sync(start, return_state=return_state)
    if return_state:
        raise errors.UsageError(f"A flow that is a generator has no state to return: `{spec.name}`")
    return _execute_generator(start) if spec.kind == "generator" else _execute_async_generator(start)


def _execute_sync(start: Callable[[], Started], *, return_state: bool) -> Any:
    started = _begun(start)
    state: State | None = None
    try:
        with started.display, told_to_end():
            state = sync_driver.drive(started.life(), started.attempt.clock)
    except errors.JournalLost as error:
        _exit(error)
    finally:
        started.ended(state)
    return _outcome(state, return_state=return_state)


async def _execute_async(start: Callable[[], Started], *, return_state: bool) -> Any:
    started = _begun(start)
    state: State | None = None
    try:
        with started.display, _told_to_end_async(started.attempt):
            state = await async_driver.drive(started.life(), started.attempt.clock)
    except errors.JournalLost as error:
        _exit(error)
    finally:
        started.ended(state)
    return _outcome(state, return_state=return_state)


def _execute_generator(start: Callable[[], Started]) -> Generator[Any, Any, Any]:
    started = _begun(start)
    state: State | None = None
    try:
        with started.display:
            state = yield from sync_driver.drive_generator(started.life(), started.attempt.clock)
    except errors.JournalLost as error:
        _exit(error)
    finally:
        started.ended(state)
    assert state is not None
    return state.result()


async def _execute_async_generator(start: Callable[[], Started]) -> AsyncGenerator[Any, None]:
    started = _begun(start)
    ended: list[State] = []
    try:
        with started.display:
            async for item in async_driver.drive_generator(started.life(), started.attempt.clock, ended):
                yield item
    except errors.JournalLost as error:
        _exit(error)
    finally:
        started.ended(ended[0] if ended else None)
    ended[0].result()


def _begun(start: Callable[[], Started]) -> Started:
    try:
        return start()
    except errors.JournalLost as error:
        _exit(error)


@contextmanager
def told_to_end() -> Generator[None]:
    """While a run is executed on the main thread, SIGTERM interrupts it as Ctrl-C does; then it can be resumed."""
    import signal  # noqa: PLC0415  a small saving at import

    def end(*_: Any) -> None:
        raise outcomes.Terminated

    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _told_to_end_async(opened: Attempt) -> Generator[None]:
    """As `told_to_end`, for a coroutine: it is cancelled, and its life knows why."""
    import asyncio  # noqa: PLC0415  loaded by whoever awaits this
    import signal  # noqa: PLC0415  as above

    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def end() -> None:
        opened.told_to_end = True
        if task is not None:
            task.cancel()

    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    try:
        loop.add_signal_handler(signal.SIGTERM, end)
    except NotImplementedError:  # Windows
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def _outcome(state: State | None, *, return_state: bool) -> Any:
    assert state is not None
    if isinstance(state.data, outcomes.Terminated):
        raise SystemExit(TERMINATED) from state.data
    if isinstance(state.data, KeyboardInterrupt):
        raise state.data
    return state if return_state else state.result()


def _exit(error: errors.JournalLost) -> NoReturn:
    """What happened from here on would not be recorded: the process ends."""
    sys.stderr.write(f"penstock: {error}\n")
    raise SystemExit(errors.JournalLost.exit_code) from error


def _past_of(here: Environment, run: str, *, goes_on: bool = False) -> tuple[Past, str]:
    """What is kept of earlier attempts, and the id of the run that is meant.

    With ``goes_on``, raises `AlreadyRunning` while the run is with workers, and `RunsElsewhere` for another home's.
    """
    from penstock.orchestration import by_hand, local, overview  # noqa: PLC0415  the store is for those who look back

    with local.open_home(here.settings, here.clock) as home, home.reading() as tx:
        found = overview.flow_run(tx, run)
        if goes_on:
            by_hand.refuse_if_others(tx, found)
    if found.root_run_id != found.id:
        raise errors.UsageError(
            f"Flow run `{found.name}` is a subflow run: it goes on with the run that called it",
            hint=f"name that run: `{found.root_run_id}`",
        )
    return local.LocalPast(here.settings), found.id


def _know_main(spec: FlowSpec) -> None:
    """Results of an attempt that ran as ``__main__`` may be of classes that the flow's module has now."""
    module = sys.modules.get(spec.fn.__module__)
    if module is not None and module not in results.main_modules:
        results.main_modules.append(module)


def _how_it_began(opened: Attempt, run_id: str) -> records.FlowRunBegan:
    if opened.history is None or opened.history.run is None:
        raise errors.NotFound(f"Nothing is recorded of flow run `{run_id}`")
    return opened.history.run


def _arguments(opened: Attempt, began: records.FlowRunBegan, spec: FlowSpec) -> dict[str, Any]:
    if began.flow_name != spec.name:
        raise errors.UsageError(
            f"Flow run `{began.name}` is one of flow `{began.flow_name}`, not of `{spec.name}`",
        )
    if began.arguments is None or not began.arguments.kept:
        raise errors.MissingResult(f"The parameters of flow run `{began.name}` were not kept, so it cannot be resumed")
    return opened.results.load(began.arguments)


def _forget_from(here: Environment, history: History, run_id: str, task: str) -> records.ResultsForgotten:
    found = history.named(task)
    if not found:
        known = {began.name for began in history.began.values()}
        hint = did_you_mean(task, known) or "`penstock task-run ls` lists them"
        raise errors.NotFound(f"The run has no task run named: `{task}`", hint=hint)
    return records.ResultsForgotten(here.clock.now(), run_id, tuple(sorted(history.what_saw(found[0]))))


def _discard(opened: Attempt) -> None:
    """An attempt that could not begin leaves no trace."""
    opened.close()
    opened.journal.path.unlink(missing_ok=True)
    if opened.number == 1:
        try:
            os.rmdir(opened.journal.path.parent)
        except OSError:
            return


def lone_task(spec: TaskSpec, body: Callable[..., Any], *, takes_nothing: bool = False) -> FlowSpec:
    """A flow that stands around a task called outside of any flow."""
    return FlowSpec(
        fn=body,
        kind="async" if spec.is_async and not takes_nothing else "sync",
        signature=Signature.of(body if takes_nothing else spec.fn),
        name=spec.name,
        key=f"task:{spec.key}",
        digest=spec.digest,
        description=spec.description,
        version=options.file_digest(spec.fn),
        entrypoint=options.entrypoint_of(spec.fn),
        validate_parameters=False,
        persist_result=spec.persist_result,
        result_storage=spec.result_storage,
        result_serializer=spec.result_serializer,
        log_prints=spec.log_prints,
        owner=spec.owner,
    )
