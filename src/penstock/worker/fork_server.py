"""A process that has everything imported, and forks one for each run: then a run starts in milliseconds.

It has one thread, holds nothing open, and runs nobody's code but what it was told to preload. Requests come over a
socket (`launcher` is the other end), each with the descriptors of the run's output. Ends of processes go back.

Between it and the process of a run stands a keeper, which is forked too and only waits. So a run that kills its
parent ends itself and no other; and whatever a run has started stays below its keeper.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from struct import Struct
from typing import Any, NoReturn, TextIO

import msgspec

from penstock import processes

WARM = (
    "asyncio",
    "logging",
    "penstock",
    "penstock.engine.processes",
    "penstock.sdk.console",
    "penstock.sdk.flows",
    "penstock.sdk.tasks",
    "penstock.worker.entrypoint",
    "pydantic",
)
"""What nearly every flow needs."""

LOOK_SECONDS = 0.005
"""Between looks whether processes that were killed are gone."""

HEAD = Struct("<I")

PLACEHOLDERS = {processes.RUN_ID: "0" * 36, processes.ATTEMPT: "0" * 10}
"""Room in the environment of this process, where keepers write which run they belong to."""


class Start(msgspec.Struct, frozen=True):
    """A process to make. With ``argv`` it executes that; otherwise it is a fork that runs the entrypoint."""

    number: int
    env: dict[str, str]
    folder: str
    argv: list[str] | None = None


class Began(msgspec.Struct, frozen=True, tag=True):
    """The process is there."""

    number: int
    pid: int


class Refused(msgspec.Struct, frozen=True, tag=True):
    """There is no process."""

    number: int
    message: str


class Ended(msgspec.Struct, frozen=True, tag=True):
    """The process is gone, with an exit code (or, less than 0, by a signal). What is said first holds."""

    number: int
    status: int
    left_nothing: bool = False
    """Whether nothing is left of what it had started either, for certain."""


Told = Began | Refused | Ended


def main(line: Sequence[str]) -> int:
    """Serve the socket whose descriptor is named first.

    Then it says how many files runs may have open (0: as many as this process), and which modules to preload.
    """
    descriptor, open_files, *preload = line
    if int(open_files):
        processes.limit_open_files(int(open_files))
    server = ForkServer(socket.socket(fileno=int(descriptor)))
    for name in (*WARM, *preload):
        try:
            import_module(name)
        except Exception as error:  # noqa: BLE001  the flow that needs it will tell
            sys.stderr.write(f"penstock: `{name}` cannot be preloaded: {type(error).__name__}: {error}\n")
    from penstock.worker import entrypoint  # noqa: PLC0415  loaded by now

    entrypoint.warm()
    gc.collect()
    gc.freeze()  # what is here is shared with all children, as long as nobody writes to it
    if server.serve() is not None:
        be_a_run()
    return 0


def be_a_run() -> NoReturn:
    """In a child: run the entrypoint, and end as a process does, but for one thing.

    Python would take its modules apart before it ends. As they are shared with the server until somebody writes to
    them, that would copy all of its memory first, and take longer than most runs.
    """
    from penstock.worker import entrypoint  # noqa: PLC0415  loaded long since

    code = 1
    try:
        code = entrypoint.main()
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001  as the interpreter does
        traceback.print_exc()
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001  waits for the threads that are no daemons
        atexit._run_exitfuncs()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  as multiprocessing ends children
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code & 0xFF)


class ForkServer:
    """Makes processes and says when they end."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._woken, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._told, self._telling = os.pipe()
        """What keepers have to say: to be passed on. Each message is written as a whole, as it is small."""
        self._keepers: dict[int, int] = {}
        """The numbers of starts, by the process ids of their keepers."""

    def serve(self) -> Start | None:
        """Serve until nobody is at the other end: None. In the process of a run: what it is to be."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker decides when runs end
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        adopt_orphans()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._connection, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._selector.register(self._told, selectors.EVENT_READ)
        os.set_blocking(self._told, False)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._reap()
                    continue
                if key.fileobj is self._told:
                    self._pass_on()
                    continue
                try:
                    start, descriptors = self._receive()
                except (EOFError, OSError):
                    self._end_all()
                    return None
                if self._fork(start, descriptors):
                    return start

    def _receive(self) -> tuple[Start, list[int]]:
        head, descriptors, _, _ = socket.recv_fds(self._connection, HEAD.size, 2)
        if not head:
            raise EOFError
        size = HEAD.unpack(head + self._exactly(HEAD.size - len(head)))[0]
        return msgspec.msgpack.decode(self._exactly(size), type=Start), descriptors

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self._connection.recv(min(size - len(data), 1 << 20))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def _tell(self, told: bytes) -> None:
        with suppress(OSError):  # nobody is there any more: the next read says so
            self._connection.sendall(told)

    def _pass_on(self) -> None:
        with suppress(BlockingIOError):
            self._tell(os.read(self._told, 1 << 16))

    def _fork(self, start: Start, descriptors: list[int]) -> bool:
        """Have the process made by a keeper of its own; says whether this is it."""
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(_refused(start, error))
        else:
            if pid == 0:
                self._let_go()
                keep(start, descriptors, server, self._telling)
                return True
            self._keepers[pid] = start.number
        for each in descriptors:
            os.close(each)
        return False

    def _let_go(self) -> None:
        """In a keeper: nothing of the server stays open, but what it tells over."""
        signal.set_wakeup_fd(-1)
        self._selector.close()
        for each in (self._connection, self._woken, self._waker):
            each.close()
        os.close(self._told)

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            number = self._keepers.pop(pid, None)  # None: an orphan of some run
            if number is not None:
                self._pass_on()  # how the run's process ended, if its keeper has told; otherwise it ended as that did
                code = os.waitstatus_to_exitcode(status)
                self._tell(_message(Ended(number, code, left_nothing=code >= 0)))

    def _end_all(self) -> None:
        """The worker is gone: nothing that its runs have started is to go on. Orphans are children of ours."""
        pause = threading.Event()

        def wait(_: int) -> None:
            pause.wait(LOOK_SECONDS)
            self._reap()

        processes.kill_all(lambda: processes.below(os.getpid()), wait)


def keep(start: Start, descriptors: list[int], server: int, telling: int) -> None:
    """In a child of the server: make the process of a run, and wait until all that it has started is gone.

    Returns in that process, and nowhere else.
    """
    try:
        os.setsid()
        die_with(server)
        adopt_orphans()
        _write_mark(start.env)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # The worker may hear of the process before it is a run's: a SIGTERM waits until it has a meaning.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        keeper = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            os.write(telling, _refused(start, error))
            os._exit(1)
        if pid == 0:
            os.close(telling)
            become(start, descriptors, keeper)
            return
    except BaseException as error:  # noqa: BLE001  this is a child: whatever happens, it must not serve
        os.write(2, f"penstock: {error}\n".encode())
        os._exit(127)
    try:
        for each in descriptors:
            os.close(each)
        os.write(telling, _message(Began(start.number, pid)))
        _wait(start.number, pid, telling)
    finally:
        os.kill(keeper, signal.SIGKILL)  # an exit code would say that nothing is left


def _wait(number: int, run: int, telling: int) -> NoReturn:
    """In a keeper: end when nothing is left of what the run has started; tell before that how its process ended.

    Of a process that leaves nothing behind nothing is told: its keeper ends with its exit code. So whoever hears
    that it is gone need not look for anybody.
    """
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            os._exit(0)
        if pid != run:
            continue
        code = os.waitstatus_to_exitcode(status)
        if code >= 0 and _is_childless():
            os._exit(code)
        os.write(telling, _message(Ended(number, code)))


def _is_childless() -> bool:
    """Whether this keeper has no living child, orphans that it has adopted among them. The dead ones are buried."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _message(told: Told) -> bytes:
    data = msgspec.msgpack.encode(told)
    return HEAD.pack(len(data)) + data


