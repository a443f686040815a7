"""A flow of many kinds of tasks, killed at every write of its journal, and resumed.

Run by test_crash.py in processes of its own: ``crashing.py enumerate FOLDER PART OF`` kills it at
each write that falls to this part; ``crashing.py killed N`` and
``crashing.py resume ID`` do one of these.
What it finds wrong it prints, one line each. Tasks note their effects in a ledger outside of the
home, by the id of the task run.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from penstock import clock, flow, settings, task, task_input_hash
from penstock.core import records
from penstock.engine.context import current
from penstock.engine.task_runners import ThreadPoolTaskRunner
from penstock.journal import reader
from penstock.journal.folder import JournalFolder
from penstock.orchestration import fsck, local

EXPECTED = 4_924_794


def effect() -> None:
    """Note in the ledger that the current task run has done its work."""
    context = current()
    assert context is not None
    ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(ledger, f"{context.id}\n".encode())
    finally:
        os.close(ledger)


@task
def add(left: int, right: int) -> int:
    effect()
    return left + right


@task(log_prints=True)
def double(number: int) -> int:
    print("doubling", number)
    effect()
    return number * 2


@task(retries=2)
def flaky(number: int) -> int:
    context: Any = current()
    if context.run_count == 1:
        raise ConnectionError("not yet")
    effect()
    return number


@task
def large(size: int) -> list[int]:
    effect()
    return list(range(size))


@task(cache_key_fn=task_input_hash)
def cached(number: int) -> int:
    effect()
    return number + 1


@task
async def coroutine(number: int) -> int:
    await asyncio.sleep(0)
    effect()
    return number


@task
def outer(number: int) -> int:
    effect()
    if "STOP_INSIDE" in os.environ:  # tell the test, and wait for its word
        print("inside", flush=True)
        sys.stdin.readline()
    return add(number, 1) + add(number, 2)


@task
def generated(count: int):
    yield from range(count)
    effect()


@task
def fails(number: int) -> int:
    effect()
    raise ValueError(number)


@flow
def subflow(start: int) -> int:
    number = start
    for step in range(5):
        number = add(number, step)
    return number + double.submit(number).result()


@flow(task_runner=ThreadPoolTaskRunner(max_workers=3))
def everything() -> int:
    number = 0
    for step in range(8):
        number = add(number, step)
    futures = [double.submit(each) for each in range(6)]
    joined = add.submit(futures[0], futures[5])
    mapped = double.map(range(12))
    total = number + joined.result() + sum(mapped.result())
    total += flaky(3) + flaky.submit(4).result()
    total += sum(large.submit(size).result()[-1] for size in (20_000, 30_000)) + len(large(40_000))
    total += cached(1) + cached.submit(1).result() + cached(2)
    total += coroutine.submit(7).result() + outer(10) + outer.submit(20).result()
    total += sum(generated(4)) + subflow(1) + subflow(100)
    assert fails(1, return_state=True).is_failed()
    return total + sum(large(40_000)[:3000]) + sum(range(335)) * 6


def ledger() -> Counter[str]:
    path = Path(os.environ["LEDGER"])
    return Counter(path.read_text().split()) if path.exists() else Counter()


def only_run() -> str:
    (run_id,) = JournalFolder(settings.load().journals).run_ids()
    return run_id


def journal(run_id: str, attempt: int = 1) -> Path:
    return JournalFolder(settings.load().journals).journal_path(run_id, attempt, "main")


def finished(path: Path) -> set[str]:
    """The task runs whose completion a journal holds, of those that leave a trace in the ledger."""
    return completed(reader.read_all(path))


def completed(told: Iterable[records.AnyRecord]) -> set[str]:
    without_effect: set[str] = set()
    found: set[str] = set()
    for record in told:
        if isinstance(record, records.TaskRunBegan) and record.kind == "subflow":
            without_effect.add(record.task_run_id)
        if isinstance(record, records.TaskRunEnded) and record.name == "Completed":
            found.add(record.task_run_id)
    return found - without_effect


def finished_in(run_id: str, attempt: int) -> set[str]:
    """As `finished`, for an attempt that may have been folded, so that its journal is gone."""
    path = journal(run_id, attempt)
    if path.exists():
        return finished(path)
    told = list(local.LocalPast(settings.load()).records(run_id))
    starts = [index for index, each in enumerate(told) if isinstance(each, records.JournalOpened)]
    return completed(told[starts[attempt - 1] :])


def in_child(work: Callable[[], object]) -> int:
    """Do the work in a forked process; gives what ``os.waitpid`` says of its end."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001  the parent is told by the exit code
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def is_journal(descriptor: int) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").endswith(".journal")
    except OSError:
        return False


