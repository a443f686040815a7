"""SQL is SQL: reads the ``.sql`` files, one per noun, into statements with names.

A file is a sequence of blocks, each ``-- name: …`` with a sentence of what it does and one statement
that SQLite runs as it stands. What the loader does to it:

- ``:name`` is a value. Where a tuple is handed in, it becomes as many values: ``id IN (:ids)``.
- A line that ends in ``-- when :name is given`` is left out if that value is None.
- ``this /*postgres that */``: for Postgres, the word or parenthesis before the mark becomes ``that``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "queries"
_BLOCK = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_VALUE = re.compile(r"(?<![:\w]):([a-z_]\w*)")
_CONDITION = re.compile(r"--\s*when :(\w+) is given\s*$")
_POSTGRES = re.compile(r"(\S*)\s*/\*postgres ([^*]*)\*/")


class Statement:
    """A named piece of SQL, and the text of it for the values at hand."""

    __slots__ = ("_lines", "_texts", "name", "names", "text")

    def __init__(self, name: str, lines: list[str]) -> None:
        self.name = name
        self._lines = [(line, _condition(line)) for line in lines]
        self._texts: dict[tuple[Any, ...], tuple[str, tuple[str, ...]]] = {}
        self.text, self.names = _with_marks("\n".join(lines), {})

    def given(self, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """The text for these values, with ``?`` for each, and the values in their order."""
        shape = tuple(_shape(value) for value in values.values())
        key = (*values, *shape)
        known = self._texts.get(key)
        if known is None:
            lines = [line for line, needs in self._lines if needs is None or values.get(needs) is not None]
            known = self._texts[key] = _with_marks("\n".join(lines), values)
        text, names = known
        ordered: list[Any] = []
        for name in names:
            value = values[name]
            if isinstance(value, tuple):
                ordered.extend(value)
            else:
                ordered.append(value)
        return text, ordered


@cache
def statements(noun: str, dialect: str = "sqlite") -> dict[str, Statement]:
    """The statements of ``queries/<noun>.sql`` by name, in the order of the file."""
    text = (_FOLDER / f"{noun}.sql").read_text("utf-8")
    return {name: Statement(name, _code(body, dialect)) for name, body in _blocks(text)}


def nouns() -> list[str]:
    """The nouns that have a file of queries."""
    return sorted(path.stem for path in _FOLDER.glob("*.sql"))


def _blocks(text: str) -> list[tuple[str, str]]:
    parts = _BLOCK.split(text)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def _code(body: str, dialect: str) -> list[str]:
    lines = [line for line in body.splitlines() if line.strip() and not line.startswith("--")]
    if dialect == "postgres":
        lines = [_POSTGRES.sub(r"\2", line) for line in lines]
    else:
        lines = [re.sub(r"\s*/\*postgres [^*]*\*/", "", line) for line in lines]
    return lines


def _condition(line: str) -> str | None:
    found = _CONDITION.search(line)
    return found[1] if found else None


def _shape(value: Any) -> int:
    """What about a value changes the text: whether it is given, and how many it stands for."""
    if value is None:
        return -1
    return len(value) if isinstance(value, tuple) else 0


def _with_marks(text: str, values: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    names: list[str] = []

    def mark(found: re.Match[str]) -> str:
        names.append(found[1])
        value = values.get(found[1])
        return ", ".join("?" * len(value)) if isinstance(value, tuple) else "?"

    code = "\n".join(line.partition("--")[0].rstrip() for line in text.splitlines())
    return _VALUE.sub(mark, code), tuple(names)
