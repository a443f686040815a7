from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from penstock import flow, get_run_logger, task
from penstock.core.records import LogLine, TaskRunBegan
from penstock.errors import MissingContext
from penstock.logging import RunHandler, disable_run_logger, get_logger

Recorded = Callable[[type[Any]], list[Any]]


def said(recorded: Recorded) -> list[tuple[str, int, str]]:
    return [(line.logger, line.level, line.message) for line in recorded(LogLine)]


def test_what_is_logged_is_recorded_under_the_run_that_asked_for_the_logger(recorded: Recorded):
    @task
    def load():
        get_run_logger().warning("%d rows", 3)

    @flow
    def etl():
        get_run_logger(month=1).info("begun")
        load()

    etl()

    assert said(recorded) == [("penstock.flow_runs", 20, "begun"), ("penstock.task_runs", 30, "3 rows")]
    assert recorded(LogLine)[1].task_run_id == recorded(TaskRunBegan)[0].task_run_id


@pytest.mark.parametrize(
    ("name", "logger"), [("mine", "penstock.mine"), ("penstock.mine", "penstock.mine"), (None, "penstock")]
)
def test_a_logger_below_penstock_is_recorded_while_a_run_is_executed(recorded: Recorded, name: str | None, logger: str):
    @flow
    def etl():
        get_logger(name).error("oh")

    get_logger(name).error("nobody records this")
    etl()

    assert said(recorded) == [(logger, 40, "oh")]


def test_with_a_handler_the_lines_of_a_library_are_recorded_while_a_run_is_executed(recorded: Recorded):
    library = logging.getLogger("some_library")
    handler = RunHandler()
    library.addHandler(handler)

    @flow
    def etl():
        library.warning("two retries left")

    try:
        etl()
    finally:
        library.removeHandler(handler)

    assert said(recorded) == [("some_library", 30, "two retries left")]


def test_outside_of_a_run_there_is_no_run_logger():
    with pytest.raises(MissingContext, match=r"get_run_logger\(\)"):
        get_run_logger()


def test_with_run_loggers_disabled_the_function_of_a_task_can_be_tested_alone(recorded: Recorded):
    @task
    def load(rows: int) -> int:
        get_run_logger().info("loading")
        return rows

    @flow
    def etl():
        load(1)

    with disable_run_logger():
        assert load.fn(3) == 3
        etl()
    etl()

    assert said(recorded) == [("penstock.task_runs", 20, "loading")]
