"""What a journal says: one small value per fact, in the order in which the facts became true.

Records are arrays on the wire (msgpack) with a tag in front. A later version may add fields at
the end of a record, with defaults; a reader skips records whose tag it does not know. Times are
``at``: microseconds since 1970 UTC. ``flow_run_id`` is the flow run that a fact belongs to;
``scope_id`` is that of the run that called the task: a flow run's, or a task run's.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.core import plain_text
from penstock.core.result_records import ResultRecord

FORMAT = 1
"""Version of the journal format. Raised only when an older reader would misunderstand."""


class Record(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="record"):
    """Base of all records."""


class JournalOpened(Record, frozen=True, tag="open"):
    """The first frame of every journal: who writes it."""

    format: int
    run_id: str
    attempt: int
    writer: str
    host: str
    boot_id: str
    pid: int
    at: int
    penstock_version: str
    python_version: str = ""


class FlowRunBegan(Record, frozen=True, tag="flow+"):
    """A flow run (or a subflow run) starts an attempt."""

    at: int
    flow_run_id: str
    attempt: int
    name: str
    flow_name: str
    flow_version: str
    entrypoint: str
    parameters: dict[str, Any]
    arguments: ResultRecord | None = None
    tags: tuple[str, ...] = ()
    parent_flow_run_id: str | None = None
    parent_task_run_id: str | None = None
    source: str = "call"
    forked_from: str | None = None
    code_version: str = ""
    description: str = ""


class FlowRunMoved(Record, frozen=True, tag="flow~"):
    """A flow run enters a state that is not final: AwaitingRetry, Retrying, Paused."""

    at: int
    flow_run_id: str
    type: str
    name: str
    message: str | None = None
    run_count: int = 1


class FlowRunEnded(Record, frozen=True, tag="flow-"):
    """A flow run enters its final state."""

    at: int
    flow_run_id: str
    type: str
    name: str
    message: str | None = None
    result: ResultRecord | None = None
    run_count: int = 1


class TaskDefined(Record, frozen=True, tag="task"):
    """What is the same for all runs of a task; later records refer to it by ``index``.

    ``key`` is the task's qualified name and version, by which replay matches. Indexes count
    within one journal.
    """

    index: int
    key: str
    name: str
    tags: tuple[str, ...] = ()
    description: str = ""
    version: str = ""
    on_interrupt: str = "retry"


class TaskRunBegan(Record, frozen=True, tag="t+"):
    """A task run starts its work.

    ``task_run_id`` is derived from scope, key, inputs and occurrence, and so is the same in each
    attempt. ``upstream`` are the ids of the task runs whose results it takes or waits for.
    """

    at: int
    task_run_id: str
    flow_run_id: str
    scope_id: str
    task: int
    name: str
    upstream: tuple[str, ...] = ()
    inputs: str = ""
    tags: tuple[str, ...] = ()
    address: bytes = b""
    kind: str = "task"


class TaskRunMoved(Record, frozen=True, tag="t~"):
    """A task run enters a state that is not final: AwaitingRetry, Retrying."""

    at: int
    task_run_id: str
    type: str
    name: str
    message: str | None = None
    run_count: int = 1


class TaskRunEnded(Record, frozen=True, tag="t-"):
    """A task run enters its final state. The defaults are the common case: Completed, first try."""

    at: int
    task_run_id: str
    result: ResultRecord | None = None
    type: str = "COMPLETED"
    name: str = "Completed"
    message: str | None = None
    run_count: int = 1
    cache: str = ""


class TaskRunReused(Record, frozen=True, tag="t="):
    """On replay: the recorded result was used, the task was not executed again."""

    at: int
    task_run_id: str
    flow_run_id: str
    scope_id: str
    task: int
    name: str
    from_run_id: str
    result: ResultRecord | None = None
    upstream: tuple[str, ...] = ()
    address: bytes = b""
    inputs: str = ""


class ResultsForgotten(Record, frozen=True, tag="forget"):
    """A rerun sets aside what these task runs had recorded: they are executed again."""

    at: int
    flow_run_id: str
    task_run_ids: tuple[str, ...]


class ReplayDiverged(Record, frozen=True, tag="div"):
    """On replay: the code and the journal disagree. ``kind``: changed, removed or unreadable."""

    at: int
    flow_run_id: str
    scope_id: str
    task_key: str
    kind: str
    detail: str = ""


class LogLine(Record, frozen=True, tag="log"):
    """A line of the run's log. ``level`` is a number of the ``logging`` module."""

    at: int
    flow_run_id: str
    task_run_id: str | None
    level: int
    logger: str
    message: str


class ArtifactSaved(Record, frozen=True, tag="art"):
    """A run publishes something to be looked at; the same id again replaces it."""

    at: int
    artifact_id: str
    flow_run_id: str
    task_run_id: str | None
    kind: str
    key: str | None
    description: str | None
    data: Any


