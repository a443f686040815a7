"""Being a worker, in the foreground, until a signal says that it is enough."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from penstock import errors
from penstock.cli.banner import BANNER
from penstock.cli.session import Session
from penstock.client.connection import HttpServer
from penstock.clock import time_of_day
from penstock.version import __version__
from penstock.worker.echo import Echo
from penstock.worker.worker import Teller, Wanted, Worker, attended


def work(session: Session, kind: str, wanted: Wanted, *, api: str | None, started: str, hide_welcome: bool) -> None:
    """Do what is wanted; ``kind`` is what people call it: agent or worker."""
    if wanted.limit is not None and wanted.limit < 1:
        raise errors.UsageError(f"At least one run is executed at once, not: `{wanted.limit}`")
    settings = structs.replace(session.settings, api_url=api) if api else session.settings
    server = HttpServer(settings, session.clock)
    echo = Echo(session.terminal.out)
    has_started = False

    def say(level: str, part: str, text: str) -> None:
        echo.write(f"{time_of_day(session.clock.now())} | {level:<7} | {part} - {text}")

    def welcome() -> None:
        nonlocal has_started
        has_started = True
        if not hide_welcome:
            echo.write(f"Starting v{__version__} {kind} connected to {server.url}...")
            echo.write(BANNER)
            echo.write(started)

    teller = Teller(say, echo.write, welcome)
    worker = Worker(
        wanted,
        server,
        settings,
        time=session.clock,
        teller=teller,
        environ=session.given,
        part=f"penstock.{kind}",
    )
    try:
        with attended(worker):
            worker.run()
    finally:
        if has_started:
            echo.write(f"{kind.capitalize()} stopped!")
        echo.close()


def listed(queues: Sequence[str], prefixes: Sequence[str]) -> str:
    """The queues that are served, as people read them."""
    return ", ".join([*queues, *(f"{prefix}*" for prefix in prefixes)])
