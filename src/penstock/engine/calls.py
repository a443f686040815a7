"""Calling, submitting and mapping tasks, and flows within flows."""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping, Sized
from itertools import repeat
from typing import Any

from penstock import errors
from penstock.core import addresses, parameters, states
from penstock.core.specs import FlowSpec, TaskSpec
from penstock.core.states import State
from penstock.engine import async_driver, flow_run, leases, pauses, sync_driver, task_run
from penstock.engine.context import RunContext
from penstock.engine.effects import Life
from penstock.engine.futures import AsyncFuture, Future, MappedFutures
from penstock.engine.inputs import Inputs, allow_failure, examine, futures_in, quote, resolve, unmapped
from penstock.engine.runs import FlowRun, TaskRun
from penstock.engine.task_runners import Crew, TaskRunner, ThreadPoolTaskRunner

_DEFAULT_RUNNER = ThreadPoolTaskRunner()
_NOBODY: tuple[Any, ...] = ()

FRAMES_PER_RUN = 12
"""About how many frames of Python's stack a run within a run takes, with room for the user's own."""

added_tags: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar("penstock_tags", default=frozenset())
"""Tags that `tags(…)` gives to the runs begun within it."""


class Prepared:
    """A task run whose inputs may still have to arrive."""

    __slots__ = ("inputs", "life", "run", "wait_for")

    def __init__(self, run: TaskRun, inputs: Inputs, wait_for: Iterable[Any], life: Callable[[TaskRun], Life]) -> None:
        self.run = run
        self.inputs = inputs
        self.wait_for = [future for each in wait_for for future in futures_in(_plain(each))]
        self.life = life
        for each in wait_for if self.wait_for else ():
            if isinstance(each, allow_failure):
                inputs.tolerated.update(id(future) for future in futures_in(each))
        for future in self.wait_for:
            if isinstance(future, Future):
                run.upstream.append(future.id)

    @property
    def awaited(self) -> list[Future | MappedFutures]:
        """The futures that have to be done before it can start."""
        return self.inputs.futures + self.wait_for if self.wait_for else self.inputs.futures

    def begin(self) -> Life:
        """Its life, once what it awaits is done."""
        run = self.run
        for future in self.awaited:
            if isinstance(future, MappedFutures):  # only now is it known how many there are
                run.upstream.extend(each.id for each in future)
        failed = self._failed()
        if failed is not None:
            return _not_ready(run, failed)
        if not self.inputs.is_plain:
            run.arguments = {name: resolve(value, self._value) for name, value in run.arguments.items()}
        return self.life(run)

    def _failed(self) -> Future | None:
        """A future that it needs and that did not complete."""
        for future in self.awaited:
            if id(future) in self.inputs.tolerated:
                continue
            for each in future if isinstance(future, MappedFutures) else (future,):
                if not each.state.is_completed():
                    return each
        return None

    def _value(self, future: Future | MappedFutures) -> Any:
        if isinstance(future, MappedFutures):
            return future.result(raise_on_failure=id(future) not in self.inputs.tolerated)
        return future.result(raise_on_failure=id(future) not in self.inputs.tolerated)


def prepare(
    spec: TaskSpec,
    parent: RunContext,
    arguments: dict[str, Any],
    wait_for: Iterable[Any] = _NOBODY,
    life: Callable[[TaskRun], Life] = task_run.life,
) -> Prepared:
    """The task run of a call, with its place among the runs of its caller."""
    if parent.depth > sys.getrecursionlimit() // FRAMES_PER_RUN:
        raise errors.TooDeep(
            f"Runs call runs {parent.depth} levels deep, which is as far as Python's recursion limit goes",
            hint=f"does `{spec.name}` call itself without an end? Else use a loop, or sys.setrecursionlimit()",
        )
    if _has_async_futures(arguments):
        arguments = {name: _plain(value) for name, value in arguments.items()}
    inputs = examine(arguments, parent.attempt.values)
    address = parent.address_of(spec.digest, inputs.fingerprint)
    added = added_tags.get()
    tags = spec.tags | added if added else spec.tags
    return Prepared(TaskRun(spec, parent, arguments, address, inputs.upstream, tags), inputs, wait_for, life)


