from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.orchestration.written import SECOND, SteppingClock, WrittenRun

from penstock import errors
from penstock.core.records import ResultRecord
from penstock.core.states import StateType
from penstock.orchestration import overview, retention, runs
from penstock.orchestration.fsck import fsck
from penstock.orchestration.local import Home
from penstock.settings import Settings

Complete = Callable[..., WrittenRun]
Opened = Callable[[], AbstractContextManager[Home]]
DAY_SECONDS = 86_400


@pytest.fixture
def keep(settings: Settings, time: SteppingClock):
    """Writes a file of results, two hours old, and says where it lies."""

    def keep(data: bytes, *, age_seconds: int = 7200) -> str:
        digest = blake2b(data, digest_size=32).hexdigest()
        path = settings.results / digest[:2] / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        moment = time.now() // SECOND - age_seconds
        os.utime(path, (moment, moment))
        return f"{digest[:2]}/{digest}"

    return keep


@pytest.fixture
def cache(settings: Settings, time: SteppingClock):
    """Writes an entry of the cache that refers to a result."""

    def cache(key: str, location: str | None, *, expires_in_seconds: int = 0) -> Path:
        digest = blake2b(key.encode(), digest_size=16).hexdigest()
        path = settings.cache / digest[:2] / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        entry = {
            "key": key,
            "expires_at": expires_in_seconds and time.now() + expires_in_seconds * SECOND,
            "result": ResultRecord("x", None, location, 9) if location else ResultRecord("x", b"x"),
            "components": [],
        }
        path.write_bytes(msgspec.msgpack.encode(entry))
        return path

    return cache


def with_result(run: WrittenRun, location: str, **options: Any) -> WrittenRun:
    journal = run.journal()
    journal.append(run.began(**options))
    journal.append(run.task_began("a"))
    journal.append(run.task_ended("a", result=ResultRecord("x", None, location, 9)))
    journal.append(run.ended())
    run.die()
    return run


def test_a_run_is_deleted_with_all_that_belongs_to_it(
    settings: Settings, opened: Opened, new_run: Callable[[], WrittenRun], complete: Complete, keep: Any, cache: Any
):
    own, shared, cached, young = keep(b"own"), keep(b"shared"), keep(b"cached"), keep(b"young", age_seconds=60)
    cache("key", cached)
    cache("inline", None)
    run = new_run()
    journal = run.journal()
    journal.append(run.began(tags=("nightly",)))
    journal.append(run.began(flow_run_id="child", parent_flow_run_id=run.id))
    for number, location in enumerate((own, shared, cached, young)):
        journal.append(run.task_began(f"t{number}"))
        journal.append(run.task_ended(f"t{number}", result=ResultRecord("x", None, location, 9)))
    journal.append(run.log("line"))
    journal.append(run.ended())
    run.die()
    other = with_result(new_run(), shared)

    with opened() as home:
        deleted = runs.delete_flow_run(home, run.id)

        assert deleted == (2, 1, 3)
        assert {each for each in (own, shared, cached, young) if (settings.results / each).exists()} == {
            shared,
            cached,
            young,
        }
        assert fsck(home, results=False).problems == ()
        with home.reading() as tx:
            assert [each.id for each in overview.flow_runs(tx).items] == [other.id]
            assert overview.flows(tx)[0].runs == 1
            assert tx.journals.segments(run.id) == overview.logs(tx, run.id) == []
        with pytest.raises(errors.NotFound):
            runs.delete_flow_run(home, run.id)


def test_a_subflow_run_is_not_deleted_alone(opened: Opened, run: WrittenRun):
    journal = run.journal()
    journal.append(run.began())
    journal.append(run.began(flow_run_id="child", parent_flow_run_id=run.id))
    run.die()

    with opened() as home, pytest.raises(errors.UsageError, match="deleted with the run that it is a part of"):
        runs.delete_flow_run(home, "child")


def test_a_run_that_is_being_executed_is_neither_deleted_nor_cancelled(opened: Opened, run: WrittenRun):
    run.journal().append(run.began())

    with opened() as home:
        with pytest.raises(errors.AlreadyRunning):
            runs.delete_flow_run(home, run.id)
        with pytest.raises(errors.AlreadyRunning):
            runs.cancel_flow_run(home, run.id, by="me")
        with home.reading() as tx:
            assert overview.flow_run(tx, run.id).state_type is StateType.RUNNING


