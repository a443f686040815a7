from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock import errors
from penstock.core import records
from penstock.journal import folder, frames, reader, writer
from penstock.journal.ballast import Ballast
from penstock.journal.writer import JournalWriter

NewWriter = Callable[..., JournalWriter]


def line(number: int, text: str = "") -> records.LogLine:
    return records.LogLine(number, "run", None, 20, "test", text)


def said(journal: JournalWriter) -> list[Any]:
    """What others read in the journal now, without who opened it."""
    return list(reader.read_all(journal.path))[1:]


@contextmanager
def room_for(journal: JournalWriter, more: int) -> Generator[Callable[[], None]]:
    """Files of this process may not grow further than the journal by so many bytes; call to lift it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def lift() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    resource.setrlimit(resource.RLIMIT_FSIZE, (journal.path.stat().st_size + more, hard))
    try:
        yield lift
    finally:
        lift()


class RescuingBallast(Ballast):
    """Gives room by doing something."""

    def __init__(self, rescue: Callable[[], None]) -> None:
        self._rescue: Callable[[], None] | None = rescue

    def release(self) -> bool:
        rescue, self._rescue = self._rescue, None
        if rescue is None:
            return False
        rescue()
        return True


# What is appended ---------------------------------------------------------------------------------


def test_a_journal_begins_with_who_writes_it(new_writer: NewWriter):
    journal = new_writer()

    assert journal.path.read_bytes().startswith(frames.MAGIC)
    assert list(reader.read_all(journal.path)) == [journal.opened]


def test_a_journal_is_for_its_owner_only(new_writer: NewWriter):
    assert new_writer().path.stat().st_mode & 0o777 == 0o600


def test_what_was_appended_can_be_read_at_once_by_others(new_writer: NewWriter):
    journal = new_writer()

    for number in range(3):
        journal.append(line(number))

        assert said(journal)[-1] == line(number)


def test_appending_gives_the_place_at_which_the_record_can_be_read_again(new_writer: NewWriter):
    journal = new_writer()
    journal.append_soon(line(0))

    offsets = [journal.append(line(number)) for number in range(1, 4)]

    for number, offset in enumerate(offsets, start=1):
        piece = reader.read(journal.path, offset)
        assert records.decode(piece.frames[0].payload) == line(number)
    assert journal.size == journal.path.stat().st_size


def test_what_may_come_soon_is_written_before_what_comes_after_it(new_writer: NewWriter):
    journal = new_writer()

    journal.append_soon(line(1))
    journal.append_soon(line(2))
    journal.append(line(3))

    assert said(journal) == [line(1), line(2), line(3)]


def test_what_may_come_soon_is_there_after_a_sync_and_after_closing(new_writer: NewWriter):
    journal = new_writer()
    journal.append_soon(line(1))
    journal.sync()
    after_sync = said(journal)
    journal.append_soon(line(2))
    journal.close()

    assert after_sync == [line(1)]
    assert said(journal) == [line(1), line(2)]


def test_what_may_come_soon_comes_by_itself(new_writer: NewWriter, monkeypatch: pytest.MonkeyPatch):
    synced = threading.Event()
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: (real(descriptor), synced.set())[0])
    journal = new_writer()
    journal.append(line(0))
    assert synced.wait(20)
    synced.clear()

    journal.append_soon(line(1))

    assert synced.wait(20)
    assert line(1) in said(journal)


@pytest.mark.slow
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.text(max_size=50)), max_size=30))
def test_records_are_read_in_the_order_in_which_they_were_given(new_writer: NewWriter, given_: list[tuple[bool, str]]):
    journal = new_writer()
    expected = [line(number, text) for number, (_, text) in enumerate(given_)]

    for record, (at_once, _) in zip(expected, given_, strict=True):
        if at_once:
            journal.append(record)
        else:
            journal.append_soon(record)
    journal.close()

    assert said(journal) == expected


def test_many_threads_append_at_once_and_nothing_is_mixed_up_or_lost(new_writer: NewWriter):
    journal = new_writer()
    start = threading.Barrier(8)
    offsets: dict[int, int] = {}

    def append(thread: int) -> None:
        start.wait()
        for number in range(100):
            record = line(thread * 1000 + number, "x" * (number % 50))
            if number % 3:
                offsets[record.at] = journal.append(record)
            else:
                journal.append_soon(record)

    threads = [threading.Thread(target=append, args=(each,)) for each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()

    found = [record.at for record in said(journal)]
    assert len(found) == 800
    for thread in range(8):
        assert [at % 1000 for at in found if at // 1000 == thread] == list(range(100))
    places = {frame.offset: records.decode(frame.payload) for frame in reader.read(journal.path).frames}
    assert all(places[offset] == line(at, "x" * (at % 1000 % 50)) for at, offset in offsets.items())


def test_a_task_gets_one_index_whoever_defines_it(new_writer: NewWriter):
    journal = new_writer()
    start = threading.Barrier(6)
    indexes: list[tuple[str, int]] = []

    def define(thread: int) -> None:
        start.wait()
        for number in range(5):
            key = f"task-{(number + thread) % 5}"
            known = journal.defined(key)
            indexes.append((key, journal.define(records.TaskDefined(0, key, key)) if known is None else known))

    threads = [threading.Thread(target=define, args=(each,)) for each in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    definitions = said(journal)
    assert [each.index for each in definitions] == [0, 1, 2, 3, 4]
    assert {(each.key, each.index) for each in definitions} == set(indexes)
    assert journal.defined("another") is None


def test_a_journal_past_its_size_cap_is_full_but_still_takes_ends(new_writer: NewWriter):
    journal = new_writer(max_bytes=300)
    before = journal.is_full

    journal.append(line(1, "x" * 300))
    journal.append(line(2))

    assert not before
    assert journal.is_full
    assert said(journal)[-1] == line(2)


# What is on the disk ------------------------------------------------------------------------------


def test_with_sync_always_nothing_is_appended_without_a_sync(new_writer: NewWriter, monkeypatch: pytest.MonkeyPatch):
    synced: list[int] = []
    real = os.fdatasync
    journal = new_writer(sync="always")

    def sync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", sync)
    sizes = []
    for number in range(3):
        journal.append(line(number))
        sizes.append(journal.size)

    assert synced == sizes


def test_a_sync_comes_within_the_interval_without_being_asked_for(
    new_writer: NewWriter, monkeypatch: pytest.MonkeyPatch
):
    synced = threading.Event()
    journal = new_writer()
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: (real(descriptor), synced.set())[0])

    journal.append(line(1))

    assert synced.wait(20)


# Who may write ------------------------------------------------------------------------------------


def test_a_journal_is_locked_while_it_is_open(new_writer: NewWriter):
    journal = new_writer()
    while_open = folder.is_locked(journal.path)
    journal.close()

    assert while_open
    assert not folder.is_locked(journal.path)


def test_a_journal_is_never_written_by_two(new_writer: NewWriter):
    journal = new_writer()

    with pytest.raises(FileExistsError):
        JournalWriter(journal.path, journal.opened)


def test_closing_twice_does_nothing(new_writer: NewWriter):
    journal = new_writer()
    journal.append(line(1))
    journal.close()
    journal.close()

    assert said(journal) == [line(1)]


@pytest.mark.parametrize("append", ["append", "append_soon", "sync"])
def test_nothing_can_be_recorded_in_a_closed_journal_nor_in_a_file_that_was_opened_since(
    new_writer: NewWriter, tmp_path: Path, append: str
):
    journal = new_writer()
    descriptor = journal._descriptor
    journal.append(line(1))
    journal.close()
    (tmp_path / "stranger").touch()
    stranger = os.open(tmp_path / "stranger", os.O_WRONLY)
    os.dup2(stranger, descriptor)  # as the system gives a number again
    try:
        with pytest.raises(errors.JournalError):
            getattr(journal, append)(*[line(2)] * (append != "sync"))
    finally:
        os.close(descriptor)
        if stranger != descriptor:
            os.close(stranger)

    assert (tmp_path / "stranger").read_bytes() == b""
    assert said(journal) == [line(1)]


def test_threads_that_append_while_the_journal_is_closed_are_recorded_or_refused(new_writer: NewWriter):
    for _ in range(10):
        journal = new_writer()
        kept: list[list[int]] = [[], []]
        start = threading.Barrier(3)

        def append(thread: int, journal: JournalWriter = journal, kept: list[list[int]] = kept) -> None:
            start.wait()  # noqa: B023  each round waits for its own
            for number in range(200):
                try:
                    journal.append(line(thread * 1000 + number))
                except errors.JournalError:
                    return
                kept[thread].append(thread * 1000 + number)

        threads = [threading.Thread(target=append, args=(each,)) for each in range(2)]
        for thread in threads:
            thread.start()
        start.wait()
        journal.close()
        for thread in threads:
            thread.join()

        assert sorted(record.at for record in said(journal)) == sorted(kept[0] + kept[1])


# Forks --------------------------------------------------------------------------------------------


def in_child(work: Callable[[], object]) -> int:
    """Do it in a forked process; gives the exit code: 0, or 1 when it raises."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_forked_child_cannot_record_under_its_parents_journal(new_writer: NewWriter):
    journal = new_writer()

    def try_it() -> None:
        for attempt in (lambda: journal.append(line(2)), lambda: journal.append_soon(line(2)), journal.sync):
            with pytest.raises(errors.JournalError, match="forked process"):
                attempt()

    assert in_child(try_it) == 0
    assert said(journal) == []


