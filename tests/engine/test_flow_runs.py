from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock import errors, flow, task
from penstock.core import records, states
from penstock.journal.folder import JournalFolder

Records = Callable[..., list[Any]]
Ends = Callable[[], dict[str, str]]


@task
def add(left: int, right: int = 1) -> int:
    return left + right


@task
def fail() -> None:
    raise ValueError("no")


# How a flow run ends ------------------------------------------------------------------------------


def ending(body: Callable[[], Any]) -> tuple[str, str | None]:
    state = flow(body)(return_state=True)
    return state.name, state.message


def test_a_flow_ends_as_what_it_returned_or_raised_says():
    def caught_and_nothing_returned() -> None:
        fail(return_state=True)
        add(1)

    def caught_and_something_returned() -> int:
        fail(return_state=True)
        return 1

    def a_failed_future() -> Any:
        return fail.submit()

    def futures_together() -> Any:
        return [fail.submit(), add.submit(1), add.submit(fail.submit())]

    def a_map() -> Any:
        return add.map([1, 2])

    def maps_and_futures() -> Any:
        return [add.map([1, 2]), fail.submit()]

    def a_state() -> Any:
        return states.Cancelled("enough")

    def raised() -> None:
        raise ValueError("mine")

    def submitted_and_not_asked_for() -> None:
        fail.submit()

    assert ending(caught_and_nothing_returned) == ("Failed", "1/2 states failed.")
    assert ending(caught_and_something_returned) == ("Completed", None)
    assert ending(a_failed_future) == ("Failed", "Task run encountered an exception. ValueError: no")
    assert ending(futures_together) == ("Failed", "1/3 states failed, 1 not ready.")
    assert ending(a_map) == ("Completed", "All states completed.")
    assert ending(maps_and_futures) == ("Failed", "1/3 states failed.")
    assert ending(a_state) == ("Cancelled", "enough")
    assert ending(raised) == ("Failed", "Flow run encountered an exception. ValueError: mine")
    assert ending(submitted_and_not_asked_for) == ("Failed", "1/1 states failed.")


def test_only_what_the_flow_called_itself_counts():
    @task
    def forgives() -> int:
        fail(return_state=True)
        return 1

    @flow
    def main() -> None:
        forgives()

    assert main(return_state=True).message == "All states completed."


def test_a_flow_that_fails_raises_its_own_exception():
    with pytest.raises(ValueError, match="no"):
        flow(fail.fn)()


def test_arguments_that_do_not_fit_make_a_failed_run_without_running_the_body(recorded: Records):
    ran: list[int] = []

    @flow
    def main(number: int) -> None:
        ran.append(number)

    state = main("three", return_state=True)
    with pytest.raises(errors.ParameterError, match="number"):
        main("three")

    assert ran == []
    assert state.name == "Failed"
    assert state.message.startswith("Validation of flow parameters failed with error: ")
    assert [each.name for each in recorded(records.FlowRunEnded)] == ["Failed", "Failed"]
    assert main("3", return_state=True).is_completed()
    assert ran == [3]


def test_arguments_are_not_validated_if_that_is_not_wanted():
    @flow(validate_parameters=False)
    def main(number: int) -> Any:
        return number

    assert main("three") == "three"


def test_a_call_that_python_itself_would_refuse_is_no_run(recorded: Records):
    @flow
    def main(number: int) -> None: ...

    with pytest.raises(TypeError):
        main(1, 2)
    assert recorded() == []


def test_the_start_of_a_run_tells_all_that_is_known_of_it(recorded: Records):
    @flow(name="named", version="7", description="what it does")
    def main(number: int, text: str = "x") -> None: ...

    main(1)

    (began,) = recorded(records.FlowRunBegan)
    assert (began.flow_name, began.flow_version, began.description) == ("named", "7", "what it does")
    assert (began.attempt, began.source, began.forked_from) == (1, "call", None)
    assert began.parameters == {"number": 1, "text": "x"}
    assert began.arguments.kept


