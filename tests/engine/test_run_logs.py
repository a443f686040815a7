from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from penstock import flow, get_run_logger, task
from penstock.core import records
from penstock.engine import run_logs
from penstock.engine.loggers import RunHandler

Records = Callable[..., list[Any]]
Log = Callable[[], list[str]]


# Prints -------------------------------------------------------------------------------------------


def test_prints_of_a_task_that_asks_for_it_become_lines_of_its_log(
    recorded: Records, capsys: pytest.CaptureFixture[str]
):
    @task(log_prints=True)
    def talks() -> None:
        print("pre: missing passenger count:", 3)
        print("a", "b", sep="-")
        print("none", "sep", sep=None)
        print("first\nsecond")
        print("no", "newline", end="")
        print("to stderr", file=sys.stderr)
        print()

    @flow
    def main() -> None:
        print("of the flow")
        talks()

    main()

    (began,) = recorded(records.TaskRunBegan)
    lines = recorded(records.LogLine)
    assert [line.message for line in lines] == [
        "pre: missing passenger count: 3", "a-b", "none sep", "first\nsecond", "no newline", "to stderr", "",
    ]  # fmt: skip
    assert {(line.task_run_id, line.level) for line in lines} == {(began.task_run_id, logging.INFO)}
    assert capsys.readouterr().out == "of the flow\n"


def test_a_print_to_a_file_goes_to_the_file(log: Log):
    file = io.StringIO()

    @task(log_prints=True)
    def writes() -> None:
        print("kept", "here", sep="-", end="!", file=file, flush=True)

    @flow
    def main() -> None:
        writes()

    main()

    assert file.getvalue() == "kept-here!"
    assert log() == []


def test_log_prints_is_handed_down_from_flow_to_tasks_and_subflows_unless_they_say_otherwise(log: Log):
    @task
    def talks(name: str) -> None:
        print(name)

    @task(log_prints=False)
    def silent() -> None:
        print("not recorded")

    @flow
    def inner() -> None:
        print("inner flow")
        talks("inner task")

    @flow(log_prints=True)
    def outer() -> None:
        print("outer flow")
        talks("task")
        talks.submit("submitted").wait()
        silent()
        inner()

    outer()

    assert log() == ["outer flow", "task", "submitted", "inner flow", "inner task"]


def test_prints_outside_of_runs_are_prints(capsys: pytest.CaptureFixture[str]):
    flow(lambda: None)()
    print("plain", end=";")

    assert capsys.readouterr().out.endswith("plain;")


def test_a_print_that_was_replaced_by_somebody_else_is_still_called(monkeypatch: pytest.MonkeyPatch):
    import builtins

    seen: list[Any] = []
    monkeypatch.setattr(run_logs, "_print", run_logs._print)  # put back afterwards
    monkeypatch.setattr(builtins, "print", lambda *values, **_: seen.append(values))
    run_logs.capture_prints()
    run_logs.capture_prints()
    print("theirs")

    assert seen == [("theirs",)]


# Loggers ------------------------------------------------------------------------------------------


def test_the_logger_of_a_run_records_under_it(recorded: Records):
    @task
    def talks() -> None:
        get_run_logger().warning("of %s", "the task")

    @flow
    def main() -> None:
        logger = get_run_logger(extra_field=1)
        logger.info("of the flow")
        logger.debug("too quiet")
        talks()

    main()

    (began,) = recorded(records.TaskRunBegan)
    assert [(line.task_run_id, line.level, line.logger, line.message) for line in recorded(records.LogLine)] == [
        (None, logging.INFO, "penstock.flow_runs", "of the flow"),
        (began.task_run_id, logging.WARNING, "penstock.task_runs", "of the task"),
    ]


def test_the_level_of_the_log_is_a_setting(monkeypatch: pytest.MonkeyPatch, log: Log):
    monkeypatch.setenv("PENSTOCK_LOGGING_LEVEL", "DEBUG")

    @flow
    def main() -> None:
        get_run_logger().debug("now it counts")

    main()

    assert log() == ["now it counts"]


def test_outside_of_a_run_there_is_no_logger_of_a_run():
    with pytest.raises(RuntimeError):
        get_run_logger()


def test_a_log_call_that_does_not_fit_does_not_fail_the_run(log: Log):
    """Handed to the handler itself: one of pytest's would raise before."""
    record = logging.LogRecord("mine", logging.INFO, __file__, 1, "%d and %s", ("wrong",), None)

    @flow
    def main() -> int:
        RunHandler().handle(record)
        return 1

    RunHandler().handle(record)
    assert main() == 1
    assert log() == ["'%d and %s' (could not be formatted with ('wrong',))"]


def test_a_line_that_cannot_be_encoded_is_recorded_readably(log: Log):
    @flow(log_prints=True)
    def main() -> None:
        print("caf\udce9 \U0001f600 \x00")

    main()

    assert log() == ["caf\\udce9 \U0001f600 \x00"]


@pytest.mark.slow
def test_a_line_longer_than_a_record_may_be_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch, log: Log):
    @flow(log_prints=True)
    def main() -> int:
        print("x" * 70_000_000)
        return 1

    assert main() == 1
    (line,) = log()
    assert len(line) < 2_000_000
    assert line.endswith("(70000000 characters)")


def test_a_failure_is_told_once_with_the_users_lines_and_without_the_engines(log: Log):
    @task
    def fails() -> None:
        raise ValueError("deep")

    @flow
    def main() -> None:
        fails()

    with pytest.raises(ValueError, match="deep"):
        main()

    told = log()
    assert len(told) == 1
    assert told[0].startswith("Encountered an exception:\nTraceback (most recent call last):\n")
    assert 'raise ValueError("deep")' in told[0]
    assert "penstock/engine" not in told[0]


def test_a_chain_of_exceptions_is_told_whole(log: Log):
    @task
    def fails() -> None:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error

    @flow
    def main() -> str:
        return fails(return_state=True).name

    main()

    (told,) = log()
    assert "KeyError: 'first'" in told
    assert "ValueError: second" in told


def test_in_a_forked_child_a_line_goes_to_stderr_as_it_cannot_be_recorded(log: Log, capfd: pytest.CaptureFixture[str]):
    @flow(log_prints=True)
    def main() -> int:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                print("of the child")
                sys.stderr.flush()
                code = 0
            except BaseException:  # noqa: BLE001  told by the exit code
                traceback.print_exc()
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert main() == 0
    assert log() == []
    assert "of the child" in capfd.readouterr().err
