"""One worker thread runs any graph."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock import SequentialTaskRunner, ThreadPoolTaskRunner, errors, flow, task
from penstock.engine.futures import Future

WITHIN_SECONDS = 20


@task
def total(inputs: list[Any], waited: Any = None) -> int:
    return 1 + sum(inputs)


@task(timeout_seconds=WITHIN_SECONDS)
def timed(inputs: list[Any], waited: Any = None) -> int:
    return 1 + sum(inputs)


@task
async def coroutine(inputs: list[Any], waited: Any = None) -> int:
    await asyncio.sleep(0)
    return 1 + sum(inputs)


@task
def waits_inside(inputs: list[Any], waited: Any = None) -> int:
    """Submits more, and waits for it."""
    return total.submit(inputs).result() + sum(total.map([[1], [2]]).result()) - 5


@task
def nests(inputs: list[Any], waited: Any = None) -> int:
    return waits_inside.submit(inputs).result()


@task(timeout_seconds=WITHIN_SECONDS)
def waits_inside_a_time_limit(inputs: list[Any], waited: Any = None) -> int:
    return total.submit(inputs).result()


KINDS = (total, timed, coroutine, waits_inside, nests, waits_inside_a_time_limit)
Node = tuple[int, list[int], list[int]]


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    """For each node: which task it is, the nodes that it takes, and those that it waits for."""
    size = draw(st.integers(1, 12))
    before = [
        st.lists(st.integers(0, node - 1), max_size=3, unique=True) if node else st.just([]) for node in range(size)
    ]
    return [(draw(st.integers(0, len(KINDS) - 1)), draw(before[node]), draw(before[node])) for node in range(size)]


def expected(graph: list[Node]) -> list[int]:
    values: list[int] = []
    for _, inputs, _ in graph:
        values.append(1 + sum(values[each] for each in inputs))
    return values


def within_reason(work: Any) -> Any:
    """The outcome of the work, done in another thread; not coming back in time fails the test."""
    outcome: list[Any] = []
    thread = threading.Thread(target=lambda: outcome.append(work()), daemon=True)
    thread.start()
    thread.join(WITHIN_SECONDS)
    assert outcome, "it hangs"
    return outcome[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "runner",
    [ThreadPoolTaskRunner(max_workers=1), ThreadPoolTaskRunner(max_workers=3), SequentialTaskRunner()],
    ids=str,
)
def test_any_graph_of_tasks_is_run_to_its_end_by_any_number_of_workers(runner: Any):
    @flow(task_runner=runner)
    def main(graph: Any) -> list[int]:
        futures: list[Future] = []
        for kind, inputs, waited in graph:
            futures.append(
                KINDS[kind].submit([futures[each] for each in inputs], wait_for=[futures[each] for each in waited])
            )
        return [each.result() for each in futures]

    @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
    @given(graphs())
    def check(graph: list[Node]) -> None:
        assert within_reason(lambda: main(graph)) == expected(graph)

    check()


def test_tasks_that_wait_for_tasks_that_wait_need_no_more_than_one_worker():
    @task
    def down(depth: int) -> int:
        return 0 if depth == 0 else 1 + down.submit(depth - 1).result()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main() -> int:
        return down.submit(20).result()

    assert within_reason(main) == 20


def test_a_task_with_a_time_limit_that_waits_for_another_needs_no_second_worker():
    @task
    def inner() -> int:
        return 1

    @task(timeout_seconds=WITHIN_SECONDS)
    def outer() -> int:
        return inner.submit().result()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main() -> int:
        return outer.submit().result()

    assert within_reason(main) == 1


def test_a_subflow_in_a_task_in_a_worker_has_workers_of_its_own():
    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def sub(number: int) -> int:
        return total.submit([number]).result()

    @task
    def calls_a_flow(number: int) -> int:
        return sub(number)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main() -> int:
        return sum(calls_a_flow.map(range(4)).result())

    assert within_reason(main) == 10


def test_no_more_task_runs_execute_at_once_than_there_are_workers():
    lock = threading.Lock()
    now = most = 0

    @task
    def busy(number: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        total([number])
        with lock:
            now -= 1

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=3))
    def main() -> None:
        busy.map(range(60))

    main()

    assert 1 <= most <= 3


def test_workers_execute_at_once_what_does_not_depend_on_each_other():
    together = threading.Barrier(4)

    @task
    def meet() -> int:
        together.wait(20)
        return 1

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
    def main() -> int:
        return sum(each.result() for each in [meet.submit() for _ in range(4)])

    assert main() == 4


def test_a_flow_waits_for_what_it_submitted_and_did_not_ask_for(gate: Any):
    ended: list[int] = []

    @task
    def slow(number: int) -> None:
        gate.wait()
        ended.append(number)

    @flow
    def main() -> str:
        slow.submit(1)
        slow.map([2, 3])
        threading.Thread(target=gate.open).start()
        return "done"

    assert main() == "done"
    assert sorted(ended) == [1, 2, 3]


def test_a_runner_may_be_given_as_a_class_and_must_be_one():
    @flow(task_runner=ThreadPoolTaskRunner)
    def main() -> int:
        return total.submit([1]).result()

    @flow(task_runner="threads")
    def wrong() -> int:
        return total.submit([1]).result()

    assert main() == 2
    with pytest.raises(errors.UsageError, match="Not a task runner: `'threads'`"):
        wrong()


def test_runners_are_equal_when_they_do_the_same():
    assert ThreadPoolTaskRunner(2) == ThreadPoolTaskRunner(max_workers=2) != ThreadPoolTaskRunner(3)
    assert SequentialTaskRunner() == SequentialTaskRunner() != ThreadPoolTaskRunner()
    assert len({ThreadPoolTaskRunner(2), ThreadPoolTaskRunner(2), SequentialTaskRunner(), SequentialTaskRunner()}) == 2
    assert repr(ThreadPoolTaskRunner(2)) == "ThreadPoolTaskRunner(max_workers=2)"
    for wrong in (0, -1, True):
        with pytest.raises(errors.UsageError, match="at least one worker"):
            ThreadPoolTaskRunner(wrong)


def test_two_threads_that_submit_first_share_the_workers():
    start = threading.Barrier(3)

    @flow
    def main() -> int:
        import contextvars

        futures: list[Future] = []

        def submit(number: int) -> None:
            start.wait(20)
            futures.append(total.submit([number]))

        threads = [threading.Thread(target=contextvars.copy_context().run, args=(submit, each)) for each in range(2)]
        for thread in threads:
            thread.start()
        start.wait(20)
        for thread in threads:
            thread.join()
        return sum(each.result() for each in futures)

    assert main() == 3
