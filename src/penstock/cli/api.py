"""``penstock api``: ask the server anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from penstock import errors
from penstock.cli.exit_codes import OK
from penstock.cli.session import Here, Session
from penstock.client.orchestrator import HttpOrchestrator, problem

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")


def api(
    method: Annotated[str, Parameter(metavar="METHOD", help="`GET`, `POST`, `PUT`, `PATCH`, `DELETE` or `HEAD`.")],
    path: Annotated[str, Parameter(metavar="PATH", help="Below the API's URL, as `/flow-runs?limit=3`.")],
    /,
    *,
    data: Annotated[
        str | None,
        Parameter(
            name=("-d", "--data"),
            metavar="JSON",
            allow_leading_hyphen=True,
            help="The body: JSON itself, a file (`@FILE`), or stdin (`-`).",
        ),
    ] = None,
    here: Here,
) -> int:
    """Send a request to the server, with the key that this machine has, and print what it answers.

    JSON is printed indented on a terminal, and as it came elsewhere. `/docs` at the server says what there is to ask.
    """
    server = here.orchestrator
    if not isinstance(server, HttpOrchestrator):
        raise errors.ServerUnreachable(
            f"No server keeps this home: `{here.settings.home}`", hint="`penstock server start` starts one"
        )
    verb = method.upper()
    if verb not in METHODS:
        raise errors.UsageError(f"Not a method: `{method}`", hint=f"one of: {', '.join(METHODS)}")
    body = None if data is None else _body(here, data)
    headers = {} if body is None else {"Content-Type": "application/json"}
    place = "/" + path.removeprefix("/").removeprefix("api/")
    answer = server.http.send(verb, place, body, headers)
    if answer.status >= 300:
        raise problem(answer, server.url)
    if answer.body:
        here.terminal.write(_shown(here, answer.headers.get("content-type", ""), answer.body))
    return OK


def _body(here: Session, data: str) -> bytes:
    if data == "-":
        text = here.terminal.stdin.read() if here.terminal.stdin else ""
    elif data.startswith("@"):
        try:
            text = Path(data[1:]).read_text("utf-8")
        except FileNotFoundError:
            raise errors.UsageError(f"There is no file: `{data[1:]}`") from None
        except UnicodeDecodeError:
            raise errors.UsageError(f"Not a text file: `{data[1:]}`") from None
    else:
        text = data
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise errors.UsageError(f"Not JSON: `{data}`", hint=str(error)) from None
    return text.encode()


def _shown(here: Session, media_type: str, body: bytes) -> str:
    if here.terminal.out_is_tty and media_type.partition(";")[0].endswith("json"):
        body = msgspec.json.format(body, indent=2)
    return body.decode("utf-8", "replace")
