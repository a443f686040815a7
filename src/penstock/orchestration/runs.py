"""What users do to runs: delete them, and give those a final state that nobody is executing any more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from penstock import errors
from penstock.core import records
from penstock.core.runs import FlowRun
from penstock.core.states import FINAL, StateType
from penstock.journal.folder import FolderLock, JournalFolder
from penstock.orchestration.catch_up import catch_up
from penstock.orchestration.fold import record
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


def delete_flow_run(home: Home, flow_run_id: str) -> Deleted:
    """Forget a run with its subflow runs, logs, artifacts, journals, and result files that no other run names.

    Raises `NotFound`, `AlreadyRunning` while a process is executing it, and `UsageError` for a
    subflow run, which is a part of its parent's journal.
    """
    with home.writing() as store:
        catch_up(home.settings, store, home.clock)
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
    with store.transaction() as tx:
        return sum(_forget(tx, run_id) for run_id in ids)


def cancel_flow_run(home: Home, flow_run_id: str, *, by: str) -> FlowRun:
    """Mark a run as Cancelled that nobody is executing. A run that was cancelled already stays as it is.

    Raises `AlreadyRunning` while a process is executing it: stop that process, and the run ends.
    """
    message = f"Cancelled by {by}"
    return _command(home, flow_run_id, "cancel", by, {"type": StateType.CANCELLED.value, "message": message})


def set_state(
    home: Home, flow_run_id: str, state: StateType, *, by: str, name: str | None = None, message: str | None = None
) -> FlowRun:
    """Give a run that nobody is executing another final state; that this was done is recorded.

    Raises `UsageError` for a state that is not final, `AlreadyRunning` while a process executes it.
    """
    if state not in FINAL:
        raise errors.UsageError(
            f"A run that nobody is executing can only be given a final state, not: `{state.value}`",
            hint="`penstock flow-run resume` makes it run again",
        )
    details = {"type": state.value, "name": name, "message": message}
    details = {key: value for key, value in details.items() if value is not None}
    return _command(home, flow_run_id, "set_state", by, details)


def _command(home: Home, flow_run_id: str, command: str, by: str, details: dict[str, str]) -> FlowRun:
    with home.writing() as store:
        catch_up(home.settings, store, home.clock)
        with store.transaction() as tx:
            row = _existing(tx, flow_run_id)
            _refuse_while_executed(JournalFolder(home.settings.journals), row.root_run_id)
            if (row.state_type, row.state_name) == (details["type"], details.get("name", row.state_name)):
                return row.view()
            root = row if row.id == row.root_run_id else _existing(tx, row.root_run_id)
            said = records.CommandIssued(home.clock.now(), flow_run_id, command, by, details)
            record(tx, root.id, said, attempt=root.attempt)
            return _existing(tx, flow_run_id).view()


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


def _forget(tx: Transaction, root_run_id: str) -> int:
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
    tx.result_files.forget(root_run_id)
    tx.journals.forget(root_run_id)
    return len(ids)