def test_a_forked_child_that_closes_the_journal_leaves_it_to_the_parent(new_writer: NewWriter):
    journal = new_writer()
    journal.append_soon(line(1))

    def let_go() -> None:
        free = os.open("/dev/null", os.O_RDONLY)  # gets the number that was freed
        journal.close()
        os.fstat(free)

    assert in_child(let_go) == 0
    assert folder.is_locked(journal.path)
    journal.append(line(2))
    assert said(journal) == [line(1), line(2)]


def test_a_forked_child_does_not_keep_the_journal_locked_when_the_parent_is_gone(new_writer: NewWriter):
    journal = new_writer()
    until_told, tell = os.pipe()
    tells_us, ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(ready, b"x")
            os.close(tell)
            os.read(until_told, 1)
        finally:
            os._exit(0)
    os.read(tells_us, 1)
    journal.close()
    locked = folder.is_locked(journal.path)
    for descriptor in (until_told, tell, tells_us, ready):
        os.close(descriptor)
    os.waitpid(pid, 0)

    assert not locked


def test_a_child_forked_while_another_thread_was_recording_can_close_the_journal(new_writer: NewWriter):
    journal = new_writer()
    recording, enough = threading.Event(), threading.Event()

    def record() -> None:
        with journal._lock:  # as in the middle of a write
            recording.set()
            enough.wait(20)

    thread = threading.Thread(target=record)
    thread.start()
    recording.wait(20)

    def close() -> None:
        signal.alarm(5)  # a child that waits for ever is killed
        journal.close()

    code = in_child(close)
    enough.set()
    thread.join()

    assert code == 0


