"""The oracle sees what it is there for: each kind of lie is found out."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.lab import oracle
from tests.lab.lab import FLOWS, Lab
from tests.lab.ledgers import Effect
from tests.lab.oracle import Facts, examine, problems_of_fsck

from penstock import clock, settings
from penstock.core import records
from penstock.journal import frames
from penstock.orchestration import local
from penstock.orchestration.fold import JournalKey, as_piece, fold
from penstock.store.interface import Transaction

pytestmark = pytest.mark.slow


class Done(Lab):
    """A lab without servers, in whose home a flow was run."""

    def __init__(self, root: Path, home: Path) -> None:
        super().__init__(root)
        self.home = home
        program = [sys.executable, "-c", "from lab_flows import tiny; tiny(1)"]
        subprocess.run(program, env=self.environment(home, {"PYTHONPATH": str(FLOWS)}), check=True, capture_output=True)
        (self.run,) = {each.run_id for each in self.effects.all()}

    def facts(self, **otherwise: Any) -> Facts:
        found = Facts([self.run], self.effects.all(), ["a-secret"], [self.home], Counter())
        return found._replace(**otherwise)

    def wrong(self, **otherwise: Any) -> str:
        return "\n".join(examine(settings.load(), self.facts(**otherwise)).wrong)


@pytest.fixture
def done(tmp_path: Path, home: Path) -> Iterator[Done]:
    with Done(tmp_path, home) as lab:
        yield lab


def test_what_is_as_it_has_to_be_is_not_complained_about(done: Done):
    assert done.wrong() == ""


def test_what_was_acknowledged_and_is_not_there_is_found(done: Done):
    assert done.wrong(accepted=[done.run, "another"]) == "acknowledged and lost: another"


def test_what_was_done_and_nobody_asked_for_is_found(done: Done):
    stray = done.effects.all()[0]._replace(run_id="another")
    assert "executed, but not known: another" in done.wrong(effects=[*done.effects.all(), stray])


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_finished_task_that_was_done_again_is_found(done: Done, attempt: int):
    first, *_ = done.effects.all()
    assert "E1" in done.wrong(effects=[*done.effects.all(), first._replace(attempt=attempt)])


def test_a_task_that_says_it_is_finished_and_did_nothing_is_found(done: Done):
    assert "E1" in done.wrong(effects=done.effects.all()[1:])


def test_an_attempt_that_was_never_handed_out_is_found(done: Done):
    stray = Effect("began", done.run, "-", 7, 1, 0.0)
    assert "I4" in done.wrong(effects=[*done.effects.all(), stray])


def test_a_late_piece_of_an_attempt_that_is_over_is_found(done: Done, monkeypatch: pytest.MonkeyPatch):
    real = oracle._said
    monkeypatch.setattr(oracle, "_said", lambda *given: real(*given)._replace(attempts=(1, 2, 1)))
    assert "I4" in done.wrong()


def test_a_run_that_ended_twice_is_found(done: Done):
    again = records.FlowRunEnded(clock.SYSTEM.now(), done.run, "FAILED", "Failed")
    key = JournalKey(done.run, 1, "main")

    def end_again(tx: Transaction) -> None:
        cursor = tx.journals.cursor(*key)
        assert cursor is not None
        fold(tx, key, as_piece(frames.frame(records.encode(again)), cursor.end_offset))

    with local.open_home(settings.load(), clock.SYSTEM) as opened, opened.writing() as store:
        store.run(end_again)
    assert "I3" in done.wrong()
    assert done.wrong(reopened=Counter({done.run: 1})) == ""


def test_a_process_that_is_left_is_found(done: Done, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(oracle, "LEAVING_SECONDS", 0)
    environ = {"PENSTOCK_RUN_ID": done.run, "PENSTOCK_ATTEMPT": "1"}
    with subprocess.Popen([sys.executable, "-c", "input()"], env=environ, stdin=subprocess.PIPE) as process:
        try:
            assert f"I10: process {process.pid}" in done.wrong()
        finally:
            with suppress(BrokenPipeError):
                process.communicate(b"\n")


def test_a_secret_that_lies_about_is_found(done: Done):
    (done.home / "token").write_text("a-secret")
    assert done.wrong() == ""
    (done.home / "notes").write_text("this is a-secret that somebody wrote down")
    assert "I9" in done.wrong()


def test_what_fsck_finds_is_told_and_so_is_an_answer_that_makes_no_sense():
    assert problems_of_fsck(0, "[]") == []
    assert problems_of_fsck(1, '[{"kind": "rows", "message": "missing"}]') == ["fsck, rows: missing"]
    assert problems_of_fsck(1, "[]") == ["fsck ended with 1, and found nothing"]
    assert problems_of_fsck(1, "Traceback") == ["fsck gave no answer (exit code 1): Traceback"]
