from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from penstock import Future, as_completed, errors, flow, task, wait
from penstock.core import states
from penstock.engine.futures import AsyncFuture, MappedFutures, Waitable


def future(name: str = "t") -> Future:
    return Future(f"id of {name}", name, name.encode())


def completed(value: Any = None) -> Future:
    made = future()
    made.complete(states.Completed(data=value))
    return made


# One future ---------------------------------------------------------------------------------------


def test_a_future_is_pending_until_it_is_completed():
    made = future()

    assert (made.done(), made.state.name, repr(made)) == (False, "Pending", "Future('t', Pending)")
    made.complete(states.Completed(data=1))
    assert (made.done(), made.get_state().name, made.result()) == (True, "Completed", 1)
    assert made.task_run_id == "id of t"


def test_waiting_ends_when_another_thread_completes_it():
    made = future()
    threading.Thread(target=lambda: made.complete(states.Completed(data=3))).start()

    assert made.result(timeout=20) == 3


def test_waiting_ends_when_the_time_is_up():
    made = future()

    assert made.wait(timeout=0) is False
    assert made.wait(timeout=-1) is False
    with pytest.raises(errors.TimedOut, match="Task run `t` has not ended after 0.001 seconds"):
        made.result(timeout=0.001)
    made.complete(states.Completed(data=1))
    assert made.result() == 1


def test_a_failure_is_raised_or_returned():
    made = future()
    made.complete(states.Failed(data=ValueError("no")))

    with pytest.raises(ValueError, match="no"):
        made.result()
    assert isinstance(made.result(raise_on_failure=False), ValueError)


def test_callbacks_are_called_once_with_the_future_also_when_it_is_done_already():
    made = future()
    called: list[Future] = []
    made.add_done_callback(called.append)
    made.add_done_callback(called.append)
    before = len(called)
    made.complete(states.Completed())
    made.add_done_callback(called.append)

    assert before == 0
    assert called == [made] * 3


def test_many_threads_can_wait_for_one_future():
    made = future()
    results: list[int] = []
    start = threading.Barrier(9)

    def ask() -> None:
        start.wait()
        results.append(made.result(timeout=20))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    start.wait()
    made.complete(states.Completed(data=1))
    for thread in threads:
        thread.join()

    assert results == [1] * 8


def test_in_a_coroutine_a_future_is_awaited():
    async def main() -> list[Any]:
        made = future()
        asyncio.get_running_loop().call_soon(made.complete, states.Completed(data=5))
        handle = await made
        assert isinstance(handle, AsyncFuture)
        assert repr(handle) == repr(made)
        state = await handle.wait()
        assert state is not None
        return [await handle.result(), await made.result_async(), state.result(), handle.name]

    assert asyncio.run(main()) == [5, 5, 5, "t"]


def test_in_a_coroutine_too_waiting_ends_when_the_time_is_up():
    async def main() -> None:
        made = future()
        assert await made.wait_async(0.001) is False
        assert await (await made).wait(0.001) is None
        with pytest.raises(errors.TimedOut):
            await made.result_async(timeout=0.001)
        made.complete(states.Completed())  # wakes nobody, and breaks nothing

    asyncio.run(main())


def test_completing_it_after_the_loop_that_waited_is_gone_breaks_nothing():
    made = future()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(made.wait_async(), 0.001)

    asyncio.run(main())
    made.complete(states.Completed())

    assert made.done()


def test_a_waitable_tells_all_who_wait_that_it_is_done():
    waitable = Waitable()
    called: list[int] = []
    waitable.when_done(lambda: called.append(1))
    waitable.finish()

    assert waitable.wait()
    assert called == [1]


# Several ------------------------------------------------------------------------------------------


def test_wait_sorts_the_futures_by_whether_they_are_done():
    ready, pending = completed(), future()

    done, not_done = wait([ready, pending], timeout=0)

    assert (done, not_done) == ({ready}, {pending})
    assert "done=" in repr(wait([ready]))
    assert wait([]).done == set()


