"""Going on with a run by hand: while no worker executes it, or is about to, and where its own home is."""

from __future__ import annotations

from penstock import errors
from penstock.core.runs import FlowRun
from penstock.store.interface import Transaction
from penstock.store.work import WorkRow


def is_with_workers(tx: Transaction, run_id: str) -> bool:
    """Whether a worker has the run, or is to have it."""
    return _work(tx, run_id) is not None


def elsewhere(name: str) -> errors.RunsElsewhere:
    """Why nobody goes on here with a run of another home."""
    return errors.RunsElsewhere(
        f"The run was started by hand in another home, and only there it can go on: `{name}`",
        hint=f"`penstock flow-run resume {name}` on the machine where it was started does it",
    )


def refuse_if_others(tx: Transaction, run: FlowRun) -> None:
    """Raise `AlreadyRunning` while the run is with workers, and `RunsElsewhere` when another home has sent it.

    They would execute it as well.
    """
    if tx.runs_elsewhere.row(run.id) is not None:
        raise elsewhere(run.name)
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
