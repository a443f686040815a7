"""Workers that are started with a server, as processes of their own, and ended with it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from penstock.clock import Clock
from penstock.core.deployments import DEFAULT_POOL

STOP_SECONDS = 15.0
"""So long workers may take to interrupt their runs; then they are told that it is enough."""
ENOUGH_SECONDS = 5.0
"""And so long after that."""
PAUSE_SECONDS = 2.0
"""Before a worker that ended by itself is started anew."""

_log = logging.getLogger("penstock.server")


class Workers:
    """Workers of the default pool, at this server."""

    def __init__(self, count: int, api_url: str, home: Path, clock: Clock) -> None:
        self._line = [sys.executable, "-m", "penstock", "worker", "start", "--until-stdin-ends", "--pool", DEFAULT_POOL]
        self._environ = {**os.environ, "PENSTOCK_API_URL": api_url, "PENSTOCK_HOME": str(home)}
        self._clock = clock
        self._count = count
        self._mutex = threading.Lock()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start them, and see to it that there are as many until `stop`."""
        for number in range(self._count):
            threading.Thread(target=self._keep, args=(number,), name=f"penstock-worker-{number}", daemon=True).start()

    def stop(self) -> None:
        """Let them interrupt their runs, and wait for their end."""
        self._stopping.set()
        for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGTERM, ENOUGH_SECONDS)):
            self._send(number)
            if self._have_ended(seconds):
                return
        self.kill()

    def kill(self) -> None:
        """End those that are still there at once."""
        self._stopping.set()
        self._send(signal.SIGKILL)
        self._have_ended(ENOUGH_SECONDS)

    def _keep(self, number: int) -> None:
        while True:
            with self._mutex:
                if self._stopping.is_set():
                    return
                # In a session of its own: Ctrl-C is for the server, which ends its workers in order. When a server is
                # killed, the system closes the pipe, and the worker stops as well.
                process = subprocess.Popen(  # noqa: S603  ourselves
                    self._line, env=self._environ, stdin=subprocess.PIPE, start_new_session=True
                )
                self._processes.append(process)
            code = process.wait()
            assert process.stdin is not None
            process.stdin.close()
            with self._mutex:
                self._processes.remove(process)
            if self._stopping.is_set():
                return
            _log.warning("Worker %s ended by itself, with %s; it is started anew", number + 1, code)
            if self._stopping.wait(PAUSE_SECONDS):
                return

    def _send(self, number: signal.Signals) -> None:
        with self._mutex:
            for process in self._processes:
                process.send_signal(number)

    def _have_ended(self, seconds: float) -> bool:
        deadline = self._clock.elapsed() + seconds
        while self._clock.elapsed() < deadline:
            with self._mutex:
                if not self._processes:
                    return True
            self._clock.sleep(0.02)
        return False