def call_task(spec: TaskSpec, parent: RunContext, arguments: dict[str, Any], wait_for: Iterable[Any]) -> State:
    """Run a task here and now; returns its final state."""
    prepared = prepare(spec, parent, arguments, wait_for)
    return run_prepared(prepared)


def run_prepared(prepared: Prepared) -> State:
    """Run a prepared task run here and now; returns its final state."""
    run = prepared.run
    for future in prepared.awaited:
        future.wait()
    return _count(run, sync_driver.drive(prepared.begin(), run.attempt.clock))


async def call_task_async(
    spec: TaskSpec, parent: RunContext, arguments: dict[str, Any], wait_for: Iterable[Any]
) -> State:
    """As `call_task`, in a coroutine."""
    return await run_prepared_async(prepare(spec, parent, arguments, wait_for))


async def run_prepared_async(prepared: Prepared) -> State:
    """As `run_prepared`, in a coroutine."""
    run = prepared.run
    for future in prepared.awaited:
        await future.wait_async()
    return _count(run, await async_driver.drive(prepared.begin(), run.attempt.clock))


def call_generator_task(
    spec: TaskSpec, parent: RunContext, arguments: dict[str, Any], wait_for: Iterable[Any]
) -> Generator[Any, Any, Any]:
    """Run a task that is a generator: yields its items, or the recorded ones. Raises if it fails."""
    prepared = prepare(spec, parent, arguments, wait_for)
    run = prepared.run
    for future in prepared.awaited:
        future.wait()
    given = 0
    items = sync_driver.drive_generator(prepared.begin(), run.attempt.clock)
    while True:
        try:
            item = next(items)
        except StopIteration as end:
            state: State = end.value
            break
        given += 1
        yield item
    value = _count(run, state).result()
    if not given and isinstance(value, list):  # it was not run: recorded, or cached
        yield from value
    return value


async def call_async_generator_task(
    spec: TaskSpec, parent: RunContext, arguments: dict[str, Any], wait_for: Iterable[Any]
) -> AsyncGenerator[Any, None]:
    """As `call_generator_task`, for an async generator."""
    prepared = prepare(spec, parent, arguments, wait_for)
    run = prepared.run
    for future in prepared.awaited:
        await future.wait_async()
    given = 0
    ended: list[State] = []
    async for item in async_driver.drive_generator(prepared.begin(), run.attempt.clock, ended):
        given += 1
        yield item
    value = _count(run, ended[0]).result()
    if not given and isinstance(value, list):
        for item in value:
            yield item


def submit_task(spec: TaskSpec, parent: RunContext, arguments: dict[str, Any], wait_for: Iterable[Any]) -> Future:
    """Have a task run by the flow's task runner, as soon as its inputs are there."""
    return _submit(prepare(spec, parent, arguments, wait_for))


def _submit(prepared: Prepared) -> Future:
    run = prepared.run
    run.name = task_run.name_of(run)
    flow: FlowRun = run.flow
    crew = crew_of(flow)
    future = Future(run.id, run.name, run.address, crew)
    run.future = future
    flow.tally.expect(run)
    job = Submitted(prepared, crew)
    awaited = [each for each in prepared.awaited if not each.done()]
    if not awaited:
        crew.put(job)
    else:
        job.start_when_done(awaited)
    return future


def crew_of(flow: FlowRun) -> Crew:
    """The workers of a flow run, engaged when the first task is submitted."""
    crew = flow.crew
    if crew is None:
        with flow.attempt.lock:
            crew = flow.crew
            if crew is None:
                runner: Any = flow.spec.task_runner or _DEFAULT_RUNNER
                if isinstance(runner, type):
                    runner = runner()
                if not isinstance(runner, TaskRunner):
                    raise errors.UsageError(f"Not a task runner: `{runner!r}`")
                crew = flow.crew = runner.crew(flow.attempt.settings)
    return crew


