"""A network that fails: a proxy on this machine between clients and servers, whose faults are drawn from a seed."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251  of a seed, so that it can be had again
import socket
import struct
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self
from weakref import WeakSet

Address = tuple[str, int]

CHUNK = 1 << 16
REMEMBERED = 200
"""So many old requests may be sent once more."""


class Message(NamedTuple):
    """A request or a response of HTTP, as it came."""

    head: bytes
    body: bytes

    @property
    def data(self) -> bytes:
        return self.head + self.body

    @property
    def may_come_again(self) -> bool:
        """Whether old ones of its kind are worth sending again: what writes."""
        return not self.head.startswith((b"GET ", b"HEAD "))

    @property
    def closes(self) -> bool:
        return b"connection: close" in self.head.lower()


class FlakyProxy:
    """Passes HTTP on to one of its servers, and fails as it is told: each fault is a chance from 0 to 1, or a switch.

    ``with FlakyProxy([("127.0.0.1", 4200)], seed=7) as proxy:`` listens at ``proxy.port``. With several servers, each
    connection goes to the next one that takes it. ``happened`` counts what was done. Faults may be changed any time.
    """

    def __init__(self, servers: Sequence[Address], *, seed: int = 0) -> None:
        self.servers = list(servers)
        self.drop_response = 0.0
        """The server has answered; the client finds its connection broken."""
        self.drop_request = 0.0
        """The connection breaks before the server has seen anything."""
        self.duplicate = 0.0
        """The server gets the request twice, the client one of the answers."""
        self.replay = 0.0
        """After this request, the server gets an older one, of any client, once more."""
        self.delay_seconds = 0.0
        """Each request is held back for up to this long, so that they overtake each other."""
        self.bytes_per_second: float | None = None
        """How fast anything goes through, each way."""
        self.is_blackholed = False
        """Nothing goes through, and nobody is told."""
        self.happened: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._old: list[tuple[Address, bytes]] = []
        self._next = 0
        self._writers: set[asyncio.StreamWriter] = set()
        """To clients."""
        self._transports: WeakSet[asyncio.WriteTransport] = WeakSet()
        """All that were made, to clients and servers."""
        self._serving: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._has_begun = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self._thread = threading.Thread(target=self._run, name="flaky-proxy", daemon=True)
        self._thread.start()
        self._has_begun.wait(60)

    # ── what tests do ───────────────────────────────────────────────────────────────────────────────────────────────

    def blackhole(self) -> None:
        """Let nothing through from now on, and leave everybody in the dark about it."""
        self.is_blackholed = True

    def heal(self) -> None:
        """No more faults. What was swallowed stays so: connections on which something was are reset."""
        self.drop_response = self.drop_request = self.duplicate = self.replay = self.delay_seconds = 0.0
        self.bytes_per_second = None
        self.is_blackholed = False
        self.reset()

    def reset(self) -> None:
        """Reset all connections."""
        self._loop.call_soon_threadsafe(self._reset)

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ── what it does ────────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._begin, sock=self._listening, limit=1 << 24))
        self._has_begun.set()
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._end(server))
            self._loop.close()

    async def _end(self, server: asyncio.Server) -> None:
        """Leave nothing open, whatever is under way: what is found to be open later is complained of in other tests."""
        self._loop.remove_reader(self._listening)
        await _let_others_run()  # what was accepted just now becomes connections, which a closed server would forget
        server.close()
        while left := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in left:
                task.cancel()
            await asyncio.wait(left)
        for transport in list(self._transports):
            transport.abort()  # and not once all has been sent, as nobody may take it
        await _let_others_run()

    def _reset(self) -> None:
        for writer in list(self._writers):
            _break(writer)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._transports.add(writer.transport)
        self._serving.add(serving := self._loop.create_task(self._serve(reader, writer)))
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._converse(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            _break(writer)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client's: its requests, one after the other."""
        link: _Link | None = None
        try:
            while (request := await _message(reader)) is not None:
                await self._pass()
                if self._draws("drop_request"):
                    return
                if self.delay_seconds:
                    await asyncio.sleep(self._chance.random() * self.delay_seconds)
                if link is None or link.is_broken:
                    link = await self._connect()
                    if link is None:
                        return
                again = asyncio.ensure_future(self._once(link.address, request)) if self._draws("duplicate") else None
                response = await self._exchange(link, request)
                if again is not None:
                    with suppress(OSError, asyncio.IncompleteReadError):
                        second = await again
                        response = self._chance.choice([response, second])
                if request.may_come_again:
                    self._remember(link.address, request)
                if self._old and self._draws("replay"):
                    with suppress(OSError, asyncio.IncompleteReadError):
                        address, old = self._chance.choice(self._old)
                        await self._once(address, Message(old, b""))
                await self._pass()
                if response is None or self._draws("drop_response"):
                    return
                await self._write(writer, response.data)
                if response.closes:
                    return
        finally:
            if link is not None:
                link.close()

    def _draws(self, fault: str) -> bool:
        chance: float = getattr(self, fault)
        if chance and self._chance.random() < chance:
            self.happened[fault] += 1
            return True
        return False

    def _remember(self, address: Address, request: Message) -> None:
        self._old.append((address, request.data))
        if len(self._old) > REMEMBERED:
            del self._old[self._chance.randrange(len(self._old))]

    async def _pass(self) -> None:
        if self.is_blackholed:
            self.happened["swallowed"] += 1
            await asyncio.Event().wait()  # until the connection is reset

    async def _connect(self) -> _Link | None:
        for _ in self.servers:
            self._next += 1
            address = self.servers[self._next % len(self.servers)]
            with suppress(OSError):
                return await self._linked(address)
        self.happened["no_server"] += 1
        return None

    async def _linked(self, address: Address) -> _Link:
        link = _Link(address, *await asyncio.open_connection(*address, limit=1 << 24))
        self._transports.add(link.writer.transport)
        return link

    async def _exchange(self, link: _Link, request: Message) -> Message | None:
        await self._write(link.writer, request.data)
        response = await _message(link.reader)
        if response is None or response.closes:
            link.is_broken = True
        return response

    async def _once(self, address: Address, request: Message) -> Message | None:
        """Send a request over a connection of its own."""
        link = await self._linked(address)
        try:
            return await self._exchange(link, request)
        finally:
            link.close()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        for start in range(0, len(data), CHUNK):
            piece = data[start : start + CHUNK]
            if self.bytes_per_second is not None:
                await asyncio.sleep(len(piece) / self.bytes_per_second)
            writer.write(piece)
            await writer.drain()


class _Link:
    """A connection to a server."""

    def __init__(self, address: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.address = address
        self.reader = reader
        self.writer = writer
        self.is_broken = False

    def close(self) -> None:
        self.is_broken = True
        self.writer.close()


async def _let_others_run() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def _break(writer: asyncio.StreamWriter) -> None:
    """Close a connection so that the other end finds it reset."""
    made: Any = writer.get_extra_info("socket")
    with suppress(OSError, AttributeError):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


async def _message(reader: asyncio.StreamReader) -> Message | None:
    """The next request or response; None when the other end has closed the connection instead."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:] if line)
    }
    if b"chunked" in headers.get(b"transfer-encoding", b""):
        return Message(head, await _chunks(reader))
    if head.startswith((b"HTTP/1.1 204", b"HTTP/1.1 304")):
        return Message(head, b"")
    return Message(head, await reader.readexactly(int(headers.get(b"content-length", b"0"))))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    found = bytearray()
    while True:
        size = await reader.readuntil(b"\r\n")
        data = await reader.readexactly(int(size.split(b";")[0], 16) + 2)
        found += size + data
        if len(data) == 2:
            return bytes(found)
