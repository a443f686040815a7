"""The door: what no request comes past, whatever it asks for, and what every answer carries.

A page of another site, open in the same browser, can send requests here. It cannot set the header ``Host``, nor hide
where it is from; so both are looked at before anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from penstock import errors
from penstock.api import problems
from penstock.api.problems import Refused

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
_NOT_KEPT = (b"cache-control", b"no-store")

_CHANGES_NOTHING = frozenset({"GET", "HEAD", "OPTIONS"})

Seen = Callable[[Scope, int, float], None]
"""Told of each request: the scope as routing has left it, the status, and how long it took in seconds."""


class Door:
    """An ASGI application around another one."""

    def __init__(self, inside: ASGIApp, *, hosts: Iterable[str], elapsed: Callable[[], float], seen: Seen) -> None:
        self._inside = inside
        self._hosts = frozenset(host.lower() for host in hosts)
        self._elapsed = elapsed
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": "there are none here"})
            return
        began = self._elapsed()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                names = {name.lower() for name, _ in message["headers"]}
                added = [pair for pair in (*_HEADERS, _NOT_KEPT) if pair[0] not in names]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        try:
            refused = refusal(scope["method"], _headers(scope), self._hosts)
            if refused is None:
                await self._inside(scope, receive, sending)
            else:
                await _answer(sending, refused)
        finally:
            self._seen(scope, status, self._elapsed() - began)


def refusal(method: str, headers: Mapping[str, list[str]], hosts: frozenset[str]) -> errors.PenstockError | None:
    """Why a request may not come in; None if it may."""
    given = headers.get("host", [])
    host = given[0] if len(given) == 1 else ""
    if hostname(host) not in hosts:
        return Refused(
            HTTPStatus.MISDIRECTED_REQUEST,
            f"This server does not go by the name of `{host[:100]}`",
            hint="`penstock server start --allowed-host NAME` adds one",
        )
    if method in _CHANGES_NOTHING:
        return None
    if any(site != "same-origin" for site in headers.get("sec-fetch-site", [])):
        return _foreign()
    if any(_netloc(origin) != host.lower() for origin in headers.get("origin", [])):
        return _foreign()
    return None


def hostname(host: str) -> str:
    """The name in a ``Host`` header, without the port; empty when it is malformed."""
    try:
        parsed = urlsplit(f"//{host}")
        _ = parsed.port
    except ValueError:
        return ""
    return (parsed.hostname or "") if parsed.netloc == host and "@" not in host else ""


def _netloc(origin: str) -> str:
    """The host and port of an ``Origin``; empty when it tells none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _foreign() -> errors.NotAllowed:
    return errors.NotAllowed("Pages of other sites may change nothing here")


def _headers(scope: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        if name in {b"host", b"origin", b"sec-fetch-site"}:
            found.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return found


async def _answer(send: Send, error: errors.PenstockError) -> None:
    problem, headers = problems.problem_of(error)
    body = msgspec.json.encode(problem)
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    pairs += [(b"content-type", problems.MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
    # The body of the request is not read, so the connection is of no more use.
    pairs.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": problem.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body, "more_body": False})
