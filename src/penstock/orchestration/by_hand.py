"""Going on by hand with a run of a deployment: while no worker executes it, or is about to."""

from __future__ import annotations

from penstock import errors
from penstock.core.runs import FlowRun
from penstock.store.interface import Transaction
from penstock.store.work import WorkRow


def is_with_workers(tx: Transaction, run_id: str) -> bool:
    """Whether a worker has the run, or is to have it."""
    return _work(tx, run_id) is not None


def refuse_if_workers(tx: Transaction, run: FlowRun) -> None:
    """Raise `AlreadyRunning` while the run is with workers: one of them would execute it as well."""
    work = _work(tx, run.id)
    if work is None:
        return
    name = run.name
    if work.status == "claimed":
        worker = f"Worker `{run.worker}`" if run.worker else "A worker"
        raise errors.AlreadyRunning(
            f"{worker} has not done with this run: `{name}`",
            hint=f"`penstock flow-run watch {name}` says how it ends, `penstock flow-run cancel {name}` ends it",
        )
    if work.status == "suspended":
        raise errors.AlreadyRunning(
            f"The run is suspended, and a worker goes on with it: `{name}`",
            hint=f"`penstock flow-run resume {name}` lets one; to go on here instead, "
            f"`penstock flow-run cancel {name}` first",
        )
    raise errors.AlreadyRunning(
        f"The run waits for a worker, which goes on with it: `{name}`",
        hint=f"`penstock worker start -p {work.work_pool}` starts one; to go on here instead, "
        f"`penstock flow-run cancel {name}` first",
    )


def _work(tx: Transaction, run_id: str) -> WorkRow | None:
    """What workers have still to do with the run."""
    work = tx.work.look(run_id)
    return None if work is None or work.status == "done" else work
