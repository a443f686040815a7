"""How each kind of thing is shown: as fields for programs, as columns for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from penstock.cli import humanize
from penstock.cli.table import Cell, Column
from penstock.core import runs
from penstock.core.records import ResultRecord
from penstock.core.states import StateType

T = TypeVar("T", bound=msgspec.Struct)

STYLES = {
    StateType.SCHEDULED: "yellow",
    StateType.PENDING: "yellow",
    StateType.RUNNING: "blue",
    StateType.PAUSED: "magenta",
    StateType.CANCELLING: "magenta",
    StateType.COMPLETED: "green",
    StateType.FAILED: "red",
    StateType.CRASHED: "red",
    StateType.CANCELLED: "dim",
}

LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}

_HIDDEN = frozenset({"address", "arguments"})


class Style(NamedTuple):
    """How cells are written: for people (``human``), or whole and in UTC."""

    human: bool
    now: int

    def time(self, at: int | None) -> Cell:
        if at is None:
            return Cell("")
        return Cell(humanize.local(at) if self.human else humanize.iso(at))

    def took(self, started: int | None, ended: int | None) -> Cell:
        """How long it took, or has taken so far."""
        if started is None:
            return Cell("")
        return Cell(humanize.duration((self.now if ended is None else ended) - started))

    def state(self, kind: StateType, name: str) -> Cell:
        return Cell(name, STYLES[kind])

    def ids(self, ids: Sequence[str]) -> list[Cell]:
        """The ids; for people, only as much of them as tells them apart."""
        if not self.human:
            return [Cell(each) for each in ids]
        length = 13
        while length < 36 and len({each[:length] for each in ids}) < len(set(ids)):
            length += 1
        return [Cell(each[:length].rstrip("-"), "dim") for each in ids]


class View(NamedTuple, Generic[T]):
    """How a list of things is shown as a table."""

    columns: tuple[Column, ...]
    rows: Callable[[Sequence[T], Style], list[list[Cell]]]


def _flow_run_rows(found: Sequence[runs.FlowRun], style: Style) -> list[list[Cell]]:
    return [
        [
            Cell(run.name),
            Cell(run.flow_name),
            style.state(run.state_type, run.state_name),
            style.time(run.started_at or run.created_at),
            style.took(run.started_at, run.ended_at),
            identity,
        ]
        for run, identity in zip(found, style.ids([run.id for run in found]), strict=True)
    ]


FLOW_RUNS = View[runs.FlowRun](
    (
        Column("NAME"),
        Column("FLOW"),
        Column("STATE", shrinks=False),
        Column("STARTED"),
        Column("TOOK", right=True, shrinks=False),
        Column("ID"),
    ),
    _flow_run_rows,
)


def _task_run_rows(found: Sequence[runs.TaskRun], style: Style) -> list[list[Cell]]:
    return [
        [
            Cell(run.name),
            Cell(run.task_name),
            style.state(run.state_type, run.state_name),
            style.time(run.started_at),
            style.took(run.started_at, run.ended_at),
            Cell(str(run.run_count)),
            identity,
        ]
        for run, identity in zip(found, style.ids([run.id for run in found]), strict=True)
    ]


TASK_RUNS = View[runs.TaskRun](
    (
        Column("NAME"),
        Column("TASK"),
        Column("STATE", shrinks=False),
        Column("STARTED"),
        Column("TOOK", right=True, shrinks=False),
        Column("TRIES", right=True, shrinks=False),
        Column("ID"),
    ),
    _task_run_rows,
)


def _flow_rows(found: Sequence[runs.FlowSummary], style: Style) -> list[list[Cell]]:
    return [
        [
            Cell(flow.name),
            Cell(str(flow.runs)),
            style.time(flow.last_run_at),
            style.state(flow.last_state_type, flow.last_state_name),
            Cell(flow.entrypoint),
        ]
        for flow in found
    ]


FLOWS = View[runs.FlowSummary](
    (
        Column("NAME"),
        Column("RUNS", right=True, shrinks=False),
        Column("LAST RUN"),
        Column("STATE", shrinks=False),
        Column("ENTRYPOINT"),
    ),
    _flow_rows,
)


def _artifact_rows(found: Sequence[runs.Artifact], style: Style) -> list[list[Cell]]:
    identities = style.ids([each.id for each in found])
    return [
        [
            Cell(each.key or ""),
            Cell(each.kind),
            Cell(each.description or ""),
            style.time(each.updated_at),
            identity,
        ]
        for each, identity in zip(found, identities, strict=True)
    ]


ARTIFACTS = View[runs.Artifact](
    (
        Column("KEY"),
        Column("KIND", shrinks=False),
        Column("DESCRIPTION"),
        Column("UPDATED"),
        Column("ID"),
    ),
    _artifact_rows,
)


def _log_rows(found: Sequence[runs.LogEntry], style: Style) -> list[list[Cell]]:
    return [
        [style.time(line.at), Cell(level_name(line.level)), Cell(line.logger), Cell(line.message)] for line in found
    ]


LOGS = View[runs.LogEntry](
    (Column("AT"), Column("LEVEL", shrinks=False), Column("LOGGER"), Column("MESSAGE")), _log_rows
)


def level_name(level: int) -> str:
    """``INFO`` for 20; a number between the named ones is itself."""
    return LEVELS.get(level, str(level))


def level_number(name: str) -> int:
    """20 for ``info``."""
    return next(number for number, each in LEVELS.items() if each == name.upper())


def fields(row: msgspec.Struct) -> dict[str, Any]:
    """What programs get: every field as a plain value, times in UTC."""
    values = {name: _plain(name, getattr(row, name)) for name in row.__struct_fields__ if name not in _HIDDEN}
    if isinstance(row, runs.LogEntry):
        values["level_name"] = level_name(row.level)
    if isinstance(row, runs.FlowRun | runs.TaskRun):
        ended, started = row.ended_at, row.started_at
        values["duration_seconds"] = None if ended is None or started is None else (ended - started) / 1_000_000
    return values


def field_names() -> set[str]:
    """All names of fields that some command can show."""
    kinds = (runs.FlowRun, runs.TaskRun, runs.LogEntry, runs.Artifact, runs.Event, runs.FlowSummary)
    names = {name for kind in kinds for name in kind.__struct_fields__}
    return names - _HIDDEN | {"level_name", "duration_seconds", "task_runs", "failures", "artifacts"}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, int) and (name == "at" or name.endswith("_at")):
        return humanize.iso(value)
    if isinstance(value, ResultRecord):
        return {"preview": value.preview, "size": value.size, "kept": value.kept, "location": value.location}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    return value
