"""Whatever Python can call can be a task or a flow, and binds as Python binds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial, wraps
from typing import Any

import pytest

from penstock import flow, task
from penstock.core.records import FlowRunBegan, TaskDefined
from penstock.errors import UsageError

Recorded = Callable[[type[Any]], list[Any]]


class Loader:
    factor = 10

    @task
    def scale(self, x: int) -> int:
        return self.factor * x

    @task
    @classmethod
    def named(cls, x: int) -> tuple[str, int]:
        return cls.__name__, x

    @classmethod
    @task
    def named_outside(cls, x: int) -> tuple[str, int]:
        return cls.__name__, x

    @task
    @staticmethod
    def double(x: int) -> int:
        return 2 * x

    @staticmethod
    @task
    def double_outside(x: int) -> int:
        return 2 * x

    @flow
    def etl(self, x: int) -> int:
        return self.scale(x) + 1

    @flow
    def etl_of_one_task(self, x: int) -> int:
        return self.scale(x)

    @flow
    @classmethod
    def etl_of_class(cls, x: int) -> tuple[str, int]:
        return cls.__name__, x

    @flow
    async def etl_async(self, x: int) -> int:
        return self.scale(x) + 2


class Special(Loader):
    factor = 100


LOADER: Any = Loader()
LOADERS: Any = Loader
SPECIAL: Any = Special  # as Any: type checkers do not see how a classmethod within @task is bound


def in_a_flow(body: Callable[[], Any]) -> Any:
    @flow
    def around() -> Any:
        return {"value": body()}

    return around()["value"]


CALLS: list[tuple[Callable[[], Any], Any]] = [
    (lambda: LOADER.scale(3), 30),
    (lambda: SPECIAL().scale(3), 300),
    (lambda: LOADERS.scale(LOADER, 3), 30),
    (lambda: LOADER.scale.fn(3), 30),
    (lambda: LOADER.scale.submit(3).result(), 30),
    (lambda: LOADER.scale.map([1, 2]).result(), [10, 20]),
    (lambda: LOADER.scale.with_options(retries=1)(3), 30),
    (lambda: LOADER.scale.with_options(retries=1).submit(3).result(), 30),
    (lambda: LOADER.named(3), ("Loader", 3)),
    (lambda: SPECIAL.named(3), ("Special", 3)),
    (lambda: SPECIAL.named.submit(3).result(), ("Special", 3)),
    (lambda: SPECIAL.named.with_options(tags=["x"])(3), ("Special", 3)),
    (lambda: SPECIAL.named.fn(3), ("Special", 3)),
    (lambda: LOADER.named_outside(3), ("Loader", 3)),
    (lambda: LOADER.double(3), 6),
    (lambda: LOADERS.double(3), 6),
    (lambda: LOADER.double.with_options(retries=1)(3), 6),
    (lambda: LOADER.double.map([1, 2]).result(), [2, 4]),
    (lambda: LOADER.double_outside(3), 6),
    (lambda: LOADERS.double_outside.submit(3).result(), 6),
    (lambda: LOADER.etl(3), 31),
    (lambda: LOADER.etl.with_options(retries=1)(3), 31),
    (lambda: SPECIAL.etl_of_class(3), ("Special", 3)),
]


@pytest.mark.parametrize(("call", "expected"), CALLS, ids=range(len(CALLS)))
def test_methods_are_bound_as_python_binds_them(call: Callable[[], Any], expected: Any):
    assert in_a_flow(call) == expected
    assert call() == expected


def test_async_methods_can_be_flows():
    assert asyncio.run(LOADER.etl_async(3)) == 32


def test_a_methods_drawing_does_not_ask_for_self():
    assert [node.text for node in LOADER.etl_of_one_task.visualize(3).graph.nodes] == ["scale"]


class Adder:
    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, x: int) -> int:
        return x + self.number

    def add(self, x: int) -> int:
        return x + self.number


class AsyncAdder(Adder):
    async def __call__(self, x: int) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]  that is what is tested
        return x + self.number


def add(number: int, x: int) -> int:
    return x + number


def add_five(x: int) -> int:
    return x + 5


def traced(fn: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (partial(add, 5), "add"),
        (partial(partial(add), number=5), "add"),
        (lambda x: x + 5, "lambda"),
        (Adder(5), "Adder"),
        (Adder(5).add, "add"),
        (traced(add_five), "add_five"),
    ],
    ids=["partial", "partial of partial", "lambda", "object", "bound method", "decorated"],
)
def test_whatever_can_be_called_can_be_a_task(fn: Any, name: str):
    added = task(fn)

    assert added.name == name
    assert in_a_flow(lambda: added(x=3)) == in_a_flow(lambda: added.submit(x=3).result()) == 8


def test_builtin_functions_and_classes_can_be_tasks():
    assert in_a_flow(lambda: task(len)([1, 2])) == 2
    assert in_a_flow(lambda: task(Adder)(3)).number == 3


def test_objects_and_partials_can_be_flows_and_async():
    async def add_async(number: int, x: int) -> int:
        return number + x

    assert flow(Adder(5))(3) == 8
    assert asyncio.run(flow(partial(add_async, 5))(3)) == 8
    assert asyncio.run(flow(AsyncAdder(5))(3)) == 8
    assert task(AsyncAdder(5)).isasync


def test_what_has_no_name_of_its_own_is_told_apart():
    keys = {
        task(fn).task_key
        for fn in (
            partial(add, 1),
            partial(add, 2),
            partial(add, number=1),
            lambda x: x,
            lambda x: x + 1,
            lambda x: x + 2,
        )
    }

    assert len(keys) == 6
    assert task(partial(add, 1)).task_key == task(partial(add, 1)).task_key


def test_objects_in_a_class_are_not_given_the_instance():
    class Steps:
        add_five: Any = task(partial(add, 5))
        add_six: Any = task(Adder(6))
        bound: Any = task(Adder(7).add)

    steps = Steps()

    assert in_a_flow(lambda: (steps.add_five(3), steps.add_six(3), steps.bound(3))) == (8, 9, 10)


@task
def numbers(count: int) -> Iterator[int]:
    yield from range(count)


@task
async def numbers_async(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


def test_generators_give_their_items_or_as_futures_a_list():
    @flow
    async def collecting() -> Any:
        return [item async for item in numbers_async(2)], list(numbers(3)), numbers.submit(2).result()

    assert asyncio.run(collecting()) == ([0, 1], [0, 1, 2], [0, 1])


def test_what_cannot_be_called_is_refused():
    not_callable: Any = 3

    with pytest.raises(UsageError, match="A task is made of a function, not of: `3`"):
        task(not_callable)
    with pytest.raises(UsageError, match="A flow is made of a function, not of: `3`"):
        flow(not_callable)


def test_a_submitted_task_outside_of_a_flow_is_a_run_of_its_own(recorded: Recorded):
    assert LOADER.double.submit(4).result() == 8

    assert [began.flow_name for began in recorded(FlowRunBegan)] == ["double"]
    assert [defined.name for defined in recorded(TaskDefined)] == ["double"]
