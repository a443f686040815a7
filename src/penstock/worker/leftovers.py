"""What a worker that died has left in the home: runs of which the server has not heard the end."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from penstock import errors, processes
from penstock.client.server import PASSING
from penstock.client.shipping import Shipment
from penstock.core.operations.work import ReportExit
from penstock.core.work import ExitReason
from penstock.journal.folder import JournalFolder
from penstock.journal.lease import Lease
from penstock.processes import Mark
from penstock.settings import Settings
from penstock.worker.supervisor import KILL_PAUSES, Workplace, release


class Leftover(NamedTuple):
    """An attempt whose worker is dead, and the lock on it."""

    run_id: str
    attempt: int
    lease: Lease


def found(settings: Settings) -> list[Leftover]:
    """What dead workers have begun in this home. Nobody else will care for it now."""
    folder = JournalFolder(settings.journals)
    return [
        Leftover(run_id, attempt, lease)
        for run_id in sorted(folder.run_ids())
        for attempt, path in sorted(folder.leases(run_id).items())
        if (lease := Lease.inherited(path)) is not None
    ]


def forget_results(settings: Settings, now: int) -> int:
    """Remove files of results that no run has used for `retention_days`; says how many. The server has them."""
    before = now / 1e6 - settings.retention_days * 86400
    count = 0
    for path in settings.results.glob("[0-9a-f][0-9a-f]/*"):
        with suppress(OSError):
            if path.stat().st_mtime < before:
                path.unlink()
                count += 1
    return count


def finish(left: Leftover, place: Workplace) -> None:
    """End its processes, ship its journals, report."""
    run_id, attempt, lease = left
    mark = Mark(run_id, attempt)
    pauses = KILL_PAUSES
    processes.kill_all(
        lambda: processes.of_attempt(mark), lambda looks: place.clock.sleep(pauses[min(looks, len(pauses) - 1)])
    )
    shipment = Shipment(run_id, attempt)
    place.shipper.add(shipment)
    if not place.shipper.finish(shipment, lambda: False) and not shipment.is_over:
        return
    has_ended = shipment.ended is not None and shipment.ended.name != "Interrupted"
    report = ReportExit(
        run_id=run_id,
        worker_id=str(lease.owner.get("worker_id", "")),
        attempt=attempt,
        reason=ExitReason.ENDED if has_ended else ExitReason.LOST,
        message="" if has_ended else "The worker died, and its runs with it",
    )
    try:
        if not shipment.is_superseded:
            place.server.ask(report)
    except PASSING:
        return  # the next worker that starts here tries again; the server will have noticed by then
    except errors.PenstockError:
        pass  # the run is another's by now, or gone
    release(JournalFolder(place.settings.journals), lease, is_at_home=place.is_at_home)
