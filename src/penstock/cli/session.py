"""What a command is handed: the terminal, the settings, the time, and the home it asks."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from penstock import clock, errors, settings
from penstock.cli.options import GlobalOptions
from penstock.cli.terminal import Terminal

if TYPE_CHECKING:
    from penstock.orchestration.local import Home
    from penstock.store.interface import Transaction


class Session:
    """One call of the command line."""

    def __init__(
        self, terminal: Terminal, options: GlobalOptions, environ: Mapping[str, str], time: clock.Clock
    ) -> None:
        self.terminal = terminal
        self.options = options
        self.clock = time
        self.given = {**environ, "PENSTOCK_PROFILE": options.profile} if options.profile else dict(environ)
        """The environment, with what the line says instead."""

    @cached_property
    def settings(self) -> settings.Settings:
        """The settings in force. Raises `UsageError` for a value that cannot be, `NotFound` for a profile."""
        return settings.load(self.given)

    def home(self) -> Home:
        """The home, with all that its journals say by now in its store: ``with here.home() as home:``."""
        from penstock.orchestration import local  # noqa: PLC0415  commands that ask no store load none

        home = local.open_home(self.settings, self.clock)
        if home.caught_up is None:
            self.terminal.detail("Another process keeps the store; what it has folded so far is shown")
        return home

    @contextmanager
    def asking(self) -> Generator[Transaction]:
        """Ask about runs: ``with here.asking() as tx:`` is the store as it is now."""
        with self.home() as home, home.reading() as tx:
            yield tx


Here = Annotated[Session, Parameter(parse=False)]
"""The type of a command's parameter that takes the session; it is no option of the command."""


def refuse_together(given: Mapping[str, object]) -> None:
    """Raise `UsageError` when more than one of these was given; keys are how they are written."""
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise errors.UsageError(f"These exclude each other: `{'`, `'.join(names)}`")
