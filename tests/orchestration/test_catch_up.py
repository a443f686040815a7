from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from tests.orchestration.written import SteppingClock, WrittenRun

from penstock import errors
from penstock.core import records
from penstock.core.states import StateType
from penstock.journal import frames
from penstock.journal.folder import JournalFile, JournalFolder
from penstock.journal.writer import JournalWriter
from penstock.orchestration import catch_up as module
from penstock.orchestration import overview
from penstock.orchestration.catch_up import CaughtUp, catch_up
from penstock.settings import Settings
from penstock.store.sqlite import SqliteStore

Complete = Callable[..., WrittenRun]


def test_a_completed_run_is_folded_and_its_journals_are_deleted(
    settings: Settings, store: SqliteStore, time: SteppingClock, complete: Complete
):
    run = complete(tasks=3)

    caught_up = catch_up(settings, store, time)

    assert (caught_up.runs, caught_up.records, caught_up.removed, caught_up.problems) == (1, 10, 1, ())
    assert not (settings.journals / run.id).exists()
    with store.reading() as tx:
        found = overview.flow_run(tx, run.id)
        assert (found.state_type, found.attempt, found.parameters) == (StateType.COMPLETED, 1, {"day": "2025-11-23"})
        assert [(count.state_name, count.task_runs) for count in overview.state_counts(tx, run.id)] == [
            ("Completed", 3)
        ]


def test_journals_that_another_process_has_folded_and_deletes_meanwhile_are_no_problem(
    settings: Settings, store: SqliteStore, time: SteppingClock, complete: Complete, monkeypatch: pytest.MonkeyPatch
):
    run = complete(tasks=3)
    catch_up(settings, store, time, remove=False)
    end_in = module._end_in

    def once_deleted(cursors: Any, journal: JournalFile) -> int:
        JournalFolder(settings.journals).remove(run.id)
        return end_in(cursors, journal)

    monkeypatch.setattr(module, "_end_in", once_deleted)

    assert catch_up(settings, store, time).problems == ()
    assert not (settings.journals / run.id).exists()


def test_nothing_is_read_when_nothing_is_new(
    settings: Settings, store: SqliteStore, time: SteppingClock, run: WrittenRun, monkeypatch: pytest.MonkeyPatch
):
    run.journal().append(run.began())
    catch_up(settings, store, time)
    monkeypatch.setattr(module.reader, "read", None)

    assert catch_up(settings, store, time) == CaughtUp()


def test_a_living_run_is_folded_up_to_where_it_is(
    settings: Settings, store: SqliteStore, time: SteppingClock, run: WrittenRun
):
    journal = run.journal()
    journal.append(run.began())
    journal.append(run.task_began("load"))

    first = catch_up(settings, store, time)
    journal.append(run.task_ended("load"))
    second = catch_up(settings, store, time)

    assert (first.records, second.records, second.lost, second.removed) == (3, 1, (), 0)
    with store.reading() as tx:
        assert overview.flow_run(tx, run.id).state_type is StateType.RUNNING
        assert overview.task_run(tx, run.task_id("load")).state_type is StateType.COMPLETED


def test_a_run_whose_process_died_is_crashed_with_all_that_it_had_under_way(
    settings: Settings, store: SqliteStore, time: SteppingClock, run: WrittenRun
):
    journal = run.journal()
    journal.append(run.began())
    journal.append(run.began(flow_run_id="child", name="child", parent_flow_run_id=run.id))
    journal.append(run.task_began("load"))
    journal.append(run.task_began("done"))
    journal.append(run.task_ended("done"))
    run.die()
    time.advance(60)

    caught_up = catch_up(settings, store, time)

    assert caught_up.lost == (run.id,)
    assert catch_up(settings, store, time).lost == ()
    with store.reading() as tx:
        root = overview.flow_run(tx, run.id)
        (child,) = tx.flow_runs.rows(["child"])
        load = overview.task_run(tx, run.task_id("load"))
        done = overview.task_run(tx, run.task_id("done"))
    assert (root.state_type, root.state_name) == (StateType.CRASHED, "Crashed")
    assert root.state_message == "Process 4242 on here died"
    assert (root.crashes, root.ended_at) == (1, time.now())
    assert (child.state_type, child.root_run_id) == ("CRASHED", run.id)
    assert (load.state_type, load.state_name) == (StateType.CRASHED, "Interrupted")
    assert done.state_type is StateType.COMPLETED


