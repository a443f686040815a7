"""A server and a worker of this home in the background: those that are there, or else some that are started."""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

from penstock import errors, processes
from penstock.cli.session import Session
from penstock.client import home_server
from penstock.client.home_server import LOOPBACK, HomeServer
from penstock.core.deployments import DEFAULT_POOL
from penstock.core.operations.work_pools import ListWorkers
from penstock.sdk import connect

START_SECONDS = 60.0
"""A slow disk and a cold cache may need that long to start a server or a worker."""

STOP_SECONDS = 40.0
"""As long as `penstock server stop` waits."""

PAUSE_SECONDS = 0.05

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Started(NamedTuple):
    """A process that was started here."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def let_go(self) -> None:
        """Close the pipe that held it, now that it has ended."""
        if self.process.stdin is not None:
            self.process.stdin.close()


class Background:
    """Sees to it that a server and a worker run: ``with Background(here) as background:``.

    What it started, it stops at the end of the block, unless it ``stays`` and `keep` was called; what it found, it
    leaves alone. What does not stay ends with this process, even if that is killed. In the block SIGTERM, SIGHUP and
    Ctrl-C raise `KeyboardInterrupt`, and a process of its own that ends raises `PenstockError`.
    """

    def __init__(self, here: Session, *, stays: bool) -> None:
        self._here = here
        self._logs = here.settings.home / "logs"
        self.started: list[Started] = []
        """What was started here."""
        self._stays = stays
        self._is_kept = False
        self._tells: list[int] = []
        """The signals that have come."""
        self._is_holding = False
        """Whether a signal waits, as somebody is about something that must not be broken off."""
        self._has_any_port = False

    # ── for whoever needs them ──────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start a server with a worker of its own, unless one keeps this home already. `ready` waits for it.

        Raises `UsageError` when the settings name another server.
        """
        running = home_server.running(self._here.settings.home)
        self._refuse_another(running)
        if running is None:
            self._start_server(self._port())

    def ready(self) -> HomeServer:
        """The server, once it answers and a worker of this machine serves the default pool: one is started, if need be.

        Raises `PenstockError` when what was started has ended, `TimedOut` when it takes too long.
        """
        self._wait_until(self._answers, "The server was not ready")
        server = home_server.running(self._here.settings.home)
        if server is None:
            raise errors.ServerUnreachable("The server has ended just now", hint="`penstock server start` starts one")
        if not self.started and not self._has_worker():
            self._start("worker", "worker", "start", "--pool", DEFAULT_POOL, api_url=server.api_url)
        self._wait_until(self._has_worker, "The worker was not ready")
        return server

    def keep(self) -> None:
        """At the end of the block, let run what was started here to stay."""
        self._is_kept = self._stays

    def stop(self) -> None:
        """Stop what was started here, and wait for its end; a second signal ends it at once."""
        with self._holding():
            told, deadline = len(self._tells), self._here.clock.elapsed() + STOP_SECONDS
            ending = self.started[::-1]
            for each in ending:
                each.process.terminate()
            while any(each.process.poll() is None for each in ending):
                if len(self._tells) > told or self._here.clock.elapsed() > deadline:
                    _kill([each.process.pid for each in ending if each.process.poll() is None])
                self._here.clock.sleep(PAUSE_SECONDS)
            for each in ending:
                each.let_go()

    # ── finding and starting ────────────────────────────────────────────────────────────────────────────────────────

    def _refuse_another(self, running: HomeServer | None) -> None:
        chosen = self._here.settings
        own = running.api_url if running else f"http://{chosen.server_host}:{chosen.server_port}/api"
        if chosen.api_url is not None and not home_server.are_same(own, chosen.api_url):
            raise errors.UsageError(
                f"The settings name another server than that of this home: `{chosen.api_url}`",
                hint="`penstock config unset PENSTOCK_API_URL`, or take the variable PENSTOCK_API_URL out",
            )

    def _port(self) -> int:
        """The port that the settings name, or 0, for any that is free, when it is taken."""
        from penstock.server.listening import is_taken  # noqa: PLC0415  only for who starts a server

        host, port = self._here.settings.server_host, self._here.settings.server_port
        if self._here.settings.api_url is not None or host not in LOOPBACK or not is_taken(host, port):
            return port
        return self._another_port()

    def _another_port(self) -> int:
        port = self._here.settings.server_port
        self._here.terminal.say(f"Port {port} is taken by something else, so the server takes another one")
        return 0

    def _start_server(self, port: int) -> None:
        self._has_any_port = port == 0
        self._start("server", "server", "start", "--port", str(port), "--workers", "1")

    def _start(self, name: str, *line: str, api_url: str | None = None) -> None:
        home = self._here.settings.home
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        environ = {**self._here.given, "PENSTOCK_HOME": str(home)}
        if api_url is not None:
            environ["PENSTOCK_API_URL"] = api_url
        log = self._logs / f"{name}.log"
        with self._holding(), log.open("wb") as file:
            # In a session of its own: Ctrl-C is for this process, and the end of the terminal for nobody. In the home:
            # the folder of whoever calls may go away, or hold a module called as one of ours.
            process = subprocess.Popen(  # noqa: S603  ourselves
                [sys.executable, "-m", "penstock", *line, *(() if self._stays else ("--until-stdin-ends",))],
                env=environ,
                cwd=home,
                stdin=subprocess.DEVNULL if self._stays else subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.started.append(Started(name, process, log))

    def _answers(self) -> bool:
        running = home_server.running(self._here.settings.home)
        return running is not None and connect.is_ready(running.api_url, self._here.clock)

    def _has_worker(self) -> bool:
        workers = self._here.ask(ListWorkers(pool=DEFAULT_POOL))
        return any(each.status == "online" and each.host == platform.node() and not each.queues for each in workers)

    def _wait_until(self, probe: Callable[[], bool], what: str) -> None:
        """Return when the answer is yes. Raises `PenstockError` when a process ends instead, or that takes too long."""
        deadline = self._here.clock.elapsed() + START_SECONDS
        while not probe():
            self._complain_of_the_dead()
            if self._here.clock.elapsed() > deadline:
                logs = ", ".join(f"`{each.log}`" for each in self.started)
                raise errors.TimedOut(
                    f"{what} within {START_SECONDS:.0f} seconds", hint=f"look into {logs}" if logs else None
                )
            self._here.clock.sleep(PAUSE_SECONDS)

    def _complain_of_the_dead(self) -> None:
        from penstock.server.listening import TAKEN  # noqa: PLC0415  only for who starts a server

        for each in list(self.started):
            if (status := each.process.poll()) is not None:
                reason, hint = _last_words(each.log)
                if reason.startswith(TAKEN) and not self._has_any_port and self._here.settings.api_url is None:
                    # Somebody was faster, since the port was found to be free.
                    self.started.remove(each)
                    each.let_go()
                    self._start_server(self._another_port())
                    continue
                raise errors.PenstockError(
                    f"The {each.name} has ended by itself. {reason or processes.how_it_ended(status)}",
                    hint=hint or f"all that it said is in `{each.log}`",
                )

    # ── signals ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._told) for number in _SIGNALS}
            self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, self._lost)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if not self._is_kept:
                self.stop()
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def _told(self, number: int, _: object) -> None:
        self._tells.append(number)
        if not self._is_holding:
            raise KeyboardInterrupt

    def _lost(self, *_: object) -> None:
        """What was started here has ended: nobody needs to wait for what it would have done."""
        if not self._is_holding:
            self._complain_of_the_dead()

    @contextmanager
    def _holding(self) -> Generator[None]:
        told, self._is_holding = len(self._tells), True
        try:
            yield
        finally:
            self._is_holding = False
        if len(self._tells) > told:
            raise KeyboardInterrupt


def _last_words(log: Path) -> tuple[str, str]:
    """The error with which a command has ended, and its hint; empty where it told none."""
    said = {"error": "", "hint": ""}
    for line in log.read_text("utf-8", "replace").splitlines():
        word, _, rest = line.partition(": ")
        if word in said:
            said[word] = rest
    return said["error"], said["hint"]


def _kill(pids: list[int]) -> None:
    """End processes, and whatever they have started, at once."""
    for pid in pids:
        processes.kill([pid, *processes.below(pid)])
