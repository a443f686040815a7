"""Journals to write to, and disks that fail the way disks do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.core import records
from penstock.journal.writer import JournalWriter

OPENED = records.JournalOpened(1, "run", 1, "main", "host", "boot", 1, 0, "0.1.0")


def line(number: int, text: str = "") -> records.LogLine:
    return records.LogLine(number, "run", None, 20, "test", text)


@pytest.fixture
def new_writer(tmp_path: Path) -> Iterator[Callable[..., JournalWriter]]:
    """``new_writer(sync="always")``: a writer of a new journal, closed after the test."""
    made: list[JournalWriter] = []

    def new(**options: Any) -> JournalWriter:
        made.append(JournalWriter(tmp_path / f"{len(made) + 1}.main.journal", OPENED, **options))
        return made[-1]

    yield new
    for writer in made:
        try:
            writer.close()
        except Exception:  # noqa: BLE001  its disk is broken, as the test wanted
            continue


class Disk:
    """Puts something that fails under an open journal: the errors are the system's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._saved: dict[JournalWriter, int] = {}

    def _replace(self, writer: JournalWriter, descriptor: int) -> None:
        if writer not in self._saved:
            self._saved[writer] = os.dup(writer._descriptor)
        os.dup2(descriptor, writer._descriptor)
        os.close(descriptor)

    def fill_up(self, writer: JournalWriter) -> None:
        """Writes fail with ENOSPC; what was written before is synced, which /dev/full refuses."""
        self._monkeypatch.setattr("penstock.journal.writer._datasync", lambda descriptor: None)
        self._replace(writer, os.open("/dev/full", os.O_WRONLY))

    def break_writes(self, writer: JournalWriter) -> None:
        """Writes fail with EIO."""
        self._replace(writer, os.open("/proc/self/mem", os.O_WRONLY))

    def break_syncs(self, writer: JournalWriter) -> None:
        """Writes succeed, syncs fail."""
        self._read_end, write_end = os.pipe()
        self._replace(writer, write_end)

    def mend(self, writer: JournalWriter) -> None:
        """All is well again."""
        os.dup2(self._saved[writer], writer._descriptor)

    def close(self) -> None:
        for descriptor in self._saved.values():
            os.close(descriptor)
        if hasattr(self, "_read_end"):
            os.close(self._read_end)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(monkeypatch)
    yield disk
    disk.close()
