"""What a command is handed: the terminal, the settings, the time, and the home it asks."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from cyclopts import Parameter

from penstock import clock, errors, settings
from penstock.cli.options import GlobalOptions
from penstock.cli.terminal import Terminal
from penstock.core.operations import MAX_ITEMS, Page, Request

if TYPE_CHECKING:
    from penstock.core.ports import Orchestrator
    from penstock.orchestration.local import Home
    from penstock.store.interface import Transaction

R = TypeVar("R")
T = TypeVar("T")


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

    @property
    def user(self) -> str:
        """Who asks, as this machine calls them."""
        return self.given.get("USER") or self.given.get("LOGNAME") or ""

    def home(self) -> Home:
        """The home, with all that its journals say by now in its store: ``with here.home() as home:``."""
        from penstock.orchestration import local  # noqa: PLC0415  commands that ask no store load none

        self._say_where()
        home = local.open_home(self.settings, self.clock)
        if home.caught_up is None:
            self.terminal.detail("Another process keeps the store; what it has folded so far is shown")
        return home

    @cached_property
    def orchestrator(self) -> Orchestrator:
        """The server, or this process itself where there is none: whoever keeps deployments, schedules and runs."""
        from penstock.sdk import connect  # noqa: PLC0415  as above

        return connect.orchestrator(self.settings, self.clock, patience_seconds=0)

    def close(self) -> None:
        """Let go of the connection to the server, if there is one."""
        if "orchestrator" in vars(self):
            self.orchestrator.close()

    def look_again(self) -> None:
        """Ask a server of this home that has come back at another port from now on."""
        from penstock.sdk import connect  # noqa: PLC0415  as above

        address = connect.server(self.settings)
        if address is not None and address.url != getattr(self.orchestrator, "url", None):
            self.close()
            del self.orchestrator

    def ask(self, request: Request[R]) -> R:
        """The answer of whoever keeps deployments, schedules and runs. Raises the error that answering it raised."""
        return self.orchestrator.ask(request)

    def listed(self, request: Request[Page[T]], limit: int) -> Page[T]:
        """The first items of a list, at most so many, page by page; ``next`` tells whether there are more."""
        found: list[T] = []
        while True:
            wanted: Any = msgspec.structs.replace(request, limit=min(limit - len(found), MAX_ITEMS))
            page: Page[T] = self.ask(wanted)
            found += page.items
            if page.next is None or len(found) >= limit:
                return Page(items=found, next=page.next)
            request = msgspec.structs.replace(request, after=page.next)

    def _say_where(self) -> None:
        """What looks at the home looks at this machine, whatever API is asked otherwise: say so, if it is another's."""
        if self.settings.api_url is None:
            return
        from penstock.sdk import connect  # noqa: PLC0415  as above

        if url := connect.elsewhere(self.settings):
            self.terminal.say(f"This is about the home of this machine, and not what is kept at {url}")

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
