"""The oracle: whether all that happened in a lab was as it has to be. The numbers are those of the invariants.

It compares what tasks did (the ledger of effects) and what clients were told (their ledger) with what the journals
in the store say, in the order in which they were taken in; and has `penstock fsck` compare these with the rows.
"""

from __future__ import annotations

import json
import os
import pickle
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from tests.lab.ledgers import Effect

from penstock import clock, processes, settings
from penstock.core import records
from penstock.core.states import FINAL
from penstock.orchestration import local
from penstock.orchestration.fold import CONTROL, as_piece
from penstock.store.interface import Transaction
from penstock.store.rows import FlowRow

ENDS = frozenset(f"flow_run.{end}" for end in ("completed", "failed", "crashed", "cancelled", "timed_out", "poison"))


LEAVING_SECONDS = 10.0
"""How long a process may take to be gone after it has recorded that its run has ended."""


class Facts(NamedTuple):
    """What a lab knows besides what is in its store."""

    accepted: Sequence[str]
    """Runs whose creation was acknowledged."""
    effects: Sequence[Effect]
    secrets: Sequence[str]
    """What must be nowhere on disk but in files that are called ``token``."""
    folders: Sequence[Path]
    """Where Penstock may write."""
    reopened: Counter[str]
    """How often people have let a run go on that had ended."""
    may_go_on: frozenset[str] = frozenset()
    """Runs that need not have ended."""


class Findings(NamedTuple):
    """What was looked at, and what is wrong."""

    runs: int
    attempts: int
    effects: int
    repeated: int
    """Effects of tasks that were interrupted before they were recorded as finished, and so had to be done again."""
    states: Counter[str]
    wrong: tuple[str, ...]


class Said(NamedTuple):
    """What the journals of a run say, in the order in which it was taken in."""

    attempts: tuple[int, ...]
    """Of each piece."""
    completed: dict[str, list[int]]
    """By task run: the attempts in which it was executed to its end."""
    forgotten: frozenset[str]
    """Task runs that people wanted to be executed again."""
    once: frozenset[str]
    """Task runs that must not be executed again when they were interrupted."""


def examine(chosen: settings.Settings, facts: Facts) -> Findings:
    """Compare everything. The store may be in use, but nothing in it may change meanwhile."""
    wrong: list[str] = []
    by_run: dict[str, list[Effect]] = defaultdict(list)
    for each in facts.effects:
        by_run[each.run_id].append(each)
    attempts = repeated = 0
    with local.open_home(chosen, clock.SYSTEM) as home, home.reading() as tx:
        run_ids = list(tx.journals.run_ids())
        rows = {row.id: row for start in range(0, len(run_ids), 500) for row in _rows(tx, run_ids[start : start + 500])}
        for run_id in run_ids:
            said = _said(tx, run_id)
            row = rows.get(run_id)
            highest = max((row.attempt if row else 0, *said.attempts))
            attempts += highest
            wrong += _check_attempts(run_id, said, by_run[run_id], highest)
            wrong += _check_effects(run_id, said, by_run[run_id])
            repeated += _repeated(said, by_run[run_id])
            if row is not None:
                wrong += _check_end(tx, row, facts)
        wrong += _check_slots(rows.values())
    known = set(run_ids)
    wrong += [f"acknowledged and lost: {each}" for each in facts.accepted if each not in known]
    wrong += [f"executed, but not known: {each}" for each in by_run if each not in known]
    wrong += _check_processes(row.id for row in rows.values() if row.state_type in FINAL)
    wrong += _check_secrets(facts)
    states = Counter(row.state_name for row in rows.values())
    return Findings(len(run_ids), attempts, len(facts.effects), repeated, states, tuple(wrong))


def problems_of_fsck(exit_code: int, output: str) -> list[str]:
    """I1, I2, I6, I7: what `penstock fsck --output json` has found."""
    try:
        found: list[dict[str, Any]] = json.loads(output)
    except json.JSONDecodeError:
        return [f"fsck gave no answer (exit code {exit_code}): {output[-500:]}"]
    told = [f"fsck, {each['kind']}: {each['message']}" for each in found]
    return told if told or exit_code == 0 else [f"fsck ended with {exit_code}, and found nothing"]


def _rows(tx: Transaction, run_ids: Sequence[str]) -> list[FlowRow]:
    return [row for run_id in run_ids for row in tx.flow_runs.of_root(run_id)]


def _said(tx: Transaction, run_id: str) -> Said:
    attempts: list[int] = []
    completed: dict[str, list[int]] = defaultdict(list)
    forgotten: set[str] = set()
    once: set[str] = set()
    defined: dict[tuple[int, str, int], records.TaskDefined] = {}
    without_effect: set[str] = set()
    for segment in tx.journals.segments(run_id):
        attempts.append(segment.attempt)
        for frame in as_piece(tx.journals.frames(segment), segment.start).frames:
            record = records.decode(frame.payload)
            if isinstance(record, records.TaskDefined):
                defined[segment.attempt, segment.writer, record.index] = record
            elif isinstance(record, records.TaskRunBegan):
                task = defined.get((segment.attempt, segment.writer, record.task))
                if record.kind == "subflow" or task is None or "quiet" in task.tags:
                    without_effect.add(record.task_run_id)
                elif task.on_interrupt == "fail":
                    once.add(record.task_run_id)
            elif isinstance(record, records.TaskRunEnded):
                if record.name == "Completed" and segment.writer != CONTROL:
                    completed[record.task_run_id].append(segment.attempt)
            elif isinstance(record, records.ResultsForgotten):
                forgotten.update(record.task_run_ids)
    for each in without_effect:
        completed.pop(each, None)
    return Said(tuple(attempts), completed, frozenset(forgotten), frozenset(once))


