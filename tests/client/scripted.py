"""A server that says what it is told to, whatever is asked; and remembers what that was."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple


class Asked(NamedTuple):
    line: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """The first connection is 0."""


class Scripted:
    """Answers one request after the other from a list; ``None`` hangs up instead."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.asked: list[Asked] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self._connections = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as file:
                number, self._connections = self._connections, self._connections + 1
                while line := file.readline():
                    headers = dict(iter(lambda: _header(file.readline()), None))
                    body = file.read(int(headers.get("content-length", "0")))
                    self.asked.append(Asked(line.decode().strip(), headers, body, number))
                    answer = self.answers.pop(0)
                    if answer is None:
                        break
                    connection.sendall(answer)
                    if b"connection: close" in answer.lower():
                        break


def _header(line: bytes) -> tuple[str, str] | None:
    name, colon, value = line.decode("latin-1").strip().partition(": ")
    return (name.lower(), value) if colon else None


def answer(status: int = 200, body: bytes = b"null", **headers: str) -> bytes:
    """An answer as it goes over the wire."""
    given = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"HTTP/1.1 {status} So", *(f"{name}: {value}" for name, value in given.items()), "", ""]
    return "\r\n".join(lines).encode() + body


@contextmanager
def scripted(*answers: bytes | None) -> Generator[Scripted]:
    """``with scripted(answer(503), answer()) as server:``."""
    server = Scripted(*answers)
    try:
        yield server
    finally:
        server.close()
