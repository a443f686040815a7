"""Drawing a flow: its own code is run, its tasks and subflows are not.

What a task would return is a placeholder (`placeholders.Placeholder`), or its ``viz_return_value``;
what a submitted one gives is a future that is done. Edges follow both into the arguments of other
tasks. Nothing is recorded.
"""

from __future__ import annotations

import contextvars
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from penstock import errors
from penstock.core import states
from penstock.core.specs import FlowSpec, TaskSpec
from penstock.core.states import State
from penstock.engine import calls, context
from penstock.engine.futures import AsyncFuture, Future, MappedFutures
from penstock.engine.inputs import PLAIN, Annotated
from penstock.sdk.placeholders import Placeholder, nodes_in_text

if TYPE_CHECKING:
    from penstock.core.graph_layout import Graph

_sketch: contextvars.ContextVar[Sketch | None] = contextvars.ContextVar("penstock_sketch", default=None)


def is_drawing() -> bool:
    """Whether the flow's code that is being executed is only drawn. Ask outside of a run only."""
    return _sketch.get() is not None


class Drawing:
    """The graph of a flow's tasks. In a notebook it shows itself."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def to_dot(self) -> str:
        """The graph in the language of Graphviz."""
        from penstock.core import graph_layout  # noqa: PLC0415  only where a flow is drawn

        return graph_layout.to_dot(self.graph)

    def to_svg(self) -> str:
        """The graph as a picture."""
        from penstock.core import graph_layout  # noqa: PLC0415  as above

        return graph_layout.to_svg(self.graph, graph_layout.layout(self.graph))

    def save(self, path: Any) -> None:
        """Write the picture to ``….svg``, or the graph to ``….dot``."""
        from pathlib import Path  # noqa: PLC0415  as above

        target = Path(path)
        makers: dict[str, Callable[[], str]] = {".svg": self.to_svg, ".dot": self.to_dot, ".gv": self.to_dot}
        make = makers.get(target.suffix.lower())
        if make is None:
            raise errors.UsageError(
                f"A drawing is saved as .svg or .dot, not as: `{target}`",
                hint="Graphviz makes other formats of a .dot file",
            )
        target.write_text(make(), "utf-8")

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def __repr__(self) -> str:
        return f"<drawing of {self.graph.title!r}: {len(self.graph.nodes)} nodes, {len(self.graph.edges)} edges>"


def draw(spec: FlowSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Drawing:
    """Run the flow's own code, and return the graph of what it called.

    Raises `ParameterError` when the flow cannot be called so, and whatever the flow's code raises.
    """
    arguments, refusal = calls.validated(spec, spec.signature.bind(args, kwargs))
    if refusal is not None:
        raise refusal
    sketch = Sketch()

    def run_body() -> None:
        context.enter(None)
        _sketch.set(sketch)
        positional, named = spec.signature.to_call(arguments)
        try:
            _exhaust(spec, spec.fn(*positional, **named))
        except errors.PenstockError:
            raise
        except Exception as error:
            if sketch.has_placeholders:
                error.add_note(
                    "The flow is only drawn: its tasks were not run, and gave placeholders. A task whose result "
                    "the flow's own code needs can be given a viz_return_value."
                )
            raise

    contextvars.copy_context().run(run_body)
    return Drawing(sketch.graph(spec.name))


def _exhaust(spec: FlowSpec, outcome: Any) -> None:
    if spec.kind == "generator":
        for _ in outcome:
            pass
    elif spec.kind == "async generator":
        _run_coroutine(_exhaust_async(outcome))
    elif spec.kind == "async":
        _run_coroutine(outcome)


async def _exhaust_async(items: AsyncIterator[Any]) -> None:
    async for _ in items:
        pass


def _run_coroutine(coroutine: Any) -> None:
    """Run it to its end, also where an event loop is running already, as in a notebook."""
    import asyncio  # noqa: PLC0415  keeps asyncio off the import path

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(coroutine)
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  as above

    with ThreadPoolExecutor(1) as pool:
        pool.submit(contextvars.copy_context().run, asyncio.run, coroutine).result()


# What tasks and subflows do while a flow is drawn -------------------------------------------------


def draw_call(
    spec: TaskSpec | FlowSpec, arguments: Mapping[str, Any], wait_for: Iterable[Any] | None, *, return_state: bool
) -> Any:
    """A task or subflow is called: gives what its kind of function gives, with a placeholder for the value."""
    sketch = _current()
    node = sketch.add(spec, (arguments, wait_for))
    value = sketch.result_of(spec, node)
    if spec.kind == "generator":
        return iter(_items(value))
    if spec.kind == "async generator":
        return _async_items(value)
    outcome = states.Completed(data=value) if return_state else value
    return _immediately(outcome) if spec.kind == "async" else outcome


def _items(value: Any) -> Iterable[Any]:
    """What a generator yields: the elements of its viz_return_value, or one placeholder for all."""
    return value if isinstance(value, list | tuple | set) else (value,)


async def _async_items(value: Any) -> AsyncIterator[Any]:
    for item in _items(value):
        yield item


async def _immediately(value: Any) -> Any:
    return value


def draw_submit(
    spec: TaskSpec, arguments: Mapping[str, Any], wait_for: Iterable[Any] | None, *, return_state: bool
) -> Future | State:
    """A task is submitted: gives a future that is done."""
    sketch = _current()
    node = sketch.add(spec, (arguments, wait_for))
    future = sketch.future_of(spec, node)
    return future.state if return_state else future


def draw_map(
    spec: TaskSpec,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    wait_for: Iterable[Any] | None,
    *,
    return_state: bool,
) -> MappedFutures | list[State]:
    """A task is mapped: one node, and a future for each element; one for all if their number is not known."""
    sketch = _current()
    number = _length((*args, *kwargs.values()))
    node = sketch.add(spec, (args, kwargs, wait_for), "n" if number is None else str(number))
    count = 1 if number is None else number
    futures = MappedFutures(node.encode(), count)
    for _ in range(count):
        futures.started(sketch.future_of(spec, node))
        futures.one_ended()
    futures.exhausted()
    sketch.came_from(futures, node)
    return [future.state for future in futures] if return_state else futures


def _length(values: Iterable[Any]) -> int | None:
    for value in values:
        inner = value.sync if isinstance(value, AsyncFuture) else value
        if isinstance(inner, Sized) and not isinstance(inner, str | bytes | bytearray | Mapping | Placeholder):
            return len(inner)
    return None


def _current() -> Sketch:
    sketch = _sketch.get()
    if sketch is None:
        raise errors.UsageError("No flow is being drawn here")
    return sketch


class Sketch:
    """What a flow has called so far, and where the values that it was given come from."""

    def __init__(self) -> None:
        self.has_placeholders = False
        self._nodes: dict[str, tuple[str, str, str]] = {}
        self._edges: dict[tuple[str, str], None] = {}
        self._names: dict[str, int] = {}
        self._origins: dict[int, tuple[Any, str]] = {}

    def add(self, spec: TaskSpec | FlowSpec, given: Any, times: str = "") -> str:
        """A node for a call, below all that its arguments come from."""
        number = self._names.get(spec.name, 0)
        self._names[spec.name] = number + 1
        node = f"{spec.name}-{number}"
        self._nodes[node] = (spec.name, "flow" if isinstance(spec, FlowSpec) else "task", times)
        for source in self._sources(given, set()):
            self._edges[source, node] = None
        return node

    def result_of(self, spec: TaskSpec | FlowSpec, node: str) -> Any:
        """What a call gives: a placeholder, or the task's viz_return_value."""
        value = spec.viz_return_value if isinstance(spec, TaskSpec) else None
        if value is None:
            self.has_placeholders = True
            return Placeholder(node, f"{'task' if isinstance(spec, TaskSpec) else 'flow'} `{spec.name}`")
        value = _as_new(value)
        self.came_from(value, node)
        return value

    def future_of(self, spec: TaskSpec, node: str) -> Future:
        """A future of a call, which is done."""
        value = self.result_of(spec, node)
        if spec.kind in ("generator", "async generator"):
            value = list(_items(value))
            self.came_from(value, node)
        future = Future(node, node, node.encode())
        future.complete(states.Completed(data=value))
        self.came_from(future, node)
        return future

    def came_from(self, value: Any, node: str) -> None:
        """Edges shall follow this very object."""
        if value is None or isinstance(value, bool | int) or (isinstance(value, str | bytes | tuple) and not value):
            return  # the interpreter may use one object for many
        self._origins[id(value)] = (value, node)

    def _sources(self, value: Any, visited: set[int]) -> Iterator[str]:
        """The nodes that a value comes from, wherever they lie in it."""
        known = self._origins.get(id(value))
        if known is not None and known[0] is value:
            yield known[1]
            return
        if isinstance(value, str):
            yield from (node for node in nodes_in_text(value) if node in self._nodes)
        if type(value) in PLAIN or id(value) in visited:
            return
        if isinstance(value, Placeholder):
            yield value.penstock_node
            return
        visited.add(id(value))
        for part in _parts(value):
            yield from self._sources(part, visited)

    def graph(self, title: str) -> Graph:
        from penstock.core.graph_layout import Edge, Graph, Node  # noqa: PLC0415  only where a flow is drawn

        nodes: list[Node] = []
        for node, (name, kind, times) in self._nodes.items():
            label = name if self._names[name] == 1 else node
            nodes.append(Node(node, f"{label} × {times}" if times else label, kind))
        return Graph(nodes, [Edge(source, target) for source, target in self._edges], title)


def _parts(value: Any) -> Iterable[Any]:
    """What lies directly in a value."""
    if isinstance(value, Annotated):
        return (value.value,)
    if isinstance(value, AsyncFuture):
        return (value.sync,)
    if isinstance(value, State):
        return (value.data,)
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name, None) for field in fields(value)]
    return ()


def _as_new(value: Any) -> Any:
    """An equal object that is no other's: two calls may give the same viz_return_value."""
    import copy  # noqa: PLC0415  only where a flow is drawn

    if isinstance(value, str) and len(value) > 1:
        return "".join((value[:1], value[1:]))
    try:
        return copy.copy(value)
    except Exception:  # noqa: BLE001  it cannot be copied: then it is used as it is
        return value
