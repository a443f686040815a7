"""Runs that were started by hand on other machines, as the store has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.orchestration.plant import Plant
from tests.orchestration.test_ending import CHILD, RUN, begin

from penstock import clock, errors
from penstock.core import records
from penstock.core.access import Permission, Principal
from penstock.core.operations.flow_runs import CancelFlowRun
from penstock.core.operations.runs_elsewhere import ReportAlive, ReportLost
from penstock.core.operations.work import Held, Judged
from penstock.core.work import LEASE_SECONDS, Verdict
from penstock.journal import frames
from penstock.orchestration import deletion, ingest, retention, runs_elsewhere
from penstock.orchestration.access import authorize
from penstock.orchestration.ending import Ender
from penstock.orchestration.fold import START
from penstock.orchestration.fsck import check_rows
from penstock.orchestration.local import Home
from penstock.settings import Settings
from penstock.store.runs_elsewhere import ElsewhereRow
from penstock.store.sqlite import SqliteStore


def beginning(run_id: str) -> ingest.Piece:
    """What comes first of a run that somebody ships."""
    opened = records.JournalOpened(1, run_id, 1, "main", "host", "boot", 4242, 1, "0")
    began = records.FlowRunBegan(1, run_id, 1, "quiet-otter", "etl", "1", "", {})
    data = b"".join(frames.frame(records.encode(each)) for each in (opened, began))
    return ingest.Piece(run_id, 1, "main", START, data)


HELD = Held(run_id=RUN, attempt=1)


@pytest.fixture
def plant() -> Iterator[Plant]:
    with SqliteStore.in_memory() as store:
        yield Plant(store)


def tell(plant: Plant, held: Held = HELD) -> list[Judged]:
    return plant.ask(ReportAlive(shipper_id="s1", runs=(held,)))


def be_silent(plant: Plant, run_id: str = RUN) -> None:
    """As if the lease of the run were over."""
    past = plant.now() - int((LEASE_SECONDS + 1) * 1e6)
    row = ElsewhereRow(run_id, 1, "s1", past, past + int(LEASE_SECONDS * 1e6))
    plant.store.run(lambda tx: tx.runs_elsewhere.save([row]))
    runs_elsewhere.run_once(plant.store)


def check(plant: Plant) -> None:
    with plant.store.reading() as tx:
        assert list(check_rows(tx).problems) == []


def test_a_run_that_is_told_of_lives_and_needs_no_orders(plant: Plant):
    assert tell(plant) == []  # before anything of it was sent
    begin(plant, boot_id="another")

    assert tell(plant) == []
    assert runs_elsewhere.run_once(plant.store) == 0
    assert plant.state(RUN) == "Running"


def test_a_run_whose_process_is_gone_has_crashed_and_that_is_told_once(plant: Plant):
    begin(plant, boot_id="another")
    tell(plant)
    for _ in range(2):
        plant.ask(ReportLost(run_id=RUN, attempt=1, reason="Its process died"))

    assert (plant.state(RUN), plant.run(RUN).state_message) == ("Crashed", "Its process died")
    assert plant.events(RUN).count("flow_run.crashed") == 1
    check(plant)


def test_a_run_that_was_deleted_does_not_come_back(plant: Plant):
    piece, other = beginning(RUN), beginning(CHILD)
    owner = Principal(name="owner", permissions=frozenset(Permission))
    tell(plant)
    ingest.ingest(plant.store, [piece], by=owner)
    plant.store.run(lambda tx: deletion.forget_in_store(tx, RUN))

    receipts = ingest.ingest(plant.store, [piece, other], by=owner)
    (judged,) = tell(plant)
    plant.ask(ReportLost(run_id=RUN, attempt=1))

    assert [receipt.outcome for receipt in receipts] == ["gone", "folded"]
    assert [receipt.end for receipt in receipts] == [START + len(piece.data), START + len(other.data)]
    assert judged.verdict is Verdict.SUPERSEDED
    with pytest.raises(errors.NotFound):
        plant.run(RUN)
    check(plant)


def test_that_a_run_was_deleted_is_forgotten_in_the_end(plant: Plant, tmp_path: Path):
    home = Home(Settings(home=tmp_path), clock.SYSTEM)
    day = 86_400_000_000
    plant.store.run(lambda tx: tx.flow_runs.note_deleted(RUN, tx.now - 91 * day))
    plant.store.run(lambda tx: tx.flow_runs.note_deleted(CHILD, tx.now - 89 * day))
    retention.prune(home, plant.store, 30, 100)

    assert plant.store.run(lambda tx: tx.flow_runs.deleted_among([RUN, CHILD])) == {CHILD}


def test_a_run_that_has_ended_is_not_changed_by_the_death_of_its_process(plant: Plant):
    begin(plant, boot_id="another")
    plant.tell(RUN, 1, records.FlowRunEnded(plant.now(), CHILD, "COMPLETED", "Completed"))
    plant.end(RUN, 1)
    plant.ask(ReportLost(run_id=RUN, attempt=1))

    assert plant.state(RUN) == "Completed"


def test_silence_counts_as_death_and_a_sign_of_life_ends_that(plant: Plant):
    begin(plant, boot_id="another")
    be_silent(plant)
    silent = plant.run(RUN)
    tell(plant)
    tell(plant)

    assert (silent.state_name, silent.state_message) == ("Crashed", "Its process was not heard of for 30 seconds")
    assert (plant.state(RUN), plant.run(RUN).crashes) == ("Running", 0)
    assert plant.events(RUN).count("flow_run.found") == 1
    check(plant)


def test_an_end_that_came_during_the_silence_counts(plant: Plant):
    begin(plant, boot_id="another")
    ended_at = plant.now()
    be_silent(plant)
    tell(plant)
    plant.tell(RUN, 1, records.FlowRunEnded(ended_at, RUN, "COMPLETED", "Completed"))

    assert plant.state(RUN) == "Completed"
    check(plant)


def test_a_late_sign_of_life_revives_no_run_whose_death_was_reported(plant: Plant):
    begin(plant, boot_id="another")
    tell(plant)
    plant.ask(ReportLost(run_id=RUN, attempt=1))
    tell(plant)

    assert plant.state(RUN) == "Crashed"


def test_what_is_only_still_being_sent_is_not_alive(plant: Plant):
    begin(plant, boot_id="another")
    be_silent(plant)
    plant.ask(ReportAlive(shipper_id="s1", left=(HELD,)))

    assert plant.state(RUN) == "Crashed"


def test_an_attempt_that_is_not_the_runs_any_more_is_told_so_and_its_death_changes_nothing(plant: Plant):
    begin(plant, boot_id="another")
    at = plant.now()
    plant.tell(
        RUN,
        2,
        records.JournalOpened(1, RUN, 2, "main", "host", "another", 4343, at, "0"),
        records.FlowRunBegan(at, RUN, 2, "quiet-otter", "etl", "1", "etl.py:etl", {}),
    )
    judged = tell(plant)
    plant.ask(ReportLost(run_id=RUN, attempt=1))

    assert [each.verdict for each in judged] == [Verdict.SUPERSEDED]
    assert plant.state(RUN) == "Running"


def test_who_ships_a_cancelled_run_is_told_at_once_and_it_is_cancelled_when_that_one_says_so(plant: Plant):
    begin(plant)  # the boot of this machine: another home of it
    tell(plant)
    woken: list[frozenset[str]] = []
    plant.store.subscribe(woken.append)
    asked = plant.ask(CancelFlowRun(run=RUN, by="ada"))
    ended = Ender(plant.home).run_once(plant.store)
    orders = tell(plant)
    plant.ask(ReportLost(run_id=RUN, attempt=1))

    assert "shipper:s1" in frozenset().union(*woken)
    assert (asked.state_name, ended.left) == ("Cancelling", 0)
    assert [each.verdict for each in orders] == [Verdict.CANCEL]
    assert (plant.state(RUN), plant.run(RUN).state_message) == ("Cancelled", "Cancelled by ada")
    check(plant)


def test_a_workers_run_is_the_workers_to_tell_of(plant: Plant):
    plant.deploy()
    run = plant.create()
    judged = tell(plant, Held(run_id=run, attempt=1))
    plant.ask(ReportLost(run_id=run, attempt=1))

    assert [each.verdict for each in judged] == [Verdict.SUPERSEDED]
    assert plant.state(run) == "Scheduled"


@pytest.mark.parametrize(
    "held", [Held(run_id=RUN, attempt=0), Held(run_id=RUN, attempt=1 << 70), Held(run_id="x", attempt=1)]
)
def test_what_can_be_no_attempt_is_refused(plant: Plant, held: Held):
    with pytest.raises(errors.UsageError):
        tell(plant, held)


def test_a_run_of_which_nothing_has_ever_come_is_forgotten(plant: Plant):
    be_silent(plant)

    with plant.store.reading() as tx:
        assert tx.runs_elsewhere.row(RUN) is None


def test_the_key_of_a_run_tells_of_no_other(plant: Plant):
    key = Principal(name="run", permissions=frozenset({Permission.RUN}), run_id="another", attempt=1)
    with plant.store.reading() as tx, pytest.raises(errors.NotAllowed):
        authorize(tx, key, ReportAlive(shipper_id="s1", runs=(HELD,)))
    with plant.store.reading() as tx, pytest.raises(errors.NotAllowed):
        authorize(tx, key, ReportLost(run_id=RUN, attempt=1))