def test_a_restart_of_the_machine_is_named_as_the_cause(
    settings: Settings, store: SqliteStore, time: SteppingClock, run: WrittenRun, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "boot_id", lambda: "now")
    path = settings.journals / run.id / "1.main.journal"
    path.parent.mkdir(parents=True)
    opened = records.JournalOpened(records.FORMAT, run.id, 1, "main", "here", "before", 7, time.now(), "0.1.0")
    journal = JournalWriter(path, opened)
    journal.append(run.began())
    journal.close()

    catch_up(settings, store, time)

    with store.reading() as tx:
        message = overview.flow_run(tx, run.id).state_message
    assert message == "Process 7 on here died: the machine was restarted"


def test_a_crashed_run_that_is_resumed_runs_again(
    settings: Settings, store: SqliteStore, time: SteppingClock, run: WrittenRun
):
    journal = run.journal()
    journal.append(run.began())
    journal.append(run.task_began("load"))
    run.die()
    catch_up(settings, store, time)
    time.advance(10)

    journal = run.journal(attempt=2)
    journal.append(run.began(attempt=2))
    journal.append(run.task_began("load"))
    catch_up(settings, store, time)

    with store.reading() as tx:
        root = overview.flow_run(tx, run.id)
        load = overview.task_run(tx, run.task_id("load"))
    assert (root.state_type, root.attempt, root.ended_at, root.crashes) == (StateType.RUNNING, 2, None, 1)
    assert root.started_at == root.created_at + 10_000_000
    assert (load.state_type, load.attempt) == (StateType.RUNNING, 2)


def test_what_an_attempt_left_when_it_died_is_crashed_also_if_the_next_one_began_before_anybody_looked(
    settings: Settings, store: SqliteStore, time: SteppingClock, run: WrittenRun
):
    journal = run.journal()
    journal.append(run.began())
    journal.append(run.task_began("load"))
    run.die()
    run.journal(attempt=2).append(run.began(attempt=2))

    caught_up = catch_up(settings, store, time)

    assert caught_up.lost == (run.id,)
    with store.reading() as tx:
        assert overview.flow_run(tx, run.id).state_type is StateType.RUNNING
        assert overview.task_run(tx, run.task_id("load")).state_name == "Interrupted"


def test_crashes_are_counted_from_the_last_task_that_was_completed_anew(
    settings: Settings, store: SqliteStore, time: SteppingClock, run: WrittenRun
):
    seen: list[int] = []
    for attempt, completes in enumerate((False, False, True, False), start=1):
        journal = run.journal(attempt)
        journal.append(run.began(attempt=attempt))
        if completes:
            journal.append(run.task_began("load"))
            journal.append(run.task_ended("load"))
        run.die()
        catch_up(settings, store, time)
        with store.reading() as tx:
            seen.append(overview.flow_run(tx, run.id).crashes)

    assert seen == [1, 2, 1, 2]


def test_records_of_a_superseded_attempt_are_refused(
    settings: Settings, store: SqliteStore, time: SteppingClock, run: WrittenRun
):
    run.journal().append(run.began())
    orphan = run.journal(writer="w1")
    catch_up(settings, store, time)
    run.journal(attempt=2).append(run.began(attempt=2))
    catch_up(settings, store, time)

    orphan.append(run.task_ended("late"))
    caught_up = catch_up(settings, store, time)

    assert (caught_up.refused, caught_up.records) == (1, 0)
    assert catch_up(settings, store, time).refused == 0
    with store.reading() as tx, pytest.raises(errors.NotFound):
        overview.task_run(tx, run.task_id("late"))


