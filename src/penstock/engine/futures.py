"""Handles on submitted task runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic, Protocol

from penstock import errors
from penstock.clock import SYSTEM
from penstock.core.states import State, StateType, Unloaded

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # a default, so that plain Future is Future[Any]: typing has it from 3.13 on

    R_co = TypeVar("R_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    R_co = TypeVar("R_co", covariant=True)

_lock = threading.Lock()
"""Guards the few steps in which any future changes; held for well under a microsecond."""

crew_of_thread = threading.local()
"""``.crew``: the workers that this thread is one of, which may replace it while it waits."""


def _after_fork() -> None:
    global _lock  # noqa: PLW0603  another thread may have held it in the parent
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


NAPS = (0.0005, 0.001, 0.002)
"""Seconds that a thread naps, one after the other, before it asks to be woken by workers who have much to do."""


class Crew(Protocol):
    """The workers of a flow run, as far as waiting is concerned. `task_runners.Crew` is one."""

    @property
    def is_swamped(self) -> bool:
        """Whether many jobs wait for a worker."""
        ...

    def replaced(self) -> AbstractContextManager[None]:
        """Held by a worker while it waits."""
        ...


class Waitable:
    """Something that will be done once, and tells whoever waits for it."""

    __slots__ = ("_callbacks", "_done")

    def __init__(self) -> None:
        self._done = False
        self._callbacks: list[Callable[[], None]] | None = None

    def done(self) -> bool:
        """Whether it has ended, with or without success."""
        return self._done

    def finish(self) -> None:
        """It is done: tell whoever waits."""
        with _lock:
            self._done = True
            callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback()

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call back once it is done: now, if it is. Called in whatever thread ends it; must not block."""
        with _lock:
            if not self._done:
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(callback)
                return
        callback()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is done, at most ``timeout`` seconds; says whether it is."""
        if self._done:
            return True
        gate = threading.Lock()
        gate.acquire()
        self.when_done(gate.release)
        crew: Crew | None = getattr(crew_of_thread, "crew", None)
        if crew is None:
            gate.acquire(timeout=-1 if timeout is None else max(timeout, 0))
        else:  # a worker that waits is replaced meanwhile, so waiting cannot use up the threads
            with crew.replaced():
                gate.acquire(timeout=-1 if timeout is None else max(timeout, 0))
        return self._done

    async def wait_async(self, timeout: float | None = None) -> bool:
        """As `wait`, letting other coroutines run."""
        if self._done:
            return True
        import asyncio  # noqa: PLC0415  keeps asyncio off the import path

        loop = asyncio.get_running_loop()
        gate: asyncio.Future[None] = loop.create_future()

        def open_gate() -> None:
            if not gate.done():
                gate.set_result(None)

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(open_gate)

        self.when_done(wake)
        try:
            await asyncio.wait_for(gate, timeout)
        except TimeoutError:
            return self._done
        return True


def nap(waited_for: Waitable, crew: Crew) -> None:
    """Let workers who have much to do get on with it, for some milliseconds or until it is done.

    Being woken for each of many short jobs would cost more than the jobs: each wake-up takes
    Python's lock away from the worker.
    """
    for seconds in NAPS:
        if waited_for.done() or not crew.is_swamped:
            return
        SYSTEM.sleep(seconds)


class Future(Waitable, Generic[R_co]):
    """A handle on a submitted task run: ask it for the state, or wait for the result."""

    __slots__ = ("_crew", "_state", "address", "id", "name")

    def __init__(self, task_run_id: str, name: str, address: bytes, crew: Crew | None = None) -> None:
        super().__init__()
        self._crew = crew
        self.id = task_run_id
        self.name = name
        self.address = address
        self._state: State | None = None

    @property
    def task_run_id(self) -> str:
        return self.id

    @property
    def state(self) -> State:
        """Where the task run is now."""
        state = self._state
        return State(type=StateType.PENDING) if state is None else state

    def get_state(self) -> State:
        """As `state`."""
        return self.state

    def complete(self, state: State) -> None:
        """Called by the engine, once, when the task run has ended."""
        self._state = state
        self._crew = None
        self.finish()

    def wait(self, timeout: float | None = None) -> bool:
        crew = self._crew
        if timeout is None and crew is not None:
            nap(self, crew)
        return super().wait(timeout)

    def release_value(self, kept: Unloaded) -> None:
        """Called by the engine to forget the value: it is kept elsewhere, and read when asked for."""
        state = self._state
        if state is not None:
            self._state = State(type=state.type, name=state.name, message=state.message, data=kept, at=state.at)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R_co:  # noqa: FBT001, FBT002
        """Wait for the task run to end and return its value; if it did not complete, its exception is raised.

        Raises `TimedOut` if it has not ended after ``timeout`` seconds. With
        ``raise_on_failure=False`` an exception is returned instead of raised.
        """
        if not self._done and not self.wait(timeout):
            raise errors.TimedOut(f"Task run `{self.name}` has not ended after {timeout} seconds")
        assert self._state is not None
        return self._state.result(raise_on_failure)

    async def result_async(self, timeout: float | None = None, raise_on_failure: bool = True) -> R_co:  # noqa: FBT001, FBT002
        """As `result`, letting other coroutines run while it waits."""
        if not await self.wait_async(timeout):
            raise errors.TimedOut(f"Task run `{self.name}` has not ended after {timeout} seconds")
        assert self._state is not None
        return self._state.result(raise_on_failure)

    def add_done_callback(self, fn: Callable[[Future[R_co]], Any]) -> None:
        """Call ``fn(future)`` when the task run has ended, in the thread that ends it."""
        self.when_done(lambda: fn(self))

    def __await__(self) -> Generator[Any, None, AsyncFuture[R_co]]:
        """``future = await task.submit(…)`` gives the future as coroutines use it: ``await future.result()``."""
        return _immediately(AsyncFuture(self)).__await__()

    def __repr__(self) -> str:
        return f"Future({self.name!r}, {self.state.name})"


async def _immediately(future: AsyncFuture[R_co]) -> AsyncFuture[R_co]:
    return future


class AsyncFuture(Generic[R_co]):
    """A future as ``await task.submit(…)`` gives it: its methods are awaited."""

    __slots__ = ("sync",)

    def __init__(self, future: Future[R_co]) -> None:
        self.sync = future

    async def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R_co:  # noqa: FBT001, FBT002
        return await self.sync.result_async(timeout, raise_on_failure)

    async def wait(self, timeout: float | None = None) -> State | None:
        """The final state; None if it has not ended after ``timeout`` seconds."""
        return self.sync.state if await self.sync.wait_async(timeout) else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sync, name)

    def __repr__(self) -> str:
        return repr(self.sync)


class MappedFutures(Waitable, Sequence[Future[R_co]]):
    """The futures of ``task.map(…)``, in order.

    The task runs are started a window at a time, so there may be as many as one likes: iterating
    waits for the next one to be started. It can be passed on as a whole; a task is given the list
    of results.
    """

    __slots__ = ("_crew", "_ended", "_error", "_exhausted", "_futures", "_next", "_total", "address")

    def __init__(self, address: bytes, total: int | None, crew: Crew | None = None) -> None:
        super().__init__()
        self._crew = crew
        self.address = address
        self._total = total
        self._futures: list[Future[R_co]] = []
        self._ended = 0
        self._exhausted = False
        self._error: BaseException | None = None
        self._next: Waitable | None = None
        """Done when the next task run has been started; there is one only while somebody waits."""

    def started(self, future: Future) -> None:
        """Called by the engine: the next task run exists."""
        with _lock:
            self._futures.append(future)
            turn, self._next = self._next, None
        if turn is not None:
            turn.finish()

    def exhausted(self, error: BaseException | None = None) -> None:
        """Called by the engine: there will be no more task runs."""
        with _lock:
            self._exhausted = True
            self._error = error
            self._total = len(self._futures)
            done = self._ended == self._total
            turn, self._next = self._next, None
        self._crew = None
        if turn is not None:
            turn.finish()
        if done:
            self.finish()

    def one_ended(self) -> None:
        """Called by the engine: one of the task runs has ended."""
        with _lock:
            self._ended += 1
            done = self._exhausted and self._ended == self._total
        if done:
            self.finish()

    def __iter__(self) -> Iterator[Future[R_co]]:
        position = 0
        while (future := self._at(position)) is not None:
            yield future
            position += 1

    def _at(self, position: int) -> Future[R_co] | None:
        """The future at a position, once it has been started; None behind the last."""
        while True:
            with _lock:
                if position < len(self._futures):
                    return self._futures[position]
                if self._exhausted:
                    break
                turn = self._next
                if turn is None:
                    turn = self._next = Waitable()
            crew = self._crew
            if crew is not None:
                nap(turn, crew)
            turn.wait()
        if self._error is not None:
            raise self._error
        return None

    def __len__(self) -> int:
        if self._total is None:
            for _ in self:
                pass
        assert self._total is not None
        return self._total

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int) and index >= 0:
            future = self._at(index)
            if future is None:
                raise IndexError(index)
            return future
        return list(self)[index]

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[R_co]:  # noqa: FBT001, FBT002
        """The results of all task runs, in order, once they have ended; see `Future.result`."""
        if not self.wait(timeout):
            raise errors.TimedOut(f"Not all mapped task runs have ended after {timeout} seconds")
        return [future.result(raise_on_failure=raise_on_failure) for future in self]

    def __await__(self) -> Generator[Any, None, list[AsyncFuture[R_co]]]:
        """``futures = await task.map(…)``: the futures as coroutines use them."""
        return self._started_all().__await__()

    async def _started_all(self) -> list[AsyncFuture[R_co]]:
        import asyncio  # noqa: PLC0415  keeps asyncio off the import path

        return [AsyncFuture(future) for future in await asyncio.to_thread(list, self)]

    def __repr__(self) -> str:
        return f"<futures of {len(self._futures)}{'' if self._exhausted else ' or more'} task runs>"


class DoneAndNotDone:
    """What `wait` gives: two sets of futures. Unpacks as ``done, not_done = wait(futures)``."""

    __slots__ = ("done", "not_done")

    def __init__(self, done: set[Future], not_done: set[Future]) -> None:
        self.done = done
        self.not_done = not_done

    def __iter__(self) -> Iterator[set[Future]]:
        return iter((self.done, self.not_done))

    def __repr__(self) -> str:
        return f"DoneAndNotDone(done={self.done!r}, not_done={self.not_done!r})"


def wait(futures: Iterable[Future], timeout: float | None = None) -> DoneAndNotDone:
    """Wait until all the futures are done, at most ``timeout`` seconds in all."""
    waited = list(futures)
    gate = Waitable()
    _when_all_done(waited, gate)
    gate.wait(timeout)
    return DoneAndNotDone({each for each in waited if each.done()}, {each for each in waited if not each.done()})


def _when_all_done(futures: Sequence[Waitable], gate: Waitable) -> None:
    """Finish the gate when all the futures are done."""
    left = len(futures)

    def one_done() -> None:
        nonlocal left
        with _lock:
            left -= 1
            last = left == 0
        if last:
            gate.finish()

    if not futures:
        gate.finish()
    for future in futures:
        future.when_done(one_done)


def as_completed(futures: Iterable[Future[R_co]], timeout: float | None = None) -> Iterator[Future[R_co]]:
    """The futures in the order in which they are done.

    Raises `TimedOut` if not all of them are done ``timeout`` seconds after the first was asked for.
    """
    from collections import deque  # noqa: PLC0415  a small saving at import

    waiting = list(futures)
    ready: deque[Future[R_co]] = deque()
    turn = Waitable()

    def is_done(future: Future[R_co]) -> None:
        nonlocal turn
        with _lock:
            ready.append(future)
            current, turn = turn, Waitable()
        current.finish()

    for future in waiting:
        future.when_done(lambda future=future: is_done(future))
    ends_at = None if timeout is None else SYSTEM.elapsed() + timeout
    for _ in waiting:
        while True:
            with _lock:
                gate = turn
                found = ready.popleft() if ready else None
            if found is not None:
                yield found
                break
            left = None if ends_at is None else ends_at - SYSTEM.elapsed()
            if (left is not None and left <= 0) or not gate.wait(left):
                raise errors.TimedOut(f"Not all futures are done after {timeout} seconds")