class Submitted:
    """A submitted task run, as the workers see it."""

    __slots__ = ("_awaited", "_context", "_crew", "_prepared", "_run", "is_async")

    def __init__(self, prepared: Prepared, crew: Crew) -> None:
        self._prepared: Prepared | None = prepared
        self._run = prepared.run
        self._crew = crew
        self._context = contextvars.copy_context()
        self._awaited = 0
        self.is_async = prepared.run.spec.is_async

    def start_when_done(self, futures: list[Future | MappedFutures]) -> None:
        self._awaited = len(futures)
        for future in futures:
            future.when_done(self._one_arrived)

    def _one_arrived(self) -> None:
        with self._run.attempt.lock:
            self._awaited -= 1
            is_last = self._awaited == 0
        if is_last:
            self._crew.put(self)

    def run(self) -> None:
        """Execute the task run in this thread, and complete its future."""
        self._end(self._context.run(self._drive))

    def _drive(self) -> State:
        try:
            return sync_driver.drive(self._begin(), self._run.attempt.clock, self._crew.perform)
        except BaseException as error:  # noqa: BLE001  whoever asks for the result is told
            return states.Crashed(f"The task run could not be recorded: {error}", error)

    async def run_async(self) -> None:
        try:
            state = await async_driver.drive(self._begin(), self._run.attempt.clock)
        except BaseException as error:  # noqa: BLE001  as above
            state = states.Crashed(f"The task run could not be recorded: {error}", error)
        self._end(state)

    def cancel(self) -> None:
        """The flow run was stopped before this task run could start."""
        run = self._run
        try:
            state = task_run.recorded(run)  # what had been finished in an earlier attempt stays so
            if state is None:
                run.run_count = 0
                task_run.begin(run)
                state = task_run.end(run, states.Cancelled("The flow run was stopped before this task run started"))
        except BaseException as error:  # noqa: BLE001  as above
            state = states.Crashed(f"The task run could not be recorded: {error}", error)
        self._end(state)

    def _begin(self) -> Life:
        prepared, self._prepared = self._prepared, None  # the inputs are needed no more
        assert prepared is not None
        return prepared.begin()

    def _end(self, state: State) -> None:
        run = self._run
        _count(run, state)
        future = run.future
        assert future is not None
        run.future = None
        run.arguments = {}
        future.complete(state)
        run.flow.tally.arrived(run)


def map_task(
    spec: TaskSpec, parent: RunContext, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Iterable[Any]
) -> MappedFutures:
    """Submit a task run for each element of the arguments that are iterable, a window at a time."""
    rows, total = _rows(spec, args, kwargs)
    address = parent.address_of(spec.digest, b"map")
    flow: FlowRun = parent.flow
    crew = crew_of(flow)
    futures = MappedFutures(address, total, crew)
    Feeder(spec, parent, rows, list(wait_for), futures, crew).feed()
    return futures


class Feeder:
    """Starts the task runs of a ``map`` so that no more than a window of them are under way."""

    def __init__(
        self,
        spec: TaskSpec,
        parent: RunContext,
        rows: Iterator[tuple[tuple[Any, ...], dict[str, Any]]],
        wait_for: list[Any],
        futures: MappedFutures,
        crew: Crew,
    ) -> None:
        self._spec = spec
        self._parent = parent
        self._rows = rows
        self._wait_for = wait_for
        self._futures = futures
        self._crew = crew
        self._context = contextvars.copy_context()
        self._under_way = 0
        self._feeding = threading.Lock()
        self._exhausted = False
        parent.flow.tally.expect(parent)

    def feed(self) -> None:
        """Start task runs until the window is full. Whoever ends one feeds; one thread at a time."""
        while not self._exhausted and self._under_way < self._crew.window:
            if not self._feeding.acquire(blocking=False):
                return  # the one who feeds looks again after it has let go
            try:
                while not self._exhausted and self._under_way < self._crew.window:
                    self._start_next()
            finally:
                self._feeding.release()

    def _start_next(self) -> None:
        try:
            # The iterator is the caller's code, whichever thread asks it.
            row = None if self._crew.stopped else self._context.run(next, self._rows, None)
            future = None if row is None else self._context.copy().run(self._submit, *row)
        except BaseException as error:  # noqa: BLE001  the user's iterator, or arguments that do not fit
            self._end(error)
        else:
            if future is None:
                self._end(None)
                return
            with self._parent.attempt.lock:
                self._under_way += 1
            self._futures.started(future)
            future.when_done(self._one_ended)

    def _submit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future:
        return submit_task(self._spec, self._parent, self._spec.signature.bind(args, kwargs), self._wait_for)

    def _one_ended(self) -> None:
        with self._parent.attempt.lock:
            self._under_way -= 1
        self._futures.one_ended()
        self.feed()

    def _end(self, error: BaseException | None) -> None:
        self._exhausted = True
        parent = self._parent
        if error is not None:
            parent.flow.tally.count(parent, states.Failed(f"Mapping stopped: {error}", error))
        self._futures.exhausted(error)
        parent.flow.tally.arrived(parent)


