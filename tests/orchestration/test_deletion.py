from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from tests.orchestration.written import WrittenRun, with_result

from penstock import errors
from penstock.core.result_records import ResultRecord
from penstock.core.states import StateType
from penstock.orchestration import deletion, overview
from penstock.orchestration.deletion import Deleted
from penstock.orchestration.fsck import fsck
from penstock.orchestration.local import Home
from penstock.settings import Settings

Opened = Callable[[], AbstractContextManager[Home]]


def delete(home: Home, run_id: str) -> Deleted:
    with home.writing() as store:
        return deletion.delete(home, store, run_id)


def test_a_run_is_deleted_with_all_that_belongs_to_it(
    settings: Settings, opened: Opened, new_run: Callable[[], WrittenRun], keep: Any, cache: Any
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
        deleted = delete(home, run.id)

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
            delete(home, run.id)


def test_a_subflow_run_is_not_deleted_alone(opened: Opened, run: WrittenRun):
    journal = run.journal()
    journal.append(run.began())
    journal.append(run.began(flow_run_id="child", parent_flow_run_id=run.id))
    run.die()

    with opened() as home, pytest.raises(errors.UsageError, match="deleted with the run that it is a part of"):
        delete(home, "child")


def test_a_run_that_is_being_executed_is_not_deleted(opened: Opened, run: WrittenRun):
    run.journal().append(run.began())

    with opened() as home:
        with pytest.raises(errors.AlreadyRunning):
            delete(home, run.id)
        with home.reading() as tx:
            assert overview.flow_run(tx, run.id).state_type is StateType.RUNNING
