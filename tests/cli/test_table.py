"""Tables that fit."""

from __future__ import annotations

import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from penstock.cli import table
from penstock.cli.table import Cell, Column
from penstock.cli.terminal import Terminal


class Screen(io.StringIO):
    encoding = "utf-8"

    def isatty(self: Any) -> bool:
        return True


SCREEN = Terminal(Screen(), Screen(), None, {"NO_COLOR": "1"})
COLUMNS = (Column("NAME"), Column("COUNT", right=True, shrinks=False))


def test_columns_are_aligned_below_their_headings():
    rows = [[Cell("one"), Cell("1")], [Cell("日本"), Cell("1,000")]]

    assert table.draw(SCREEN, COLUMNS, rows, width=None) == (
        "NAME  COUNT\n"
        "one       1\n"
        "日本  1,000"
    )  # fmt: skip


def test_a_narrow_terminal_costs_the_widest_column_its_end():
    rows = [[Cell("a long name of a run"), Cell("7")]]

    assert table.draw(SCREEN, COLUMNS, rows, width=20) == (
        "NAME           COUNT\n"
        "a long name …      7"
    )  # fmt: skip


def test_before_any_text_is_cut_the_last_column_that_matters_less_goes():
    columns = (Column("NAME"), Column("POOL", drops=True), Column("NEXT", shrinks=False), Column("ID", drops=True))
    rows = [[Cell("nightly"), Cell("default"), Cell("04:00"), Cell("01a2")]]

    def drawn(width: int) -> list[str]:
        return table.draw(SCREEN, columns, rows, width=width).split("\n")

    assert drawn(29) == ["NAME     POOL     NEXT   ID", "nightly  default  04:00  01a2"]
    assert drawn(28) == ["NAME     POOL     NEXT", "nightly  default  04:00"]
    assert drawn(22) == ["NAME     NEXT", "nightly  04:00"]
    assert drawn(12) == ["NAME   NEXT", "nigh…  04:00"]


def test_a_row_stays_on_its_line_whatever_is_in_it():
    assert table.plain([[Cell("two\nlines"), Cell("a\ttab")]]) == "two lines\ta tab"


def test_values_of_several_lines_stay_below_each_other():
    assert table.pairs(SCREEN, [("a", Cell("1\n2")), ("long", Cell("3"))]) == "a     1\n      2\nlong  3"


@given(st.text(max_size=40), st.integers(0, 50))
def test_a_cut_text_is_never_wider_than_its_room(text: str, width: int):
    assert table.text_width(table.cut(text, width, "…")) <= max(width, 0)


@given(st.lists(st.text(max_size=60), min_size=1, max_size=5), st.integers(20, 200))
def test_a_table_fits_when_its_columns_may_shrink(texts: list[str], width: int):
    columns = (Column("a"), Column("b"))
    drawn = table.draw(SCREEN, columns, [[Cell(text), Cell(text)] for text in texts], width=width)

    assert len(drawn.split("\n")) == len(texts) + 1
    assert all(table.text_width(line) <= width for line in drawn.split("\n"))


def test_a_heading_out_of_data_cannot_speak_to_the_terminal():
    shown = table.draw(SCREEN, (Column("a\x1b]0;b\x07\nc"),), [[Cell("1")]], width=None)

    assert not {"\x1b", "\x07"} & set(shown)
    assert len(shown.split("\n")) == 2
