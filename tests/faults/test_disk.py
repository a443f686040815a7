"""Disks that are full or broken under a run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import errors, flow, task
from penstock.core import records
from penstock.engine.context import current
from penstock.journal import reader, writer
from penstock.journal.ballast import Ballast
from penstock.journal.folder import JournalFolder
from penstock.journal.writer import JournalWriter


@pytest.fixture(autouse=True)
def _silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_PROGRESS", "off")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of half a MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting takes privileges that are not there")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def journal_of(run: Any) -> JournalWriter:
    return run.attempt.journal


def fill(disk: Path) -> None:
    """Leave no byte of room."""
    filler = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT)
    for size in (4096, 1):
        try:
            while True:
                os.write(filler, bytes(size))
        except OSError:
            continue
    os.close(filler)


def breaking(run: Any, device: str = "/proc/self/mem") -> None:
    """From now on each write to the run's journal fails: with EIO, by what this file is."""
    journal = journal_of(run)
    broken = os.open(device, os.O_WRONLY)
    os.dup2(broken, journal._descriptor)
    os.close(broken)


def said(home: Path) -> list[Any]:
    folder = JournalFolder(home / "journals")
    return [
        each for run in folder.run_ids() for journal in folder.journals(run) for each in reader.read_all(journal.path)
    ]


@task
def work(number: int) -> int:
    return number


def test_on_a_real_disk_that_is_full_the_ballast_lets_the_run_end(small_disk: Path, monkeypatch: pytest.MonkeyPatch):
    home = small_disk / "home"
    home.mkdir()
    monkeypatch.setenv("PENSTOCK_HOME", str(home))
    assert Ballast(home / "ballast", 64 << 10).ensure()

    @flow
    def main() -> int:
        work(1)
        fill(small_disk)
        return sum(work(number) for number in range(100))

    assert main() == 4950
    assert not (home / "ballast").exists()
    assert len([each for each in said(home) if isinstance(each, records.TaskRunEnded)]) == 101


def test_on_a_real_disk_without_ballast_the_run_stops_and_what_was_recorded_can_be_read(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
):
    home = small_disk / "home"
    monkeypatch.setenv("PENSTOCK_HOME", str(home))

    @flow
    def main() -> int:
        work(1)
        fill(small_disk)
        return sum(work(number) for number in range(1000))

    with pytest.raises(errors.StorageFull, match="free some space, then continue"):
        main()
    found = said(home)
    assert isinstance(found[0], records.JournalOpened)
    assert [each.type for each in found if isinstance(each, records.TaskRunEnded)].count("COMPLETED") >= 1
    assert [each for each in found if isinstance(each, records.FlowRunEnded)] == []


def test_when_recording_fails_the_process_ends_with_70_and_says_why(home: Path, capsys: pytest.CaptureFixture[str]):
    ran: list[int] = []

    @task
    def notes(number: int) -> None:
        ran.append(number)

    @flow
    def main() -> None:
        notes(1)
        breaking(current())
        notes(2)
        notes(3)

    with pytest.raises(SystemExit) as caught:
        main()

    assert caught.value.code == 70
    assert 3 not in ran
    assert "Recording failed" in capsys.readouterr().err
    assert [each for each in said(home) if isinstance(each, records.FlowRunEnded)] == []


def test_code_that_swallows_everything_cannot_go_on_as_if_it_had_been_recorded(home: Path):
    @flow
    def main() -> str:
        breaking(current())
        for number in range(3):
            try:
                work(number)
            except BaseException:  # noqa: BLE001  that is its point
                continue
        return "went on"

    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 70


def test_submitted_tasks_that_cannot_be_recorded_end_the_process_too(home: Path):
    @flow
    def main() -> str:
        breaking(current())
        futures = [work.submit(number) for number in range(3)]
        for each in futures:
            each.wait()
        return "went on"

    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 70


@pytest.mark.slow
def test_a_script_whose_disk_breaks_exits_with_70(tmp_path: Path, home: Path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os\nfrom penstock import flow, task\nfrom penstock.engine.context import current\n"
        "@task\ndef work(n): return n\n"
        "@flow\ndef main():\n"
        "    work(1)\n"
        "    os.dup2(os.open('/proc/self/mem', os.O_WRONLY), current().attempt.journal._descriptor)\n"
        "    work(2)\n"
        "main()\nprint('went on')\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)

    assert (ended.returncode, ended.stdout) == (70, "")
    assert "penstock: Recording failed" in ended.stderr


def test_a_run_can_be_resumed_once_the_disk_is_mended(home: Path, monkeypatch: pytest.MonkeyPatch):
    ran: list[int] = []
    broken = [True]

    @task
    def notes(number: int) -> int:
        ran.append(number)
        return number

    @flow
    def main() -> int:
        notes(1)
        if broken:
            broken.clear()
            # A full disk can still be synced, /dev/full cannot.
            monkeypatch.setattr(writer, "_datasync", lambda descriptor: None)
            breaking(current(), "/dev/full")
        return notes(2)

    with pytest.raises(errors.StorageFull):
        main()
    (run_id,) = JournalFolder(home / "journals").run_ids()

    assert main.resume(run_id) == 2
    assert ran in ([1, 2, 2], [1, 2])
