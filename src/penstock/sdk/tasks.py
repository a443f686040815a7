"""``@task``: a function whose calls are recorded, retried, cached and run where one likes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Literal,
    NoReturn,
    ParamSpec,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from penstock import errors
from penstock.core.specs import FlowSpec, TaskOptions, TaskSpec, refuse_unknown_options
from penstock.engine import calls
from penstock.engine.context import RunContext, current
from penstock.engine.futures import Future, MappedFutures
from penstock.sdk import options, runs, visualize

if TYPE_CHECKING:
    from penstock.core.states import State

P = ParamSpec("P")
P2 = ParamSpec("P2")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

_NOTHING: tuple[Any, ...] = ()


class Task(Generic[P, R_co]):
    """A task. Call it in a flow; or `submit` it, to get a future; or `map` it over many inputs."""

    def __init__(self, fn: Callable[P, R_co], /, **given: Unpack[TaskOptions]) -> None:
        refuse_unknown_options("@task", given, TaskOptions)
        inner = options.unwrapped(fn)
        if not callable(inner):
            raise errors.UsageError(f"A task is made of a function, not of: `{fn!r}`")
        self._options = given
        self._binds = options.binding_of(fn)
        self._bound: tuple[Any, ...] = _NOTHING
        self.spec: TaskSpec = options.task_spec(inner, given, self)
        self.isasync = self.spec.is_async
        _look_like(self, inner)

    @property
    def fn(self) -> Callable[P, R_co]:
        """The function itself: calling it runs nothing but it."""
        return cast("Callable[P, R_co]", self.spec.fn.__get__(*self._bound) if self._bound else self.spec.fn)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def description(self) -> str:
        return self.spec.description

    @property
    def tags(self) -> frozenset[str]:
        return self.spec.tags

    @property
    def version(self) -> str | None:
        return self.spec.version

    @property
    def task_key(self) -> str:
        """What replay and the cache know the task by."""
        return self.spec.key

    @property
    def retries(self) -> int:
        return self.spec.retry.retries

    def with_options(self, **given: Unpack[TaskOptions]) -> Task[P, R_co]:
        """The same task with other options; those not given stay as they are."""
        refuse_unknown_options("@task", given, TaskOptions)
        merged: Any = {**self._options, **given}
        if "cache_key_fn" in given and "cache_policy" not in given:
            merged.pop("cache_policy", None)
        if "cache_policy" in given and "cache_key_fn" not in given:
            merged.pop("cache_key_fn", None)
        changed = Task(self.spec.fn, **merged)
        changed._binds, changed._bound = self._binds, self._bound
        return cast("Task[P, R_co]", changed)

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]  what never returns is taken for sync
        self: Task[..., NoReturn],
        *args: Any,
        return_state: Literal[True],
        wait_for: Iterable[Any] | None = ...,
        **kwargs: Any,
    ) -> State: ...

    @overload
    def __call__(
        self: Task[..., Coroutine[Any, Any, Any]],
        *args: Any,
        return_state: Literal[True],
        wait_for: Iterable[Any] | None = ...,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, State]: ...

    @overload
    def __call__(
        self, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = ..., **kwargs: Any
    ) -> State: ...

    @overload
    def __call__(
        self, *args: Any, wait_for: Iterable[Any] | None, return_state: Literal[False] = ..., **kwargs: Any
    ) -> R_co: ...

    def __call__(
        self, *args: Any, return_state: bool = False, wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> Any:
        """Run the task here and now, and return its result; if it fails, its exception is raised.

        Outside of a flow it runs all the same, as a run of its own. With ``return_state=True`` the
        final state is returned; ``wait_for`` are futures that have to be completed first.
        """
        spec = self.spec
        if self._bound:
            args = self._bound + args
        parent = current()
        if parent is None:
            if visualize.is_drawing():
                return visualize.draw_call(spec, spec.signature.bind(args, kwargs), wait_for, return_state=return_state)
            return runs.run(self.alone(), args, kwargs, return_state=return_state)
        arguments = spec.signature.bind(args, kwargs)
        kind = spec.kind
        if kind == "sync":
            state = calls.call_task(spec, parent, arguments, wait_for or _NOTHING)
            return state if return_state else state.result()
        if kind == "async":
            return self._call_async(parent, arguments, wait_for or _NOTHING, return_state=return_state)
        if return_state:
            raise errors.UsageError(f"A task that is a generator has no state to return: `{spec.name}`")
        if kind == "generator":
            return calls.call_generator_task(spec, parent, arguments, wait_for or _NOTHING)
        return calls.call_async_generator_task(spec, parent, arguments, wait_for or _NOTHING)

    async def _call_async(
        self, parent: RunContext, arguments: dict[str, Any], wait_for: Iterable[Any], *, return_state: bool
    ) -> Any:
        state = await calls.call_task_async(self.spec, parent, arguments, wait_for)
        return state if return_state else state.result()

    @overload
    def submit(
        self, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = ..., **kwargs: Any
    ) -> State: ...

    @overload
    def submit(
        self: Task[..., Coroutine[Any, Any, T]],
        *args: Any,
        wait_for: Iterable[Any] | None = ...,
        return_state: Literal[False] = ...,
        **kwargs: Any,
    ) -> Future[T]: ...

    @overload
    def submit(
        self: Task[..., Generator[T, Any, Any]] | Task[..., AsyncGenerator[T, Any]],
        *args: Any,
        wait_for: Iterable[Any] | None = ...,
        return_state: Literal[False] = ...,
        **kwargs: Any,
    ) -> Future[list[T]]: ...

    @overload
    def submit(
        self, *args: Any, wait_for: Iterable[Any] | None = ..., return_state: Literal[False] = ..., **kwargs: Any
    ) -> Future[R_co]: ...

    def submit(
        self, *args: Any, wait_for: Iterable[Any] | None = None, return_state: bool = False, **kwargs: Any
    ) -> Any:
        """Have the task run by the flow's task runner as soon as its inputs are there.

        Returns a `Future` at once. Futures among the arguments become their results.
        ``return_state=True`` waits and returns the final state.
        """
        args = self._bound + args
        parent = current()
        if parent is None:
            if visualize.is_drawing():
                arguments = self.spec.signature.bind(args, kwargs)
                return visualize.draw_submit(self.spec, arguments, wait_for, return_state=return_state)
            future = self._submit_alone(lambda: self._submit_here(args, kwargs, wait_for))
        else:
            future = self._submit_here(args, kwargs, wait_for)
        if return_state:
            future.wait()
            return future.state
        return future

    def _submit_here(self, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Iterable[Any] | None) -> Future:
        arguments = self.spec.signature.bind(args, kwargs)
        return calls.submit_task(self.spec, cast("RunContext", current()), arguments, wait_for or _NOTHING)

    @overload
    def map(
        self, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = ..., **kwargs: Any
    ) -> list[State]: ...

    @overload
    def map(
        self: Task[..., Coroutine[Any, Any, T]],
        *args: Any,
        wait_for: Iterable[Any] | None = ...,
        return_state: Literal[False] = ...,
        **kwargs: Any,
    ) -> MappedFutures[T]: ...

    @overload
    def map(
        self: Task[..., Generator[T, Any, Any]] | Task[..., AsyncGenerator[T, Any]],
        *args: Any,
        wait_for: Iterable[Any] | None = ...,
        return_state: Literal[False] = ...,
        **kwargs: Any,
    ) -> MappedFutures[list[T]]: ...

    @overload
    def map(
        self, *args: Any, wait_for: Iterable[Any] | None = ..., return_state: Literal[False] = ..., **kwargs: Any
    ) -> MappedFutures[R_co]: ...

    def map(self, *args: Any, wait_for: Iterable[Any] | None = None, return_state: bool = False, **kwargs: Any) -> Any:
        """Submit a task run for each element of the iterable arguments; returns their futures, in order.

        Any iterable will do, however long: a window of task runs is under way at a time. Text and
        dicts, and what is wrapped in `unmapped`, is passed to each as it is.
        """
        args = self._bound_for_map + args
        parent = current()
        if parent is None:
            if visualize.is_drawing():
                return visualize.draw_map(self.spec, args, kwargs, wait_for, return_state=return_state)
            futures = self._submit_alone(lambda: self._map_here(args, kwargs, wait_for))
        else:
            futures = self._map_here(args, kwargs, wait_for)
        if return_state:
            futures.wait()
            return [future.state for future in futures]
        return futures

    def _map_here(self, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Iterable[Any] | None) -> MappedFutures:
        return calls.map_task(self.spec, cast("RunContext", current()), args, kwargs, wait_for or _NOTHING)

    @property
    def _bound_for_map(self) -> tuple[Any, ...]:
        from penstock.engine.inputs import unmapped  # noqa: PLC0415  methods that are mapped are rare

        return tuple(unmapped(each) for each in self._bound)

    def alone(self) -> FlowSpec:
        """A flow that does nothing but run this task, as when it is called outside of any flow."""
        spec = self.spec

        def sync_body(*args: Any, **kwargs: Any) -> Any:
            return self._unbound()(*args, **kwargs)

        async def async_body(*args: Any, **kwargs: Any) -> Any:
            return await self._unbound()(*args, **kwargs)

        return runs.lone_task(spec, async_body if spec.is_async else sync_body)

    def _unbound(self) -> Callable[..., Any]:
        if not self._bound:
            return self
        unbound = Task(self.spec.fn, **self._options)
        unbound.spec = self.spec
        return unbound

    def _submit_alone(self, submit: Callable[[], Any]) -> Any:
        """Submitting outside of a flow: a run of its own, waited for."""
        submitted: list[Any] = []

        def body() -> None:
            submitted.append(submit())
            submitted[0].wait()

        state: State = runs.run(runs.lone_task(self.spec, body, takes_nothing=True), (), {}, return_state=True)
        return submitted[0] if submitted else state.result()

    @overload
    def __get__(self, instance: None, owner: type, /) -> Task[P, R_co]: ...

    @overload
    def __get__(self: Task[Concatenate[Any, P2], T], instance: object, owner: type | None = ..., /) -> Task[P2, T]: ...

    @overload
    def __get__(self, instance: object, owner: type | None = ..., /) -> Task[P, R_co]: ...

    def __get__(self, instance: Any, owner: type | None = None, /) -> Any:
        return options.bound(self, self._binds, instance, owner)

    def __repr__(self) -> str:
        return f"<task {self.name!r}>"


@overload
def task(fn: Callable[P, R], /, **options: Unpack[TaskOptions]) -> Task[P, R]: ...


@overload
def task(**options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def task(fn: Callable[..., Any] | None = None, /, **options: Unpack[TaskOptions]) -> Any:
    """Make a task of a function: ``@task`` or ``@task(retries=3, …)``. See `TaskOptions`.

    Raises `UnknownOption` for an option that does not exist, `UsageError` for a value that cannot be.
    """
    if fn is None:
        refuse_unknown_options("@task", options, TaskOptions)
        return lambda function: Task(function, **options)
    return Task(fn, **options)


def _look_like(wrapper: Any, fn: Any) -> None:
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        if hasattr(fn, name):
            setattr(wrapper, name, getattr(fn, name))
    wrapper.__wrapped__ = fn