def _refused(start: Start, error: OSError) -> bytes:
    return _message(Refused(start.number, f"No process could be made: {error.strerror}"))


def become(start: Start, descriptors: list[int], keeper: int) -> None:
    """In a child of a keeper: be the process of a run. May execute something else, and then never returns."""
    os.setsid()
    die_with(keeper)
    out, err = descriptors
    nothing = os.open(os.devnull, os.O_RDWR)
    for source, target in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(source, target)
    for each in (nothing, out, err):
        os.close(each)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(start.folder)
    if start.argv is not None:
        for ignored in ("SIGPIPE", "SIGXFSZ"):  # by Python; what is executed may not know
            if hasattr(signal, ignored):
                signal.signal(getattr(signal, ignored), signal.SIG_DFL)
        try:
            os.execvpe(start.argv[0], start.argv, start.env)  # noqa: S606  what a deployment names; no shell is wanted
        except OSError as error:
            raise OSError(f"`{start.argv[0]}` cannot be executed: {error.strerror}") from None
    os.environ.clear()
    os.environ.update(start.env)
    time.tzset()
    sys.argv[:] = ["penstock"]
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115  for as long as it lives
    # What a flow prints is to be seen when it is printed: a line at a time.
    sys.stdout = sys.__stdout__ = _opened(1)
    sys.stderr = sys.__stderr__ = _opened(2)
    numbers: Any = sys.modules.get("numpy.random")
    if numbers is not None:
        numbers.seed()  # preloaded: otherwise all runs would draw the same


def _opened(descriptor: int) -> TextIO:
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _write_mark(env: dict[str, str]) -> None:
    """Write which run this is to where the system reads the environment of a process that was forked, not executed.

    Children that are forked in turn inherit it; those that are executed get it by their environment.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    library.getenv.restype = ctypes.c_void_p
    for name, room in PLACEHOLDERS.items():
        place = library.getenv(name.encode())
        value = env[name].rjust(len(room), "0").encode()
        if place and ctypes.string_at(place) == room.encode() and len(value) == len(room):
            ctypes.memmove(place, value, len(value))


_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def die_with(parent: int) -> None:
    """Have the system end this process when its parent, of that id, ends (where it can)."""
    if _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) and os.getppid() != parent:
        os._exit(1)  # it ended before


def adopt_orphans() -> None:
    """Become the parent of whatever children leave behind (where the system can)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    return ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
