"""A web server for tests, which can be told to fail."""

from __future__ import annotations

from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event
from typing import Any, cast


class Site(ThreadingHTTPServer):
    """Serves ``files`` on this machine; what it does before it does so: see ``unavailable`` and ``broken_off``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.unavailable: Counter[str] = Counter()
        """So many times it answers 503 before it serves a file."""
        self.broken_off: Counter[str] = Counter()
        """So many times it promises the whole file and sends half of it."""
        self.asked: Counter[str] = Counter()
        self.held: dict[str, Event] = {}
        """Who asks for a file is not answered before this is set."""


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site, name = cast("Site", self.server), self.path.removeprefix("/")
        site.asked[name] += 1
        if name in site.held:
            site.held[name].wait()
        if site.unavailable[name] > 0:
            site.unavailable[name] -= 1
            self.send_error(503)
            return
        if name not in site.files:
            self.send_error(404)
            return
        content = site.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if site.broken_off[name] > 0:
            site.broken_off[name] -= 1
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is the base class's
        """Say nothing."""
