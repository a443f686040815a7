"""The orchestrator that a server is: `core.ports.Orchestrator` over HTTP."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from penstock import errors
from penstock.client.http import TIMEOUT_SECONDS, Answer, Http
from penstock.clock import Clock
from penstock.core import wire
from penstock.core.operations import Request, operation_of

R = TypeVar("R")

PATIENCE_SECONDS = 5.0


class HttpOrchestrator:
    """The server whose API is at ``url``. Safe to use from any thread; see `core.ports.Orchestrator`.

    For ``patience_seconds`` a request is sent again when the server cannot be reached, or cannot answer now. None is
    carried out twice: a write that must not be carries a key by which the server knows it again.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        clock: Clock,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.http = Http(url, key, clock, patience_seconds=patience_seconds, timeout_seconds=timeout_seconds)
        self._clock = clock

    @property
    def url(self) -> str:
        return self.http.url

    def ask(self, request: Request[R], *, key: str | None = None) -> R:
        """See `core.ports.Orchestrator`. A ``key`` of the caller's lets it ask again later, in place of a new one."""
        operation = operation_of(request)
        path, body = wire.parts(request)
        headers: dict[str, str] = {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if not operation.is_idempotent:
            headers["Idempotency-Key"] = key or self._clock.new_id()
        wait_seconds = getattr(request, "wait_seconds", 0.0)
        answer = self.http.send(operation.method, path, body, headers, wait_seconds=wait_seconds)
        if answer.status >= 300:
            raise problem(answer, self.url)
        if not answer.body:
            return None  # pyright: ignore[reportReturnType]  so the operation says
        try:
            return msgspec.json.decode(answer.body, type=operation.response)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise errors.ServerFailed(
                f"What the server answered makes no sense ({error}): `{self.url}`",
                hint="is it of another version? `penstock version` and `/api/health` of the server tell",
            ) from None

    def keep_bundle(self, digest: str, archive: bytes) -> None:
        if self.http.send("HEAD", f"/bundles/{digest}").status != 200:
            answer = self.http.send("PUT", f"/bundles/{digest}", archive, {"Content-Type": "application/octet-stream"})
            if answer.status >= 300:
                raise problem(answer, self.url)

    def close(self) -> None:
        """Close the connections on which nobody waits for an answer; the next request opens another one."""
        self.http.close()


class _Problem(msgspec.Struct):
    """Problem details (RFC 9457), as the server gives them."""

    type: str = ""
    title: str = ""
    detail: str = ""
    hint: str | None = None


def problem(answer: Answer, url: str) -> errors.PenstockError:
    """The error that the server's answer tells."""
    try:
        told = msgspec.json.decode(answer.body, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        told = _Problem()
    if told.type:
        return errors.named(told.type)(told.detail or told.title, hint=told.hint)
    if answer.status in {401, 403}:
        return errors.NotAllowed(f"The server does not allow that ({answer.status}): `{url}`")
    if answer.status == 404:
        return errors.ServerFailed(
            f"There is no API of Penstock at: `{url}`", hint="its URL ends in `/api`, unless a proxy changes it"
        )
    return errors.ServerFailed(f"The server answered with status {answer.status}: `{url}`")
