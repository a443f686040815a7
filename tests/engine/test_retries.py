from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from penstock import flow, task
from penstock.core import records, states
from penstock.core.retries import exponential_backoff

Records = Callable[..., list[Any]]


class Flaky:
    """Fails so many times, then succeeds."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.failures:
            raise ConnectionError(f"try {self.calls}")
        return self.calls


def test_a_task_is_tried_again_until_it_succeeds(fake_clock: Any, recorded: Records):
    work = Flaky(2)

    @task(retries=3, retry_delay_seconds=0.6)
    def fetch() -> int:
        return work()

    @flow
    def main() -> int:
        return fetch()

    assert main() == 3
    assert fake_clock.slept == [0.6, 0.6]
    moves = [(each.type, each.name, each.message, each.run_count) for each in recorded(records.TaskRunMoved)]
    assert moves == [
        ("SCHEDULED", "AwaitingRetry", "Task run encountered an exception. ConnectionError: try 1", 1),
        ("RUNNING", "Retrying", "Retry 1 of 3", 2),
        ("SCHEDULED", "AwaitingRetry", "Task run encountered an exception. ConnectionError: try 2", 2),
        ("RUNNING", "Retrying", "Retry 2 of 3", 3),
    ]
    (ended,) = recorded(records.TaskRunEnded)
    assert (ended.name, ended.run_count) == ("Completed", 3)


def test_when_no_retries_are_left_the_last_failure_counts(fake_clock: Any, ends: Any):
    work = Flaky(9)

    @task(retries=2, retry_delay_seconds=[1, 10])
    def fetch() -> int:
        return work()

    @flow
    def main() -> int:
        return fetch()

    with pytest.raises(ConnectionError, match="try 3"):
        main()
    assert fake_clock.slept == [1, 10]
    assert ends() == {"fetch-0": "Failed"}


@pytest.mark.parametrize(
    ("options", "slept"),
    [
        ({"retry_delay_seconds": exponential_backoff(0.5)}, [0.5, 1.0, 2.0]),
        ({"retry_delay_seconds": lambda retries: [float(retries)] * retries}, [3.0, 3.0, 3.0]),
        ({"retry_delay_seconds": [1]}, [1, 1, 1]),
        ({"retry_delay_seconds": 1, "retry_jitter_factor": 1.0}, [2.0, 2.0, 2.0]),
        ({}, []),
    ],
    ids=["exponential", "function", "list", "jitter", "none"],
)
def test_delays_are_as_the_options_ask(fake_clock: Any, options: Any, slept: list[float]):
    fake_clock.luck = 1.0
    work = Flaky(3)

    @task(retries=3, **options)
    def fetch() -> int:
        return work()

    @flow
    def main() -> int:
        return fetch.submit().result()

    assert main() == 4
    assert fake_clock.slept == slept


def test_a_condition_decides_whether_a_retry_is_of_use(fake_clock: Any):
    asked: list[tuple[Any, str, str]] = []
    work = Flaky(9)

    def only_once(which: Any, run: Any, state: states.State) -> bool:
        asked.append((which, run.task_name, state.name))
        return len(asked) < 2

    @task(retries=5, retry_condition_fn=only_once)
    def fetch() -> int:
        return work()

    @flow
    def main() -> int:
        return fetch()

    with pytest.raises(ConnectionError, match="try 2"):
        main()
    assert asked == [(fetch, "fetch", "Failed")] * 2


def test_a_condition_that_fails_itself_fails_the_task_run(fake_clock: Any, ends: Any):
    def broken(*_: Any) -> bool:
        raise KeyError("broken condition")

    @task(retries=5, retry_condition_fn=broken)
    def fetch() -> None:
        raise ConnectionError("the reason")

    @flow
    def main() -> Any:
        return fetch(return_state=True).name

    assert main() == "Failed"
    assert ends() == {"fetch-0": "Failed"}


def test_a_returned_failure_is_retried_too(fake_clock: Any):
    calls: list[int] = []

    @task(retries=1)
    def fetch() -> Any:
        calls.append(1)
        return states.Failed("not yet") if len(calls) == 1 else 5

    @flow
    def main() -> int:
        return fetch()

    assert main() == 5


def test_a_coroutine_is_tried_again(fake_clock: Any):
    work = Flaky(2)

    @task(retries=2, retry_delay_seconds=3)
    async def fetch() -> int:
        return work()

    @flow
    async def main() -> int:
        return await fetch()

    assert asyncio.run(main()) == 3
    assert fake_clock.slept == [3, 3]


def test_a_cancelled_task_is_not_tried_again(fake_clock: Any):
    calls: list[int] = []

    @task(retries=3)
    def fetch() -> Any:
        calls.append(1)
        return states.Cancelled("no use")

    @flow
    def main() -> str:
        return fetch(return_state=True).name

    assert main() == "Cancelled"
    assert calls == [1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, states.errors.CancelledRun])
def test_an_interrupted_task_is_not_tried_again(fake_clock: Any, error: type[BaseException]):
    calls: list[int] = []

    @task(retries=3 if error is KeyboardInterrupt else 0)
    def fetch() -> Any:
        calls.append(1)
        raise error("stop")

    @flow
    def main() -> None:
        fetch()

    with pytest.raises(error):
        main()
    assert calls == [1]


def test_a_flow_is_tried_again_and_what_it_had_finished_is_not(fake_clock: Any, recorded: Records):
    done: list[str] = []

    @task
    def load(name: str) -> str:
        done.append(name)
        return name

    @task
    def last() -> int:
        done.append("last")
        if done.count("last") < 3:
            raise ConnectionError("down")
        return 1

    @flow(retries=2, retry_delay_seconds=[1.5, 2.5])
    def main() -> list[Any]:
        return [load("a"), load.submit("b").result(), load.map(["c", "d"]).result(), last()]

    assert main() == ["a", "b", ["c", "d"], 1]
    assert sorted(done) == ["a", "b", "c", "d", "last", "last", "last"]
    assert fake_clock.slept == [1.5, 2.5]
    (ended,) = recorded(records.FlowRunEnded)
    assert (ended.name, ended.run_count) == ("Completed", 3)
    assert [(each.name, each.run_count) for each in recorded(records.FlowRunMoved)] == [
        ("AwaitingRetry", 1), ("Retrying", 2), ("AwaitingRetry", 2), ("Retrying", 3),
    ]  # fmt: skip
    assert recorded(records.ReplayDiverged) == []


def test_only_the_tasks_of_the_last_try_count_for_a_flow_that_returns_nothing(fake_clock: Any):
    work = Flaky(1)

    @task
    def fetch() -> int:
        return work()

    @flow(retries=1)
    def main() -> None:
        fetch()

    assert main(return_state=True).message == "All states completed."


def test_a_subflow_that_is_tried_again_disturbs_nothing_that_was_called_before_it(fake_clock: Any, recorded: Records):
    work = Flaky(1)
    done: list[int] = []

    @task
    def load(number: int) -> int:
        done.append(number)
        return number

    @flow(retries=1)
    def sub() -> int:
        load(10)
        return work()

    @flow(replay="strict")
    def main() -> int:
        load(1)
        sub()
        return load(2)

    assert main() == 2
    assert done == [1, 10, 2]
    assert recorded(records.ReplayDiverged) == []


def test_a_flow_that_is_tried_again_with_other_calls_leaves_the_old_ones_out(fake_clock: Any, recorded: Records):
    work = Flaky(1)

    @task
    def load(number: int) -> int:
        return number

    @flow(retries=1)
    def main() -> int:
        load(work.calls)
        return work()

    assert main() == 2
    assert [each.kind for each in recorded(records.ReplayDiverged)] == ["changed"]
