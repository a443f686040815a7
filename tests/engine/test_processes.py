from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock import ProcessPoolTaskRunner, errors, flow, get_run_logger, task
from penstock.core import records
from penstock.engine import processes
from penstock.engine.context import current

Records = Callable[..., list[Any]]
pytestmark = pytest.mark.slow
pool = ProcessPoolTaskRunner(max_workers=2)


def effects(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def effect(path: str, text: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{text}\n")


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    return str(tmp_path / "ledger")


@task
def where() -> int:
    return os.getpid()


@task
def double(number: int) -> int:
    return number * 2


def test_submitted_tasks_execute_in_other_processes_and_called_ones_here():
    @flow(task_runner=pool)
    def main() -> list[Any]:
        others = {where.submit().result() for _ in range(4)}
        return [where() == os.getpid(), os.getpid() in others, len(others) <= 2, double.map(range(5)).result()]

    assert main() == [True, False, True, [0, 2, 4, 6, 8]]


def test_lambdas_coroutines_generators_and_local_classes_are_sent():
    class Local:
        number = 3

    async def later(number: int) -> int:
        await asyncio.sleep(0)
        return number

    def items(count: int):
        yield from range(count)

    @flow(task_runner=pool)
    def main() -> list[Any]:
        return [
            task(lambda thing: thing.number)(Local()),
            task(lambda thing: thing.number).submit(Local()).result(),
            task(later).submit(4).result(),
            task(items).submit(2).result(),
        ]

    assert main() == [3, 3, 4, [0, 1]]


def test_what_a_task_raises_there_is_raised_here():
    class Mine(Exception):
        pass

    @task
    def fails(how: str) -> None:
        if how == "exit":
            raise SystemExit(3)
        raise Mine(how)

    @flow(task_runner=pool)
    def main() -> list[Any]:
        return [fails.submit(how, return_state=True).message for how in ("no", "exit")]

    assert main() == [
        "Task run encountered an exception. Mine: no",
        "Task run encountered an exception. SystemExit: sys.exit(3) was called",
    ]


def test_retries_are_counted_here(ledger: str):
    @task(retries=2)
    def flaky() -> int:
        effect(ledger, "try")
        if len(effects(ledger)) < 3:
            raise ConnectionError
        return len(effects(ledger))

    @flow(task_runner=pool)
    def main() -> int:
        return flaky.submit().result()

    assert main() == 3


def test_a_task_whose_process_dies_is_executed_again_at_most_twice(ledger: str, recorded: Records):
    @task
    def dies(times: int) -> int:
        effect(ledger, "try")
        if len(effects(ledger)) <= times:
            os.kill(os.getpid(), signal.SIGKILL)
        return len(effects(ledger))

    @flow(task_runner=pool)
    def main(times: int) -> Any:
        return dies.submit(times).result()

    assert main(2) == 3
    with pytest.raises(errors.CrashedRun, match=r"was ended by signal SIGKILL \(out of memory\?\)"):
        main(99)
    assert len(effects(ledger)) == 6
    assert [each.name for each in recorded(records.TaskRunEnded)] == ["Completed", "Crashed"]


def test_a_task_that_asks_for_at_most_once_is_not_executed_again_when_its_process_dies(ledger: str):
    @task(on_interrupt="fail")
    def dies() -> None:
        effect(ledger, "paid")
        os._exit(4)

    @flow(task_runner=pool)
    def main() -> Any:
        return dies.submit(return_state=True).message

    assert main() == "The process of the task exited with code 4"
    assert effects(ledger) == ["paid"]


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_task_that_takes_too_long_is_ended_with_its_process_if_need_be(
    stubborn: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.3)

    @task(timeout_seconds=0.3)
    def endless() -> None:
        if stubborn:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        while True:
            pass

    @flow(task_runner=pool)
    def main() -> list[Any]:
        return [endless.submit(return_state=True).name, double.submit(1).result()]

    assert main() == ["TimedOut", 2]


def test_prints_logs_and_tasks_there_are_recorded_under_the_run(recorded: Records):
    @task(log_prints=True)
    def talks() -> int:
        print("printed there")
        get_run_logger().info("logged there")
        assert current() is not None
        return double(1) + double.fn(2)

    @flow(task_runner=pool)
    def main() -> int:
        return talks.submit().result()

    assert main() == 6
    (outer,) = [each for each in recorded(records.TaskRunBegan) if each.name == "talks-0"]
    (inner,) = [each for each in recorded(records.TaskRunBegan) if each.name == "double-0"]
    assert inner.scope_id == outer.task_run_id
    assert {each.message for each in recorded(records.LogLine)} == {"printed there", "logged there"}
    assert {each.task_run_id for each in recorded(records.LogLine)} == {outer.task_run_id}
    assert len({each.writer for each in recorded(records.JournalOpened)}) == 2


def test_what_tasks_there_had_finished_is_not_executed_again_by_a_resume(
    ledger: str, run_id: Callable[[], str], tmp_path: Path
):
    @task
    def inner(name: str) -> str:
        effect(ledger, name)
        return name

    @flow
    def sub() -> str:
        return inner("in a flow")

    @task
    def outer() -> list[str]:
        made = [inner("in a task"), sub()]
        if not (tmp_path / "mended").exists():
            raise ConnectionError
        return made

    @flow(task_runner=pool)
    def main() -> list[str]:
        return outer.submit().result()

    with pytest.raises(ConnectionError):
        main()
    (tmp_path / "mended").touch()

    assert main.resume(run_id()) == ["in a task", "in a flow"]
    assert effects(ledger) == ["in a task", "in a flow"]


def test_what_cannot_be_sent_there_or_back_is_told():
    @task
    def takes(value: Any) -> None: ...

    @task
    def gives() -> Any:
        return threading.Lock()

    @flow(task_runner=pool)
    def main() -> list[Any]:
        there = takes.submit(threading.Lock(), return_state=True)
        back = gives.submit(return_state=True)
        return [there.message, back.message]

    there, back = main()
    assert "Task `takes` cannot be sent to another process" in there
    assert "The result of the task cannot be sent back from its process" in back


def test_interrupting_the_flow_ends_the_processes(tmp_path: Path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    @task
    def endless() -> None:
        fifo.write_text(str(os.getpid()))
        while True:
            pass

    pids: list[int] = []

    @flow(task_runner=pool)
    def main() -> None:
        endless.submit()
        pids.append(int(fifo.read_text()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        main()
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_pool_says_what_it_is():
    assert repr(pool) == "ProcessPoolTaskRunner(max_workers=2)"
