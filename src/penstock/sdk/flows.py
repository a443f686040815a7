"""``@flow``: a function whose run is a journal."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from importlib import import_module
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
from penstock.core import parameters
from penstock.core.specs import FlowOptions, FlowSpec, refuse_unknown_options
from penstock.engine.context import current, is_own_process
from penstock.sdk import options, runs, visualize

if TYPE_CHECKING:
    from penstock.core.states import State
    from penstock.sdk.deploying import DeploymentOptions
    from penstock.sdk.deployments import Deployment, DeploymentId

P = ParamSpec("P")
P2 = ParamSpec("P2")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class Flow(Generic[P, R_co]):
    """A flow. Calling it runs it; in another flow it becomes a subflow run."""

    def __init__(self, fn: Callable[P, R_co], /, **given: Unpack[FlowOptions]) -> None:
        refuse_unknown_options("@flow", given, FlowOptions)
        inner = options.unwrapped(fn)
        if not callable(inner):
            raise errors.UsageError(f"A flow is made of a function, not of: `{fn!r}`")
        self._options = given
        self._binds = options.binding_of(fn)
        self._bound: tuple[Any, ...] = ()
        self.spec: FlowSpec = options.flow_spec(inner, given, self)
        self.isasync = self.spec.is_async
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            if hasattr(inner, name):
                setattr(self, name, getattr(inner, name))
        self.__wrapped__ = inner

    @classmethod
    def of_spec(cls, spec: FlowSpec) -> Flow[..., Any]:
        """A flow made of what it declares, such as the one around a task that runs alone (`Task.alone`)."""
        made = cls(spec.fn)
        made.spec = spec
        return made

    @property
    def fn(self) -> Callable[P, R_co]:
        """The function itself: calling it records no flow run."""
        return cast("Callable[P, R_co]", self.spec.fn.__get__(*self._bound) if self._bound else self.spec.fn)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def description(self) -> str:
        return self.spec.description

    @property
    def version(self) -> str:
        return self.spec.version

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON schema of the flow's parameters, from its signature and docstring."""
        return parameters.schema(self.spec.signature)

    def validate_parameters(self, given: dict[str, Any]) -> dict[str, Any]:
        """The parameters as the type hints want them. Raises `ParameterError` when they do not fit."""
        spec = self.spec
        return parameters.validate(spec.signature, spec.signature.bind_names(given), spec.name)

    def with_options(self, **given: Unpack[FlowOptions]) -> Flow[P, R_co]:
        """The same flow with other options; those not given stay as they are."""
        refuse_unknown_options("@flow", given, FlowOptions)
        merged: Any = {**self._options, **given}
        changed = Flow(self.spec.fn, **merged)
        changed._binds, changed._bound = self._binds, self._bound
        return cast("Flow[P, R_co]", changed)

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]  what never returns is taken for sync
        self: Flow[..., NoReturn],
        *args: Any,
        return_state: Literal[True],
        wait_for: Iterable[Any] | None = ...,
        **kwargs: Any,
    ) -> State: ...

    @overload
    def __call__(
        self: Flow[..., Coroutine[Any, Any, Any]],
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
        """Run the flow and return its result; if it fails, its exception is raised.

        With ``return_state=True`` the final state is returned. Within another flow, ``wait_for``
        are futures that have to be completed first.
        """
        args = self._bound + args
        parent = current()
        if parent is None and visualize.is_drawing():
            arguments = self.spec.signature.bind(args, kwargs)
            return visualize.draw_call(self.spec, arguments, wait_for, return_state=return_state)
        if parent is not None and is_own_process(parent):
            return runs.run_within(self.spec, parent, args, kwargs, return_state=return_state, wait_for=wait_for or ())
        return runs.run(self.spec, args, kwargs, return_state=return_state)

    def resume(self, run_id: str, *, return_state: bool = False) -> Any:
        """Go on with a run that did not complete: finished tasks give their recorded results.

        ``run_id`` may be the run's name, or the beginning of its id. Raises `NotFound`, and
        `AlreadyRunning` when a live process executes the run.
        """
        return runs.resume(self.spec, run_id, return_state=return_state)

    def rerun(self, run_id: str, *, from_task: str, return_state: bool = False) -> Any:
        """Run again from a task on: it, and everything that could have seen its result.

        ``from_task`` is a task run's name or id, or a task's name (then from its first run on).
        """
        return runs.resume(self.spec, run_id, from_task=from_task, return_state=return_state)

    def fork(self, run_id: str, *, parameters: dict[str, Any] | None = None, return_state: bool = False) -> Any:
        """A new run with some other parameters, which uses what a past run has finished where inputs agree."""
        return runs.fork(self.spec, run_id, parameters or {}, return_state=return_state)

    def to_deployment(self, name: str, **given: Unpack[DeploymentOptions]) -> Deployment:
        """The deployment of that name, to be applied, or to be served with others. See `DeploymentOptions`."""
        from penstock.sdk import deploying  # noqa: PLC0415  only where flows are deployed

        return deploying.to_deployment(self, name, given)

    def deploy(self, name: str, *, print_next_steps: bool = True, **given: Unpack[DeploymentOptions]) -> DeploymentId:
        """Let the server know the flow by that name, with all that is said here; returns the deployment's id.

        Workers of its pool execute its runs, with the code of this folder unless ``storage`` or ``upload`` says
        otherwise. See `DeploymentOptions`.
        """
        from penstock.sdk import deploying  # noqa: PLC0415  as above

        return deploying.deploy(self, name, given, print_next_steps=print_next_steps)

    def serve(
        self,
        name: str | None = None,
        *,
        pause_on_shutdown: bool = True,
        print_starting_message: bool = True,
        limit: int | None = None,
        **given: Unpack[DeploymentOptions],
    ) -> None:
        """Deploy the flow, and execute its runs in processes of this one, until it is told to stop.

        Its name is the flow's, if none is given. See `penstock.serve` and `DeploymentOptions`.
        """
        deployment = self.to_deployment(self.name if name is None else name, **given)
        # By its name: what executes runs is above this layer, and only those who serve need it.
        serving = import_module("penstock.worker.serving")
        serving.serve(
            deployment,
            pause_on_shutdown=pause_on_shutdown,
            print_starting_message=print_starting_message,
            limit=limit,
        )

    def visualize(self, *args: Any, **kwargs: Any) -> visualize.Drawing:
        """The graph of the tasks that a call would run, without running them.

        The flow's own code is run; tasks return placeholders (or their ``viz_return_value``). The
        drawing shows itself in notebooks; ``save("graph.svg")`` or ``save("graph.dot")`` writes it.
        """
        return visualize.draw(self.spec, self._bound + args, kwargs)

    @overload
    def test(  # pyright: ignore[reportOverlappingOverload]  as above
        self: Flow[..., NoReturn], *args: Any, **kwargs: Any
    ) -> State: ...

    @overload
    def test(self: Flow[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any) -> Coroutine[Any, Any, State]: ...

    @overload
    def test(self, *args: Any, **kwargs: Any) -> State: ...

    def test(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow in an empty home of its own, on a clock on which waiting takes no time.

        Returns the final state; of an async flow, what to ``await`` for it. See `penstock.testing`.
        """
        from penstock.sdk.harness import harness  # noqa: PLC0415  only in tests

        run = cast("Flow[..., Any]", self)

        async def test_async() -> State:
            with harness():
                return await run(*args, return_state=True, **kwargs)

        if self.isasync:
            return test_async()
        with harness():
            return run(*args, return_state=True, **kwargs)

    @overload
    def __get__(self, instance: None, owner: type, /) -> Flow[P, R_co]: ...

    @overload
    def __get__(self: Flow[Concatenate[Any, P2], T], instance: object, owner: type | None = ..., /) -> Flow[P2, T]: ...

    @overload
    def __get__(self, instance: object, owner: type | None = ..., /) -> Flow[P, R_co]: ...

    def __get__(self, instance: Any, owner: type | None = None, /) -> Any:
        return options.bound(self, self._binds, instance, owner)

    def __repr__(self) -> str:
        return f"<flow {self.name!r}>"


@overload
def flow(fn: Callable[P, R], /, **options: Unpack[FlowOptions]) -> Flow[P, R]: ...


@overload
def flow(**options: Unpack[FlowOptions]) -> Callable[[Callable[P, R]], Flow[P, R]]: ...


def flow(fn: Callable[..., Any] | None = None, /, **options: Unpack[FlowOptions]) -> Any:
    """Make a flow of a function: ``@flow`` or ``@flow(name="…", …)``. See `FlowOptions`.

    Raises `UnknownOption` for an option that does not exist, `UsageError` for a value that cannot be.
    """
    if fn is None:
        refuse_unknown_options("@flow", options, FlowOptions)
        return lambda function: Flow(function, **options)
    return Flow(fn, **options)
