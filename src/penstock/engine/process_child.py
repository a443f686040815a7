"""The child process of a `processes.ProcessCrew`: does the work that it is sent, one piece at a time."""

from __future__ import annotations

import os
import pickle
import sys
from struct import Struct
from typing import Any

import msgspec

from penstock import clock, errors
from penstock.core.parameters import Signature
from penstock.core.specs import FlowSpec, TaskSpec
from penstock.engine import run_logs, sync_driver
from penstock.engine.attempt import Attempt, create_journal
from penstock.engine.context import RunContext
from penstock.engine.effects import Call
from penstock.engine.runs import FlowRun, TaskRun
from penstock.journal.lease import Held
from penstock.settings import Settings

_SIZE = Struct("<Q")


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What the function may ask about the run that it is a part of."""

    settings: Settings
    run_id: str
    attempt: int
    history: Any
    source_run_id: str | None
    open_slots: Any
    lease: str | None
    flow: dict[str, Any]
    task: dict[str, Any]


class Work(msgspec.Struct, frozen=True):
    """What a child is to do: call a task's function, as part of a run."""

    fn: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    kind: str
    timeout_seconds: float | None
    surroundings: Surroundings


class Reply(msgspec.Struct, frozen=True):
    """How the function ended: a value, or an exception."""

    value: Any = None
    error: BaseException | None = None


def send(descriptor: int, data: bytes) -> None:
    """Write a message: its size, then its bytes."""
    view = memoryview(_SIZE.pack(len(data)) + data)
    while view:
        view = view[os.write(descriptor, view[: 1 << 20]) :]


def receive(descriptor: int) -> bytes | None:
    """Read a message; None when there will be no more."""
    head = _read(descriptor, _SIZE.size)
    return None if head is None else _read(descriptor, _SIZE.unpack(head)[0])


def _read(descriptor: int, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        piece = os.read(descriptor, min(size - len(data), 1 << 20))
        if not piece:
            return None
        data += piece
    return bytes(data)


def main() -> None:
    """Do what comes in on the first descriptor of the command line, and answer on the second."""
    incoming, outgoing = int(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(incoming, False)
    os.set_inheritable(outgoing, False)
    attempts: dict[str, Attempt] = {}
    while (data := receive(incoming)) is not None:
        send(outgoing, _answer(data, attempts))
    for attempt in attempts.values():
        attempt.close()


def _answer(data: bytes, attempts: dict[str, Attempt]) -> bytes:
    import cloudpickle  # noqa: PLC0415  takes its time to import

    try:
        work: Work = pickle.loads(data)  # noqa: S301  from our own parent
        reply = Reply(_done(work, attempts))
    except BaseException as error:  # noqa: BLE001  the parent decides what it means
        reply = Reply(error=error)
    try:
        return cloudpickle.dumps(reply, 5)
    except Exception as error:  # noqa: BLE001  a value or an exception that cannot be pickled
        what = "result" if reply.error is None else f"exception ({type(reply.error).__name__}: {reply.error})"
        told = errors.FailedRun(f"The {what} of the task cannot be sent back from its process: {error}")
        return cloudpickle.dumps(Reply(error=told), 5)


def _done(work: Work, attempts: dict[str, Attempt]) -> Any:
    run_logs.capture_prints()
    call = Call(work.fn, work.args, work.kwargs, _context(work, attempts), work.kind, work.timeout_seconds)
    try:
        return sync_driver.perform_here(call, clock.SYSTEM)
    finally:
        call.context.attempt.journal.sync()


def _context(work: Work, attempts: dict[str, Attempt]) -> RunContext:
    """The task run as the function sees it, writing into this process's own journal."""
    around = work.surroundings
    attempt = attempts.get(around.run_id)
    if attempt is None:
        time = clock.SYSTEM
        writer = f"p{os.getpid()}-{time.new_id()[-12:]}"
        journal = create_journal(around.settings, time, around.run_id, around.attempt, writer)
        attempt = attempts[around.run_id] = Attempt(journal, settings=around.settings, time=time)
        attempt.open_slots = around.open_slots
        attempt.lease = None if around.lease is None else Held(around.lease)
    attempt.history = around.history
    attempt.source_run_id = around.source_run_id
    flow = FlowRun(_flow_spec(around), attempt, around.flow["id"], around.flow["name"], around.flow["arguments"])
    flow.log_prints, flow.replay = around.flow["log_prints"], around.flow["replay"]
    flow.run_count, flow.tags = around.flow["run_count"], around.flow["tags"]
    task = around.task
    run = TaskRun(_task_spec(work), flow, task["arguments"], task["address"], [], task["tags"])
    run.id, run.key, run.name = task["id"], task["id"].encode(), task["name"]
    run.source_id = task["source_id"]
    run.log_prints, run.run_count = task["log_prints"], task["run_count"]
    return run


def _flow_spec(around: Surroundings) -> FlowSpec:
    def absent() -> None:
        """Stand in for the flow, which is executed in the parent."""

    return FlowSpec(
        fn=absent,
        kind="sync",
        signature=Signature.of(absent),
        name=around.flow["flow_name"],
        key="",
        digest=b"",
        version=around.flow["flow_version"],
    )


def _task_spec(work: Work) -> TaskSpec:
    task = work.surroundings.task
    return TaskSpec(
        fn=work.fn,
        kind="sync",
        signature=Signature.of(work.fn),
        name=task["task_name"],
        key=task["key"],
        digest=b"",
        tags=task["tags"],
    )
