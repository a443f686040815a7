"""What reaches a terminal, and what does not."""

from __future__ import annotations

import io
from typing import Any

import pytest

from penstock import errors
from penstock.cli.terminal import Declined, Terminal, clean, one_line


class Screen(io.StringIO):
    def isatty(self: Any) -> bool:
        return True


def terminal(*, tty: bool = True, answer: str = "", **environ: str) -> Terminal:
    kind = Screen if tty else io.StringIO
    return Terminal(kind(), kind(), kind(answer), environ)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;new title\x07after", "after"),
        ("\x1b]52;c;Y2xpcGJvYXJk\x1b\\after", "after"),
        ("\x1b]8;;http://evil\x1b\\link", "link"),
        ("\x9b2Jgone", "gone"),
        ("a\x08\x08b\x00c", "abc"),
        ("over\rwritten", "overwritten"),
        ("name\u202egnp.exe", "namegnp.exe"),
        ("two\r\nlines\tand a tab", "two\nlines\tand a tab"),
        ("unfinished \x1b]0;title\nnext line stays", "unfinished \nnext line stays"),
        ("naïve 日本語 🚰", "naïve 日本語 🚰"),
    ],
)
def test_what_a_terminal_would_obey_is_taken_out(text: str, shown: str):
    assert clean(text) == shown


def test_a_text_on_one_line_has_spaces_for_line_ends_and_tabs():
    assert one_line("a\nb\t\tc\r\n") == "a b c "


def test_colours_are_shown_on_a_terminal_only():
    assert terminal().paint("x", "red") == "\x1b[31mx\x1b[0m"
    assert terminal(tty=False).paint("x", "red") == "x"


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_the_environment_can_turn_colours_off(environ: dict[str, str]):
    assert terminal(tty=True, **environ).paint("x", "red") == "x"


def test_the_environment_can_turn_colours_on():
    assert terminal(tty=False, FORCE_COLOR="1").paint("x", "bold", "red") == "\x1b[1;31mx\x1b[0m"


def test_an_option_wins_over_the_environment():
    screen = Screen()

    assert Terminal(screen, screen, None, {"FORCE_COLOR": "1"}, colour=False).paint("x", "red") == "x"


@pytest.mark.parametrize("answer", ["y\n", "YES\n"])
def test_a_question_is_answered_by_yes(answer: str):
    terminal(answer=answer).confirm("Sure?", yes=False)


@pytest.mark.parametrize("answer", ["", "\n", "n\n", "yep\n"])
def test_any_other_answer_means_no(answer: str):
    with pytest.raises(Declined):
        terminal(answer=answer).confirm("Sure?", yes=False)


def test_nobody_is_asked_where_there_is_no_terminal():
    with pytest.raises(errors.UsageError) as raised:
        terminal(tty=False, answer="y\n").confirm("Delete it?", yes=False)

    assert str(raised.value) == "Delete it? Nobody can be asked here\nhint: say `--yes` to do it"


def test_a_closed_stream_is_no_terminal():
    closed = io.StringIO()
    closed.close()

    assert not Terminal(closed, closed, closed, {}).out_is_tty


def test_a_tiny_terminal_counts_as_one_of_twenty_columns():
    assert terminal(COLUMNS="3").width == 20
