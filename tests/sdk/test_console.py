"""What a run started by hand shows on the terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import sys
import termios
from pathlib import Path

import pytest

from penstock import flow
from penstock.sdk import console


@pytest.mark.parametrize(("columns", "width"), [(100, 100), (0, 80)])
def test_the_progress_is_as_wide_as_the_terminal_and_80_if_that_does_not_know(
    columns: int, width: int, monkeypatch: pytest.MonkeyPatch
):
    ours, theirs = pty.openpty()
    with os.fdopen(ours), os.fdopen(theirs, "w") as terminal:
        termios.tcsetwinsize(terminal, (24, columns))
        monkeypatch.setattr(sys, "stderr", terminal)

        assert console.width() == width


@flow
def failing() -> None:
    raise ValueError


def test_what_is_no_terminal_is_80_wide(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    assert console.width() == 80


@pytest.mark.parametrize("name", ["a; reboot", "-rf", "\x1b]0;pwned\x07", "\u202eeman", "two\nlines"])
def test_a_name_made_of_data_is_not_put_on_the_command_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
):
    monkeypatch.setenv("PENSTOCK_PROGRESS", "plain")

    failing.with_options(flow_run_name=name)(return_state=True)

    last = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"penstock flow-run resume [0-9a-f-]{36}$", last)
