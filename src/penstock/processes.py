"""Processes of this machine: who belongs to a run, ending them all, and why one is gone.

A run's processes are those of its process group and session, those whose environment says so
(``PENSTOCK_RUN_ID``, ``PENSTOCK_ATTEMPT``: children inherit it, also those that left the group), and what these
have started.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

RUN_ID = "PENSTOCK_RUN_ID"
ATTEMPT = "PENSTOCK_ATTEMPT"

_RUN_ID = f"{RUN_ID}=".encode()
_ATTEMPT = f"{ATTEMPT}=".encode()


class Mark(NamedTuple):
    """The attempt of a run to which a process belongs."""

    run_id: str
    attempt: int


class Process(NamedTuple):
    """A process, as the system lists it."""

    pid: int
    parent: int
    group: int
    session: int
    is_dead: bool
    """It has ended, and its parent has not asked how."""
    began: int
    """When, in ticks since the machine was started: a later process of the same number has begun later."""


def marked(pid: int) -> Mark | None:
    """The attempt that a process says it belongs to. Raises `OSError` when there is no file to see that by."""
    try:
        variables = _content(f"/proc/{pid}/environ").split(b"\0")
    except OSError as error:
        if is_scarcity(error):
            raise
        return None  # it is gone, or not ours
    run_id = attempt = b""
    for each in variables:
        if each.startswith(_RUN_ID):
            run_id = each.removeprefix(_RUN_ID)
        elif each.startswith(_ATTEMPT):
            attempt = each.removeprefix(_ATTEMPT)
    number = attempt.decode("ascii", "replace").strip()
    return Mark(run_id.decode("ascii", "replace"), int(number)) if number.isdecimal() else None


def is_scarcity(error: OSError) -> bool:
    """Whether the system has no more files, processes or memory to give, at present."""
    return error.errno in _SCARCE


_SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})


def open_files() -> int | None:
    """How many files this process may have open; None where there is no limit, or nobody says."""
    try:
        import resource  # noqa: PLC0415  POSIX only
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def limit_open_files(count: int) -> None:
    """Let this process, and those that it starts, have so many files open, or as many as the system allows.

    Systems let a process open few, unless it asks for more.
    """
    import resource  # noqa: PLC0415  POSIX only

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count if hard == resource.RLIM_INFINITY else min(count, hard), hard))


def allow_open_files(count: int) -> None:
    """Let this process have at least so many files open, as far as the system allows it."""
    allowed = open_files()
    if allowed is not None and allowed < count:
        limit_open_files(count)


def every() -> list[Process]:
    """All processes that the system shows; none where it has no ``/proc``.

    Raises `OSError` when there is no file to see them by: nobody is to take them for gone.
    """
    found: list[Process] = []
    try:
        names = os.listdir("/proc")
    except OSError as error:
        if is_scarcity(error):
            raise
        return []
    for name in names:
        if name.isdecimal():
            process = _process(int(name))
            if process is not None:
                found.append(process)
    return found


def _process(pid: int) -> Process | None:
    try:
        # The name, in parentheses, may hold anything; what follows its last one does not.
        fields = _content(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except OSError as error:
        if is_scarcity(error):
            raise
        return None
    return Process(pid, int(fields[1]), int(fields[2]), int(fields[3]), fields[0] in (b"Z", b"X"), int(fields[19]))


def _content(path: str) -> bytes:
    """The whole of a file; in half the time that an object for it takes, as there are many to be read."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        pieces = [os.read(descriptor, 1 << 16)]
        while pieces[-1]:
            pieces.append(os.read(descriptor, 1 << 16))
    finally:
        os.close(descriptor)
    return b"".join(pieces)


def of_attempt(mark: Mark, leader: int | None = None, *, is_led: bool = True, older: bool = False) -> list[int]:
    """The living processes of an attempt.

    ``leader`` is the process that was started for it, at the head of a session and group of its own; ``is_led`` says
    whether it may still be there. With ``older``, those of the run's earlier attempts as well.
    """
    listed = [process for process in every() if process.pid != os.getpid()]
    if not is_led and any(process.pid == leader and not process.is_dead for process in listed):
        leader = None  # the number is another's by now, and so may groups be
    found = {process.pid for process in listed if _belongs(process, mark, leader, older=older)}
    return _living(listed, found | _started_by(listed, found))