def die_at(number: int, how: str) -> None:
    """From now on: the process is killed at that write to a journal, before, within or after it."""
    real = os.write
    count = 0

    def write(descriptor: int, data: Any) -> int:
        nonlocal count
        if not is_journal(descriptor):
            return real(descriptor, data)
        count += 1
        if count == number and how != "after":
            if how == "within":
                real(descriptor, data[: max(len(data) // 2, 1)])
            os.kill(os.getpid(), signal.SIGKILL)
        written = real(descriptor, data)
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return written

    os.write = write


def resumed(run_id: str) -> None:
    result = everything.resume(run_id)
    assert result == EXPECTED, result
    check_home()


def check_home() -> None:
    """Fold what is new, and check that nothing is missing or damaged."""
    with local.open_home(settings.load(), clock.SYSTEM) as home:
        assert fsck.fsck(home).problems == ()


def complaints(run_id: str, before: set[str], what: str) -> list[str]:
    """What is wrong after a kill and a resume; ``before`` had been finished when it was killed."""
    wrong: list[str] = []
    effects = ledger()
    wrong += [
        f"{what}: {each} had been finished and was executed {effects[each]} times"
        for each in before
        if effects[each] != 1
    ]
    after = finished_in(run_id, attempt=2)
    wrong += [f"{what}: {each} is said to be finished and was not executed" for each in after if not effects[each]]
    wrong += [f"{what}: {each} was finished in both attempts" for each in after & before]
    if len(before | after) < 50:
        wrong.append(f"{what}: only {len(before | after)} task runs were finished")
    return wrong


def new_home(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    os.environ["PENSTOCK_HOME"] = str(folder / "home")
    os.environ["LEDGER"] = str(folder / "ledger")
    # The ballast is the only large file: one is enough for all of these homes.
    (folder / "home").mkdir()
    (folder / "home" / "ballast").touch()
    return folder


def enumerate_kills(root: Path, part: int, parts: int) -> None:
    """Kill before and after each write of this part, and within some, until there are no more writes."""
    root.mkdir(parents=True, exist_ok=True)
    killed = 0
    number = part
    while True:
        number += parts
        ways = ("before", "after") if number % 4 else ("before", "within", "after")
        ends = [_kill_and_resume(root, number, how) for how in ways]
        killed += sum(ends)
        if not any(ends):
            break
    print(json.dumps({"killed": killed}))


def _kill_and_resume(root: Path, number: int, how: str) -> bool:
    what = f"{how}-write-{number}"
    folder = new_home(root, what)

    def run() -> None:
        die_at(number, how)
        assert everything() == EXPECTED

    status = in_child(run)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
        shutil.rmtree(folder)
        return False
    if not os.WIFSIGNALED(status):
        print(f"{what}: the first attempt ended with {status}")
        return True
    run_id = only_run()
    path = journal(run_id)
    if path.stat().st_size == 0 or not any(isinstance(each, records.FlowRunBegan) for each in reader.read_all(path)):
        shutil.rmtree(folder)  # nothing had been promised yet
        return True
    before = finished(path)
    if in_child(lambda: resumed(run_id)) != 0:
        print(f"{what}: it could not be resumed")
        return True
    wrong = complaints(run_id, before, what)
    if wrong:
        print("\n".join(wrong))
    else:
        shutil.rmtree(folder)
    return True


def cut_everywhere(root: Path, part: int, parts: int, cuts: int) -> None:
    """Run once; then resume from the journal as it would be had only so many bytes been written."""
    whole = new_home(root, f"whole-{part}")
    assert in_child(everything) == 0
    run_id = only_run()
    size = journal(run_id).stat().st_size
    start = next(
        frame.end
        for frame in reader.read(journal(run_id)).frames
        if isinstance(next(iter(reader.decoded([frame], "")), None), records.FlowRunBegan)
    )
    done = 0
    for index in range(part, cuts, parts):
        cut = start + (size - start) * index // cuts + index % 7
        folder = root / f"cut-{cut}"
        shutil.copytree(whole, folder)
        os.environ["PENSTOCK_HOME"] = str(folder / "home")
        os.environ["LEDGER"] = str(folder / "ledger")
        os.truncate(journal(run_id), cut)
        before = finished(journal(run_id))
        if in_child(lambda: resumed(run_id)) != 0:
            print(f"cut at {cut}: it could not be resumed")
            continue
        wrong = complaints(run_id, before, f"cut at {cut}")
        if wrong:
            print("\n".join(wrong))
        else:
            shutil.rmtree(folder)
        done += 1
    print(json.dumps({"cut": done}))


def many_flows(count: int) -> None:
    """Run many small flows one after the other, noting each in the ledger."""
    for number in range(count):
        assert small(number) == number + 1
    descriptor = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, f"{count}\n".encode())
    os.close(descriptor)


@task
def step(number: int) -> int:
    return number + 1


@flow
def small(number: int) -> int:
    return step(number)


def main(command: str, *given: str) -> None:
    if command == "enumerate":
        enumerate_kills(Path(given[0]), int(given[1]), int(given[2]))
    elif command == "cut":
        cut_everywhere(Path(given[0]), int(given[1]), int(given[2]), int(given[3]))
    elif command == "killed":
        die_at(int(given[0]), "after")
        everything()
    elif command == "check":
        check_home()
    elif command == "resume":
        print(everything.resume(given[0]))
    else:
        many_flows(int(given[0]))


if __name__ == "__main__":
    main(*sys.argv[1:])