class EventEmitted(Record, frozen=True, tag="ev"):
    """User code says that something happened."""

    at: int
    event_id: str
    flow_run_id: str | None
    task_run_id: str | None
    event: str
    resource: dict[str, str]
    payload: dict[str, Any]


class ProcessLost(Record, frozen=True, tag="lost"):
    """Written by whoever notices: the writer's process died without ending its runs."""

    at: int
    run_id: str
    attempt: int
    reason: str
    last_sign_at: int = 0
    """When it last wrote something, which is when its runs ended as far as anyone knows (0: not known)."""


class CommandIssued(Record, frozen=True, tag="cmd"):
    """A user or the server acts on a run: delete, set state, cancel."""

    at: int
    run_id: str
    command: str
    by: str
    details: dict[str, Any] = {}


class FlowRunCreated(Record, frozen=True, tag="run+"):
    """A run that is to be executed by a worker, written by whoever keeps the store. Its process begins it later."""

    at: int
    flow_run_id: str
    name: str
    flow_name: str
    parameters: dict[str, Any]
    due_at: int
    work_pool: str
    work_queue: str
    entrypoint: str = ""
    flow_version: str = ""
    tags: tuple[str, ...] = ()
    deployment_id: str | None = None
    parent_flow_run_id: str | None = None
    parent_task_run_id: str | None = None
    source: str = "deployment"
    description: str = ""


class FlowRunDirected(Record, frozen=True, tag="run!"):
    """Whoever keeps the store gives a run a state: PENDING when a worker claims it, SCHEDULED when it is to go on.

    With ``lost``, the attempt's process is gone: it records nothing more, and what it had not ended is Interrupted.
    ``crashed`` says that it died, which counts towards poison; ``afresh``, that somebody wants another try, so that the
    crashes until then count no more.
    """

    at: int
    flow_run_id: str
    type: str
    name: str
    message: str | None = None
    by: str = ""
    due_at: int | None = None
    worker: str | None = None
    work_queue: str | None = None
    lost: bool = False
    crashed: bool = False
    afresh: bool = False


class InputAwaited(Record, frozen=True, tag="in?"):
    """A flow run waits for somebody to resume it, with an input if ``schema`` says which.

    ``key`` is the id of the task run that stands for the pause. Asked again, because an input did not do, did not
    come in time, or its result was forgotten, it is the next ``round``. With ``suspends``, its process ends meanwhile.
    """

    at: int
    flow_run_id: str
    key: str
    round: int = 1
    schema: dict[str, Any] = {}
    message: str | None = None
    deadline: int | None = None
    suspends: bool = False


class InputGiven(Record, frozen=True, tag="in="):
    """Somebody resumes a run that waits for that. ``value`` is a JSON object that fits the schema."""

    at: int
    flow_run_id: str
    key: str
    round: int
    value: dict[str, Any]
    by: str = ""


AnyRecord = (
    JournalOpened
    | FlowRunBegan
    | FlowRunMoved
    | FlowRunEnded
    | TaskDefined
    | TaskRunBegan
    | TaskRunMoved
    | TaskRunEnded
    | TaskRunReused
    | ResultsForgotten
    | ReplayDiverged
    | LogLine
    | ArtifactSaved
    | EventEmitted
    | ProcessLost
    | CommandIssued
    | FlowRunCreated
    | FlowRunDirected
    | InputAwaited
    | InputGiven
)

_encode = msgspec.msgpack.Encoder().encode


def encode(record: Record) -> bytes:
    """A record as bytes."""
    try:
        return _encode(record)
    except UnicodeEncodeError:
        return _encode(plain_text.all_in_utf8(msgspec.to_builtins(record, builtin_types=(bytes,))))


_decode = msgspec.msgpack.Decoder(AnyRecord).decode


def decode(payload: bytes | memoryview) -> AnyRecord | None:
    """The record in ``payload``; None for a kind of record that this version does not know.

    Raises `msgspec.DecodeError` when the bytes are no record at all.
    """
    try:
        return _decode(payload)
    except msgspec.ValidationError:
        if _tag(payload) in _KNOWN_TAGS:
            raise
        return None


def _tag(payload: bytes | memoryview) -> Any:
    value = msgspec.msgpack.decode(payload)
    return value[0] if isinstance(value, list) and value else None


_KNOWN_TAGS = {kind.__struct_config__.tag for kind in AnyRecord.__args__}


def fields(record: Record) -> tuple[Any, ...]:
    """The record's values, in order."""
    return msgspec.structs.astuple(record)


def locations(record: Record | None) -> list[str]:
    """The files of results that a record names, below the home's folder of results."""
    kept = (getattr(record, "result", None), getattr(record, "arguments", None))
    return [
        each.location
        for each in kept
        if isinstance(each, ResultRecord) and each.location is not None and not each.storage
    ]
