"""How things are shown: as fields for programs, as columns for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from penstock.cli import humanize
from penstock.cli.table import Cell, Column
from penstock.core import log_levels

T = TypeVar("T", bound=msgspec.Struct)

HIDDEN = frozenset({"address", "arguments"})
"""Fields that nobody is shown."""


def fields(row: msgspec.Struct) -> dict[str, Any]:
    """What programs get: every field as a plain value, times in UTC."""
    raw: dict[str, Any] = {name: getattr(row, name) for name in row.__struct_fields__ if name not in HIDDEN}
    values = {name: _plain(name, value) for name, value in raw.items()}
    if "level" in raw:
        values["level_name"] = log_levels.name_of(raw["level"])
    if "started_at" in raw and "ended_at" in raw:
        started, ended = raw["started_at"], raw["ended_at"]
        values["duration_seconds"] = None if ended is None or started is None else (ended - started) / 1_000_000
    return values


def _plain(name: str, value: Any) -> Any:
    if name == "result" and value is not None:  # without what is kept inline
        return {"preview": value.preview, "size": value.size, "kept": value.kept, "location": value.location}
    if isinstance(value, int) and (name in {"at", "cursor", "held_since", "slot", "last"} or name.endswith("_at")):
        return humanize.iso(value)
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    return value


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
    fields: Callable[[T], dict[str, Any]] = fields