def test_a_task_that_an_ended_run_left_running_is_interrupted_when_its_process_is_gone(
    settings: Settings, store: SqliteStore, time: SteppingClock, run: WrittenRun
):
    journal = run.journal()
    journal.append(run.began())
    journal.append(run.task_began("abandoned"))
    journal.append(run.ended("FAILED", name="TimedOut"))
    catch_up(settings, store, time)
    run.die()

    catch_up(settings, store, time)

    with store.reading() as tx:
        root = overview.flow_run(tx, run.id)
        assert (root.state_name, root.crashes) == ("TimedOut", 0)
        assert overview.task_run(tx, run.task_id("abandoned")).state_name == "Interrupted"


def test_a_damaged_journal_is_told_and_others_are_folded(
    settings: Settings, store: SqliteStore, time: SteppingClock, run: WrittenRun, complete: Complete
):
    journal = run.journal()
    journal.append(run.began())
    damaged_at = journal.size
    journal.append(run.log("one"))
    journal.append(run.log("two"))
    run.die()
    with journal.path.open("r+b") as file:
        file.seek(damaged_at + frames.HEAD_SIZE)
        file.write(b"\xff\xff\xff")
    other = complete()

    caught_up = catch_up(settings, store, time)

    assert [problem.run_id for problem in caught_up.problems] == [run.id]
    assert f"at byte {damaged_at}" in caught_up.problems[0].message
    assert journal.path.exists()
    with store.reading() as tx:
        assert overview.flow_run(tx, run.id).state_type is StateType.CRASHED
        assert overview.flow_run(tx, other.id).state_type is StateType.COMPLETED
    assert len(catch_up(settings, store, time).problems) == 1


@pytest.mark.parametrize("content", [b"a photograph of a cat", b"a cat"])
def test_a_file_that_is_no_journal_is_told_and_left_alone(
    settings: Settings, store: SqliteStore, time: SteppingClock, run: WrittenRun, content: bytes
):
    path = settings.journals / run.id / "1.main.journal"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    (problem,) = catch_up(settings, store, time).problems

    assert "Not a journal" in problem.message
    assert path.exists()


def test_a_journal_of_a_newer_version_is_told_with_what_to_do(
    settings: Settings, store: SqliteStore, time: SteppingClock, run: WrittenRun
):
    path = settings.journals / run.id / "1.main.journal"
    path.parent.mkdir(parents=True)
    opened = records.JournalOpened(records.FORMAT + 1, run.id, 1, "main", "here", "", 7, time.now(), "9.0")
    path.write_bytes(frames.MAGIC + frames.frame(records.encode(opened)))

    (problem,) = catch_up(settings, store, time).problems

    assert (problem.message.split(":")[0], problem.hint) == (
        "A newer version of Penstock (9.0) wrote this journal",
        "upgrade Penstock to read it",
    )


def test_a_record_that_cannot_be_true_is_told_and_others_are_folded(
    settings: Settings, store: SqliteStore, time: SteppingClock, run: WrittenRun, complete: Complete
):
    journal = run.journal()
    journal.append(run.began())
    journal.append(run.ended("ASLEEP"))
    run.die()
    impossible = complete()
    journal = impossible.journal(attempt=2)
    journal.append(impossible.task_ended("load", run_count=1 << 63))
    impossible.die()
    other = complete()

    caught_up = catch_up(settings, store, time)

    assert {problem.run_id for problem in caught_up.problems} == {run.id, impossible.id}
    assert "impossible state: `ASLEEP`" in caught_up.problems[0].message
    with store.reading() as tx:
        assert overview.flow_run(tx, other.id).state_type is StateType.COMPLETED


def test_a_torn_tail_is_waited_for_and_then_ignored(
    settings: Settings, store: SqliteStore, time: SteppingClock, run: WrittenRun
):
    journal = run.journal()
    journal.append(run.began())
    whole = frames.frame(records.encode(run.ended()))
    os.write(journal._descriptor, whole[:-3])

    first = catch_up(settings, store, time)
    run.die()
    second = catch_up(settings, store, time)

    assert (first.problems, first.lost) == ((), ())
    assert (second.problems, second.lost, second.removed) == ((), (run.id,), 1)


