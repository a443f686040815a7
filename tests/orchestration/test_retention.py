from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import msgspec
from tests.orchestration.written import SteppingClock, WrittenRun, with_result

from penstock.core.operations.flow_runs import Pruned
from penstock.orchestration import overview, retention
from penstock.orchestration.local import Home
from penstock.settings import Settings

Complete = Callable[..., WrittenRun]
Opened = Callable[[], AbstractContextManager[Home]]
DAY_SECONDS = 86_400


def prune(home: Home, *, days: float = 90, keep: int = 10_000, dry_run: bool = False) -> Pruned:
    with home.writing() as store:
        return retention.prune(home, store, days, keep, dry_run=dry_run)


def test_old_runs_are_forgotten(opened: Opened, complete: Complete, run: WrittenRun, time: SteppingClock):
    old = complete()
    run.journal().append(run.began())
    time.advance(100 * DAY_SECONDS)
    new = complete()

    with opened() as home:
        dry = prune(home, dry_run=True)
        pruned = prune(home)

        assert (dry.runs, dry.runs_kept, dry.dry_run) == (1, 1, True)
        assert (pruned.runs, pruned.runs_kept, pruned.dry_run) == (1, 1, False)
        with home.reading() as tx:
            assert {each.id for each in overview.flow_runs(tx).items} == {run.id, new.id}
            assert tx.flow_runs.row(old.id) is None
        assert prune(home).runs == 0


def test_the_oldest_runs_beyond_a_number_are_forgotten(opened: Opened, complete: Complete, time: SteppingClock):
    ids: list[str] = []
    for _ in range(5):
        ids.append(complete().id)
        time.advance(1)

    with opened() as home:
        assert prune(home, keep=2).runs == 3
        with home.reading() as tx:
            assert [each.id for each in overview.flow_runs(tx).items] == [ids[4], ids[3]]
        assert prune(home, days=0).runs == 2


def test_an_old_run_that_runs_again_is_kept(opened: Opened, complete: Complete, time: SteppingClock):
    run = complete()
    time.advance(100 * DAY_SECONDS)
    run.journal(attempt=2)

    with opened() as home:
        assert prune(home).runs == 0


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
        dry = prune(home, keep=1, dry_run=True)
        pruned = prune(home, keep=1)

    assert msgspec.structs.replace(dry, dry_run=False) == pruned
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
        pruned = prune(home)

    assert (pruned.runs, pruned.runs_kept, pruned.result_files, pruned.cache_entries, pruned.leftovers) == (0,) * 5
    assert pruned.is_complete