_SCALARS = (str, bytes, bytearray, Mapping)


def _rows(
    spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Iterator[tuple[tuple[Any, ...], dict[str, Any]]], int | None]:
    """The arguments of each task run, and how many there are, if that is known."""
    columns: list[Iterable[Any]] = []
    lengths: dict[str, int] = {}
    mapped = 0
    names = [*(f"argument {position + 1}" for position in range(len(args))), *kwargs]
    for name, given in zip(names, (*args, *kwargs.values()), strict=True):
        value = _to_map_over(_plain(given))
        if isinstance(value, unmapped):
            columns.append(repeat(value.value))
            continue
        mapped += 1
        assert isinstance(value, Iterable)
        if isinstance(value, Sized) and not isinstance(value, MappedFutures):
            lengths[name] = len(value)
        columns.append(value)
    if not mapped:
        raise errors.UsageError(
            f"`{spec.name}.map()` needs at least one iterable argument",
            hint="call the task, or submit it, to run it once",
        )
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise errors.UsageError(f"The iterables given to `{spec.name}.map()` differ in length: {told}")
    return _zip(spec, columns, len(args), tuple(kwargs)), next(iter(lengths.values()), None)


def _to_map_over(value: Any) -> Any:
    """What a mapped argument is iterated over; `unmapped` if each task run is given all of it."""
    if isinstance(value, allow_failure):
        inner = _to_map_over(value.value)
        return unmapped(value) if isinstance(inner, unmapped) else [allow_failure(item) for item in inner]
    if isinstance(value, Future):  # a task that returned what is to be mapped over
        value = value.result()
    if isinstance(value, unmapped):
        return value
    if isinstance(value, (quote, *_SCALARS)) or not isinstance(value, Iterable):
        return unmapped(value)
    return value


