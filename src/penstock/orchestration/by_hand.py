"""Going on by hand with a run of a deployment: while no worker executes it, or is about to."""

from __future__ import annotations

from penstock import errors
from penstock.core.runs import FlowRun
from penstock.store.interface import Transaction


def refuse_if_workers(tx: Transaction, run: FlowRun) -> None:
    """Raise `AlreadyRunning` while the run is with workers: one of them would execute it as well."""
    work = tx.work.look(run.id)
    if work is None or work.status == "done":
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
