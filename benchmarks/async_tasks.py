"""What tasks cost that are coroutines or generators."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator

from benchmarks.harness import Bench, Budget, Row, benchmark, seconds_each
from penstock import flow, task


@task
async def nothing(number: int) -> int:
    return number


@task
def numbers(number: int) -> Generator[int, None, None]:
    yield number


@task
async def numbers_async(number: int) -> AsyncGenerator[int, None]:
    yield number


@flow
async def awaiting(count: int) -> None:
    for number in range(count):
        await nothing(number)


@flow
async def gathering(count: int) -> None:
    await asyncio.gather(*[nothing(number) for number in range(count)])


@flow
def iterating(count: int) -> None:
    for number in range(count):
        for _ in numbers(number):
            pass


@flow
async def iterating_async(count: int) -> None:
    for number in range(count):
        async for _ in numbers_async(number):
            pass


async def bare_awaiting(count: int) -> None:
    for number in range(count):
        await nothing.fn(number)


async def bare_gathering(count: int) -> None:
    await asyncio.gather(*[nothing.fn(number) for number in range(count)])


def bare_iterating(count: int) -> None:
    for number in range(count):
        for _ in numbers.fn(number):
            pass


async def bare_iterating_async(count: int) -> None:
    for number in range(count):
        async for _ in numbers_async.fn(number):
            pass


@benchmark("async")
def coroutines_and_generators(bench: Bench) -> Iterator[Row]:
    """Each held to the budget of an ordinary task."""
    count = bench.some(5000)
    for what, ours, bare in (
        ("an async task, awaited in a loop", awaiting, bare_awaiting),
        ("an async task, gathered", gathering, bare_gathering),
        ("an async generator task of one item", iterating_async, bare_iterating_async),
    ):
        taken = bench.interleave(
            {
                "ours": lambda ours=ours: seconds_each(count, lambda: asyncio.run(ours(count))),
                "bare": lambda bare=bare: seconds_each(count, lambda: asyncio.run(bare(count))),
            }
        )
        yield Row(what, "/s", taken["ours"], {"the same, bare": taken["bare"]}, Budget(1 / 20_000))
    taken = bench.interleave(
        {
            "ours": lambda: seconds_each(count, lambda: iterating(count)),
            "bare": lambda: seconds_each(count, lambda: bare_iterating(count)),
        }
    )
    yield Row(
        "a generator task of one item", "/s", taken["ours"], {"the same, bare": taken["bare"]}, Budget(1 / 20_000)
    )
