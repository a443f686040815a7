"""Running the functions of submitted tasks in processes of their own.

Each worker thread owns a child process, hands it the function and its arguments, and waits: the
life of the task run, with its retries, cache and records, stays here. What the function itself
starts or says in the child (tasks, prints, artifacts) goes into a journal of the child's.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

from penstock import errors
from penstock.clock import SYSTEM, Clock
from penstock.engine import limits, sync_driver
from penstock.engine.effects import Call, Effect
from penstock.engine.process_child import Reply, Surroundings, Work, receive, send
from penstock.engine.runs import TaskRun
from penstock.engine.task_runners import Crew, TaskRunner, ThreadCrew, positive
from penstock.settings import Settings

GRACE_SECONDS = 5.0
"""A child may take this much longer than its task's timeout, and to end when it is told to; then it is killed."""

_START = "from penstock.engine.process_child import main; main()"


class ProcessPoolTaskRunner(TaskRunner):
    """In at most ``max_workers`` processes (default: one for each processor of the machine).

    Functions and arguments are sent with cloudpickle, so they need not be importable there. A task
    that exceeds its timeout is killed with its process; one whose process dies is run again, at
    most twice, unless it has ``on_interrupt="fail"``.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        self.max_workers = positive(max_workers)

    def crew(self, settings: Settings) -> Crew:  # noqa: ARG002  there is nothing to set
        return ProcessCrew(self.max_workers or os.cpu_count() or 1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_workers={self.max_workers})"


class ProcessCrew(ThreadCrew):
    """Worker threads, each with a child process."""

    eager = True

    def __init__(self, max_workers: int) -> None:
        super().__init__(max_workers)
        self._own = threading.local()
        self._children: set[Child] = set()

    def perform(self, effect: Effect, clock: Clock) -> Any:
        """Call a task's function in the child; do everything else here."""
        if type(effect) is not Call or effect.kind == "hook" or not isinstance(effect.context, TaskRun):
            return sync_driver.perform_here(effect, clock)
        child: Child | None = getattr(self._own, "child", None)
        if child is None or not child.is_alive:
            child = self._own.child = Child()
            self._children.add(child)
        try:
            return child.call(_work(effect, effect.context), effect.timeout_seconds)
        finally:
            if not child.is_alive:
                self._children.discard(child)

    def leave(self) -> None:
        """A worker thread ends, and with it its child."""
        child: Child | None = getattr(self._own, "child", None)
        if child is not None:
            child.close()
            self._children.discard(child)

    def stop(self) -> None:
        for child in list(self._children):
            child.kill()
        super().stop()


def _work(effect: Call, run: TaskRun) -> bytes:
    """The call, as it is sent to the child."""
    import cloudpickle  # noqa: PLC0415  takes its time to import

    attempt, flow = run.attempt, run.flow
    surroundings = Surroundings(
        settings=attempt.settings,
        run_id=attempt.run_id,
        attempt=attempt.number,
        history=None if attempt.history is None else attempt.history.within(run.source_id or run.id),
        source_run_id=attempt.source_run_id,
        open_slots=attempt.open_slots,
        lease=None if attempt.lease is None else attempt.lease.path,
        flow={
            "id": flow.id,
            "name": flow.name,
            "arguments": flow.arguments,
            "log_prints": flow.log_prints,
            "replay": flow.replay,
            "run_count": flow.run_count,
            "tags": flow.tags,
            "flow_name": flow.spec.name,
            "flow_version": flow.spec.version,
        },
        task={
            "id": run.id,
            "name": run.name,
            "key": run.spec.key,
            "task_name": run.spec.name,
            "arguments": run.arguments,
            "log_prints": run.log_prints,
            "run_count": run.run_count,
            "tags": run.tags,
            "address": run.address,
            "source_id": run.source_id,
        },
    )
    work = Work(effect.fn, effect.args, effect.kwargs, effect.kind, effect.timeout_seconds, surroundings)
    try:
        return cloudpickle.dumps(work, 5)
    except Exception as error:
        raise errors.UsageError(
            f"Task `{run.spec.name}` cannot be sent to another process: {error}",
            hint="run it in a thread, or give it arguments that can be pickled",
        ) from error


class Child:
    """A process that does one piece of work after the other, for one thread."""

    def __init__(self) -> None:
        to_child, self._to = os.pipe()
        self._from, from_child = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter
                [sys.executable, "-c", _START, str(to_child), str(from_child)],
                pass_fds=(to_child, from_child),
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        finally:
            os.close(to_child)
            os.close(from_child)
        self.is_alive = True

    def call(self, work: bytes, timeout_seconds: float | None) -> Any:
        """Have the work done. Raises what it raises; `CrashedRun` when the process dies over it."""
        began_at = SYSTEM.elapsed()
        timer = None
        if timeout_seconds is not None:
            timer = threading.Timer(timeout_seconds + GRACE_SECONDS, self.kill)
            timer.daemon = True
            timer.start()
        try:
            send(self._to, work)
            data = receive(self._from)
        except OSError:
            data = None
        finally:
            if timer is not None:
                timer.cancel()
        if data is None:
            status = self.close()
            if timeout_seconds is not None and SYSTEM.elapsed() - began_at >= timeout_seconds:
                raise limits.timed_out(timeout_seconds)
            raise errors.CrashedRun(f"The process of the task {_how(status)}")
        reply: Reply = pickle.loads(data)  # noqa: S301  from our own child
        if reply.error is not None:
            raise reply.error
        return reply.value

    def kill(self) -> None:
        """End the process at once; the thread that waits for it is told."""
        self._process.kill()

    def close(self) -> int:
        """End the process, which has no more work, and wait for it; returns its exit status."""
        if self.is_alive:
            self.is_alive = False
            os.close(self._to)
            try:
                self._process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
            os.close(self._from)
        return self._process.wait()


def _how(status: int) -> str:
    if status >= 0:
        return f"exited with code {status}"
    name = str(-status)
    with suppress(ValueError):
        name = signal.Signals(-status).name
    reason = " (out of memory?)" if name == "SIGKILL" else ""
    return f"was ended by signal {name}{reason}"
