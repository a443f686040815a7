"""Leases: an attempt starts tasks only while its supervisor says that it is the run's only one."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock import clock
from penstock.journal import folder
from penstock.journal.folder import JournalFolder
from penstock.journal.lease import Held, Lease

RUN = "01a214e0-08b2-7a15-b3f0-1ce70ba9eed9"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / RUN).mkdir()
    return JournalFolder(tmp_path).lease_path(RUN, 1)


def test_a_lease_holds_until_the_time_to_which_it_was_extended(path: Path):
    lease = Lease.begin(path, {})
    held = Held(str(path))
    at_first = held.holds()
    lease.extend(clock.boottime() + 100)

    assert not at_first
    assert held.holds()
    assert held.deadline == lease.deadline
    lease.extend(lease.deadline - 200)  # an answer that was overtaken by a later one
    assert held.holds()


def test_a_lease_is_over_when_its_time_has_passed(path: Path):
    lease = Lease.begin(path, {})
    lease.extend(clock.boottime() - 0.001)

    assert not Held(str(path)).holds()


def test_why_an_attempt_is_to_end_is_in_the_lease(path: Path):
    lease = Lease.begin(path, {})
    held = Held(str(path))
    before = held.wish
    lease.wish("yield")

    assert (before, held.wish) == ("", "yield")


def test_whoever_supervises_an_attempt_holds_it_and_nobody_else_can(path: Path, tmp_path: Path):
    lease = Lease.begin(path, {"worker_id": "w"})
    journals = JournalFolder(tmp_path)

    assert journals.is_supervised(RUN)
    assert Lease.inherited(path) is None
    lease.close()
    assert not journals.is_supervised(RUN)
    assert not path.exists()


def test_what_a_dead_supervisor_left_tells_who_it_was(path: Path, tmp_path: Path):
    lease = Lease.begin(path, {"worker_id": "w"})
    held = Held(str(path))
    lease.extend(clock.boottime() + 100)
    copied = path.with_name("2.lease")
    copied.write_bytes(path.read_bytes())  # nobody holds a lock on it
    inherited = Lease.inherited(copied)

    assert inherited is not None
    assert inherited.owner == {"worker_id": "w"}
    assert folder.is_locked(copied)
    assert held.holds()
    assert set(JournalFolder(tmp_path).leases(RUN)) == {1, 2}


def test_a_lease_that_was_not_finished_is_nobodys(path: Path):
    path.write_bytes(b"")
    inherited = Lease.inherited(path)

    assert inherited is not None
    assert inherited.owner == {}


def test_removing_a_runs_journals_removes_its_leases(path: Path, tmp_path: Path):
    path.write_bytes(b"")
    JournalFolder(tmp_path).remove(RUN)

    assert list(tmp_path.iterdir()) == []
