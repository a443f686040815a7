"""Programs that a lab starts: each at the head of a session of its own, its output in a file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.lab.waiting import until

from penstock import processes

# The system ends a program with the thread that started it, so one thread starts all of them, and stays.
_STARTER = ThreadPoolExecutor(1, "lab-starter")
_TIED = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


class Program:
    """A program that may be started, killed and frozen, again and again."""

    def __init__(self, name: str, line: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.line = list(line)
        self.environ = dict(environ)
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self._log_began_at = 0

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} was never started"
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it, once more if it has ended."""
        assert not self.is_running, f"{self.name} runs already"
        self._log_began_at = self.log.stat().st_size if self.log.exists() else 0
        self.process = _STARTER.submit(self._spawn).result()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*_TIED, *self.line],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        """What it has said since it was started last."""
        with self.log.open("rb") as log:
            log.seek(self._log_began_at)
            return log.read().decode("utf-8", "replace")

    def until_it_says(self, text: str, *, seconds: float = 60) -> None:
        """Return when it has said that. Fails when it ends before, or takes too long."""

        def probe() -> bool:
            if text in self.said():
                return True
            assert self.is_running, f"{self.name} has ended: {self.said()[-3000:]}"
            return False

        until(probe, f"that {self.name} says `{text}`", seconds=seconds, pause_seconds=0.02)

    def terminate(self) -> None:
        """Tell it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, and whatever dies with it; what it leaves behind, it leaves behind."""
        self._signal(signal.SIGKILL)
        self.wait()

    def kill_tree(self) -> None:
        """End it and all that it has started, as when a machine goes away."""
        for pid in self.tree():  # parents first: none of them tells of the end of its children
            _send(pid, signal.SIGKILL)
        self.wait()

    def freeze(self) -> None:
        """Stop it and all that it has started, wherever they are."""
        frozen: set[int] = set()
        while more := set(self.tree()) - frozen:  # until nobody has started anything meanwhile
            for pid in more:
                _send(pid, signal.SIGSTOP)
            frozen |= more

    def thaw(self) -> None:
        """Let them go on."""
        for pid in self.tree():
            _send(pid, signal.SIGCONT)

    def wait(self, seconds: float = 60) -> int:
        """Its exit code, once it has ended."""
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self, seconds: float = 60) -> int:
        """Tell it to end, and wait for that."""
        self.terminate()
        return self.wait(seconds)

    def tree(self) -> list[int]:
        """Its process and all that descend from it, parents before their children."""
        return [] if not self.is_running else descendants(self.pid)

    def close(self) -> None:
        """Leave nothing of it."""
        for pid in self.tree():
            _send(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running:
            _send(self.pid, number)


def descendants(pid: int) -> list[int]:
    """A process and all that descend from it, parents before their children."""
    listed = processes.every()
    found = [pid]
    for each in found:
        found += [process.pid for process in listed if process.parent == each]
    return found


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
