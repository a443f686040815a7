"""Rows of runs of which nothing is known yet but that they are: records may come in any order."""

from __future__ import annotations

from penstock.store.rows import NO_TEXTS, FlowRow, TaskRow, pack

_NO_PARAMETERS = pack({})


def flow_row(flow_run_id: str, root_run_id: str, attempt: int, at: int) -> FlowRow:
    """A flow run as it is before its beginning is known."""
    return FlowRow(
        id=flow_run_id,
        name="",
        flow_name="",
        flow_version="",
        entrypoint="",
        code_version="",
        state_type="PENDING",
        state_name="Pending",
        state_message=None,
        created_at=at,
        started_at=None,
        ended_at=None,
        attempt=attempt,
        run_count=1,
        tags=NO_TEXTS,
        parent_flow_run_id=None,
        parent_task_run_id=None,
        root_run_id=root_run_id,
        source="call",
        forked_from=None,
        description="",
        crashes=0,
        clock=0,
        began_attempt=0,
        began_clock=0,
        lost_attempt=0,
        progress_attempt=0,
        parameters=_NO_PARAMETERS,
        arguments=None,
        result=None,
    )


def task_row(task_run_id: str, flow_run_id: str, attempt: int, at: int) -> TaskRow:
    """A task run as it is before its beginning is known."""
    # Positions, not names: a row is made for every task run.
    return TaskRow(
        task_run_id,
        flow_run_id,
        flow_run_id,
        "",
        "",
        "",
        "task",
        "PENDING",
        "Pending",
        None,
        at,
        None,
        attempt,
        1,
        None,
        NO_TEXTS,
        "",
        NO_TEXTS,
        "",
        b"",
        0,
        0,
        0,
        None,
    )
