from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from tests.orchestration.written import SteppingClock, WrittenRun

from penstock import errors
from penstock.core import records
from penstock.core.result_records import ResultRecord
from penstock.journal import frames
from penstock.orchestration import backup, deletion, fsck, overview
from penstock.orchestration.local import Home
from penstock.settings import Settings
from penstock.store.sqlite import SqliteStore

Complete = Callable[..., WrittenRun]
Opened = Callable[[], AbstractContextManager[Home]]


@pytest.fixture
def rich(run: WrittenRun, settings: Settings) -> WrittenRun:
    """A run with something of every kind, in two attempts by three writers."""
    digest = blake2b(b"data", digest_size=32).hexdigest()
    path = settings.results / digest[:2] / digest
    path.parent.mkdir(parents=True)
    path.write_bytes(b"data")
    journal = run.journal()
    journal.append(run.began(tags=("nightly",)))
    journal.define(records.TaskDefined(0, "k", "load"))
    journal.append(run.task_began("a"))
    journal.append(run.task_ended("a", result=ResultRecord("x", None, f"{digest[:2]}/{digest}", 4)))
    journal.append(run.task_began("b"))
    run.journal(writer="w1").append(run.log("from another process"))
    run.die()
    journal = run.journal(attempt=2)
    journal.append(run.began(attempt=2, tags=("nightly",)))
    journal.append(run.began(attempt=2, flow_run_id="child", parent_flow_run_id=run.id))
    journal.append(records.ArtifactSaved(5, "art", run.id, None, "markdown", "key", None, "text"))
    journal.append(run.ended())
    run.die()
    return run


def corrupt(settings: Settings, statement: str) -> None:
    with SqliteStore.open(settings.store, write=True) as store:
        store._usable_writer().execute(statement)


def damage(settings: Settings) -> None:
    """Overwrite a page that tells of runs."""
    with SqliteStore.open(settings.store, write=False) as store:
        reader = store._reader()
        (page,) = reader.execute("SELECT rootpage FROM sqlite_master WHERE name = 'flow_run'").fetchone()
        reader.close()
    with settings.store.open("r+b") as file:
        file.seek(4096 * (page - 1))
        file.write(b"\xff" * 4096)


def everything(settings: Settings) -> dict[str, list[Any]]:
    """All rows of all tables but for the numbers of their places."""
    found: dict[str, list[Any]] = {}
    with SqliteStore.open(settings.store, write=False) as store:
        reader = store._reader()
        for (table,) in reader.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = [row[1] for row in reader.execute(f"PRAGMA table_info({table})") if row[1] != "sequence"]
            if not table.startswith("sqlite_"):
                found[table] = sorted(reader.execute(f"SELECT {', '.join(columns)} FROM {table}"), key=repr)
        reader.close()
    return found


def test_a_sound_home_has_no_problems(opened: Opened, rich: WrittenRun, complete: Complete):
    complete(tasks=3)

    with opened() as home:
        report = fsck.fsck(home)

    assert (report.problems, report.runs, report.records, report.result_files) == ((), 2, 25, 1)
    assert report.is_clean


@pytest.mark.parametrize(
    ("statement", "kind", "message"),
    [
        ("UPDATE flow_run SET state_message = 'x' WHERE parent_flow_run_id IS NULL", "rows", "The flow runs of run"),
        ("DELETE FROM task_run WHERE name = 'a'", "rows", "The task runs of run"),
        ("UPDATE task_run_count SET task_runs = 7", "rows", "The counts of task runs of run"),
        ("INSERT INTO log SELECT 99, at, flow_run_id, task_run_id, level, logger, message FROM log", "rows", "1 wrong"),
        ("DELETE FROM artifact", "rows", "The artifacts of run"),
        ("UPDATE event SET at = at + 1", "rows", "The events of run"),
        ("DELETE FROM result_file", "rows", "The result files of run"),
        ("UPDATE flow SET runs = 99", "rows", "The numbers of runs of flows"),
        ("UPDATE journal_segment SET start_offset = 20, end_offset = end_offset + 1", "segment", "A piece is missing"),
        ("UPDATE journal_segment SET frames = zeroblob(end_offset - start_offset)", "segment", "fails its checksum"),
        ("UPDATE journal_cursor SET end_offset = end_offset + 1", "segment", "counts as folded up to byte"),
        ("UPDATE journal_segment SET writer = 'w9' WHERE writer = 'w1'", "segment", "begins like that of another run"),
        ("DELETE FROM journal_segment WHERE writer = 'control'", "segment", "what is kept of it ends at byte 19"),
        ("DELETE FROM journal_cursor", "rows", "Nothing tells why this flow run is here"),
    ],
)
def test_whatever_is_changed_in_the_store_is_found(
    settings: Settings, opened: Opened, rich: WrittenRun, statement: str, kind: str, message: str
):
    opened().close()  # pyright: ignore[reportAttributeAccessIssue]  our own fake
    corrupt(settings, statement)

    with opened() as home:
        problems = fsck.fsck(home).problems

    assert [each for each in problems if each.kind == kind and message in each.message]
    assert all(each.hint for each in problems)