def _zip(
    spec: TaskSpec, columns: list[Iterable[Any]], positional: int, names: tuple[str, ...]
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    iterators = [iter(column) for column in columns]
    endless = [isinstance(column, repeat) for column in columns]
    while True:
        row: list[Any] = []
        ended = 0
        for iterator in iterators:
            try:
                row.append(next(iterator))
            except StopIteration:
                ended += 1
        if ended:
            if ended != endless.count(False):
                raise errors.UsageError(f"The iterables given to `{spec.name}.map()` differ in length")
            return
        yield tuple(row[:positional]), dict(zip(names, row[positional:], strict=True))


def prepare_subflow(
    spec: FlowSpec, parent: RunContext, arguments: dict[str, Any], wait_for: Iterable[Any], tags: frozenset[str]
) -> tuple[Prepared, list[FlowRun]]:
    """A flow run within another run: a task run of the caller stands for it.

    The list receives the flow run when it begins (not when its recorded result is used).
    """
    stand_in = stand_in_for(spec)
    began: list[FlowRun] = []

    def life(run: TaskRun) -> Life:
        return _subflow_life(run, spec, began, tags)

    return prepare(stand_in, parent, arguments, wait_for, life), began


def call_subflow(
    spec: FlowSpec, parent: RunContext, arguments: dict[str, Any], wait_for: Iterable[Any], tags: frozenset[str]
) -> State:
    """Run a flow within another run; returns its final state."""
    prepared, _ = prepare_subflow(spec, parent, arguments, wait_for, tags)
    return run_prepared(prepared)


async def call_subflow_async(
    spec: FlowSpec, parent: RunContext, arguments: dict[str, Any], wait_for: Iterable[Any], tags: frozenset[str]
) -> State:
    """As `call_subflow`, in a coroutine."""
    prepared, _ = prepare_subflow(spec, parent, arguments, wait_for, tags)
    return await run_prepared_async(prepared)


_stand_ins: dict[int, tuple[FlowSpec, TaskSpec]] = {}


def stand_in_for(spec: FlowSpec) -> TaskSpec:
    """The task that stands for a flow among the task runs of its caller."""
    known = _stand_ins.get(id(spec))
    if known is None or known[0] is not spec:
        stand_in = TaskSpec(
            fn=spec.fn,
            kind=spec.kind,
            signature=spec.signature,
            name=spec.name,
            key=f"flow:{spec.key}",
            digest=addresses.address(b"flow", spec.digest, 0),
            description=spec.description,
            persist_result=spec.persist_result,
            result_storage=spec.result_storage,
            result_serializer=spec.result_serializer,
            log_prints=spec.log_prints,
            owner=spec.owner,
        )
        known = _stand_ins[id(spec)] = (spec, stand_in)
    return known[1]


def _subflow_life(run: TaskRun, spec: FlowSpec, began: list[FlowRun], tags: frozenset[str]) -> Life:
    """The life of the task run that stands for a subflow run."""
    recorded = task_run.recorded(run)
    if recorded is not None:
        return recorded
    arguments, refusal = validated(spec, run.arguments)
    source_id = None if run.source_id is None else addresses.subflow_run_id(run.source_id)
    child = FlowRun(
        spec,
        run.attempt,
        addresses.subflow_run_id(run.id),
        "",
        arguments,
        parent=run,
        source="subflow",
        source_id=source_id,
        tags=run.parent.flow.tags | tags,
    )
    child.name = flow_run.name_of(child)
    run.name = child.name
    began.append(child)
    lease = run.attempt.lease
    if lease is not None and not lease.holds():
        yield from leases.wait(run, lease)
    task_run.begin(run, "subflow")
    state = yield from flow_run.life(child, flow_run.began(child, None), refusal)
    if state.is_paused():
        pauses.suspended(run, state)
    return task_run.end(run, state, cache_text="", told=True)


def validated(spec: FlowSpec, arguments: dict[str, Any]) -> tuple[dict[str, Any], errors.ParameterError | None]:
    """The arguments as the flow's type hints want them; or as they are, and why they do not fit."""
    if not spec.validate_parameters:
        return arguments, None
    try:
        return parameters.validate(spec.signature, arguments, spec.name), None
    except errors.ParameterError as error:
        return arguments, error


def _not_ready(run: TaskRun, failed: Future) -> Life:
    """The life of a task run that cannot start."""
    run.name = run.name or task_run.name_of(run)
    known = task_run.recorded(run)  # what had been finished in an earlier attempt stays so
    if known is not None:
        return known
    message = f"Upstream task run `{failed.name}` did not reach a 'COMPLETED' state: it is {failed.state}"
    error = errors.UpstreamFailed(message)
    cause = failed.state.data
    error.__cause__ = cause if isinstance(cause, BaseException) else None
    task_run.begin(run)
    return task_run.end(run, states.NotReady(message, error))
    yield  # a generator, though it asks for nothing


def _count(run: TaskRun, state: State) -> State:
    """Tell the flow run, if it called the task itself, how it ended."""
    if run.parent is run.flow:
        run.flow.tally.count(run, state)
    return state


def _plain(value: Any) -> Any:
    return value.sync if isinstance(value, AsyncFuture) else value


def _has_async_futures(arguments: dict[str, Any]) -> bool:
    for value in arguments.values():  # noqa: SIM110  any() would make a generator for each call
        if type(value) is AsyncFuture:
            return True
    return False