def lives(process: Process) -> bool:
    """Whether this very process, and not a later one of its number, still lives."""
    now = _process(process.pid)
    return now is not None and now.began == process.began and not now.is_dead


def tree(pids: set[int]) -> list[Process]:
    """Those of these processes that live, and whatever they have started, but for this one."""
    listed = every()
    found = pids | _started_by(listed, pids)
    return [each for each in listed if each.pid in found and not each.is_dead and each.pid != os.getpid()]


def below(pid: int) -> list[int]:
    """The living processes that a process has started, directly or not."""
    listed = every()
    return _living(listed, _started_by(listed, {pid}))


def _started_by(listed: list[Process], pids: set[int]) -> set[int]:
    found: set[int] = set()
    newest = pids
    while newest:
        newest = {process.pid for process in listed if process.parent in newest} - found - pids
        found |= newest
    return found


def _living(listed: list[Process], pids: set[int]) -> list[int]:
    return [process.pid for process in listed if process.pid in pids and not process.is_dead]


def _belongs(process: Process, mark: Mark, leader: int | None, *, older: bool) -> bool:
    if leader is not None and leader in (process.pid, process.group, process.session):
        return True
    says = marked(process.pid)
    if says is None or says.run_id != mark.run_id:
        return False
    return says.attempt == mark.attempt or (older and says.attempt < mark.attempt)


def tell_to_end(leader: int) -> None:
    """SIGTERM to the process group of a run; to its leader alone while it has only just been made, and leads none."""
    with suppress(ProcessLookupError, PermissionError):
        try:
            os.killpg(leader, signal.SIGTERM)
        except ProcessLookupError:
            os.kill(leader, signal.SIGTERM)


def kill(pids: list[int]) -> None:
    """SIGKILL to each."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def kill_all(living: Callable[[], list[int]], wait: Callable[[int], None]) -> None:
    """Kill until there are none. ``wait`` is called, with how often it was, between looks.

    A look takes a while: a process that changes its parent meanwhile may be missed, so the last look is repeated. Where
    there is no file to look by, that is waited for.
    """
    looks = misses = 0
    while misses < 2:
        try:
            found = living()
        except OSError as error:
            if not is_scarcity(error):
                raise
            wait(looks)
            looks += 1
            continue
        misses = 0 if found else misses + 1
        if not found and not looks:
            return
        kill(found)
        wait(looks)
        looks += 1


def how_it_ended(status: int, *, out_of_memory: bool = False) -> str:
    """The end of a process in a sentence, of its exit code (or, less than 0, the signal that ended it)."""
    if status >= 0:
        return f"Its process exited with code {status}"
    name = ""
    with suppress(ValueError):
        name = f" ({signal.Signals(-status).name})"
    reason = "; the system was out of memory" if out_of_memory and -status == signal.SIGKILL else ""
    return f"Its process was ended by signal {-status}{name}{reason}"


def out_of_memory_kills() -> int:
    """How many processes the system has killed for want of memory, as far as it tells: compare two answers."""
    return sum(_counted(path, b"oom_kill") for path in _memory_files())


def _memory_files() -> Iterator[str]:
    if not sys.platform.startswith("linux"):
        return
    yield "/proc/vmstat"
    try:
        with open("/proc/self/cgroup", encoding="ascii", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield f"/sys/fs/cgroup{path}/memory.events"
        elif "memory" in controllers.split(","):
            yield f"/sys/fs/cgroup/memory{path}/memory.oom_control"


def _counted(path: str, name: bytes) -> int:
    try:
        with open(path, "rb") as file:
            for line in file:
                found, _, number = line.partition(b" ")
                if found == name:
                    return int(number)
    except (OSError, ValueError):
        pass
    return 0