def test_a_journal_in_which_nothing_began_is_deleted_when_its_process_is_long_gone(
    settings: Settings, store: SqliteStore, time: SteppingClock, run: WrittenRun
):
    path = run.journal().path
    os.utime(path, (1, 1))
    assert catch_up(settings, store, time).removed == 0
    run.die()
    recently = time.now() // 1_000_000 - 60
    os.utime(path, (recently, recently))
    assert catch_up(settings, store, time).removed == 0
    os.utime(path, (1, 1))

    assert catch_up(settings, store, time).removed == 1


@pytest.mark.parametrize("size", [0, 5])
def test_a_journal_whose_first_line_was_torn_is_deleted(
    settings: Settings, store: SqliteStore, time: SteppingClock, run: WrittenRun, size: int
):
    path = settings.journals / run.id / "1.main.journal"
    path.parent.mkdir(parents=True)
    path.write_bytes(frames.MAGIC[:size])
    os.utime(path, (1, 1))

    assert catch_up(settings, store, time) == CaughtUp(removed=1)


def test_a_folder_of_a_run_that_is_only_just_beginning_is_left_alone(
    settings: Settings, store: SqliteStore, time: SteppingClock, run: WrittenRun
):
    path = settings.journals / run.id
    path.mkdir(parents=True)

    assert catch_up(settings, store, time) == CaughtUp()
    assert path.exists()
    os.utime(path, (1, 1))
    assert catch_up(settings, store, time) == CaughtUp(removed=1)
    assert not path.exists()


def test_journals_stay_when_a_record_came_after_the_fold(
    settings: Settings, store: SqliteStore, time: SteppingClock, complete: Complete, monkeypatch: pytest.MonkeyPatch
):
    run = complete()
    has_all = module._CatchUp._store_has_all

    def begin_again(self: Any, run_id: str) -> bool:
        monkeypatch.undo()
        run.journal(attempt=2).append(run.began(attempt=2))
        run.die()
        return has_all(self, run_id)

    monkeypatch.setattr(module._CatchUp, "_store_has_all", begin_again)
    assert catch_up(settings, store, time).removed == 0

    second = catch_up(settings, store, time)

    assert (second.records, second.lost, second.removed) == (2, (run.id,), 1)


def test_long_journals_are_folded_in_several_transactions(
    settings: Settings, store: SqliteStore, time: SteppingClock, complete: Complete, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "PIECE", 1000)
    monkeypatch.setattr(module, "BYTES_A_TRANSACTION", 3000)
    runs = [complete(tasks=40), complete(tasks=2), complete(tasks=30)]

    caught_up = catch_up(settings, store, time)

    assert (caught_up.records, caught_up.removed) == (84 + 8 + 64, 3)
    with store.reading() as tx:
        assert len(tx.journals.segments(runs[0].id)) > 5
        assert [overview.state_counts(tx, run.id)[0].task_runs for run in runs] == [40, 2, 30]


def test_catching_up_stops_when_its_time_is_over(
    settings: Settings, store: SqliteStore, time: SteppingClock, complete: Complete
):
    complete()

    assert catch_up(settings, store, time, limit_seconds=0) == CaughtUp(is_complete=False)
    assert catch_up(settings, store, time, limit_seconds=60).is_complete


def test_journals_can_be_kept(settings: Settings, store: SqliteStore, time: SteppingClock, complete: Complete):
    run = complete()

    assert catch_up(settings, store, time, remove=False).removed == 0
    assert (settings.journals / run.id / "1.main.journal").exists()


def test_a_full_disk_ends_the_catch_up_and_is_told(settings: Settings, time: SteppingClock, complete: Complete):
    for _ in range(20):
        complete(tasks=50)
    settings.home.mkdir(exist_ok=True)
    with SqliteStore.open(settings.store, write=True) as store:
        store._usable_writer().execute("PRAGMA max_page_count = 60")

        with pytest.raises(errors.StorageFull, match="disk is full"):
            catch_up(settings, store, time)

        store._usable_writer().execute("PRAGMA max_page_count = 1000000")
        assert catch_up(settings, store, time).removed == 20


def test_a_store_that_fails_is_not_taken_for_a_damaged_journal(
    settings: Settings, store: SqliteStore, time: SteppingClock, complete: Complete
):
    complete()
    store._broken = "disk I/O error"

    with pytest.raises(errors.StoreError, match="not used any more"):
        catch_up(settings, store, time)
