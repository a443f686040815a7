"""``penstock ui`` and ``penstock open``: let a browser in."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import msgspec
from cyclopts import Parameter

from penstock import errors
from penstock.cli import completion
from penstock.cli.session import Here, Session
from penstock.client.orchestrator import HttpOrchestrator, problem
from penstock.core.operations.deployments import GetDeployment
from penstock.core.operations.flow_runs import GetFlowRun

Browser = Annotated[
    bool, Parameter(name="--browser", negative="--no-browser", help="Open it; without this, only print the link.")
]


def ui(*, browser: Browser = True, here: Here) -> None:
    """Let a browser in at the server: print a link that is good once, for a minute, and on a terminal open it."""
    _open(here, _server(here), "/", browser=browser)


def open_(
    name: Annotated[
        str | None,
        Parameter(
            metavar="NAME",
            help="A run (name, id, or beginning of the id) or a deployment (`flow/name`); without it, the front page.",
            completer=completion.flow_runs,
        ),
    ] = None,
    /,
    *,
    browser: Browser = True,
    here: Here,
) -> None:
    """Print a link to a run or a deployment that lets a browser in, and on a terminal open it.

    The link is good once, for a minute.
    """
    server = _server(here)
    _open(here, server, "/" if name is None else _place(here, name), browser=browser)


def _server(here: Session) -> HttpOrchestrator:
    orchestrator = here.orchestrator
    if not isinstance(orchestrator, HttpOrchestrator):
        raise errors.ServerUnreachable(
            f"No server keeps this home: `{here.settings.home}`", hint="`penstock server start` starts one"
        )
    return orchestrator


def _place(here: Session, name: str) -> str:
    """Where the server shows the run or deployment of that name."""
    if "/" in name:
        return f"/api/deployments/{here.ask(GetDeployment(deployment=name)).id}"
    return f"/api/flow-runs/{here.ask(GetFlowRun(run=name)).id}"


def _open(here: Session, server: HttpOrchestrator, place: str, *, browser: bool) -> None:
    answer = server.http.send("POST", "/login-codes")
    if answer.status != 200:
        raise problem(answer, server.url)
    code: str = msgspec.json.decode(answer.body)["code"]
    link = f"{server.url.removesuffix('/api')}/login?code={code}"
    if place != "/":
        link += f"&to={quote(place, safe='')}"
    here.terminal.write(link)
    if browser and here.terminal.out_is_tty:
        import webbrowser  # noqa: PLC0415  only to open one

        here.terminal.out.flush()
        if not webbrowser.open(link):
            here.terminal.say("No browser could be opened; the link is good for a minute")
