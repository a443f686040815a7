"""Deleting runs, with all that belongs to them: rows, journals, and files of results that no other run names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from penstock import errors
from penstock.journal.folder import FolderLock, JournalFolder
from penstock.orchestration.local import Home
from penstock.orchestration.results import remove_unreferenced
from penstock.store.interface import Store, Transaction
from penstock.store.rows import FlowRow


class Deleted(NamedTuple):
    """What was deleted with a run."""

    flow_runs: int
    """The run and its subflow runs."""
    result_files: int
    result_bytes: int


def delete(home: Home, store: Store, flow_run_id: str) -> Deleted:
    """Delete a run with its subflow runs, logs, artifacts, journals, and result files that no other run names.

    What the home's journals say must have been folded. Raises `NotFound`, `AlreadyRunning` while a process is
    executing it, and `UsageError` for a subflow run, which is a part of its parent's journal.
    """
    with store.reading() as tx:
        row = _existing(tx, flow_run_id)
        locations = tx.result_files.of_root(flow_run_id)
    if row.root_run_id != flow_run_id:
        raise errors.UsageError(
            f"A subflow run is deleted with the run that it is a part of: `{flow_run_id}`",
            hint=f"`penstock flow-run delete {row.root_run_id}` deletes all of it",
        )
    count = forget(home, store, [flow_run_id])
    removed = remove_unreferenced(home, store, locations)
    return Deleted(count, removed.files, removed.bytes)


def forget(home: Home, store: Store, root_run_ids: Iterable[str]) -> int:
    """Delete root runs from the journal folder and the store; says how many flow runs that were."""
    journals = JournalFolder(home.settings.journals)
    ids = list(root_run_ids)
    for run_id in ids:
        _delete_journals(journals, run_id)
    # The journals first: were they left behind, they would be folded again.
    with store.transaction(long=True) as tx:
        return sum(forget_in_store(tx, run_id) for run_id in sorted(ids))


def _existing(tx: Transaction, flow_run_id: str) -> FlowRow:
    row = tx.flow_runs.row(flow_run_id)
    if row is None:
        raise errors.NotFound(f"No flow run has the id: `{flow_run_id}`", hint="list them with `penstock flow-run ls`")
    return row


def _refuse_while_executed(journals: JournalFolder, root_run_id: str) -> None:
    if any(journal.is_locked for journal in journals.journals(root_run_id)):
        raise errors.AlreadyRunning(
            f"A process is executing this run: `{root_run_id}`", hint="stop that process first, then try again"
        )


def _delete_journals(journals: JournalFolder, run_id: str) -> None:
    try:
        with FolderLock(journals.run_path(run_id)):
            _refuse_while_executed(journals, run_id)
            journals.remove(run_id)
    except FileNotFoundError:
        return


def forget_in_store(tx: Transaction, root_run_id: str) -> int:
    """Delete a root run from the store, with all that belongs to it; says how many flow runs that were."""
    tx.lock(root_run_id)
    family = tx.flow_runs.of_root(root_run_id)
    ids = [row.id for row in family]
    counts: dict[str, int] = {}
    for row in family:
        counts[row.flow_name] = counts.get(row.flow_name, 0) - 1
    tx.flow_runs.count_flows(counts)
    tx.task_runs.forget([*ids, root_run_id])
    tx.logs.forget(ids)
    tx.artifacts.forget(ids)
    tx.events.forget(ids)
    tx.flow_runs.forget(ids)
    tx.flow_runs.note_deleted(root_run_id, tx.now)
    tx.result_files.forget(root_run_id)
    tx.run_inputs.forget([root_run_id])
    tx.runs_elsewhere.forget([root_run_id])
    tx.journals.forget(root_run_id)
    tx.work.forget(ids)
    tx.deployments.forget_keys_of_runs(ids)
    return len(ids)
