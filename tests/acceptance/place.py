"""A home with a server, workers and commands in real processes, for tests of all of them together."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from penstock import clock, settings
from penstock.core.operations import Request
from penstock.sdk import connect

T = TypeVar("T")
R = TypeVar("R")

DEADLINE = 180.0
PENSTOCK = Path(sys.executable).parent / "penstock"


class Ran(NamedTuple):
    """What a command exited with and wrote."""

    code: int
    out: str
    err: str


class Process:
    """A process that runs until it is told to end, and what it has written so far."""

    def __init__(self, words: list[str], cwd: Path, environ: dict[str, str]) -> None:
        self.popen = subprocess.Popen(
            words,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        with self._changed:
            return "".join(self._lines)

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def says(self, pattern: str) -> re.Match[str]:
        """Wait until it has written what the pattern finds."""

        def found() -> re.Match[str] | None:
            return re.search(pattern, "".join(self._lines))

        with self._changed:
            self._changed.wait_for(lambda: found() or self.popen.poll() is not None, DEADLINE)
            if (match := found()) is None:
                pytest.fail(f"`{pattern}` was not said, but:\n{''.join(self._lines)}")
            return match

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to end, and wait until it has; returns what it exited with."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        try:
            code = self.popen.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            pytest.fail(f"it did not end, and said:\n{self.output}")
        self._reader.join(DEADLINE)
        assert self.popen.stdout is not None
        self.popen.stdout.close()
        return code


class Place:
    """A folder to work in, and a home."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "work"
        self.folder.mkdir()
        self.home = root / "home"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        self.environ = kept | {"PENSTOCK_HOME": str(self.home), "COLUMNS": "120", "TZ": "UTC", "NO_COLOR": "1"}
        self._processes: list[Process] = []

    def start(self, *words: str, cwd: Path | None = None) -> Process:
        """Start a command of the command line, or a Python file, and let it run."""
        command = [sys.executable, *words] if words[0].endswith(".py") else [str(PENSTOCK), *words]
        process = Process(command, cwd or self.folder, self.environ)
        self._processes.append(process)
        return process

    def run(self, *words: str, cwd: Path | None = None, code: int = 0, shell: bool = False) -> Ran:
        """Run a command to its end, which is to be this one."""
        path = os.pathsep.join([str(PENSTOCK.parent), self.environ["PATH"]])
        done = subprocess.run(
            words[0] if shell else [str(PENSTOCK), *words],
            shell=shell,
            cwd=cwd or self.folder,
            env=self.environ | {"PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == code, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return Ran(done.returncode, done.stdout, done.stderr)

    def start_server(self, *words: str) -> Process:
        """Start the server of this home, and wait until it answers."""
        process = self.start("server", "start", "--port", "0", *words)
        connect.wait_for_server(settings.load(self.environ), clock.SYSTEM, timeout_seconds=DEADLINE)
        return process

    def ask(self, request: Request[R]) -> R:
        with connect.asking(settings.load(self.environ), clock.SYSTEM) as orchestrator:
            return orchestrator.ask(request)

    def until(self, probe: Callable[[], T], what: str = "what was waited for") -> T:
        """Ask again and again until the answer is one."""
        ends_at = clock.SYSTEM.elapsed() + DEADLINE
        while not (answer := probe()):
            if clock.SYSTEM.elapsed() > ends_at:
                said = "\n".join(f"--- {each.popen.args}\n{each.output}" for each in self._processes)
                pytest.fail(f"{what} did not happen\n{said}")
            threading.Event().wait(0.02)
        return answer

    def close(self) -> None:
        for process in reversed(self._processes):
            process.end()


def write(folder: Path, **files: Any) -> None:
    """Write Python files: ``write(folder, etl="...")`` makes ``etl.py``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
