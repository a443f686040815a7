"""Where submitted task runs execute.

A task run is handed to a worker only when its inputs are there, and a worker that waits for
something is replaced meanwhile: any graph can be run by a single thread.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable, Generator
from queue import SimpleQueue
from typing import Any, Protocol

from penstock import errors
from penstock.clock import SYSTEM, Clock, cpu_seconds
from penstock.engine import limits, sync_driver
from penstock.engine.effects import Effect
from penstock.engine.futures import Waitable, crew_of_thread
from penstock.settings import Settings

LOOK_SECONDS = 0.002
"""How often it is looked at whether more workers would be of use, while jobs wait."""
QUIET_LOOKS = 50
"""After so many looks at which no job waited, nobody looks any more until one does."""
SHORT_JOBS = 8
"""A worker that does more jobs than this between two looks does short ones."""
BUSY_WORKERS = 2
"""More workers than this do not get more short jobs done between two looks."""
STOP_SECONDS = 2.0
"""How long task runs under way may take to end after a flow run was stopped."""


class Job(Protocol):
    """A task run that is ready to execute."""

    is_async: bool

    def run(self) -> None:
        """Execute it in this thread. Never raises."""
        ...

    async def run_async(self) -> None:
        """Execute it as a coroutine. Never raises."""
        ...

    def cancel(self) -> None:
        """It will not be executed. Never raises."""
        ...


class Crew:
    """The workers of one flow run. `put` gives them a job; subclasses say who does it."""

    def __init__(self, max_workers: int) -> None:
        self.max_workers = max_workers
        self.stopped = False
        self._loop = LoopThread()

    @property
    def window(self) -> int:
        """How many task runs of a ``map`` are started ahead of those that have ended."""
        return 4 * self.max_workers

    @property
    def is_swamped(self) -> bool:
        """Whether many jobs wait for a worker."""
        return False

    def put(self, job: Job) -> None:
        """Have the job done."""
        if self.stopped:
            job.cancel()
        elif job.is_async:
            self._loop.put(job)
        else:
            self.put_sync(job)

    def put_sync(self, job: Job) -> None:
        """Have a job done that is no coroutine."""
        raise NotImplementedError

    def perform(self, effect: Effect, clock: Clock) -> Any:
        """Do an effect of a job in this worker's thread."""
        return sync_driver.perform_here(effect, clock)

    @contextlib.contextmanager
    def replaced(self) -> Generator[None]:
        """Held by a worker while it waits."""
        yield

    def stop(self) -> None:
        """Cancel the jobs that wait and interrupt those under way; wait a little for them to end."""
        self.stopped = True
        self._loop.stop()

    def close(self) -> None:
        """There will be no more jobs."""
        self._loop.close()


