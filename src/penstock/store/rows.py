"""Rows as the tables have them: the columns in their order, and the views that people are shown."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from penstock.core.result_records import ResultRecord
from penstock.core.runs import Artifact, Event, FlowRun, LogEntry, TaskRun, begun_by_hand
from penstock.core.states import StateType

pack = msgspec.msgpack.Encoder().encode
"""Any value of a record as the bytes of a column."""

unpack = msgspec.msgpack.Decoder().decode
"""The value back."""

_texts_as_json = msgspec.json.Encoder().encode
_texts_from_json = msgspec.json.Decoder(tuple[str, ...]).decode
_result_from = msgspec.msgpack.Decoder(ResultRecord).decode

NO_TEXTS = "[]"


def texts(values: tuple[str, ...]) -> str:
    """Texts as one column."""
    return _texts_as_json(values).decode() if values else NO_TEXTS


def texts_in(column: str) -> tuple[str, ...]:
    """The texts of such a column."""
    return _texts_from_json(column) if column != NO_TEXTS else ()


def result(column: bytes | None) -> ResultRecord | None:
    """The result record of a column."""
    return None if column is None else _result_from(column)


class FlowRow(msgspec.Struct, gc=False):
    """A row of ``flow_run``. The fold changes it in place."""

    id: str
    name: str
    flow_name: str
    flow_version: str
    entrypoint: str
    code_version: str
    state_type: str
    state_name: str
    state_message: str | None
    created_at: int
    started_at: int | None
    ended_at: int | None
    attempt: int
    run_count: int
    tags: str
    parent_flow_run_id: str | None
    parent_task_run_id: str | None
    root_run_id: str
    source: str
    forked_from: str | None
    description: str
    crashes: int
    clock: int
    """When the state was entered, by the clock that orders the facts of all writers of an attempt."""
    began_attempt: int
    """The attempt of the latest beginning that is known; 0 while only later records are here."""
    began_clock: int
    """When that was, by the same clock."""
    lost_attempt: int
    """The latest attempt whose process is known to have died."""
    progress_attempt: int
    """The latest attempt in which a task was completed anew."""
    parameters: bytes
    arguments: bytes | None
    result: bytes | None
    deployment_id: str | None = None
    due_at: int | None = None
    work_pool: str | None = None
    work_queue: str | None = None
    worker: str | None = None
    fence: int = 0
    """Attempts up to this one are over: what their processes still tell is refused."""

    @property
    def is_managed(self) -> bool:
        """Whether workers execute it, so that the end of its process is for the server to judge."""
        return self.work_pool is not None

    @property
    def is_by_hand(self) -> bool:
        """See `begun_by_hand`."""
        return begun_by_hand(self.work_pool, self.worker, self.started_at)

    def view(self) -> FlowRun:
        return FlowRun(
            id=self.id,
            name=self.name,
            flow_name=self.flow_name,
            flow_version=self.flow_version,
            entrypoint=self.entrypoint,
            code_version=self.code_version,
            state_type=StateType(self.state_type),
            state_name=self.state_name,
            state_message=self.state_message,
            created_at=self.created_at,
            started_at=self.started_at,
            ended_at=self.ended_at,
            attempt=self.attempt,
            run_count=self.run_count,
            parameters=unpack(self.parameters),
            arguments=result(self.arguments),
            result=result(self.result),
            tags=texts_in(self.tags),
            parent_flow_run_id=self.parent_flow_run_id,
            parent_task_run_id=self.parent_task_run_id,
            root_run_id=self.root_run_id,
            source=self.source,
            forked_from=self.forked_from,
            description=self.description,
            crashes=self.crashes,
            deployment_id=self.deployment_id,
            due_at=self.due_at,
            work_pool=self.work_pool,
            work_queue=self.work_queue,
            worker=self.worker,
        )


class TaskRow(msgspec.Struct, gc=False):
    """A row of ``task_run``, without its sequence. The fold changes it in place."""

    id: str
    flow_run_id: str
    scope_id: str
    name: str
    task_name: str
    task_key: str
    kind: str
    state_type: str
    state_name: str
    state_message: str | None
    started_at: int
    ended_at: int | None
    attempt: int
    run_count: int
    reused_from: str | None
    upstream: str
    inputs: str
    tags: str
    cache: str
    address: bytes
    clock: int
    began_attempt: int
    began_clock: int
    result: bytes | None

    def view(self) -> TaskRun:
        return TaskRun(
            id=self.id,
            flow_run_id=self.flow_run_id,
            scope_id=self.scope_id,
            name=self.name,
            task_name=self.task_name,
            task_key=self.task_key,
            kind=self.kind,
            state_type=StateType(self.state_type),
            state_name=self.state_name,
            state_message=self.state_message,
            started_at=self.started_at,
            ended_at=self.ended_at,
            attempt=self.attempt,
            run_count=self.run_count,
            reused_from=self.reused_from,
            upstream=texts_in(self.upstream),
            inputs=self.inputs,
            tags=texts_in(self.tags),
            result=result(self.result),
            cache=self.cache,
            address=self.address,
        )


class ArtifactRow(msgspec.Struct, gc=False):
    """A row of ``artifact``, without its sequence."""

    id: str
    flow_run_id: str
    task_run_id: str | None
    kind: str
    key: str | None
    description: str | None
    created_at: int
    updated_at: int
    clock: int
    data: bytes

    def view(self) -> Artifact:
        return Artifact(
            id=self.id,
            flow_run_id=self.flow_run_id,
            task_run_id=self.task_run_id,
            kind=self.kind,
            key=self.key,
            description=self.description,
            data=unpack(self.data),
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


class LogRow(NamedTuple):
    """A row of ``log``, without its sequence."""

    at: int
    flow_run_id: str
    task_run_id: str | None
    level: int
    logger: str
    message: str


def log_entry(row: tuple[Any, ...]) -> LogEntry:
    """The view of a line, out of its row with the sequence in front."""
    sequence, at, flow_run_id, task_run_id, level, logger, message = row
    return LogEntry(
        sequence=sequence,
        at=at,
        flow_run_id=flow_run_id,
        task_run_id=task_run_id,
        level=level,
        logger=logger,
        message=message,
    )


class EventRow(NamedTuple):
    """A row of ``event``, without its sequence."""

    at: int
    event: str
    run_id: str | None
    task_run_id: str | None
    resource: bytes
    payload: bytes


def event(row: tuple[Any, ...]) -> Event:
    """The view of an event, out of its row with the sequence in front."""
    sequence, at, name, run_id, task_run_id, resource, payload = row
    return Event(
        sequence=sequence,
        at=at,
        event=name,
        run_id=run_id,
        task_run_id=task_run_id,
        resource=unpack(resource),
        payload=unpack(payload),
    )


class CursorRow(msgspec.Struct, gc=False):
    """A row of ``journal_cursor``."""

    run_id: str
    attempt: int
    writer: str
    end_offset: int
    clock: int
    host: str
    boot_id: str
    pid: int
    refused: int
    """How many records came after a later attempt had begun, and so were not believed."""
    definitions: bytes


class Segment(NamedTuple):
    """A row of ``journal_segment`` without its bytes."""

    sequence: int
    run_id: str
    attempt: int
    writer: str
    start: int
    end: int