# Disks that fail ----------------------------------------------------------------------------------


def test_on_a_full_disk_the_ballast_makes_room(new_writer: NewWriter, disk: Any):
    journal = new_writer(ballast=RescuingBallast(lambda: disk.mend(journal)))
    disk.fill_up(journal)

    journal.append(line(1))

    assert said(journal) == [line(1)]


def test_on_a_full_disk_without_ballast_nothing_is_recorded_and_that_is_said(new_writer: NewWriter, disk: Any):
    journal = new_writer(ballast=None)
    disk.fill_up(journal)

    with pytest.raises(errors.StorageFull, match="The disk is full, so nothing more can be recorded"):
        journal.append(line(1))

    assert said(journal) == []


def test_when_there_is_room_again_recording_goes_on(new_writer: NewWriter, disk: Any):
    journal = new_writer(ballast=RescuingBallast(lambda: None))
    journal.append(line(1))
    disk.fill_up(journal)
    for _ in range(2):
        with pytest.raises(errors.StorageFull):
            journal.append(line(2))
    disk.mend(journal)
    offset = journal.append(line(3))

    assert said(journal) == [line(1), line(3)]
    assert records.decode(reader.read(journal.path, offset).frames[0].payload) == line(3)


def test_what_was_to_come_soon_is_not_lost_to_a_disk_that_was_full_for_a_while(new_writer: NewWriter, disk: Any):
    journal = new_writer()
    disk.fill_up(journal)
    journal.append_soon(line(1))
    with pytest.raises(errors.StorageFull):
        journal.append(line(2))
    disk.mend(journal)
    journal.append(line(3))

    assert said(journal) == [line(1), line(3)]


def test_half_a_record_does_not_stay_before_later_ones(new_writer: NewWriter):
    journal = new_writer()
    journal.append(line(1))
    with room_for(journal, 10), pytest.raises(errors.StorageFull):
        journal.append(line(2))
    journal.append(line(3))

    assert said(journal) == [line(1), line(3)]
    assert journal.size == journal.path.stat().st_size


def test_the_other_half_of_a_record_is_written_when_the_ballast_makes_room(new_writer: NewWriter):
    lift: list[Callable[[], None]] = []
    journal = new_writer(ballast=RescuingBallast(lambda: lift[0]()))
    journal.append(line(1))
    with room_for(journal, 10) as lifted:
        lift.append(lifted)
        journal.append(line(2))

    assert said(journal) == [line(1), line(2)]


def test_a_ballast_that_makes_too_little_room_leaves_no_half_of_a_record(new_writer: NewWriter):
    journal = new_writer(ballast=RescuingBallast(lambda: grow()))

    def grow() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (journal.size + 20, hard))

    with room_for(journal, 10), pytest.raises(errors.StorageFull):
        journal.append(line(1, "x" * 100))
    journal.append(line(2))

    assert said(journal) == [line(2)]


