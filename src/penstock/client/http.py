"""HTTP for one server: connections that are kept, and patience where asking again is safe."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from penstock import errors
from penstock.clock import Clock
from penstock.version import __version__

TIMEOUT_SECONDS = 30.0
"""How long an answer may take to begin, beyond what the question itself wants to wait."""

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0

_CHUNK = 1 << 20

_PASSING = frozenset({502, 503, 504})
"""What a server answers that may answer otherwise in a moment."""


class Answer(NamedTuple):
    """What the server said. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Asked(NamedTuple):
    method: str
    path: str
    body: bytes | Path | None
    headers: dict[str, str]
    into: Path | None


class Http:
    """The server at ``url``. Safe to use from any thread.

    ``patience_seconds`` is for how long a request that may be sent again is sent again, when the server
    cannot be reached or says that it cannot answer now; ``timeout_seconds``, how long it may take to answer.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        clock: Clock,
        *,
        patience_seconds: float,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        address = urlsplit(url)
        if address.scheme not in {"http", "https"} or not address.hostname:
            raise errors.UsageError(
                f"Not the URL of an API: `{url}`", hint="one looks like `http://127.0.0.1:4200/api`"
            )
        self.url = url.rstrip("/")
        self.patience_seconds = patience_seconds
        self._timeout_seconds = timeout_seconds
        self._is_safe = address.scheme == "https"
        self._host = address.hostname
        self._port = address.port
        self._path = address.path.rstrip("/")
        self._clock = clock
        self._idle: list[http.client.HTTPConnection] = []
        self._every: set[http.client.HTTPConnection] = set()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._has_ended = False
        self._headers = {"User-Agent": f"penstock/{__version__}", "Accept": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"

    def send(
        self,
        method: str,
        path: str,
        body: bytes | Path | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        into: Path | None = None,
        wait_seconds: float = 0,
    ) -> Answer:
        """Send a request, and again while patience lasts: so it must be one that may come twice.

        A file may be the body, and ``into`` a file what a good answer is written into: neither is held in memory.
        ``wait_seconds`` is how long the server may take on purpose. Returns whatever the server answers at last,
        also when it is an error. Raises `ServerUnreachable` when it does not.
        """
        deadline = self._clock.elapsed() + self.patience_seconds
        pause = FIRST_PAUSE_SECONDS
        given = {**self._headers, **(headers or {})}
        while True:
            trouble: OSError | http.client.HTTPException | None = None
            answer: Answer | None = None
            try:
                timeout = self._timeout_seconds + wait_seconds
                answer = self._exchange(_Asked(method, self._path + path, body, given, into), timeout)
            except (OSError, http.client.HTTPException) as error:
                trouble = error
            if answer is not None and answer.status not in _PASSING:
                return answer
            # Not all that wait at the same time may come again at the same time.
            wait = max(pause, _asked_to_wait(answer)) * (0.75 + self._clock.chance() / 2)
            if self._clock.elapsed() + wait > deadline:
                if answer is not None:
                    return answer
                raise self._unreachable(trouble) from trouble
            self._clock.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def close(self) -> None:
        """Close the connections on which nobody waits for an answer; the next request opens another one."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            self._drop(connection)

    def end(self) -> None:
        """Close all connections, those too on which somebody waits for an answer: nobody is to ask more."""
        with self._lock:
            self._has_ended = True
            every = list(self._every)
        for connection in every:
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
        self.close()

    def _exchange(self, asked: _Asked, timeout: float) -> Answer:
        connection = self._taken(timeout)
        was_kept = connection.sock is not None
        try:
            return self._ask(connection, asked)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            # Servers close connections that were idle, which shows only now: no sign that this one is gone.
            if not was_kept:
                raise
            self.close()  # others that were idle are as old
        return self._ask(self._taken(timeout), asked)

    def _ask(self, connection: http.client.HTTPConnection, asked: _Asked) -> Answer:
        try:
            if isinstance(asked.body, Path):
                with open(asked.body, "rb") as file:
                    size = str(os.fstat(file.fileno()).st_size)
                    connection.request(asked.method, asked.path, file, {**asked.headers, "Content-Length": size})
            else:
                connection.request(asked.method, asked.path, asked.body, asked.headers)
            response = connection.getresponse()
            data = b""
            if asked.into is not None and response.status < 300:
                with open(asked.into, "wb") as file:
                    while piece := response.read(_CHUNK):
                        file.write(piece)
            else:
                data = response.read()
        except BaseException:
            self._drop(connection)
            raise
        if response.will_close:
            self._drop(connection)
        else:
            with self._lock:
                self._idle.append(connection)
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, data)

    def _taken(self, timeout: float) -> http.client.HTTPConnection:
        """A connection that nobody uses."""
        with self._lock:
            if self._has_ended:
                raise ConnectionAbortedError("it was closed")
            if self._pid != os.getpid():  # a forked child: what its parent had opened is the parent's
                self._idle, self._every, self._pid = [], set(), os.getpid()
            if self._idle:
                connection = self._idle.pop()
            else:
                connection = self._opened(timeout)
                self._every.add(connection)
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        return connection

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        with self._lock:
            self._every.discard(connection)

    def _opened(self, timeout: float) -> http.client.HTTPConnection:
        if self._is_safe:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout, context=ssl.create_default_context()
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)

    def _unreachable(self, trouble: Any) -> errors.ServerUnreachable:
        why = getattr(trouble, "strerror", None) or str(trouble) or type(trouble).__name__
        return errors.ServerUnreachable(
            f"The server cannot be reached ({why}): `{self.url}`",
            hint="`penstock server start` starts one on this machine; PENSTOCK_API_URL says where it is",
        )


def _asked_to_wait(answer: Answer | None) -> float:
    """What ``Retry-After`` says, within reason."""
    given = "" if answer is None else answer.headers.get("retry-after", "")
    return min(float(given), LONGEST_PAUSE_SECONDS) if given.isdecimal() else 0.0
