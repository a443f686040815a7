"""Processes of runs: made quickly, with nothing of the worker's about them, and all of them found."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.worker.factory import until

from penstock import clock, errors, processes
from penstock.processes import Mark
from penstock.worker import launcher
from penstock.worker.launcher import Child, Launcher

DEADLINE = 60


class Ran(NamedTuple):
    child: Child
    out: str
    err: str


class Starter:
    """Starts processes and reads what they write."""

    def __init__(self, launcher: Launcher, folder: Path) -> None:
        self.launcher = launcher
        self.folder = folder
        self.run_id = clock.SYSTEM.new_id()
        self.env = {"PATH": os.environ["PATH"], "PENSTOCK_RUN_ID": self.run_id, "PENSTOCK_ATTEMPT": "3"}

    def start(self, *argv: str, **env: str) -> tuple[Child, int, int]:
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        try:
            given = {**self.env, **env}
            child = self.launcher.start(given, str(self.folder), list(argv) or None, (out_end, err_end))
        finally:
            os.close(out_end)
            os.close(err_end)
        return child, out, err

    def run(self, *argv: str, **env: str) -> Ran:
        child, out, err = self.start(*argv, **env)
        with open(out) as told, open(err) as complained:
            said = Ran(child, told.read(), complained.read())
        assert child.ended.wait(DEADLINE)
        return said

    def shell(self, script: str) -> Child:
        """Start a shell whose output nobody reads."""
        child, out, err = self.start("/bin/sh", "-c", script)
        os.close(out)
        os.close(err)
        return child


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Starter]:
    launcher = Launcher(clock.SYSTEM, {"PATH": os.environ["PATH"], "WORKERS": "own"})
    yield Starter(launcher, tmp_path)
    launcher.close()


def test_an_executed_process_has_what_it_was_given_and_nothing_else(starter: Starter):
    ran = starter.run("/bin/sh", "-c", "env; pwd; ls /proc/self/fd | wc -l; cat; exit 5", A="b")

    *env, folder, count = ran.out.splitlines()
    known = {line for line in env if not line.startswith(("PWD=", "_=", "SHLVL=", "OLDPWD="))}
    assert known == {f"{name}={value}" for name, value in {**starter.env, "A": "b"}.items()}
    assert folder == str(starter.folder)
    assert int(count) == 4  # stdin, stdout, stderr, and the folder that is listed
    assert ran.child.status == 5


def test_signals_are_as_they_are_in_a_new_process(starter: Starter):
    script = "import signal as s; print(*[s.getsignal(n) for n in (s.SIGTERM, s.SIGINT, s.SIGCHLD, s.SIGPIPE)])"
    ran = starter.run(sys.executable, "-c", script)
    # Whoever started the tests may have had interrupts ignored, as shells do for what runs in the background.
    line = ["env", "--default-signal", sys.executable, "-c", script]
    fresh = subprocess.run(line, capture_output=True, text=True, check=True).stdout

    assert ran.out.split(" at ")[0] == fresh.split(" at ")[0]


def test_runs_may_open_as_many_files_as_before_the_worker_asked_for_more(tmp_path: Path):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, before[1]))
    made = Launcher(clock.SYSTEM, {"PATH": os.environ["PATH"]})
    try:
        processes.allow_open_files(2000)
        said = Starter(made, tmp_path).run("/bin/sh", "-c", "ulimit -n")
        allowed = processes.open_files()
    finally:
        made.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    assert (said.out, allowed) == ("1000\n", 2000)


def test_what_cannot_be_executed_says_so(starter: Starter):
    ran = starter.run("/nowhere")

    assert ran.err == "penstock: `/nowhere` cannot be executed: No such file or directory\n"
    assert ran.child.status == 127


def test_a_forked_process_says_why_it_has_nothing_to_do(starter: Starter):
    ran = starter.run(PENSTOCK_JOB=str(starter.folder / "nowhere"))

    assert "The assignment cannot be read" in ran.err
    assert ran.child.status == 1


def test_the_signal_that_ended_a_process_is_its_status(starter: Starter):
    assert starter.run("/bin/sh", "-c", "kill -9 $$").child.status == -signal.SIGKILL


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
@pytest.mark.parametrize(
    "script",
    [
        "sleep 600",
        "sleep 600 & sleep 600 & wait",
        "setsid sleep 600 & wait",
        "(setsid sh -c 'sleep 600 & sleep 600' &) ; sleep 600",
        "env -i sleep 600 & wait",
    ],
)
def test_all_processes_of_an_attempt_are_found(starter: Starter, script: str):
    mark = Mark(starter.run_id, 3)
    child = starter.shell(script)
    wanted = script.count("sleep 600")
    until(lambda: sum(name == "sleep" for name in map(name_of, processes.of_attempt(mark, child.pid))) == wanted)

    earlier, later = Mark(starter.run_id, 2), Mark(starter.run_id, 4)
    assert processes.of_attempt(earlier) == []
    assert set(processes.of_attempt(later, older=True)) <= set(processes.of_attempt(mark, child.pid))
    processes.kill_all(lambda: processes.of_attempt(mark, child.pid), lambda _: None)
    assert child.ended.wait(DEADLINE)


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_when_the_worker_is_gone_everything_it_started_ends_however_it_hid(starter: Starter):
    child = starter.shell("(env -i setsid sh -c 'sleep 600 & sleep 600' &) ; sleep 600")
    server = starter.launcher.pid
    until(lambda: sum(name_of(pid) == "sleep" for pid in processes.below(server)) == 3)
    living = processes.below(server)
    starter.launcher.close()

    assert child.pid in living
    assert [pid for pid in living if name_of(pid) == "sleep"] == []


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_what_a_process_has_started_is_found_however_it_hid(starter: Starter):
    child = starter.shell("(env -i setsid sh -c 'sleep 600 & sleep 600' &) ; sleep 600")
    mark = Mark(starter.run_id, 3)
    until(lambda: sum(name_of(pid) == "sleep" for pid in processes.of_attempt(mark, child.pid)) == 3)
    os.kill(child.pid, signal.SIGKILL)
    assert child.ended.wait(DEADLINE)

    left = [pid for pid in processes.of_attempt(mark) if name_of(pid) == "sleep"]
    processes.kill_all(lambda: processes.of_attempt(mark), lambda _: None)

    assert len(left) == 3
    assert not any(os.path.exists(f"/proc/{pid}") and name_of(pid) == "sleep" for pid in left)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_of_a_process_that_leaves_nothing_behind_nothing_is_found_once_its_end_is_told(starter: Starter):
    for code in (0, 3, 255):
        child = starter.shell(f"sleep 0 & wait; exit {code}")
        assert child.ended.wait(DEADLINE)

        assert processes.of_attempt(Mark(starter.run_id, 3)) == []
        assert child.left_nothing
        assert child.status == code


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
@pytest.mark.parametrize("script", ["sleep 600 & exit 7", "(env -i setsid sh -c 'sleep 600 &' &); exit 7"])
def test_a_process_that_leaves_others_behind_is_told_of_when_it_ends_itself(starter: Starter, script: str):
    child = starter.shell(script)

    assert child.ended.wait(DEADLINE)
    assert child.status == 7
    assert not child.left_nothing
    until(lambda: "sleep" in map(name_of, processes.of_attempt(Mark(starter.run_id, 3))))


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_processes_that_cannot_be_looked_for_at_present_are_killed_when_they_can(starter: Starter):
    child = starter.shell("exec sleep 600")
    mark = Mark(starter.run_id, 3)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(next_file := os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_file, before[1]))
    try:
        processes.kill_all(
            lambda: processes.of_attempt(mark, child.pid),
            lambda _: resource.setrlimit(resource.RLIMIT_NOFILE, before),
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    assert processes.of_attempt(mark, child.pid) == []


def test_a_process_that_kills_its_parent_ends_itself_and_nobody_else(starter: Starter):
    other = starter.shell("exec sleep 600")
    server = starter.launcher.pid

    killed = starter.run("/bin/sh", "-c", "kill -9 $PPID; exec sleep 600").child
    assert killed.status == -signal.SIGKILL
    assert not killed.left_nothing
    assert starter.run("/bin/echo", "on").out == "on\n"
    assert starter.launcher.pid == server
    assert not other.ended.is_set()


@pytest.mark.slow
def test_when_the_fork_server_dies_its_children_die_and_another_takes_over(starter: Starter):
    child = starter.shell("exec sleep 600")  # what it had started, the supervisor would end
    os.kill(starter.launcher.pid, signal.SIGKILL)

    assert child.ended.wait(DEADLINE)
    assert child.status == -signal.SIGKILL
    until(lambda: not os.path.exists(f"/proc/{child.pid}"))
    assert starter.run("/bin/echo", "again").out == "again\n"


def test_what_a_fork_server_had_not_read_when_it_died_keeps_none_of_its_children_from_ending(starter: Starter):
    child = starter.shell("exec sleep 600")
    os.kill(starter.launcher.pid, signal.SIGSTOP)
    with ThreadPoolExecutor() as threads:
        late = threads.submit(starter.shell, "exec sleep 600")
        until(lambda: len(starter.launcher._children) == 2)
        with starter.launcher._changed:  # the request for it has been sent
            os.kill(starter.launcher.pid, signal.SIGKILL)

        assert child.ended.wait(DEADLINE)
        assert child.is_lost
        with pytest.raises(errors.CrashedRun, match="died before"):
            late.result(DEADLINE)


def test_a_fork_server_that_cannot_be_started_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    refusals: list[OSError] = [BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")]
    popen = subprocess.Popen

    def starting(*args: Any, **options: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return popen(*args, **options)

    monkeypatch.setattr(subprocess, "Popen", starting)
    monkeypatch.setattr(launcher, "PAUSE_SECONDS", 0.01)
    made = Launcher(clock.SYSTEM, os.environ)
    try:
        said = Starter(made, tmp_path).run("/bin/echo", "here")
    finally:
        made.close()

    assert said.out == "here\n"
    assert not refusals


def test_orphans_are_waited_for_so_that_no_zombies_stay(starter: Starter):
    starter.run("/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8; do (sh -c 'sleep 0.01' &) ; done")
    until(lambda: [each for each in processes.every() if each.parent == starter.launcher.pid] == [])


def test_a_launcher_that_is_closed_starts_nothing(tmp_path: Path):
    launcher = Launcher(clock.SYSTEM, {"PATH": os.environ["PATH"]})
    launcher.close()

    with pytest.raises(errors.CrashedRun):
        Starter(launcher, tmp_path).run("/bin/true")


def test_a_module_that_cannot_be_preloaded_is_told_and_no_more(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    launcher = Launcher(clock.SYSTEM, {"PATH": os.environ["PATH"]}, preload=("nowhere_to_be_found",))

    assert Starter(launcher, tmp_path).run("/bin/echo", "on").out == "on\n"
    launcher.close()
    assert "`nowhere_to_be_found` cannot be preloaded: ModuleNotFoundError" in capfd.readouterr().err


def test_a_process_that_has_only_just_been_made_can_be_told_to_end(tmp_path: Path):
    gate = tmp_path / "gate"
    (tmp_path / "slow_to_become.py").write_text(SLOW_TO_BECOME)
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "GATE": str(gate)}
    launcher = Launcher(clock.SYSTEM, environ, preload=("slow_to_become",))
    child = Starter(launcher, tmp_path).shell("exec sleep 30")

    processes.tell_to_end(child.pid)
    gate.touch()

    assert child.ended.wait(DEADLINE)
    assert child.status == -signal.SIGTERM
    launcher.close()


SLOW_TO_BECOME = """
import os, threading

setsid = os.setsid
calls = []

def wait_at_the_gate():
    calls.append("the keeper's is the first")
    while len(calls) > 1 and not os.path.exists(os.environ["GATE"]):
        threading.Event().wait(0.01)
    setsid()

os.setsid = wait_at_the_gate
"""


def test_ends_are_told_in_a_sentence():
    assert processes.how_it_ended(3) == "Its process exited with code 3"
    assert processes.how_it_ended(-11) == "Its process was ended by signal 11 (SIGSEGV)"
    assert processes.how_it_ended(-9, out_of_memory=True) == (
        "Its process was ended by signal 9 (SIGKILL); the system was out of memory"
    )
    assert processes.how_it_ended(-15, out_of_memory=True) == "Its process was ended by signal 15 (SIGTERM)"