def test_a_run_whose_process_died_can_be_cancelled_and_given_another_end(opened: Opened, run: WrittenRun):
    run.journal().append(run.began())
    run.die()

    with opened() as home:
        cancelled = runs.cancel_flow_run(home, run.id, by="me")
        again = runs.cancel_flow_run(home, run.id, by="you")
        done = runs.set_state(home, run.id, StateType.COMPLETED, by="me", name="Mended", message="by hand")
        with home.reading() as tx:
            told = [event.event for event in overview.events(tx, run_id=run.id)]
            history = [change.name for change in overview.state_history(tx, run.id)]
        assert fsck(home).is_clean

    assert (cancelled.state_type, cancelled.state_message) == (StateType.CANCELLED, "Cancelled by me")
    assert again == cancelled
    assert (done.state_type, done.state_name, done.state_message) == (StateType.COMPLETED, "Mended", "by hand")
    assert told == ["flow_run.began", "flow_run.crashed", "flow_run.cancel", "flow_run.set_state"]
    assert history == ["Running", "Crashed", "Cancelled", "Mended"]


def test_a_subflow_run_can_be_given_another_end(opened: Opened, run: WrittenRun):
    journal = run.journal()
    journal.append(run.began())
    journal.append(run.began(flow_run_id="child", parent_flow_run_id=run.id))
    run.die()

    with opened() as home:
        assert runs.set_state(home, "child", StateType.FAILED, by="me").state_name == "Failed"
        with home.reading() as tx:
            assert overview.flow_run(tx, run.id).state_name == "Crashed"


def test_only_a_resume_makes_a_run_go_on(opened: Opened, complete: Complete):
    run = complete()

    with opened() as home:
        with pytest.raises(errors.UsageError, match="only be given a final state, not: `RUNNING`"):
            runs.set_state(home, run.id, StateType.RUNNING, by="me")
        with pytest.raises(errors.NotFound):
            runs.cancel_flow_run(home, "nobody", by="me")


def test_old_runs_are_forgotten(opened: Opened, complete: Complete, run: WrittenRun, time: SteppingClock):
    old = complete()
    run.journal().append(run.began())
    time.advance(100 * DAY_SECONDS)
    new = complete()

    with opened() as home:
        dry = retention.prune(home, dry_run=True)
        pruned = retention.prune(home)

        assert (dry.runs, dry.runs_kept, dry.dry_run) == (1, 1, True)
        assert (pruned.runs, pruned.runs_kept, pruned.dry_run) == (1, 1, False)
        with home.reading() as tx:
            assert {each.id for each in overview.flow_runs(tx).items} == {run.id, new.id}
            assert tx.flow_runs.row(old.id) is None
        assert retention.prune(home).runs == 0


def test_the_oldest_runs_beyond_a_number_are_forgotten(opened: Opened, complete: Complete, time: SteppingClock):
    ids: list[str] = []
    for _ in range(5):
        ids.append(complete().id)
        time.advance(1)

    with opened() as home:
        assert retention.prune(home, keep_runs=2).runs == 3
        with home.reading() as tx:
            assert [each.id for each in overview.flow_runs(tx).items] == [ids[4], ids[3]]
        assert retention.prune(home, older_than_days=0).runs == 2


def test_an_old_run_that_runs_again_is_kept(opened: Opened, complete: Complete, time: SteppingClock):
    run = complete()
    time.advance(100 * DAY_SECONDS)
    run.journal(attempt=2)

    with opened() as home:
        assert retention.prune(home).runs == 0


def test_files_that_nothing_refers_to_are_deleted(
    settings: Settings,
    opened: Opened,
    new_run: Callable[[], WrittenRun],
    time: SteppingClock,
    keep: Any,
    cache: Any,
):
    lost, young, cached, kept, of_old = (
        keep(b"lost"),
        keep(b"young", age_seconds=60),
        keep(b"cached"),
        keep(b"kept"),
        keep(b"of old"),
    )
    expired = cache("old", keep(b"of an expired entry"), expires_in_seconds=-5)
    valid = cache("new", cached, expires_in_seconds=5)
    unreadable = cache("unreadable", None)
    unreadable.write_bytes(b"?")
    leftover = settings.results / "ab" / ".half.written"
    leftover.parent.mkdir()
    leftover.touch()
    os.utime(leftover, (0, 0))
    stranger = settings.results / "ab" / "notes.txt"
    stranger.touch()
    with_result(new_run(), of_old, at=1)
    with_result(new_run(), kept)

    with opened() as home:
        dry = retention.prune(home, keep_runs=1, dry_run=True)
        pruned = retention.prune(home, keep_runs=1)

    assert dry._replace(dry_run=False) == pruned
    assert (pruned.result_files, pruned.result_bytes) == (3, len(b"lost" + b"of old" + b"of an expired entry"))
    assert (pruned.cache_entries, pruned.leftovers) == (1, 1)
    assert [(settings.results / each).exists() for each in (lost, young, cached, kept, of_old)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert [path.exists() for path in (expired, valid, unreadable, leftover, stranger)] == [
        False,
        True,
        True,
        False,
        True,
    ]


def test_an_empty_home_has_nothing_to_prune(opened: Opened):
    with opened() as home:
        assert retention.prune(home) == (0, 0, 0, 0, 0, 0, False)