class ThreadCrew(Crew):
    """Worker threads, as many as are of use. They do not keep the process from ending.

    Python lets one thread run at a time, and each hand-over costs more than a short job: many
    threads would do short jobs several times slower than one. So there is one worker at first; more
    are added while jobs wait and the present workers take long over theirs, or wait themselves.
    """

    eager = False
    """Whether each job gets a worker of its own at once, as long as there may be more."""

    def __init__(self, max_workers: int) -> None:
        super().__init__(max_workers)
        self._ready: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._busy: set[threading.Thread] = set()
        self._waiting = 0
        self._leaving = 0
        self._done = 0
        self._foreman: threading.Thread | None = None
        self._closed = threading.Event()

    def put_sync(self, job: Job) -> None:
        self._ready.put(job)
        if self._foreman is None:
            with self._lock:
                if len(self._threads) - self._waiting < (self.max_workers if self.eager else 1):
                    self._add_worker()
                elif self._foreman is None and len(self._threads) - self._waiting < self.max_workers:
                    self._foreman = threading.Thread(target=self._oversee, name="penstock-foreman", daemon=True)
                    self._foreman.start()

    @property
    def is_swamped(self) -> bool:
        return self._ready.qsize() > SHORT_JOBS

    def _add_worker(self) -> None:
        thread = threading.Thread(target=self._work, name="penstock-worker", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _oversee(self) -> None:
        """While jobs wait, look every now and then whether more workers would be of use."""
        quiet = 0
        done, used, elapsed = self._done, cpu_seconds(), SYSTEM.elapsed()
        while quiet < QUIET_LOOKS and not self._closed.wait(LOOK_SECONDS):
            before = done, used, elapsed
            done, used, elapsed = self._done, cpu_seconds(), SYSTEM.elapsed()
            if self._ready.empty():
                quiet += 1
                continue
            quiet = 0
            with self._lock:
                working = len(self._threads) - self._waiting
                is_busy = used - before[1] > 0.5 * (elapsed - before[2])
                if is_busy and done - before[0] > SHORT_JOBS * min(max(working, 1), BUSY_WORKERS):
                    if not self._leaving:
                        self._leaving = working // 2
                        for _ in range(self._leaving):
                            self._ready.put(None)  # whoever takes it leaves
                    continue
                for _ in range(min(max(working, 1), self._ready.qsize(), self.max_workers - working)):
                    self._add_worker()
        with self._lock:
            self._foreman = None
            if not self._ready.empty() and not self._threads and not self._closed.is_set():
                self._add_worker()

    def _work(self) -> None:
        try:
            self._do_jobs()
        except limits.Interruption:
            return  # the run was stopped, and this worker had nothing to do

    def _do_jobs(self) -> None:
        crew_of_thread.crew = self
        me = threading.current_thread()
        ready = self._ready
        try:
            while (job := ready.get()) is not None:
                try:
                    self._busy.add(me)
                    job.run()
                except limits.Interruption:
                    pass  # it came too late to hit the job
                finally:
                    self._busy.discard(me)
                del job
                self._done += 1
                if len(self._threads) - self._waiting > self.max_workers:
                    with self._lock:
                        if len(self._threads) - self._waiting > self.max_workers:
                            self._threads.discard(me)
                            return
        finally:
            crew_of_thread.crew = None
            self.leave()
            with self._lock:
                self._threads.discard(me)
                self._leaving = max(self._leaving - 1, 0)

    def leave(self) -> None:
        """A worker thread ends."""

    @contextlib.contextmanager
    def replaced(self) -> Generator[None]:
        with self._lock:
            self._waiting += 1
            if not self._ready.empty() and len(self._threads) - self._waiting < self.max_workers:
                self._add_worker()
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def stop(self) -> None:
        super().stop()
        self._cancel_waiting()
        with self._lock:
            threads = set(self._threads)
        me = threading.current_thread()
        for thread in threads:
            # One that waits for a job needs no interruption: it is told to leave.
            if thread is not me and thread in self._busy:
                limits.interrupt(thread)
        self.close()
        for thread in threads:
            if thread is not me:
                thread.join(STOP_SECONDS / max(len(threads), 1))

    def _cancel_waiting(self) -> None:
        while not self._ready.empty():
            with contextlib.suppress(Exception):
                job = self._ready.get_nowait()
                if job is not None:
                    job.cancel()

    def close(self) -> None:
        super().close()
        self._closed.set()
        with self._lock:
            count = len(self._threads)
        for _ in range(count):
            self._ready.put(None)


class SequentialCrew(Crew):
    """The thread that submits does the job, before `put` returns."""

    def __init__(self) -> None:
        super().__init__(1)

    def put(self, job: Job) -> None:
        if self.stopped:
            job.cancel()
        elif job.is_async:
            done = Waitable()
            self._loop.put(job, done.finish)
            done.wait()
        else:
            job.run()


class LoopThread:
    """A thread with an event loop, for submitted coroutines; started when the first one comes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: Any = None
        self._jobs: set[Any] = set()

    def put(self, job: Job, done: Callable[[], None] | None = None) -> None:
        loop = self._started()
        context = contextvars.copy_context()
        loop.call_soon_threadsafe(self._begin, job, done, context)

    def _begin(self, job: Job, done: Callable[[], None] | None, context: contextvars.Context) -> None:
        import asyncio  # noqa: PLC0415  keeps asyncio off the import path

        task = asyncio.get_running_loop().create_task(job.run_async(), context=context)
        self._jobs.add(task)

        def ended(task: Any) -> None:
            self._jobs.discard(task)
            if done is not None:
                done()

        task.add_done_callback(ended)

    def _started(self) -> Any:
        with self._lock:
            if self._loop is None:
                import asyncio  # noqa: PLC0415  as above

                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._run, args=(self._loop,), name="penstock-loop", daemon=True).start()
            return self._loop

    @staticmethod
    def _run(loop: Any) -> None:
        try:
            loop.run_forever()
        finally:
            loop.close()

    def stop(self) -> None:
        """Cancel the coroutines under way, and wait a little for them to end."""
        loop = self._loop
        if loop is None:
            return
        ended = threading.Event()

        async def cancel() -> None:
            import asyncio  # noqa: PLC0415  as above

            jobs = list(self._jobs)
            for task in jobs:
                task.cancel()
            if jobs:
                await asyncio.wait(jobs, timeout=STOP_SECONDS)
            ended.set()

        def begin() -> None:
            self._ending = loop.create_task(cancel())

        loop.call_soon_threadsafe(begin)
        ended.wait(STOP_SECONDS + 1)

    def close(self) -> None:
        """End the thread once the coroutines have ended."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(self._end, loop)

    def _end(self, loop: Any) -> None:
        import asyncio  # noqa: PLC0415  as above

        async def rest() -> None:
            own = asyncio.current_task()
            others = [task for task in asyncio.all_tasks() if task is not own]
            if others:
                await asyncio.wait(others, timeout=STOP_SECONDS)
            await loop.shutdown_asyncgens()
            loop.stop()

        self._ending = loop.create_task(rest())


class TaskRunner:
    """Says where submitted task runs of a flow execute: ``@flow(task_runner=…)``."""

    def crew(self, settings: Settings) -> Crew:
        """Workers for one flow run."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ThreadPoolTaskRunner(TaskRunner):
    """In threads of this process, at most ``max_workers`` at a time (default: the setting, 32)."""

    def __init__(self, max_workers: int | None = None) -> None:
        self.max_workers = positive(max_workers)

    def crew(self, settings: Settings) -> Crew:
        return ThreadCrew(self.max_workers or settings.task_runner_max_workers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_workers={self.max_workers})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), self.max_workers))


class SequentialTaskRunner(TaskRunner):
    """One after the other: ``submit`` returns when the task run has ended."""

    def crew(self, settings: Settings) -> Crew:  # noqa: ARG002  there is nothing to set
        return SequentialCrew()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))


def positive(max_workers: int | None) -> int | None:
    """The number of workers, if it is one. Raises `UsageError`."""
    if max_workers is not None and (isinstance(max_workers, bool) or int(max_workers) < 1):
        raise errors.UsageError(f"A task runner needs at least one worker, not: `{max_workers}`")
    return max_workers


ConcurrentTaskRunner = ThreadPoolTaskRunner
"""The name that Prefect 2 has for it."""
