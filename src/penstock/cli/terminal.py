"""The terminal: data goes to stdout, messages go to stderr, and nothing that a run says can steer either."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TextIO

from penstock import errors

STYLES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36}

# Texts, which are compiled when there is something to clean: mostly there is not.
_SEQUENCES = (
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, moves, erasures
    r"|\x9b[0-?]*[ -/]*[@-~]"  # the same, in one character
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # titles, links, clipboards
    r"|\x1b[ -/]*[0-~]"
)
_CONTROLS = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
_SPACES = r"[\n\t\r\u2028\u2029]+"


def clean(text: str) -> str:
    """The text without what a terminal would obey: escape sequences, control and direction characters."""
    if text.isprintable():
        return text
    return re.sub(_CONTROLS, "", re.sub(_SEQUENCES, "", text.replace("\r\n", "\n")))


def one_line(text: str) -> str:
    """The text, clean, and on one line."""
    return clean(re.sub(_SPACES, " ", text)) if not text.isprintable() else text


class Terminal:
    """Where a command writes and, on a terminal, asks.

    ``colour`` None: where there is a terminal, unless the environment says otherwise
    (``NO_COLOR``, ``FORCE_COLOR``, ``TERM=dumb``).
    """

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        stdin: TextIO | None,
        environ: Mapping[str, str],
        *,
        colour: bool | None = None,
        quiet: bool = False,
        verbose: bool = False,
        may_ask: bool = True,
    ) -> None:
        self.out = out
        self.err = err
        self.stdin = stdin
        self.quiet = quiet
        self.verbose = verbose
        self.out_is_tty = _is_tty(out)
        self.err_is_tty = _is_tty(err)
        self.colours_out = _colours(environ, asked=colour, is_tty=self.out_is_tty)
        self.colours_err = _colours(environ, asked=colour, is_tty=self.err_is_tty)
        self.may_ask = may_ask and self.err_is_tty and stdin is not None and _is_tty(stdin)
        columns = environ.get("COLUMNS", "")
        self._columns = int(columns) if columns.isdecimal() else 0
        self.is_unicode = (getattr(out, "encoding", None) or "").lower().replace("-", "") == "utf8"

    @property
    def width(self) -> int:
        """Columns of the terminal; at least 20, so that there is always room for something."""
        return max(20, self._columns or _columns_of(self.out))

    @property
    def room(self) -> int | None:
        """How wide a table may be: as the terminal is; None where there is none, and nothing is cut."""
        return self.width if self.out_is_tty else None

    @property
    def ellipsis(self) -> str:
        return "…" if self.is_unicode else "..."

    def show_each_line(self) -> None:
        """From now on each line on stdout is seen at once, in a pipe or file too: code of users is about to print."""
        if isinstance(self.out, io.TextIOWrapper):
            self.out.reconfigure(line_buffering=True)

    def write(self, text: str) -> None:
        """Data: a line (or several) on stdout."""
        self.out.write(text + "\n")

    def tell(self, text: str) -> None:
        """What a command did, on stdout, unless ``--quiet``: for lines in the words that Prefect's scripts look for."""
        if not self.quiet:
            self.write(clean(text))
            self._show_data()

    def say(self, text: str) -> None:
        """A message on stderr, unless ``--quiet``."""
        if not self.quiet:
            self._message(clean(text))

    def detail(self, text: str) -> None:
        """A message for ``--verbose``."""
        if self.verbose and not self.quiet:
            self._message(self.paint(clean(text), "dim", err=True))

    def hint(self, text: str) -> None:
        """What to do next, on stderr, unless ``--quiet``."""
        if not self.quiet:
            self._message(f"{self.paint('hint:', 'cyan', err=True)} {clean(text)}")

    def warn(self, text: str) -> None:
        """A message that matters, even with ``--quiet``."""
        self._message(f"{self.paint('warning:', 'yellow', err=True)} {clean(text)}")

    def complain(self, error: errors.PenstockError) -> None:
        """An error, and what to do about it."""
        self._message(f"{self.paint('error:', 'red', err=True)} {clean(error.message)}")
        if error.hint:
            self._message(f"{self.paint('hint:', 'cyan', err=True)} {clean(error.hint)}")

    def _message(self, text: str) -> None:
        self._show_data()
        self.err.write(text + "\n")

    def _show_data(self) -> None:
        """Let what was written be seen now, in a pipe too: there, data and messages keep their order."""
        with suppress(OSError, ValueError):  # it stays in the buffer, and the end of the command tells
            self.out.flush()

    def confirm(self, question: str, *, yes: bool) -> None:
        """Return if the user agrees: by ``--yes``, or when asked on a terminal.

        Raises `UsageError` where nobody can be asked, `Declined` when the answer is not yes.
        """
        if yes:
            return
        if not self.may_ask or self.stdin is None:
            raise errors.UsageError(f"{question} Nobody can be asked here", hint="say `--yes` to do it")
        self.err.write(f"{question} [y/N] ")
        self.err.flush()
        if self.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise Declined("Nothing was changed")

    def paint(self, text: str, *styles: str, err: bool = False) -> str:
        """The text in these styles, where its stream shows colours."""
        if not (self.colours_err if err else self.colours_out) or not text or not styles:
            return text
        codes = ";".join(str(STYLES[style]) for style in styles)
        return f"\x1b[{codes}m{text}\x1b[0m"


class Declined(errors.PenstockError):
    """The user was asked, and did not say yes."""


def _is_tty(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (ValueError, OSError):  # closed
        return False


def _columns_of(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (ValueError, OSError):  # no terminal
        return 80


def _colours(environ: Mapping[str, str], *, asked: bool | None, is_tty: bool) -> bool:
    if asked is not None:
        return asked
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return is_tty and environ.get("TERM") != "dumb"