def _check_attempts(run_id: str, said: Said, effects: Sequence[Effect], highest: int) -> Iterator[str]:
    """I4: one attempt writes at a time, and none that is over begins anything."""
    for before, after in zip(said.attempts, said.attempts[1:], strict=False):
        if after < before:
            yield f"I4: attempt {after} of {run_id} was taken in after attempt {before} had begun"
    for each in effects:
        if each.attempt > highest:
            yield f"I4: attempt {each.attempt} of {run_id} was executed, and never handed out"


def _check_effects(run_id: str, said: Said, effects: Sequence[Effect]) -> Iterator[str]:
    """E1 and E3: what was recorded as finished was done once, and never again; what may be done once was."""
    done: dict[str, list[int]] = defaultdict(list)
    for each in effects:
        if each.what in ("effect", "once"):
            done[each.task_run_id].append(each.attempt)
    for task, attempts in said.completed.items():
        if task in said.forgotten:
            continue
        if len(attempts) > 1:
            yield f"E1: task run {task} was executed to its end in attempts {attempts} of {run_id}"
        here = done[task].count(attempts[0])
        later = [attempt for attempt in done[task] if attempt > attempts[0]]
        if here != 1 or later:
            yield f"E1: task run {task}, finished in attempt {attempts[0]} of {run_id}, was done in {done[task]}"
    for task in said.once:
        if len(done[task]) > 1:
            yield f"E3: task run {task} of {run_id} may be done once, and was done in {done[task]}"


def _repeated(said: Said, effects: Sequence[Effect]) -> int:
    done = Counter(each.task_run_id for each in effects if each.what == "effect")
    return sum(count - 1 for task, count in done.items() if task not in said.forgotten)


def _check_end(tx: Transaction, row: FlowRow, facts: Facts) -> Iterator[str]:
    """L1, I3 and I6: it has ended, that was said once, and its result can be read."""
    ends = [each.event for each in tx.events.page(run_ids=(row.id,), limit=1000) if each.event in ENDS]
    may_go_on = row.root_run_id in facts.may_go_on
    if row.state_type not in FINAL and not may_go_on:
        yield f"L1: {row.id} has not ended, it is {row.state_name} ({row.state_message})"
    wanted = (row.state_type in FINAL) + facts.reopened[row.id]
    if len(ends) != wanted and row.root_run_id == row.id:
        yield f"I3: {row.id} is {row.state_name}, and its ends are {ends}"
    if row.state_type == "COMPLETED" and row.result is not None:
        result = msgspec.msgpack.decode(row.result, type=records.ResultRecord)
        if result.inline is not None and result.serializer == "pickle":
            try:
                pickle.loads(result.inline)
            except Exception as error:  # noqa: BLE001  whatever it is, it cannot be read
                yield f"I6: the result of {row.id} cannot be read: {error}"


def _check_slots(rows: Iterable[FlowRow]) -> Iterator[str]:
    """I5: at most one run for each scheduled time. (Labs have one schedule a deployment, unless they say so.)"""
    made = Counter((row.deployment_id, row.due_at) for row in rows if row.source == "schedule")
    for (deployment_id, due_at), count in made.items():
        if count > 1:
            yield f"I5: {count} runs of deployment {deployment_id} for the time {due_at}"


def _check_processes(ended: Iterable[str]) -> Iterator[str]:
    """I10: no process is left of a run that has ended. One that recorded so itself may take a moment to be gone."""
    over = set(ended)
    ends_at = clock.boottime() + LEAVING_SECONDS
    while left := living(over):
        if clock.boottime() > ends_at:
            yield from (f"I10: process {pid} is left of {run_id}, which has ended" for pid, run_id in left)
            return
        clock.SYSTEM.sleep(0.05)


def living(run_ids: Collection[str]) -> list[tuple[int, str]]:
    """The processes that say of themselves that they belong to one of these runs."""
    marks = ((each.pid, processes.marked(each.pid)) for each in processes.every() if not each.is_dead)
    return [(pid, mark.run_id) for pid, mark in marks if mark is not None and mark.run_id in run_ids]


def _check_secrets(facts: Facts) -> Iterator[str]:
    """I9: what is secret lies nowhere."""
    needles = [each.encode() for each in facts.secrets]
    for folder in facts.folders:
        for path in sorted(Path(at) / name for at, _, names in os.walk(folder) for name in names):
            if path.name == "token" or not path.is_file() or path.is_symlink():
                continue
            try:
                data = path.read_bytes() if os.path.getsize(path) < 64 << 20 else b""
            except FileNotFoundError:
                continue
            if any(needle in data for needle in needles):
                yield f"I9: a secret lies in {path}"
