"""The API, served for a test: a real server at a free port of this machine, in a thread of this process."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import uvicorn

from penstock import clock, settings
from penstock.api import app
from penstock.api.context import Context
from penstock.client.orchestrator import HttpOrchestrator
from penstock.server.protocol import PatientProtocol
from penstock.store.interface import Store

TOKEN = "the-token-of-the-owner"


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served:
    """An API that answers, and ways to ask it."""

    def __init__(self, port: int, context: Context) -> None:
        self.port = port
        self.context = context
        self.url = f"http://127.0.0.1:{port}/api"
        self.orchestrator = HttpOrchestrator(self.url, TOKEN, clock.SYSTEM, patience_seconds=0)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        key: str | None = TOKEN,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request, exactly as it is given: nothing is mended, and nothing sent again."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = {"Host": f"127.0.0.1:{self.port}"}
        if key is not None:
            given["Authorization"] = f"Bearer {key}"
        if body is not None:
            given |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        given |= headers or {}
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            data = response.read()
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, data)
        finally:
            connection.close()


@contextmanager
def serving(store: Store) -> Generator[Served]:
    """``with serving(store) as served:`` answers until the end of the block."""
    listening = socket.create_server(("127.0.0.1", 0))
    made: list[Served] = []
    ready = threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, uvicorn.Server, Context]] = []

    async def main() -> None:
        context = Context(store, settings.load(), clock.SYSTEM, token=TOKEN)
        config = uvicorn.Config(
            app.build(context, hosts={"127.0.0.1", "localhost"}),
            http=PatientProtocol,
            lifespan="off",
            log_config=None,
            ws="none",
            timeout_graceful_shutdown=20,
        )
        server = uvicorn.Server(config)
        loops.append((asyncio.get_running_loop(), server, context))
        made.append(Served(listening.getsockname()[1], context))
        ready.set()
        try:
            await server.serve([listening])
        finally:
            context.close()

    failed: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001  raised below, where a test sees it
            failed.append(error)
            listening.close()
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(30)
        if failed:
            raise failed[0]
        yield made[0]
    finally:
        for served, (loop, server, context) in zip(made, loops, strict=True):
            served.orchestrator.close()
            loop.call_soon_threadsafe(_stop, loop, listening, server, context)
        thread.join(30)
        assert not thread.is_alive()


def _stop(loop: asyncio.AbstractEventLoop, listening: socket.socket, server: uvicorn.Server, context: Context) -> None:
    # A connection that is accepted just as asyncio closes its server is left open, and complained of in another test.
    loop.remove_reader(listening)
    context.wakes.stop()
    server.should_exit = True
