"""The server as workers see it, and whoever else ships and resumes runs: `server.Server` over HTTP."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from penstock import errors
from penstock.client import home_server
from penstock.client.http import Answer
from penstock.client.orchestrator import HttpOrchestrator, problem
from penstock.client.server import Piece, Receipt
from penstock.clock import Clock
from penstock.core.operations import Request
from penstock.files.local import digest_of, make_folder
from penstock.settings import Settings

R = TypeVar("R")

TIMEOUT_SECONDS = 10.0
"""How long an answer may take, beyond what the question itself wants to wait. Then the server counts as away."""

SLOWEST_BYTES_A_SECOND = 1 << 20
"""So fast, at least, a server takes a large file."""

NEXT = "penstock-next"
"""The header that says where a journal goes on."""

_PIECES = {"Content-Type": "application/vnd.penstock.journal"}
_BYTES = {"Content-Type": "application/octet-stream"}


def url_of(settings: Settings) -> str:
    """Where the server is: as the settings say, else the one that keeps this home, else the usual place."""
    running = home_server.running(settings.home)
    if settings.api_url is not None:
        return settings.api_url
    return running.api_url if running else f"http://{settings.server_host}:{settings.server_port}/api"


def is_at_home(settings: Settings, url: str) -> bool:
    """Whether the server at the URL is the one that keeps this home, and so has its files."""
    running = home_server.running(settings.home)
    return running is not None and home_server.is_at(running, url)


class HttpServer:
    """See `server.Server`. A server of this home, and its key, are found when they are needed: it may not be running
    yet, and come back at another port.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.url = url_of(settings)
        self._settings = settings
        self._clock = clock
        self._asked: HttpOrchestrator | None = None
        self._key: str | None = None
        self._lock = threading.Lock()

    def ask(self, request: Request[R], *, key: str | None = None) -> R:
        return self._server().ask(request, key=key)

    def send_journal(self, pieces: list[Piece]) -> list[Receipt]:
        answer = self._send("POST", "/journal", msgspec.msgpack.encode(pieces), _PIECES)
        return _decoded(answer, list[Receipt])

    def journal(self, run_id: str) -> Iterator[Piece]:
        after: str | None = "0"
        while after is not None:
            answer = self._send("GET", f"/flow-runs/{run_id}/journal?after={after}")
            yield from _decoded(answer, list[Piece])
            after = answer.headers.get(NEXT)

    def put_result(self, location: str, path: Path) -> None:
        # The server reads all of it, and keeps it, before it answers.
        wait_seconds = path.stat().st_size / SLOWEST_BYTES_A_SECOND
        self._send("PUT", f"/results/{location}", path, _BYTES, wait_seconds=wait_seconds)

    def get_result(self, location: str, path: Path) -> None:
        make_folder(path.parent)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            self._send("GET", f"/results/{location}", into=temporary)
            if digest_of(temporary) != path.name:
                raise errors.MissingResult(f"The server has another file in place of a result: `{location}`")
            temporary.chmod(0o600)
            os.replace(temporary, path)
        except errors.NotFound:
            raise errors.MissingResult(f"The server does not have the file of a result: `{location}`") from None
        finally:
            temporary.unlink(missing_ok=True)

    def get_bundle(self, digest: str, path: Path) -> None:
        self._send("GET", f"/bundles/{digest}", into=path)

    def close(self) -> None:
        if self._asked is not None:
            self._asked.close()

    def end(self) -> None:
        if self._asked is not None:
            self._asked.http.end()

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | Path | None = None,
        headers: dict[str, str] | None = None,
        *,
        into: Path | None = None,
        wait_seconds: float = 0,
    ) -> Answer:
        answer = self._server().http.send(method, path, body, headers, into=into, wait_seconds=wait_seconds)
        if answer.status >= 300:
            raise problem(answer, self.url)
        return answer

    def _server(self) -> HttpOrchestrator:
        with self._lock:
            try:
                url, key = self._known()
            except OSError as error:  # there may be no file left to open, at present
                raise errors.ServerUnreachable(
                    f"It cannot be seen whether the server is there ({error}): `{self.url}`"
                ) from error
            if self._asked is None or (url, key) != (self.url, self._key):
                if self._asked is not None:
                    self._asked.http.end()
                self.url, self._key = url, key
                self._asked = HttpOrchestrator(
                    self.url, key, self._clock, patience_seconds=0, timeout_seconds=TIMEOUT_SECONDS
                )
            return self._asked

    def _known(self) -> tuple[str, str | None]:
        """Where to ask now: what the settings do not name is where the home's own server is, or was last. And the key
        to show: the owner's is for that server while it lives. Whoever else listens there, be it for the moment in
        which it is away, is not shown it.
        """
        given, home = self._settings, self._settings.home
        if given.api_url is not None and (given.api_key or not home_server.is_loopback(self.url)):
            return self.url, given.api_key or None
        running = home_server.running(home)
        url = running.api_url if running is not None and given.api_url is None else self.url
        is_own = running is not None and home_server.is_at(running, url)
        return url, given.api_key or (home_server.token(home) if is_own else None)


def _decoded(answer: Answer, kind: type[R]) -> R:
    decode = msgspec.json.decode if "json" in answer.headers.get("content-type", "") else msgspec.msgpack.decode
    try:
        return decode(answer.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.ServerFailed(f"What the server answered makes no sense: {error}") from None
