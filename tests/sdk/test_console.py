"""What a run started by hand shows on the terminal."""

from __future__ import annotations

import io
import os
import pty
import sys
import termios

import pytest

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


def test_what_is_no_terminal_is_80_wide(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    assert console.width() == 80