def test_wait_returns_when_all_are_done():
    many = [future(str(number)) for number in range(5)]
    threading.Thread(target=lambda: [each.complete(states.Completed()) for each in many]).start()

    assert wait(many, timeout=20).not_done == set()


def test_futures_come_as_they_are_completed():
    first, second, third = future("1"), future("2"), completed()
    found = as_completed([first, second, third], timeout=20)

    order = [next(found)]
    second.complete(states.Completed())
    order.append(next(found))
    threading.Thread(target=lambda: first.complete(states.Failed())).start()
    order += found

    assert order == [third, second, first]


def test_futures_that_are_not_completed_in_time_are_told():
    with pytest.raises(errors.TimedOut, match="Not all futures are done after 0 seconds"):
        list(as_completed([completed(), future()], timeout=0))
    assert list(as_completed([])) == []


def test_futures_of_tasks_come_as_they_are_completed(gates: Callable[[], Any]):
    slow, fast = gates(), gates()

    @task
    def held(which: str) -> str:
        (slow if which == "slow" else fast).wait()
        return which

    @flow
    def main() -> list[str]:
        futures = [held.submit("slow"), held.submit("fast")]
        fast.open()
        order = []
        for each in as_completed(futures):
            order.append(each.result())
            slow.open()
        return order

    assert main() == ["fast", "slow"]


# The futures of a map -----------------------------------------------------------------------------


def mapped(number: int, total: int | None = None) -> tuple[MappedFutures, list[Future]]:
    made = MappedFutures(b"address", total)
    futures = [future(str(each)) for each in range(number)]
    for each in futures:
        made.started(each)
    return made, futures


def end(made: MappedFutures, which: Future, state: states.State) -> None:
    """As the engine does when a mapped task run has ended."""
    which.complete(state)
    made.one_ended()


def test_the_futures_of_a_map_are_a_sequence():
    made, futures = mapped(3)
    made.exhausted()

    assert len(made) == 3
    assert list(made) == futures
    assert (made[0], made[-1], made[1:]) == (futures[0], futures[2], futures[1:])
    assert futures[1] in made
    assert repr(made) == "<futures of 3 task runs>"
    with pytest.raises(IndexError):
        made[3]


def test_iterating_waits_for_those_that_have_not_been_started():
    made, futures = mapped(1)
    later = future("later")

    def start_more() -> None:
        made.started(later)
        made.exhausted()

    found = iter(made)
    assert next(found) is futures[0]
    threading.Thread(target=start_more).start()
    assert list(found) == [later]
    assert "or more" in repr(mapped(1)[0])


def test_a_map_is_done_when_all_have_been_started_and_have_ended():
    made, futures = mapped(2)
    for each in futures:
        end(made, each, states.Completed(data=each.name))
    assert not made.done()
    made.exhausted()
    assert made.done()
    assert made.result() == ["0", "1"]


def test_a_map_that_failed_raises_the_first_failure_in_order():
    made, futures = mapped(2)
    made.exhausted()
    with pytest.raises(errors.TimedOut, match="Not all mapped task runs have ended"):
        made.result(timeout=0)
    end(made, futures[1], states.Failed(data=ValueError("b")))
    end(made, futures[0], states.Completed(data=1))

    with pytest.raises(ValueError, match="b"):
        made.result()
    assert made.result(raise_on_failure=False)[0] == 1


def test_how_many_there_are_is_known_at_once_when_the_input_knows_it():
    made, _ = mapped(1, total=7)

    assert len(made) == 7


def test_a_map_can_be_awaited():
    async def main() -> list[int]:
        made, futures = mapped(2)
        made.exhausted()
        for number, each in enumerate(futures):
            end(made, each, states.Completed(data=number))
        return [await each.result() for each in await made]

    assert asyncio.run(main()) == [0, 1]