def test_with_options_changes_only_what_is_given():
    @flow(name="one", retries=2)
    def main() -> None: ...

    other = main.with_options(name="two")

    assert (main.name, other.name) == ("one", "two")
    assert other.spec.retry.retries == 2
    assert repr(other) == "<flow 'two'>"
    with pytest.raises(errors.UnknownOption):
        main.with_options(nmae="x")


# Flows in flows -----------------------------------------------------------------------------------


def test_a_flow_in_a_flow_is_a_run_of_its_own_for_which_a_task_run_stands(recorded: Records):
    @flow(flow_run_name="the inner one")
    def inner(number: int) -> int:
        return add(number)

    @flow
    def outer() -> int:
        return inner(1) + inner(2, wait_for=[add.submit(1)])

    assert outer() == 5
    top, first, second = recorded(records.FlowRunBegan)
    assert (first.source, first.parent_flow_run_id) == ("subflow", top.flow_run_id)
    stand_ins = {each.task_run_id: each for each in recorded(records.TaskRunBegan) if each.kind == "subflow"}
    assert set(stand_ins) == {first.parent_task_run_id, second.parent_task_run_id}
    assert {each.name for each in stand_ins.values()} == {"the inner one"}
    assert len(recorded(records.JournalOpened)) == 1


def test_a_subflow_that_fails_raises_in_its_caller_and_can_be_asked_for_its_state():
    @flow
    def inner(number: int) -> None:
        fail()

    @flow
    def outer() -> str:
        with pytest.raises(ValueError, match="no"):
            inner(1)
        refused = inner("x", return_state=True)
        assert isinstance(refused.data, errors.ParameterError)
        return inner(1, return_state=True).name

    assert outer() == "Failed"


def test_a_subflow_is_not_started_when_what_it_takes_or_waits_for_failed():
    ran: list[Any] = []

    @flow
    def inner(number: Any = 0) -> None:
        ran.append(number)

    @flow
    def outer() -> list[str]:
        failed = fail.submit()
        return [
            inner(failed, return_state=True).name,
            inner(wait_for=[failed], return_state=True).name,
        ]

    assert outer() == ["NotReady", "NotReady"]
    assert ran == []


def test_a_generator_flow_cannot_be_a_subflow():
    @flow
    def inner():
        yield 1

    @flow
    def outer() -> None:
        inner()

    with pytest.raises(errors.UsageError, match="A flow that is a generator cannot be a subflow"):
        outer()


@pytest.mark.slow
def test_runs_that_call_themselves_without_an_end_are_told():
    @flow
    def down() -> None:
        down()

    with pytest.raises(errors.PenstockError, match="levels deep"):
        down()


# Ways out -----------------------------------------------------------------------------------------


def test_leaving_the_process_in_a_task_or_flow_is_a_failure_that_leaves_the_process(recorded: Records):
    @task
    def leaves() -> None:
        sys.exit(3)

    @flow
    def main() -> None:
        leaves()

    with pytest.raises(SystemExit) as caught:
        main()

    assert caught.value.code == 3
    (ended,) = recorded(records.FlowRunEnded)
    assert (ended.name, ended.message) == (
        "Failed", "Flow run encountered an exception. SystemExit: sys.exit(3) was called",
    )  # fmt: skip


def test_leaving_the_process_in_a_worker_leaves_it_where_the_result_is_asked_for():
    @task
    def leaves() -> None:
        sys.exit(3)

    @flow
    def main() -> None:
        leaves.submit().result()

    with pytest.raises(SystemExit):
        main()


@pytest.mark.slow
def test_a_process_that_leaves_in_a_flow_really_ends(tmp_path: Path, home: Path):
    script = tmp_path / "leaves.py"
    script.write_text(
        "import sys\nfrom penstock import flow, task\n"
        "@task\ndef idle(): ...\n"
        "@flow\ndef main():\n    idle.submit().result()\n    sys.exit(5)\n"
        "main()\n"
    )

    assert subprocess.run([sys.executable, script], timeout=60, check=False, capture_output=True).returncode == 5


