"""What type checkers know of flows and tasks. The assertions are checked by `make check`; running them does no harm."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, assert_type

from penstock import Flow, Future, State, Task, as_completed, flow, task
from penstock.engine.futures import AsyncFuture, MappedFutures


@task
def double(x: int) -> int:
    return 2 * x


@task(retries=1, tags=["slow"])
def shout(text: str, *, loud: bool = True) -> str:
    return text.upper() if loud else text


@task
async def fetch(url: str) -> bytes:
    return url.encode()


@task
def count(up_to: int) -> Generator[int]:
    yield from range(up_to)


class Loader:
    @task
    def load(self, rows: int) -> float:
        return rows / 2

    @flow
    def run(self, rows: int) -> float:
        return self.load(rows)


@flow
def child(x: int) -> str:
    return str(x)


@flow(name="parent")
def parent() -> list[int]:
    assert_type(double(1), int)
    assert_type(double(1, return_state=True), State)
    assert_type(double(1, wait_for=[]), int)
    assert_type(shout("a", loud=False), str)
    assert_type(double.fn(1), int)

    future = double.submit(1)
    assert_type(future, Future[int])
    assert_type(future.result(), int)
    assert_type(double.submit(1, return_state=True), State)
    assert_type(double.submit(future).result(), int)
    for each in as_completed([future]):
        assert_type(each, Future[int])
    whatever: Future = future
    assert_type(whatever.result(), Any)

    mapped = double.map([1, 2])
    assert_type(mapped, MappedFutures[int])
    assert_type(mapped.result(), list[int])
    assert_type(mapped[0], Any)
    assert_type(double.map([1], return_state=True), list[State])
    assert_type(next(iter(mapped)), Future[int])

    assert_type(fetch.submit("x"), Future[bytes])
    assert_type(count.submit(3).result(), list[int])
    assert_type(child(1), str)
    assert_type(child(1, return_state=True), State)
    assert_type(shout.with_options(retries=3)("a"), str)
    return mapped.result()


@flow
async def crawl() -> bytes:
    assert_type(await fetch("x"), bytes)
    assert_type(await fetch("x", return_state=True), State)
    future = await fetch.submit("x")
    assert_type(future, AsyncFuture[bytes])
    return assert_type(await future.result(), bytes)


def test_calls_have_the_types_of_the_functions():
    assert_type(parent(), list[int])
    assert_type(asyncio.run(crawl()), bytes)
    assert_type(asyncio.run(crawl(return_state=True)), State)
    assert_type(child.test(3), State)
    assert_type(asyncio.run(crawl.test()), State)


@flow
def untyped(x):  # noqa: ANN001  that is what is tested
    return x


@flow
def failing():
    raise ValueError


def test_what_returns_nothing_that_is_known_is_taken_for_sync():
    assert untyped.test(3).is_completed()
    assert untyped(3, return_state=True).is_completed()
    assert_type(failing.test(), State)
    assert_type(failing(return_state=True), State)


def test_methods_do_not_ask_for_self():
    loader = Loader()

    assert_type(loader.load(3), float)
    assert_type(loader.load.submit(3).result(), float)
    assert_type(Loader.load(loader, 3), float)
    assert_type(loader.run(3), float)
    assert_type(loader.run(3, return_state=True), State)


def test_flows_and_tasks_can_be_named_in_hints():
    flows: list[Flow[..., object]] = [child, parent]
    tasks: list[Task[..., object]] = [double, shout, count]

    assert len(flows) + len(tasks) == 5


def mistakes():
    """Never called: each line is wrong, and a type checker says so."""
    double("x")  # pyright: ignore[reportArgumentType]  wrong on purpose
    double()  # pyright: ignore[reportCallIssue]  wrong on purpose
    shout("a", noise=True)  # pyright: ignore[reportCallIssue]  wrong on purpose
    child("x")  # pyright: ignore[reportArgumentType]  wrong on purpose
    task(retires=3)  # pyright: ignore[reportCallIssue]  wrong on purpose
