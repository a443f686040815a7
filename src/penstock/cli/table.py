"""Tables: for people on a terminal, and for programs behind a pipe."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from penstock.cli.terminal import Terminal, one_line

GAP = "  "
MIN_WIDTH = 4


class Cell(NamedTuple):
    """A text and how it is painted."""

    text: str
    style: str = ""


class Column(NamedTuple):
    """A heading; ``right`` aligns numbers. On a narrow terminal, what ``drops`` goes first; what ``shrinks`` is cut."""

    title: str
    right: bool = False
    shrinks: bool = True
    drops: bool = False


def draw(terminal: Terminal, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, width: int | None) -> str:
    """A table with headings. Until it fits ``width``, columns drop that may, from the right; then the widest shrink."""
    titles = [one_line(column.title) for column in columns]
    texts = [[one_line(cell.text) for cell in row] for row in rows]
    widths = [
        max([text_width(title), *(text_width(row[index]) for row in texts)]) for index, title in enumerate(titles)
    ]
    if width is not None:
        widths = _fitted(columns, widths, width)
    drawn = [[Cell(title, "bold") for title in titles]]
    drawn += [
        [Cell(text, cell.style) for text, cell in zip(row, cells, strict=True)]
        for row, cells in zip(texts, rows, strict=True)
    ]
    return "\n".join(_line(terminal, columns, widths, cells) for cells in drawn)


def plain(rows: Sequence[Sequence[Cell]]) -> str:
    """A line for each row, its cells separated by tabs: nothing cut, nothing painted, no headings."""
    return "\n".join("\t".join(one_line(cell.text) for cell in row) for row in rows)


def pairs(terminal: Terminal, rows: Sequence[tuple[str, Cell]], *, indent: str = "") -> str:
    """Labels and values, the values aligned, those of several lines below their labels; empty values are left out."""
    rows = [row for row in rows if row[1].text]
    width = max((len(label) for label, _ in rows), default=0)
    lines: list[str] = []
    for label, cell in rows:
        first, *more = cell.text.split("\n")
        head = terminal.paint(f"{label:<{width}}", "dim")
        lines.append(f"{indent}{head}{GAP}{_painted(terminal, one_line(first), cell.style)}".rstrip())
        lines += [f"{indent}{' ' * width}{GAP}{_painted(terminal, one_line(line), cell.style)}" for line in more]
    return "\n".join(lines)


def text_width(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def cut(text: str, width: int, ellipsis: str) -> str:
    """The text, or its beginning and an ellipsis, in at most ``width`` columns."""
    if text_width(text) <= width:
        return text
    room = max(0, width - len(ellipsis))
    kept: list[str] = []
    for char in text:
        room -= _char_width(char)
        if room < 0:
            break
        kept.append(char)
    return ("".join(kept) + ellipsis)[:width] if width < len(ellipsis) else "".join(kept) + ellipsis


def _char_width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def _fitted(columns: Sequence[Column], widths: list[int], width: int) -> list[int]:
    """How wide each column is then; 0 for one that is dropped."""
    fitted = list(widths)
    excess = sum(fitted) + len(GAP) * (len(fitted) - 1) - width
    for index in reversed(range(len(columns))):
        if excess > 0 and columns[index].drops:
            excess -= fitted[index] + len(GAP)
            fitted[index] = 0
    while excess > 0:
        candidates = [index for index, column in enumerate(columns) if column.shrinks and fitted[index] > MIN_WIDTH]
        if not candidates:
            break
        widest = max(candidates, key=lambda index: fitted[index])
        fitted[widest] -= 1
        excess -= 1
    return fitted


def _line(terminal: Terminal, columns: Sequence[Column], widths: list[int], cells: Sequence[Cell]) -> str:
    parts: list[str] = []
    for column, width, cell in zip(columns, widths, cells, strict=True):
        if column.drops and not width:
            continue
        text = cut(cell.text, width, terminal.ellipsis)
        padding = " " * (width - text_width(text))
        painted = _painted(terminal, text, cell.style)
        parts.append(padding + painted if column.right else painted + padding)
    return GAP.join(parts).rstrip()


def _painted(terminal: Terminal, text: str, style: str) -> str:
    return terminal.paint(text, *style.split()) if style else text