def test_a_record_that_cannot_be_folded_again_is_told(settings: Settings, opened: Opened, run: WrittenRun):
    run.journal().append(run.began())
    run.die()
    with opened() as home:
        assert fsck.fsck(home).is_clean
    bad = frames.frame(records.encode(run.ended("ASLEEP")))
    with SqliteStore.open(settings.store, write=True) as store, store.transaction() as tx:
        cursor = tx.journals.cursor(run.id, 1, "main")
        assert cursor is not None
        tx.journals.append(run.id, 1, "main", cursor.end_offset, bad)

    with opened() as home:
        assert any("impossible state" in each.message for each in fsck.fsck(home).problems)


def test_damaged_and_missing_result_files_are_found(settings: Settings, opened: Opened, rich: WrittenRun):
    (path,) = settings.results.glob("*/*")
    with opened() as home:
        path.write_bytes(b"other data")
        (damaged,) = fsck.fsck(home).problems
        path.unlink()
        (missing,) = fsck.fsck(home).problems
        path.mkdir()
        (unreadable,) = fsck.fsck(home).problems
        assert fsck.fsck(home, results=False).is_clean

    assert (damaged.kind, damaged.run_id) == ("result", rich.id)
    assert "is damaged" in damaged.message
    assert "is not there" in missing.message
    assert "cannot be read" in unreadable.message


def test_journals_that_are_damaged_foreign_or_changed_are_found(
    settings: Settings, opened: Opened, new_run: Callable[[], WrittenRun], time: SteppingClock
):
    damaged, foreign, changed, sound = new_run(), new_run(), new_run(), new_run()
    for each in (damaged, changed, sound):
        journal = each.journal()
        journal.append(each.began())
        journal.append(each.log("one"))
        journal.append(each.log("two"))
    path = settings.journals / foreign.id / "1.main.journal"
    path.parent.mkdir()
    path.write_text("no journal")
    with opened():
        pass
    for each, at in ((damaged, 1), (changed, 0)):
        path = each.writers[0].path
        data = bytearray(path.read_bytes())
        if at:
            os.truncate(path, 0)
            half = frames.frame(records.encode(each.log("three")))
            path.write_bytes(bytes(data) + half[:-1] + b"\xff" + half)
        else:
            data[40] ^= 1
            path.write_bytes(bytes(data))

    with opened() as home:
        found = {each.run_id: each.message for each in fsck.fsck(home).problems}

    assert set(found) == {damaged.id, foreign.id, changed.id}
    assert "is damaged, at byte" in found[damaged.id]
    assert "Not a journal" in found[foreign.id]
    assert "has changed since it was folded" in found[changed.id]


