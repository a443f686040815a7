"""HTTP/1.1 that does not wait for ever for those who never say what they want."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

SLOWEST_SECONDS = 20.0
"""The headers of a connection's first request must have come after this time."""
MAX_HEAD_BYTES = 256 << 10
"""About so long the line and the headers of a request may be together."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which hangs up on connections that open and then say nothing, too slowly or too much."""

    _waiting: asyncio.TimerHandle | None = None
    """Set until the headers are there."""
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._waiting = asyncio.get_running_loop().call_later(SLOWEST_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        waiting = self._waiting
        super().data_received(data)
        # What came with the end of the headers may be of the body, and is no more than was read at once.
        if waiting is not None and self._waiting is waiting:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().call_later(SLOWEST_SECONDS, self.transport.abort)

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        self._head_bytes = 0
