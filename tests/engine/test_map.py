from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from penstock import SequentialTaskRunner, ThreadPoolTaskRunner, errors, flow, get_run_logger, task, unmapped
from penstock.core import records
from penstock.engine.context import current

Records = Callable[..., list[Any]]


@task
def add(left: int, right: int = 1) -> int:
    return left + right


@task
def show(value: Any, prefix: Any = "") -> str:
    return f"{prefix}{value}"


def test_a_task_is_mapped_over_each_iterable_argument():
    @flow
    def main() -> list[Any]:
        return [
            add.map([1, 2, 3]).result(),
            add.map([1, 2], [10, 20]).result(),
            add.map([1, 2], right=5).result(),
            add.map(left=(1, 2), right={3: "x", 4: "y"}.keys()).result(),
            add.map(range(2), right=(each for each in (1, 1))).result(),
            show.map(["a"], prefix="text").result(),
            show.map(["a", "b"], prefix=unmapped([0])).result(),
            show.map([1], prefix={"k": 1}).result(),
            add.map([]).result(),
        ]

    assert main() == [
        [2, 3, 4], [11, 22], [6, 7], [4, 6], [1, 2], ["texta"], ["[0]a", "[0]b"], ["{'k': 1}1"], [],
    ]  # fmt: skip


def test_a_future_can_be_mapped_over_and_maps_can_be_chained():
    @task
    def listed() -> list[int]:
        return [1, 2, 3]

    @flow
    def main() -> list[int]:
        return add.map(add.map(listed.submit()), right=unmapped(add.submit(0))).result()

    assert main() == [3, 4, 5]


def test_states_of_mapped_task_runs_can_be_asked_for():
    @task
    def check(number: int) -> int:
        if number == 2:
            raise ValueError(number)
        return number

    @flow
    def main() -> list[str]:
        return [state.name for state in check.map([1, 2, 3], return_state=True)]

    assert main() == ["Completed", "Failed", "Completed"]


def test_one_failure_does_not_stop_the_others():
    ran: list[int] = []

    @task
    def check(number: int) -> int:
        ran.append(number)
        if number == 0:
            raise ValueError(number)
        return number

    @flow
    def main() -> list[Any]:
        return check.map(range(5)).result(raise_on_failure=False)[1:]

    assert main() == [1, 2, 3, 4]
    assert sorted(ran) == [0, 1, 2, 3, 4]


def test_mapping_over_nothing_iterable_is_refused():
    @flow
    def main() -> None:
        add.map(1, "text")

    with pytest.raises(errors.UsageError, match=r"`add.map\(\)` needs at least one iterable argument"):
        main()


def test_lengths_that_differ_are_told_before_anything_is_started(recorded: Records):
    @flow
    def main() -> None:
        add.map([1, 2, 3], right=[1, 2])

    with pytest.raises(errors.UsageError, match="differ in length: argument 1 has 3, right has 2"):
        main()
    assert recorded(records.TaskRunBegan) == []


@pytest.mark.parametrize("columns", [(2, 3), (3, 2)])
def test_lengths_that_turn_out_to_differ_are_told_at_the_end(columns: tuple[int, int]):
    @flow
    def main() -> int:
        futures = add.map(iter(range(columns[0])), iter(range(columns[1])))
        with pytest.raises(errors.UsageError, match="differ in length"):
            list(futures)
        return 1

    assert main() == 1


def test_of_an_endless_iterable_only_a_window_is_consumed(gate: Any):
    consumed = itertools.count()
    taken: list[int] = []
    full = threading.Event()

    def endless() -> Iterator[int]:
        for number in consumed:
            if gate.is_open and number > 40:
                return
            taken.append(number)
            if len(taken) == 8:
                full.set()
            yield number

    @task
    def held(number: int) -> int:
        gate.wait()
        return number

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def main() -> int:
        futures = held.map(endless())
        assert full.wait(20)
        assert len(taken) == 8  # four for each worker
        gate.open()
        return len(futures)

    assert main() > 30


def test_an_error_in_the_iterator_fails_the_map_and_keeps_what_was_started():
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise ConnectionError("lost")

    @flow
    def main() -> list[int]:
        futures = add.map(broken())
        with pytest.raises(ConnectionError, match="lost"):
            futures.result()
        return [futures[0].result(), futures[1].result()]

    @flow
    def careless() -> None:
        add.map(broken())

    assert main() == [2, 3]
    assert careless(return_state=True).message == "1/3 states failed."


def test_arguments_that_do_not_fit_fail_the_map():
    @flow
    def main() -> int:
        futures = add.map([1], wrong=[2])
        with pytest.raises(TypeError):
            futures.result()
        return 1

    assert main() == 1


def test_what_the_iterator_does_belongs_to_the_flow_whoever_asks_it(recorded: Records):
    """The window is filled by whichever worker ends a task run."""

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1), log_prints=True)
    def main() -> list[int]:
        me = current()

        def numbers() -> Iterator[int]:
            for number in range(12):
                assert current() is me
                print("making", number)
                get_run_logger().info("made %d", number)
                yield add(number)

        return add.map(numbers()).result()

    assert main() == list(range(2, 14))
    assert len(recorded(records.FlowRunBegan)) == 1
    (flow_run,) = recorded(records.FlowRunBegan)
    assert {each.scope_id for each in recorded(records.TaskRunBegan)} == {flow_run.flow_run_id}
    assert len([each for each in recorded(records.LogLine) if each.message.startswith(("making", "made"))]) == 24


def test_a_sequential_runner_maps_one_after_the_other():
    order: list[str] = []

    def numbers() -> Iterator[int]:
        for number in range(3):
            order.append(f"take {number}")
            yield number

    @task
    def note(number: int) -> None:
        order.append(f"run {number}")

    @flow(task_runner=SequentialTaskRunner)
    def main() -> int:
        return len(note.map(numbers()))

    assert main() == 3
    assert order == ["take 0", "run 0", "take 1", "run 1", "take 2", "run 2"]


@pytest.mark.slow
def test_a_long_map_does_not_deepen_the_stack():
    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main() -> int:
        return sum(add.map(range(3000)).result())

    assert main() == 3000 * 2999 // 2 + 3000
