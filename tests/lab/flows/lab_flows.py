"""Flows for the lab. Each task notes its effect, outside of Penstock, where nothing can be taken back."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from typing import NoReturn

from penstock import concurrency, flow, runtime, task
from penstock.deployments import run_deployment


def effect(what: str = "effect") -> None:
    """A line in the ledger: whole, and on disk before this returns."""
    run, of_task = runtime.flow_run, runtime.task_run
    line = (
        f"{what} {run.id} {of_task.id or '-'} {run.attempt} {os.getpid()} {time.clock_gettime(time.CLOCK_BOOTTIME):.6f}"
    )
    descriptor = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def pass_gate(gate: str) -> None:
    """Wait until a test opens a gate: it holds a lock on a file, which the system lets go if the test dies."""
    with open(gate, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)


@task
def step(number: int) -> int:
    effect()
    return number + 1


@task
def gated(gate: str) -> str:
    effect("began")
    pass_gate(gate)
    effect()
    return gate


@task(on_interrupt="fail")
def once(number: int) -> int:
    effect("once")
    return number


@flow
def steps(count: int = 6) -> int:
    """Tasks one after the other, each with the result of the one before."""
    number = 0
    for _ in range(count):
        number = step(number)
    return number


@flow
def waits(gate: str, before: int = 2, after: int = 2) -> int:
    """Some tasks, one that waits at a gate, and some more."""
    number = 0
    for _ in range(before):
        number = step(number)
    gated(gate)
    for _ in range(after):
        number = step(number)
    return number


@flow
def waits_often(gate: str, width: int = 10) -> int:
    """Many tasks that wait at a gate at the same time, in threads; then one more."""
    for each in [gated.with_options(name=f"gated-{number}").submit(gate) for number in range(width)]:
        each.result()
    return step(width)


@flow
def waits_twice(gate: str, second: str) -> int:
    """A task in flight at the first gate, one that comes after it, and the second gate."""
    gated(gate)
    number = step(0)
    gated(second)
    return step(number)


@flow
def deadly() -> None:
    """Kills its own process before anything is finished."""
    effect("began")
    os.kill(os.getpid(), signal.SIGKILL)


@flow
def burns(seconds: float) -> int:
    """A task of C code that holds the interpreter's lock all the time."""
    return burn(seconds)


@task
def burn(seconds: float) -> int:
    effect("began")
    ends_at = time.monotonic() + seconds
    count = 0
    while time.monotonic() < ends_at:
        re.match(r"(a+)+$", "a" * 25 + "b")  # one call takes a second or so, and nobody else a turn
        count += 1
    effect()
    return count


# What is hard to cancel.


@flow
def sleeps_in_c(gate: str) -> None:
    """Waits in a system call, in a thread that no signal reaches."""
    gated.submit(gate).result()


@flow
def burns_forever() -> None:
    """Holds the interpreter's lock, so that no other thread of the process gets a turn."""
    effect("began")
    re.match(r"(a+)+$", "a" * 100 + "b")


@flow
def runs_a_shell(marks: str) -> None:
    """A tree of processes, of which the flow waits for the first."""
    script = f"sleep 1000 & (sleep 1000 & sleep 1000) & echo $$ >> {marks}; wait"
    with subprocess.Popen(["sh", "-c", script]) as shell:
        while str(shell.pid) not in open(marks).read():
            time.sleep(0.01)
        effect("began")
        shell.wait()


@flow
def starts_a_daemon(gate: str, marks: str) -> None:
    """A process that left for a session of its own, and whose parent has ended."""
    script = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        f"        open({marks!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        "        time.sleep(1000)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    before = len(open(marks).readlines())
    subprocess.run([sys.executable, "-c", script], check=True)
    while len(open(marks).readlines()) == before:
        time.sleep(0.01)
    gated(gate)


@flow
def asks_a_database(url: str) -> None:
    import psycopg

    effect("began")
    with psycopg.connect(url) as connection:
        connection.execute("SELECT pg_sleep(1000)")


@flow
def will_not_end(gate: str) -> NoReturn:
    """Swallows whatever tells it to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    effect("began")
    while True:
        try:
            pass_gate(gate)
            time.sleep(1)
        except BaseException:  # noqa: BLE001  the point
            pass


# Many small ones.


@flow
def tiny(number: int = 0) -> int:
    return step(step(number))


@flow
def chores(number: int = 0) -> int:
    """Takes a moment, so that it is met in the middle of it."""
    for _ in range(5):
        number = step(number)
        time.sleep(0.02)
    return number


@flow
def scheduled() -> None:
    """What a schedule makes."""
    step(0)


@flow
def asks_before_and_after(gate: str, deployment: str) -> str:
    """Asks the server for a slot, and after the gate for another one, and for a run of a deployment."""
    with concurrency("scarce", timeout_seconds=60, strict=True):
        gated(gate)
    with concurrency("scarce", timeout_seconds=60, strict=True):
        return run_deployment(deployment, timeout=60).state_name
