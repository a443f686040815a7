"""The outbox of a home: attempts of runs started by hand whose journals a server elsewhere is to get.

A file for each, ``<run id>.<attempt>``, which holds the URL of the server's API, from when the attempt begins until
the server has all of it. As long as it is there, the attempt's journals are kept. Beside it, ``….refused`` says why the
server does not take them.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_NAME = re.compile(r"^([0-9a-f-]{36})\.(\d+)$")
_REFUSED = re.compile(r"^([0-9a-f-]{36})\.(\d+)\.refused$")


class Entry(NamedTuple):
    """An attempt, and the URL of the API to which its journals are to go."""

    run_id: str
    attempt: int
    url: str


class Outbox:
    """``<home>/outbox``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, entry: Entry) -> None:
        """Have the journals of an attempt sent. It survives a power failure once `sync` has returned."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._file(entry.run_id, entry.attempt), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, entry.url.encode())
        finally:
            os.close(descriptor)

    def sync(self, entry: Entry) -> None:
        """Make what was put survive a power failure."""
        for path in (self._file(entry.run_id, entry.attempt), self.path):
            with suppress(FileNotFoundError):  # it was sent meanwhile
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def entries(self) -> list[Entry]:
        """What is to be sent, oldest run first, and of a run the earliest attempt first."""
        found: list[Entry] = []
        for name in self._names():
            match = _NAME.match(name)
            try:
                url = (self.path / name).read_text("utf-8") if match else ""
            except OSError:
                continue  # it was sent meanwhile
            if match and url:
                found.append(Entry(match[1], int(match[2]), url))
        return sorted(found)

    def holds(self, run_id: str, attempt: int) -> bool:
        """Whether the journals of an attempt are still to be sent."""
        return self._file(run_id, attempt).exists()

    def remove(self, entry: Entry) -> None:
        """The server has all of it, or nobody will ever send it."""
        self._file(entry.run_id, entry.attempt).unlink(missing_ok=True)
        self._refusal(entry).unlink(missing_ok=True)

    def refuse(self, entry: Entry, reason: str) -> None:
        """The server does not take it, and will not if it is only asked again: until `ask_again`, nobody does."""
        self._refusal(entry).write_text(reason, "utf-8")

    def refused(self) -> set[tuple[str, int]]:
        """The attempts that a server does not take."""
        return {(match[1], int(match[2])) for name in self._names() if (match := _REFUSED.match(name))}

    def refusal(self, entry: Entry) -> str | None:
        """Why the server does not take it, if it was asked."""
        try:
            return self._refusal(entry).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def ask_again(self, url: str) -> None:
        """Something may have changed since the server at ``url`` has refused what it has."""
        refused = self.refused()
        for entry in self.entries() if refused else ():
            if entry.url == url and entry[:2] in refused:
                self._refusal(entry).unlink(missing_ok=True)

    def _file(self, run_id: str, attempt: int) -> Path:
        return self.path / f"{run_id}.{attempt}"

    def _refusal(self, entry: Entry) -> Path:
        return self.path / f"{entry.run_id}.{entry.attempt}.refused"

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.path)
        except FileNotFoundError:
            return []