def test_after_a_failed_write_nothing_more_is_recorded(new_writer: NewWriter, disk: Any):
    journal = new_writer()
    journal.append(line(1))
    disk.break_writes(journal)
    with pytest.raises(errors.JournalLost, match="Recording failed .*so this run stops") as caught:
        journal.append(line(2))
    disk.mend(journal)

    assert caught.value.exit_code == 70
    assert isinstance(caught.value.__cause__, OSError)
    for attempt in (lambda: journal.append(line(3)), lambda: journal.append_soon(line(3)), journal.sync):
        with pytest.raises(errors.JournalLost):
            attempt()
    assert said(journal) == [line(1)]


def test_after_a_failed_sync_nothing_more_is_recorded(new_writer: NewWriter, disk: Any):
    journal = new_writer(sync="always")
    disk.break_syncs(journal)
    with pytest.raises(errors.JournalLost):
        journal.append(line(1))
    disk.mend(journal)

    with pytest.raises(errors.JournalLost):
        journal.append(line(2))
    assert said(journal) == []


def test_a_sync_that_fails_in_the_background_is_told_by_the_next_append(new_writer: NewWriter, disk: Any):
    journal = new_writer()
    disk.break_syncs(journal)
    journal.append(line(1))
    assert journal._syncer is not None
    journal._syncer.join(20)

    with pytest.raises(errors.JournalLost):
        journal.append(line(2))


def test_a_sync_that_failed_in_the_background_is_told_at_the_end_at_the_latest(new_writer: NewWriter, disk: Any):
    journal = new_writer()
    disk.break_syncs(journal)
    journal.append(line(1))
    assert journal._syncer is not None
    journal._syncer.join(20)

    with pytest.raises(errors.JournalLost):
        journal.close()
    assert journal._descriptor not in open_descriptors()


def test_a_journal_that_cannot_even_be_begun_is_not_left_behind(tmp_path: Path):
    path = tmp_path / "1.main.journal"
    opened = records.JournalOpened(1, "run", 1, "main", "host", "boot", 1, 0, "0.1.0")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = open_descriptors()
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(errors.JournalError):
            JournalWriter(path, opened)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)

    assert not path.exists()
    assert open_descriptors() == before


def test_a_journal_does_not_take_the_place_of_a_closed_stderr(new_writer: NewWriter):
    kept = os.dup(2)
    os.close(2)
    try:
        journal = new_writer()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(2, b"a library complains")
    finally:
        os.dup2(kept, 2)
        os.close(kept)

    journal.append(line(1))
    assert said(journal) == [line(1)]


def test_a_write_that_fails_while_more_room_is_made_is_a_failed_write(new_writer: NewWriter, disk: Any):
    journal = new_writer(ballast=RescuingBallast(lambda: disk.break_writes(journal)))
    disk.fill_up(journal)

    with pytest.raises(errors.JournalLost):
        journal.append(line(1))


def test_half_a_record_that_cannot_be_taken_back_ends_the_recording(new_writer: NewWriter, disk: Any):
    journal = new_writer(ballast=RescuingBallast(lambda: disk.break_writes(journal)))
    with room_for(journal, 10), pytest.raises(errors.JournalLost):
        journal.append(line(1))

    disk.mend(journal)
    assert said(journal) == []


def test_half_a_record_on_a_disk_that_cannot_shorten_files_ends_the_recording(new_writer: NewWriter, disk: Any):
    journal = new_writer(ballast=RescuingBallast(lambda: disk.fill_up(journal)))
    with room_for(journal, 10), pytest.raises(errors.JournalLost):
        journal.append(line(1))


def test_a_lost_journal_can_be_closed(new_writer: NewWriter, disk: Any):
    journal = new_writer()
    disk.break_writes(journal)
    with pytest.raises(errors.JournalLost):
        journal.append(line(1))
    journal.close()

    assert journal._descriptor not in open_descriptors()


def open_descriptors() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/fd")}


def test_a_record_cut_off_by_death_is_no_error(new_writer: NewWriter):
    journal = new_writer()
    journal.append(line(1))

    def die() -> None:
        descriptor = os.open(journal.path, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, frames.frame(records.encode(line(2)))[:12])
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(die) == -signal.SIGKILL
    assert said(journal) == [line(1)]


def test_systems_without_fdatasync_are_synced_too(new_writer: NewWriter, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "fdatasync")
    journal = new_writer(sync="always")
    journal.append(line(1))

    assert writer.SYNC_INTERVAL_SECONDS < 1
    assert said(journal) == [line(1)]


def test_the_first_sync_also_keeps_the_names_of_a_new_journal_and_its_folder(
    new_writer: NewWriter, monkeypatch: pytest.MonkeyPatch
):
    synced: list[str] = []
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    # Nobody else syncs it then: the thread that does it at intervals might be about to, and keep them as well.
    journal = new_writer(sync="always")
    journal.append(line(1))
    journal.append(line(2))

    assert sorted(synced) == sorted([str(journal.path.parent), str(journal.path.parent.parent)])
