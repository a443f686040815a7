from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from penstock import ThreadPoolTaskRunner, errors, flow, task
from penstock.clock import SYSTEM, SystemClock
from penstock.engine import limits

SHORT = 0.05
LONG = 60
Ends = Callable[[], dict[str, str]]


def forever() -> None:
    """Python code that does not return."""
    while True:
        pass


@pytest.fixture(autouse=True)
def _nothing_is_left_behind():
    before = signal.getsignal(signal.SIGALRM)
    yield
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GRACE_SECONDS", 0.02)


class Hand(SystemClock):
    """The clock of limits on the main thread, which a test may put forward: what is under way then has no time left."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def elapsed(self) -> float:
        return super().elapsed() + self._ahead

    def advance(self, seconds: float) -> None:
        """To be called on the main thread; the alarm goes off at once."""
        self._ahead += seconds
        signal.setitimer(signal.ITIMER_REAL, 1e-6, limits.GRACE_SECONDS)


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    hand = Hand()
    monkeypatch.setattr(limits, "SYSTEM", hand)
    return hand


@task(timeout_seconds=SHORT)
def endless() -> None:
    forever()


def test_a_task_on_the_main_thread_is_interrupted(ends: Ends):
    @flow
    def main() -> str:
        with pytest.raises(errors.TimedOut) as caught:
            endless()
        assert isinstance(caught.value, TimeoutError)
        state = endless(return_state=True)
        assert state.message == "Task run exceeded timeout of 0.05 seconds"
        return state.name

    assert main() == "TimedOut"
    assert ends() == {"endless-0": "TimedOut", "endless-1": "TimedOut"}


def test_a_task_in_a_worker_is_interrupted(ends: Ends):
    @flow
    def main() -> str:
        return endless.submit(return_state=True).name

    assert main() == "TimedOut"


def test_a_coroutine_is_cancelled_when_its_time_is_up():
    cleaned: list[bool] = []

    @task(timeout_seconds=SHORT)
    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    @flow
    async def main() -> list[str]:
        state = await waits(return_state=True)
        submitted = waits.submit()
        await submitted.wait_async()
        return [state.name, submitted.state.name]

    assert asyncio.run(main()) == ["TimedOut", "TimedOut"]
    assert cleaned == [True, True]


def test_a_coroutine_that_swallows_its_cancellation_has_timed_out_all_the_same():
    @task(timeout_seconds=SHORT)
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "too late"
        return "never"

    @flow
    async def main() -> str:
        return (await stubborn(return_state=True)).name

    assert asyncio.run(main()) == "TimedOut"


def test_what_is_in_time_is_not_disturbed():
    @task(timeout_seconds=LONG)
    def quick(number: int) -> int:
        return number

    @task(timeout_seconds=LONG)
    async def later(number: int) -> int:
        await asyncio.sleep(0)
        return number

    @task(timeout_seconds=LONG)
    def items(number: int):
        yield number

    @flow(timeout_seconds=LONG)
    def main() -> list[Any]:
        return [
            quick(1),
            quick.submit(2).result(),
            later.submit(3).result(),
            items.submit(4).result(),
            sum(quick.map([1, 2]).result()),
        ]

    @flow(timeout_seconds=LONG)
    async def other() -> int:
        return await later(1)

    assert main() == [1, 2, 3, [4], 3]
    assert asyncio.run(other()) == 1


def test_an_exception_of_its_own_in_time_is_its_own():
    @task(timeout_seconds=LONG)
    def fails() -> None:
        raise TimeoutError("of the server")

    @flow
    def main() -> list[str]:
        return [fails(return_state=True).name, fails.submit(return_state=True).name]

    assert main() == ["Failed", "Failed"]


def test_cleaning_up_after_the_time_is_up_is_possible_and_its_error_is_kept_as_the_cause(hand: Hand):
    @task(timeout_seconds=LONG)
    def cleans() -> None:
        try:
            hand.advance(LONG)
            forever()
        finally:
            raise ValueError("while cleaning up")

    @flow
    def main() -> Any:
        return cleans(return_state=True)

    state = main(return_state=True)
    assert state.name == "TimedOut"
    assert isinstance(state.data.__cause__, ValueError)


@pytest.mark.parametrize("how", ["call", "submit"])
def test_code_that_swallows_the_interruption_has_timed_out_and_its_late_result_is_refused(
    how: str, short_grace: None, gate: Any
):
    @task(timeout_seconds=SHORT)
    def stubborn() -> str:
        while True:
            try:
                forever()
            except BaseException:  # noqa: BLE001  that is its point
                return "too late"

    @flow
    def main() -> str:
        state = stubborn(return_state=True) if how == "call" else stubborn.submit(return_state=True)
        return state.name

    assert main() == "TimedOut"


@pytest.mark.skipif(
    sys.gettrace() is not None and sys.version_info < (3, 12),
    reason="CPython 3.11 traces no thread while an exception waits for another that is in C code",
)
def test_code_in_a_worker_that_cannot_be_interrupted_is_left_behind(short_grace: None, gate: Any):
    """C code comes back to Python only when it wants to."""
    lock = threading.Lock()
    lock.acquire()

    @task(timeout_seconds=SHORT)
    def in_c() -> str:
        lock.acquire(timeout=LONG)
        return "too late"

    @flow
    def main() -> str:
        return in_c.submit(return_state=True).name

    started = SYSTEM.elapsed()
    assert main() == "TimedOut"
    assert SYSTEM.elapsed() - started < LONG / 2
    left = [each for each in threading.enumerate() if each.name == "penstock-timed"]
    lock.release()
    for each in left:
        each.join(20)
        assert not each.is_alive()


@pytest.mark.slow
def test_c_code_on_the_main_thread_is_refused_when_it_comes_back(short_grace: None):
    @task(timeout_seconds=SHORT)
    def in_c() -> str:
        sum(range(20_000_000))
        return "too late"

    @flow
    def main() -> str:
        return in_c(return_state=True).name

    assert main() == "TimedOut"


def test_blocking_system_calls_on_the_main_thread_are_interrupted():
    @task(timeout_seconds=SHORT)
    def sleeps() -> None:
        time.sleep(LONG)  # noqa: TID251  what users do

    @flow
    def main() -> str:
        return sleeps(return_state=True).name

    started = SYSTEM.elapsed()
    assert main() == "TimedOut"
    assert SYSTEM.elapsed() - started < LONG / 2


def test_of_nested_limits_the_inner_one_ends_the_inner_code():
    @task(timeout_seconds=LONG)
    def outer() -> str:
        return endless(return_state=True).name

    @flow(timeout_seconds=LONG)
    def main() -> list[str]:
        return [outer(), outer.submit().result()]

    assert main() == ["TimedOut", "TimedOut"]


def test_of_nested_limits_the_outer_one_ends_both(ends: Ends, hand: Hand):
    calls: list[int] = []

    @task(timeout_seconds=3 * LONG, retries=3)
    def inner() -> None:
        calls.append(1)
        hand.advance(LONG)
        forever()

    @task(timeout_seconds=LONG)
    def outer() -> None:
        inner()

    @flow
    def main() -> str:
        return outer(return_state=True).name

    assert main() == "TimedOut"
    assert calls == [1]
    assert ends() == {"outer-0": "TimedOut", "inner-0": "Interrupted"}


def test_a_task_that_timed_out_does_not_make_its_caller_one_that_did():
    @flow(timeout_seconds=LONG)
    def main() -> None:
        endless()

    @task(timeout_seconds=LONG)
    def outer() -> None:
        endless()

    state = main(return_state=True)
    assert state.name == "Failed"
    assert "exceeded timeout of 60" not in (state.message or "")
    assert isinstance(state.data, errors.TimedOut)
    assert outer(return_state=True).name == "Failed"


def test_a_task_that_timed_out_is_tried_again(hand: Hand):
    calls: list[int] = []

    @task(timeout_seconds=LONG, retries=1)
    def slow_once() -> int:
        calls.append(1)
        if len(calls) == 1:
            hand.advance(LONG)
            forever()
        return len(calls)

    @flow
    def main() -> int:
        return slow_once()

    assert main() == 2


# Flows --------------------------------------------------------------------------------------------


def test_a_flow_is_interrupted(ends: Ends):
    @flow(timeout_seconds=SHORT)
    def main() -> None:
        forever()

    state = main(return_state=True)
    assert (state.name, state.message) == ("TimedOut", "Flow run exceeded timeout of 0.05 seconds")
    with pytest.raises(TimeoutError):
        main()


def test_a_flow_in_another_thread_is_interrupted():
    @flow(timeout_seconds=SHORT)
    def main() -> None:
        forever()

    states: list[Any] = []
    thread = threading.Thread(target=lambda: states.append(main(return_state=True)))
    thread.start()
    thread.join(20)

    assert [state.name for state in states] == ["TimedOut"]


def test_an_async_flow_is_cancelled():
    @flow(timeout_seconds=SHORT)
    async def main() -> None:
        await asyncio.Event().wait()

    assert asyncio.run(main(return_state=True)).name == "TimedOut"


def test_the_tasks_of_a_flow_that_timed_out_end_with_it(ends: Ends, gate: Any, hand: Hand):
    calls: list[str] = []
    started = threading.Event()

    @task(retries=3)
    def under_way() -> None:
        calls.append("under way")
        started.set()
        forever()

    @task
    def next_one() -> None:
        calls.append("next")

    @flow(timeout_seconds=LONG, task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main() -> None:
        under_way.submit()
        next_one.submit()
        assert started.wait(20)
        hand.advance(LONG)
        gate.wait()

    state = main(return_state=True)
    assert state.name == "TimedOut"
    assert calls == ["under way"]
    assert ends() == {"under_way-0": "Interrupted", "next_one-0": "Cancelled"}


def test_coroutines_of_a_flow_that_timed_out_are_cancelled(ends: Ends, hand: Hand):
    started = threading.Event()

    @task
    async def under_way() -> None:
        started.set()
        await asyncio.Event().wait()

    @flow(timeout_seconds=LONG)
    def main() -> None:
        under_way.submit()
        assert started.wait(20)
        hand.advance(LONG)
        forever()

    assert main(return_state=True).name == "TimedOut"
    assert ends() == {"under_way-0": "Cancelled"}


def test_a_subflow_that_times_out_leaves_its_caller_running():
    @flow(timeout_seconds=SHORT)
    def sub() -> None:
        forever()

    @flow
    def main() -> str:
        return sub(return_state=True).name

    assert main() == "TimedOut"


# Bare limits --------------------------------------------------------------------------------------


def test_no_time_at_all_is_too_little():
    with pytest.raises(errors.TimedOut, match=r"Exceeded its timeout of 0.0 seconds"):
        limits.call_within(0, lambda: 1, (), {})


def test_systems_without_timers_use_a_thread(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(signal, "setitimer")
    monkeypatch.delattr(signal, "getitimer")

    assert limits.call_within(LONG, lambda: threading.current_thread().name, (), {}) == "penstock-timed"
    with pytest.raises(errors.TimedOut):
        limits.call_within(SHORT, forever, (), {})
    monkeypatch.undo()


def test_a_keyboard_interrupt_within_a_limit_stays_one():
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        limits.call_within(LONG, interrupted, (), {})


def test_wrong_time_limits_are_refused():
    for wrong in (0, -1, True, "soon", float("nan")):
        with pytest.raises(errors.UsageError, match="timeout_seconds is a number above 0"):
            task(timeout_seconds=wrong)(forever)
