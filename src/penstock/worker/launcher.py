"""Starts the processes of runs, through the fork server, and hears of their ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import msgspec

from penstock import errors, processes
from penstock.clock import Clock
from penstock.worker.fork_server import HEAD, PLACEHOLDERS, Began, Ended, Refused, Start, Told

BEGIN_SECONDS = 60.0
"""How long a process may take to be made: the fork server may be importing, or be started anew."""
PAUSE_SECONDS = 1.0
"""Before a fork server is started anew that has died."""


class NoProcess(errors.CrashedRun):
    """The system has no process for a run at present, or not what it takes to make one."""


class Child:
    """The process of a run. `ended` is set once it is gone, and `status` says how."""

    def __init__(self, number: int, when_ended: Callable[[], None]) -> None:
        self.number = number
        self.pid = 0
        self.status: int | None = None
        """Its exit code, or less than 0: the signal that ended it."""
        self.left_nothing = False
        """Whether all that it has started is gone as well, so that nobody need look for it."""
        self.refusal: str | None = None
        self.is_lost = False
        """Whether the fork server died, and the process with it."""
        self.began = threading.Event()
        self.ended = threading.Event()
        self._when_ended = when_ended

    def end(self, status: int) -> None:
        self.status = status
        self.began.set()
        self.ended.set()
        self._when_ended()


class Launcher:
    """Owns the fork server, and starts it anew when it dies; its children have then died with it."""

    def __init__(self, clock: Clock, environ: Mapping[str, str], *, preload: Sequence[str] = ()) -> None:
        """``environ`` can be read in the memory of all children: it holds no keys.

        They may open as many files as this process may now; those who count on few would break with more.
        """
        self._clock = clock
        self._preload = tuple(preload)
        self._environ = dict(environ)
        self._open_files = processes.open_files() or 0
        self._changed = threading.Condition()
        self._connection: socket.socket | None = None
        self._children: dict[int, Child] = {}
        self._number = 0
        self._closing = False
        self.pid = 0
        """The fork server's."""
        self._keeper = threading.Thread(target=self._keep, name="penstock-launcher", daemon=True)
        self._keeper.start()

    def start(
        self,
        env: dict[str, str],
        folder: str,
        argv: list[str] | None,
        output: tuple[int, int],
        when_ended: Callable[[], None] = lambda: None,
    ) -> Child:
        """Start a process with its stdout and stderr; the descriptors stay the caller's to close.

        Without ``argv`` it runs the `entrypoint`. Raises `NoProcess` when none can be made, and another `CrashedRun`
        when it cannot be known whether one was.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._connection is not None or self._closing, BEGIN_SECONDS)
            if self._connection is None or self._closing:
                raise NoProcess("The processes of runs cannot be started at present")
            self._number += 1
            child = Child(self._number, when_ended)
            self._children[child.number] = child
            data = msgspec.msgpack.encode(Start(child.number, env, folder, argv))
            try:
                socket.send_fds(self._connection, [HEAD.pack(len(data))], list(output))
                self._connection.sendall(data)
            except OSError:
                self._children.pop(child.number, None)
                raise NoProcess("The process that starts runs has just died") from None
        if not child.began.wait(BEGIN_SECONDS):
            with self._changed:
                self._children.pop(child.number, None)
            raise NoProcess(f"No process was made in {BEGIN_SECONDS:.0f} seconds")
        if child.refusal is not None:
            raise NoProcess(child.refusal)
        if not child.pid:
            raise errors.CrashedRun("The process that starts runs died before it told of this one")
        return child

    def close(self) -> None:
        """End the fork server, and with it whatever it has started."""
        with self._changed:
            self._closing = True
            connection = self._connection
            self._changed.notify_all()
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._keeper.join(BEGIN_SECONDS)

    def _keep(self) -> None:
        while not self._closing:
            with suppress(OSError):  # the system has no process or descriptor for one at present
                self._serve()
            with self._changed:
                self._changed.wait_for(lambda: self._closing, PAUSE_SECONDS)

    def _serve(self) -> None:
        """Have one fork server, until it dies."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                server = self._spawn(theirs)
            with self._changed:
                self._connection = None if self._closing else ours
                self.pid = server.pid
                self._changed.notify_all()
            if self._connection is not None:
                with suppress(OSError, msgspec.DecodeError):  # it died before it had read, or said, all
                    self._listen(ours)
            with self._changed:
                self._connection = None
        server.wait()
        self._lose_children()

    def _spawn(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        number = theirs.fileno()
        line = ["-P", "-m", "penstock.worker.fork_server", str(number), str(self._open_files), *self._preload]
        return subprocess.Popen(  # noqa: S603  our own interpreter
            [sys.executable, *line],
            pass_fds=(number,),
            stdin=subprocess.DEVNULL,
            env={**self._environ, **PLACEHOLDERS},
            start_new_session=True,
        )

    def _listen(self, connection: socket.socket) -> None:
        """Take in what the fork server tells, until it dies."""
        decoder = msgspec.msgpack.Decoder(Told)
        with connection.makefile("rb") as told:
            while len(head := told.read(HEAD.size)) == HEAD.size:
                said = decoder.decode(told.read(HEAD.unpack(head)[0]))
                with self._changed:
                    child = self._children.get(said.number)
                    if child is not None and not isinstance(said, Began):
                        del self._children[said.number]
                if child is not None:
                    _take_in(child, said)
                elif isinstance(said, Began):
                    processes.kill([said.pid])  # nobody waits for it any more

    def _lose_children(self) -> None:
        with self._changed:
            lost, self._children = self._children, {}
        for child in lost.values():
            child.is_lost = True
            child.end(-signal.SIGKILL)


def _take_in(child: Child, said: Told) -> None:
    if isinstance(said, Began):
        child.pid = said.pid
        child.began.set()
    elif isinstance(said, Ended):
        child.left_nothing = said.left_nothing
        child.end(said.status)
    else:
        assert isinstance(said, Refused)
        child.refusal = said.message
        child.end(127)
