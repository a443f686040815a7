from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from penstock import emit_event, flow, task
from penstock.core.records import EventEmitted, FlowRunBegan, TaskRunBegan
from penstock.errors import MissingContext, UsageError

Recorded = Callable[[type[Any]], list[Any]]


def test_an_event_is_recorded_under_the_run_that_emits_it(recorded: Recorded):
    @task
    def load() -> str:
        return emit_event("table.loaded", {"table": "trips", "rows": 3}, {"day": date(2024, 1, 2)})

    @flow
    def etl() -> str:
        emit_event("begun")
        return load()

    event_id = etl()

    begun, loaded = recorded(EventEmitted)
    assert (loaded.event_id, loaded.event) == (event_id, "table.loaded")
    assert loaded.resource == {"table": "trips", "rows": "3"}
    assert loaded.payload == {"day": "2024-01-02"}
    assert loaded.task_run_id == recorded(TaskRunBegan)[0].task_run_id
    assert (begun.flow_run_id, begun.task_run_id) == (recorded(FlowRunBegan)[0].flow_run_id, None)


def test_an_event_needs_a_run_a_name_and_a_payload_that_can_be_shown():
    with pytest.raises(MissingContext, match=r"emit_event\(\)"):
        emit_event("begun")
    with pytest.raises(UsageError, match="named by text"):
        emit_event("")
    with pytest.raises(UsageError, match=r"payload of event `begun` holds something .* at 'x'"):
        emit_event("begun", payload={"x": object()})