def test_an_interrupted_flow_is_recorded_as_interrupted_and_interrupts_its_caller(recorded: Records, ends: Ends):
    @task
    def interrupted() -> None:
        raise KeyboardInterrupt

    @flow
    def main() -> None:
        interrupted()

    for return_state in (False, True):
        with pytest.raises(KeyboardInterrupt):
            main(return_state=return_state)

    assert {(each.type, each.name) for each in recorded(records.FlowRunEnded)} == {("CRASHED", "Interrupted")}
    assert ends() == {"interrupted-0": "Interrupted"}


def test_interrupting_a_flow_stops_what_it_submitted(ends: Ends, gate: Any):
    started = threading.Event()

    @task
    def endless() -> None:
        started.set()
        while True:
            pass

    @flow
    def main() -> None:
        endless.submit()
        started.wait(20)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        main()
    assert ends() == {"endless-0": "Interrupted"}


def test_a_flow_may_swallow_anything_its_tasks_raise():
    @task
    def raises(kind: Any) -> None:
        raise kind

    @flow
    def main() -> str:
        for kind in (KeyboardInterrupt, SystemExit, ValueError):
            try:
                raises(kind)
            except BaseException:  # noqa: BLE001  that is its point
                pass
        return "survived"

    assert main() == "survived"


def test_a_cancelled_async_flow_is_cancelled(recorded: Records):
    @flow
    async def main() -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        running = asyncio.ensure_future(main())
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(run())

    assert [each.name for each in recorded(records.FlowRunEnded)] == ["Cancelled"]


def test_exceptions_that_cannot_tell_of_themselves_are_recorded(ends: Ends, log: Callable[[], list[str]]):
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

        __repr__ = __str__

    @task
    def fails() -> None:
        raise Broken

    @task
    def surrogate() -> None:
        raise ValueError("caf\udce9")

    @flow
    def main() -> list[str | None]:
        return [fails(return_state=True).message, surrogate(return_state=True).message]

    assert main() == [
        "Task run encountered an exception. Broken: (its text raises RuntimeError)",
        "Task run encountered an exception. ValueError: caf\\udce9",
    ]
    assert ends() == {"fails-0": "Failed", "surrogate-0": "Failed"}
    assert len(log()) == 2


def test_a_huge_integer_can_be_a_result_and_an_argument():
    @task
    def same(number: int) -> int:
        return number

    @flow
    def main(number: int) -> int:
        return same(number)

    assert main(10**5000) == 10**5000


def test_a_returned_state_with_a_message_that_cannot_be_encoded_is_recorded(ends: Ends):
    @task
    def odd() -> Any:
        return states.Failed("caf\udce9")

    @flow
    def main() -> str:
        return odd(return_state=True).name

    assert main() == "Failed"
    assert ends() == {"odd-0": "Failed"}


# Hooks --------------------------------------------------------------------------------------------


def test_hooks_are_called_with_what_ran_and_its_state():
    called: list[tuple[str, str, str]] = []

    def hook(which: Any, run: Any, state: states.State) -> None:
        called.append((which.name, run.name, state.name))

    @task(on_running=[hook], on_completion=[hook], on_failure=hook)
    def half(number: int) -> int:
        if number:
            raise ValueError(number)
        return number

    @flow(flow_run_name="run", on_running=hook, on_completion=[hook, hook], on_failure=[hook])
    def main() -> int:
        half(0)
        half.submit(1).wait()
        return 1

    main()

    assert called == [
        ("main", "run", "Running"),
        ("half", "half-0", "Running"),
        ("half", "half-0", "Completed"),
        ("half", "half-1", "Running"),
        ("half", "half-1", "Failed"),
        ("main", "run", "Completed"),
        ("main", "run", "Completed"),
    ]


