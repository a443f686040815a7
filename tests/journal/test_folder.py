from __future__ import annotations

import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from penstock.journal import folder
from penstock.journal.ballast import Ballast
from penstock.journal.folder import FolderLock, JournalFolder

RUN = "01a20670-2870-7b6f-a74a-3848ff8cf5ee"
OTHER = "01a20670-2870-7b6f-a74a-3848ff8cf5ef"


@pytest.fixture
def journals(tmp_path: Path) -> JournalFolder:
    return JournalFolder(tmp_path / "journals")


def make(journals: JournalFolder, run_id: str, *names: str) -> None:
    journals.run_path(run_id).mkdir(parents=True, exist_ok=True)
    for name in names:
        (journals.run_path(run_id) / name).touch()


def test_a_folder_that_is_not_there_has_no_runs(journals: JournalFolder):
    assert list(journals.run_ids()) == []
    assert journals.journals(RUN) == []


def test_only_folders_named_by_an_id_are_runs(journals: JournalFolder):
    make(journals, RUN)
    make(journals, OTHER)
    make(journals, "lost+found")

    assert set(journals.run_ids()) == {RUN, OTHER}


def test_journals_come_attempt_by_attempt_the_main_writer_first(journals: JournalFolder):
    make(
        journals,
        RUN,
        "10.main.journal",
        "2.pool-7.journal",
        "2.main.journal",
        "2.a.journal",
        "1.main.journal",
        "notes.txt",
    )

    found = journals.journals(RUN)

    assert [(each.attempt, each.writer) for each in found] == [
        (1, "main"), (2, "main"), (2, "a"), (2, "pool-7"), (10, "main"),
    ]  # fmt: skip
    assert all(each.path == journals.journal_path(RUN, each.attempt, each.writer) for each in found)
    assert {each.run_id for each in found} == {RUN}


def test_a_file_in_the_place_of_a_run_has_no_journals(journals: JournalFolder):
    journals.path.mkdir()
    journals.run_path(RUN).touch()

    assert journals.journals(RUN) == []


def test_removing_a_run_removes_its_journals_and_its_folder(journals: JournalFolder):
    make(journals, RUN, "1.main.journal", "2.main.journal")
    journals.remove(RUN)
    journals.remove(RUN)

    assert list(journals.run_ids()) == []


def test_removing_a_run_keeps_files_that_are_not_ours(journals: JournalFolder):
    make(journals, RUN, "1.main.journal", "mine.txt")
    journals.remove(RUN)

    assert [each.name for each in journals.run_path(RUN).iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_removed_for_another_reason_is_told(journals: JournalFolder):
    journals.path.mkdir()
    journals.run_path(RUN).touch()

    with pytest.raises(NotADirectoryError):
        journals.remove(RUN)


@pytest.mark.slow
def test_a_journal_is_locked_while_a_process_holds_it(journals: JournalFolder):
    make(journals, RUN, "1.main.journal")
    (journal,) = journals.journals(RUN)
    program = f"""
import os, sys
from penstock.journal import folder
descriptor = os.open({str(journal.path)!r}, os.O_RDONLY)
assert folder.lock(descriptor, wait=False)
print("locked", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        while_it_lives = journal.is_locked
        holder.kill()
        holder.wait()

        assert while_it_lives
        assert not journal.is_locked


def test_a_journal_that_is_gone_is_not_locked(tmp_path: Path):
    assert not folder.is_locked(tmp_path / "gone")


def test_two_that_ask_at_the_same_time_do_not_take_each_other_for_the_holder(tmp_path: Path):
    path = tmp_path / "lock"
    path.touch()
    with open(path) as asking:
        assert folder.lock(asking.fileno(), wait=False, shared=True)  # as `is_locked` does, for a moment
        assert not folder.is_locked(path)
        with open(path) as holding:
            assert not folder.lock(holding.fileno(), wait=False)


def test_the_lock_of_a_folder_is_waited_for(tmp_path: Path):
    order: list[str] = []
    about_to_wait = threading.Event()

    def second() -> None:
        about_to_wait.set()
        with FolderLock(tmp_path):
            order.append("second")

    with FolderLock(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        about_to_wait.wait(20)
        order.append("first")
    thread.join(20)

    assert order == ["first", "second"]


# The ballast --------------------------------------------------------------------------------------


def test_the_ballast_really_takes_up_room(tmp_path: Path):
    ballast = Ballast(tmp_path / "ballast", 1 << 20)

    assert ballast.ensure()
    assert ballast.ensure()
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= 1 << 20
    assert (tmp_path / "ballast").stat().st_mode & 0o777 == 0o600


def test_the_ballast_can_be_given_back_once(tmp_path: Path):
    ballast = Ballast(tmp_path / "ballast", 4096)
    ballast.ensure()

    assert ballast.release()
    assert not ballast.release()
    assert list(tmp_path.iterdir()) == []


def test_without_room_for_the_ballast_there_is_none_and_nothing_is_left_behind(tmp_path: Path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        made = Ballast(tmp_path / "ballast", 2 << 20).ensure()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert not made
    assert list(tmp_path.iterdir()) == []
