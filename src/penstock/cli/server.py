"""``penstock server``: start, stop and look at the server of this home."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from penstock import errors
from penstock.cli import arguments, humanize, lifeline, output, table, tree, views
from penstock.cli.exit_codes import FAILURE, OK
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here, Session
from penstock.cli.table import Cell
from penstock.client import home_server
from penstock.client.home_server import HomeServer
from penstock.sdk import connect

app = tree.group("server", "The server: it schedules runs, hands them to workers and answers.")

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]

STOP_SECONDS = 40.0
"""Workers that were started with a server may take half of it."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """How a server is to be started."""

    host: Annotated[str | None, Parameter(help="The address to listen at; PENSTOCK_SERVER_HOST.")] = None
    port: Annotated[
        int | None,
        Parameter(
            help="The port to listen at, 0 for any that is free; PENSTOCK_SERVER_PORT.",
            validator=arguments.between(0, 65535),
        ),
    ] = None
    database_url: Annotated[
        str | None, Parameter(metavar="URL", help="Keep the store in this database; PENSTOCK_DATABASE_URL.")
    ] = None
    ui: Annotated[
        bool, Parameter(negative="--no-ui", help="Let browsers in; without it, nothing but the API answers.")
    ] = True
    services: Annotated[
        bool,
        Parameter(
            negative="--no-services", help="Fold, schedule, rescue; without it, other servers of the same database do."
        ),
    ] = True
    scheduler: Annotated[bool, Parameter(negative="--no-scheduler", help="Make the runs that schedules want.")] = True
    late_runs: Annotated[
        bool, Parameter(negative="--no-late-runs", help="Mark runs as Late that no worker claims in time.")
    ] = True
    workers: Annotated[
        int,
        Parameter(
            metavar="N",
            help="Also start so many workers of the pool `default`, and end them with the server.",
            validator=arguments.between(0),
        ),
    ] = 0
    log_level: Annotated[
        LogLevel,
        Parameter(converter=arguments.any_case, help="The least level of what the server says of itself on stderr."),
    ] = "WARNING"
    behind_proxy: Annotated[bool, Parameter(help="A proxy in front of it encrypts, so that any address will do.")] = (
        False
    )
    tls_cert: Annotated[Path | None, Parameter(metavar="FILE", help="The certificate to encrypt with, as PEM.")] = None
    tls_key: Annotated[Path | None, Parameter(metavar="FILE", help="The key of the certificate, as PEM.")] = None
    allowed_host: Annotated[
        tuple[str, ...],
        Parameter(metavar="NAME", negative=(), help="A further name by which the server may be called."),
    ] = ()
    until_stdin_ends: lifeline.UntilStdinEnds = False


AS_SET = StartOptions()
"""As the settings say."""


@app.command
def start(*, options: StartOptions = AS_SET, here: Here) -> None:
    """Start the server of this home, and keep it running until Ctrl-C.

    It answers under `/api` at port 4200 of this machine alone, unless told otherwise. At a further address it listens
    only encrypted: with a certificate, or behind a proxy that has one. A second Ctrl-C does not wait for anything.
    """
    run(here, options, stopped="Server stopped!")


def run(session: Session, given: StartOptions, *, stopped: str) -> None:
    """Be a server, by whatever name it was started; ``stopped`` is said at its end."""
    from penstock.cli import serving  # noqa: PLC0415  nothing else on the command line needs a server
    from penstock.server.app import SERVICES, Options  # noqa: PLC0415  as above

    if (given.tls_cert is None) != (given.tls_key is None):
        raise errors.UsageError("A certificate and its key belong together: give `--tls-cert` and `--tls-key`")
    for file in (given.tls_cert, given.tls_key):
        if file is not None and not file.is_file():
            raise errors.UsageError(f"There is no such file: `{file}`")
    if given.until_stdin_ends:
        lifeline.hold()
    services = SERVICES if given.services else frozenset[str]()
    options = Options(
        host=given.host or session.settings.server_host,
        port=session.settings.server_port if given.port is None else given.port,
        allowed_hosts=given.allowed_host,
        behind_proxy=given.behind_proxy,
        tls_cert=given.tls_cert,
        tls_key=given.tls_key,
        has_pages=given.ui,
        services=services if given.scheduler else services - {"scheduler"},
        marks_late=given.late_runs,
        workers=given.workers,
    )
    serving.serve(session, options, database_url=given.database_url, log_level=given.log_level, stopped=stopped)


@app.command
def stop(*, here: Here) -> None:
    """Stop the server of this home, and wait until it has ended. What it was about, it finishes."""
    running = home_server.running(here.settings.home)
    if running is None:
        raise errors.NotFound(f"No server keeps this home: `{here.settings.home}`")
    os.kill(running.pid, signal.SIGTERM)
    deadline = here.clock.elapsed() + STOP_SECONDS
    while home_server.running(here.settings.home) is not None:
        if here.clock.elapsed() > deadline:
            raise errors.TimedOut(
                f"The server has not ended within {STOP_SECONDS:.0f} seconds: process {running.pid}",
                hint=f"`kill -9 {running.pid}` ends it at once; nothing that was recorded is lost",
            )
        here.clock.sleep(0.05)
    here.terminal.say(f"The server at {running.api_url} has stopped")


@app.command
def status(*, out: OutputOptions = AS_FITS, here: Here) -> int:
    """Show whether a server keeps this home, and where. Exits with 1 if none does.

    When commands ask another server, as PENSTOCK_API_URL says, it is told whether that one is ready.
    """
    running = home_server.running(here.settings.home)
    elsewhere = connect.elsewhere(here.settings)
    if elsewhere is not None:
        how = "is ready" if connect.is_ready(elsewhere, here.clock) else "is not ready, or not there"
        here.terminal.say(f"PENSTOCK_API_URL has commands ask another server, which {how}: {elsewhere}")
    if running is None:
        if out.format is None:
            here.terminal.say(f"No server keeps this home: {here.settings.home}")
            if elsewhere is None:
                here.terminal.hint("`penstock server start` starts one")
        elif out.format == "json":
            here.terminal.write("null")
        return FAILURE
    is_ready = connect.is_ready(running.api_url, here.clock)
    values = {**views.fields(running), "ready": is_ready}
    output.show_one(here, out, values, lambda: table.pairs(here.terminal, _rows(here, running, is_ready=is_ready)))
    return OK


def _rows(session: Session, running: HomeServer, *, is_ready: bool) -> list[tuple[str, Cell]]:
    since = session.clock.now() - running.started_at
    return [
        ("API", Cell(running.api_url)),
        ("ready", Cell("yes", "green") if is_ready else Cell("no: its store does not answer", "red")),
        ("process", Cell(str(running.pid))),
        ("started", Cell(f"{humanize.local(running.started_at)}, {humanize.duration(since)} ago")),
        ("store", Cell({"sqlite": "SQLite", "postgres": "Postgres"}[running.store])),
        ("version", Cell(running.version)),
        ("home", Cell(str(session.settings.home))),
    ]


@app.command
def wait(
    *,
    timeout: Annotated[str, Parameter(metavar="SPAN", help="Wait no longer than this, as in `30s` or `2m`.")] = "30s",
    here: Here,
) -> None:
    """Wait until the server is ready, and print the URL of its API.

    The server is the one of PENSTOCK_API_URL; without that, the one that keeps this home.
    """
    here.terminal.write(connect.wait_for_server(here.settings, here.clock, timeout_seconds=humanize.span(timeout)))