@pytest.mark.parametrize(
    ("option", "state"),
    [
        ("on_failure", states.Failed()),
        ("on_crashed", states.Crashed()),
        ("on_cancellation", states.Cancelled()),
        ("on_completion", states.Completed()),
    ],
)
def test_each_final_state_has_its_hooks(option: str, state: states.State):
    called: list[str] = []

    def hook(flow_: Any, run: Any, entered: states.State) -> None:
        called.append(entered.name)

    options: Any = {
        each: (lambda *_: called.append("wrong"))
        for each in ("on_failure", "on_crashed", "on_cancellation", "on_completion")
    }
    options[option] = hook

    @flow(**options)
    def main() -> Any:
        return state

    main(return_state=True)

    assert called == [state.name]


def test_hooks_may_be_coroutine_functions():
    called: list[str] = []

    async def hook(which: Any, run: Any, state: states.State) -> None:
        await asyncio.sleep(0)
        called.append(which.name)

    @task(on_completion=[hook])
    async def later() -> None: ...

    @task(on_completion=[hook])
    def plain() -> None: ...

    @flow(on_completion=[hook])
    async def main() -> None:
        await later()

    @flow(on_completion=[hook])
    def sync_main() -> None:
        plain()

    asyncio.run(main())
    sync_main()

    assert called == ["later", "main", "plain", "sync-main"]


def test_a_hook_that_fails_is_logged_and_no_more(log: Callable[[], list[str]]):
    called: list[int] = []

    def broken(*_: Any) -> None:
        raise RuntimeError("broken hook")

    @task(on_completion=[broken, lambda *_: called.append(1)])
    def work() -> int:
        return 1

    @flow(on_completion=[broken])
    def main() -> int:
        return work()

    assert main() == 1
    assert called == [1]
    assert log() == ["Hook `broken` raised RuntimeError: broken hook"] * 2


def test_hooks_are_not_called_for_results_of_an_earlier_attempt(run_id: Callable[[], str]):
    called: list[str] = []
    trouble = [True]

    @task(on_completion=[lambda *_: called.append("completed")])
    def work() -> int:
        return 1

    @flow
    def main() -> int:
        work()
        if trouble:
            trouble.clear()
            raise ConnectionError
        return 1

    with pytest.raises(ConnectionError):
        main()
    main.resume(run_id())

    assert called == ["completed"]


def test_what_is_no_function_is_no_hook():
    with pytest.raises(errors.UsageError, match="on_failure takes functions, not: `3`"):
        flow(on_failure=[3])(fail.fn)


# The home -----------------------------------------------------------------------------------------


def test_a_home_that_cannot_be_written_is_told_with_a_hint(home: Path):
    home.write_text("a file, where a folder should be")

    with pytest.raises(errors.JournalError, match=r"Nothing can be recorded in the home(?s:.*)PENSTOCK_HOME"):
        flow(lambda: 1)()


def test_the_home_is_for_its_owner_only(home: Path, run_id: Callable[[], str]):
    flow(lambda: 1)()

    for folder in (home, home / "journals", home / "journals" / run_id()):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_journal_is_let_go_when_its_run_has_ended(home: Path, run_id: Callable[[], str]):
    flow(lambda: 1)()

    (journal,) = JournalFolder(home / "journals").journals(run_id())
    assert not journal.is_locked


def test_past_the_size_cap_no_task_starts_and_the_flow_says_why(monkeypatch: pytest.MonkeyPatch, recorded: Records):
    monkeypatch.setenv("PENSTOCK_JOURNAL_MAX_BYTES", "2000")

    @flow
    def main() -> None:
        for number in range(1000):
            add(number)

    with pytest.raises(errors.StorageFull, match="The journal of this run has reached its size cap of 2000 bytes"):
        main()
    assert 0 < len(recorded(records.TaskRunEnded)) < 50
