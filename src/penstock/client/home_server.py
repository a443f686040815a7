"""The server that keeps a home on this machine: where it listens, whether it lives, and the key of the home's owner.

``<home>/server.json`` says where; ``<home>/server.lock`` is held by the server, so that the system itself tells when
it is gone, and is empty until the server has said where; ``<home>/token`` is a key to everything, which only the owner
of the home can read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

import msgspec

from penstock import errors
from penstock.clock import Clock
from penstock.files.local import make_folder, write_whole
from penstock.journal.folder import is_locked, lock

_TRIES = 20
_PAUSE_SECONDS = 0.01

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class HomeServer(msgspec.Struct, frozen=True, kw_only=True):
    """What a server tells of itself in the home that it keeps."""

    api_url: str
    pid: int
    started_at: int
    """Microseconds since 1970 UTC."""
    home_id: str
    store: Literal["sqlite", "postgres"]
    version: str


def last(home: Path) -> HomeServer | None:
    """The server that kept this home last, whether it still does or not."""
    try:
        return msgspec.json.decode((home / "server.json").read_bytes(), type=HomeServer)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def running(home: Path) -> HomeServer | None:
    """The server that keeps this home now; while it `is_starting`, as the one before it said."""
    return last(home) if is_locked(home / "server.lock") else None


def is_starting(home: Path) -> bool:
    """Whether a server keeps this home that has not said yet where it listens."""
    path = home / "server.lock"
    return is_locked(path) and not path.stat().st_size


def is_at(server: HomeServer, url: str) -> bool:
    """Whether a URL is that server's, however it names this machine."""
    return are_same(server.api_url, url)


def are_same(first: str, second: str) -> bool:
    """Whether two URLs are one server's, however they name this machine."""
    one, other = urlsplit(first), urlsplit(second)
    same_machine = {one.hostname, other.hostname} <= LOOPBACK or one.hostname == other.hostname
    return same_machine and one.port == other.port and one.scheme == other.scheme


def is_loopback(url: str) -> bool:
    """Whether a URL is on this machine."""
    return urlsplit(url).hostname in LOOPBACK


class Keeping:
    """Held by the server of a home for as long as it lives. Raises `StoreBusy` when there is one already."""

    def __init__(self, home: Path, clock: Clock) -> None:
        make_folder(home)
        self._home = home
        self._descriptor = os.open(home / "server.lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        for _ in range(_TRIES):
            if lock(self._descriptor, wait=False):
                os.ftruncate(self._descriptor, 0)
                break
            clock.sleep(_PAUSE_SECONDS)  # who asks whether a server lives holds the lock for a moment
        else:
            os.close(self._descriptor)
            other = None if is_starting(home) else last(home)
            who = f"process {other.pid}, at {other.api_url}" if other else "another process"
            raise errors.StoreBusy(
                f"A server keeps this home already ({who}): `{home}`",
                hint="`penstock server stop` ends it; PENSTOCK_HOME names another home",
            )

    def announce(self, server: HomeServer) -> None:
        """Tell others on this machine where the server listens."""
        write_whole(self._home / "server.json", msgspec.json.encode(server))
        os.pwrite(self._descriptor, b"%d\n" % server.pid, 0)

    def close(self) -> None:
        """Let another server keep the home."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def token(home: Path) -> str | None:
    """The key of the home's owner, if a server was ever started here."""
    try:
        return (home / "token").read_text("ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def provided_token(home: Path) -> str:
    """The key of the home's owner; made when there is none, or when others could read the one that there is."""
    path = home / "token"
    known = token(home)
    if known is not None and not path.stat().st_mode & 0o077:
        return known
    import secrets  # noqa: PLC0415  nearly everybody finds a key, and does not make one

    made = secrets.token_urlsafe(32)
    write_whole(path, f"{made}\n".encode())
    return made