def test_damage_that_sqlite_finds_is_told(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    with opened() as home:
        monkeypatch.setattr(home, "check", lambda: ["page 7 is never used"])

        assert [each.message for each in fsck.fsck(home).problems] == ["The database finds: page 7 is never used"]


def test_a_rebuild_makes_the_same_rows(settings: Settings, opened: Opened, rich: WrittenRun, complete: Complete):
    complete(tasks=3)
    with opened():
        pass
    before = everything(settings)
    corrupt(settings, "DELETE FROM task_run")
    corrupt(settings, "UPDATE flow_run SET name = 'x'")

    with opened() as home:
        rebuilt = fsck.rebuild(home)
        assert fsck.fsck(home).is_clean

    assert (rebuilt.runs, rebuilt.records, rebuilt.set_aside, rebuilt.taken) == (2, 25, None, ())
    assert everything(settings) == before


def test_a_damaged_database_is_replaced_by_what_can_be_read_of_it(
    settings: Settings, opened: Opened, complete: Complete, time: SteppingClock
):
    kept = complete(name="kept")
    with opened():
        pass
    complete(name="in a journal")
    with settings.store.open("r+b") as file:  # the first page of a table that is not the event log
        file.seek(4096 * 8)
        file.write(b"\xff" * 4096 * 4)

    with Home(settings, time) as home:
        rebuilt = fsck.rebuild(home)
        assert fsck.fsck(home).is_clean
        with home.reading() as tx:
            names = {run.name for run in overview.flow_runs(tx).items}

    assert rebuilt.set_aside == settings.store.with_name("penstock.db.damaged")
    assert names >= {"in a journal"}
    assert (rebuilt.taken[0].lost > 0) == ("kept" not in names)
    assert kept.id


def test_a_rebuild_of_a_damaged_database_remembers_which_runs_were_deleted(
    settings: Settings, opened: Opened, complete: Complete, time: SteppingClock
):
    kept, deleted = complete(), complete()
    with opened() as home, home.writing() as store:
        deletion.delete(home, store, deleted.id)
    damage(settings)

    with Home(settings, time) as home:
        rebuilt = fsck.rebuild(home)
        with home.reading() as tx:
            remembered = tx.flow_runs.deleted_among([kept.id, deleted.id])
            runs = [run.id for run in overview.flow_runs(tx).items]

    assert rebuilt.set_aside
    assert remembered == {deleted.id}
    assert runs == [kept.id]


def test_a_file_that_is_no_database_at_all_is_replaced_by_what_the_journals_say(
    settings: Settings, complete: Complete, time: SteppingClock
):
    complete(name="otter")
    settings.store.write_text("no database, but long enough to have been one" * 100)

    with Home(settings, time) as home:
        rebuilt = fsck.rebuild(home)
        with home.reading() as tx:
            assert [run.name for run in overview.flow_runs(tx).items] == ["otter"]
    assert (rebuilt.runs, rebuilt.caught_up.runs) == (0, 1)


def test_pieces_after_one_that_was_lost_are_counted_as_unreadable(
    settings: Settings, opened: Opened, run: WrittenRun, time: SteppingClock
):
    journal = run.journal()
    journal.append(run.began())
    with opened():
        pass
    journal.append(run.log("one"))
    with opened():
        pass
    run.die()
    (settings.journals / run.id / "1.main.journal").unlink()
    corrupt(settings, "UPDATE journal_segment SET attempt = 'first' WHERE sequence = 1")
    damage(settings)

    with Home(settings, time) as home:
        assert fsck.rebuild(home).taken[0] == ("journal_segment", 0, 2, False)


def test_a_rebuild_is_refused_while_another_process_writes(settings: Settings, opened: Opened, time: SteppingClock):
    with (
        SqliteStore.open(settings.store.parent.mkdir() or settings.store, write=True, purpose="server"),
        Home(settings, time) as home,
        pytest.raises(errors.StoreBusy),
    ):
        fsck.rebuild(home)


def test_a_backup_is_restored_and_what_came_after_it_is_kept_beside(
    settings: Settings, opened: Opened, complete: Complete, tmp_path: Path
):
    complete(name="before")
    copy = tmp_path / "copy.db"
    with opened() as home:
        assert backup.backup(home, copy) == copy.stat().st_size
    complete(name="after")
    with opened():
        pass
    complete(name="in a journal")

    with opened() as home:
        restored = backup.restore(home, copy)
        with home.reading() as tx:
            assert {run.name for run in overview.flow_runs(tx).items} == {"before"}
    assert restored.before is not None
    with SqliteStore.open(restored.before, write=False) as store, store.reading() as tx:
        assert {row.name for row in tx.flow_runs.page(limit=9)} == {"before", "after", "in a journal"}


def test_a_backup_is_restored_in_place_of_a_damaged_or_missing_store(
    settings: Settings, opened: Opened, complete: Complete, tmp_path: Path, time: SteppingClock
):
    complete(name="otter")
    copy = tmp_path / "copy.db"
    with opened() as home:
        backup.backup(home, copy)

    for damage in (True, False):
        if damage:
            settings.store.write_text("damaged" * 1000)
        else:
            settings.store.unlink()
        with Home(settings, time) as home:
            restored = backup.restore(home, copy)
            with home.reading() as tx:
                assert [run.name for run in overview.flow_runs(tx).items] == ["otter"]
        assert (restored.before is not None) == damage


def test_a_backup_does_not_overwrite_and_a_restore_needs_a_sound_file(
    opened: Opened, complete: Complete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    complete()
    copy = tmp_path / "copy.db"
    with opened() as home:
        backup.backup(home, copy)
        with pytest.raises(errors.UsageError, match="There is a file already"):
            backup.backup(home, copy)
        with pytest.raises(errors.UsageError, match="There is no folder"):
            backup.backup(home, tmp_path / "no" / "copy.db")
        with pytest.raises(errors.UsageError, match="There is no file"):
            backup.restore(home, tmp_path / "nothing.db")
        monkeypatch.setattr(backup, "problems_of", lambda _: ["page 7"])
        with pytest.raises(errors.StoreError, match=r"This backup is damaged \(page 7\)"):
            backup.restore(home, copy)
