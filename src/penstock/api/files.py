"""Files over HTTP: bundles of code, and results of runs elsewhere. What comes is looked at before it is kept."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from hashlib import blake2b
from http import HTTPStatus
from pathlib import Path
from typing import Any

from litestar import MediaType, Request, Response
from litestar.handlers import HTTPRouteHandler, get, head, put
from litestar.response import Stream

from penstock import errors
from penstock.api.admission import NEEDS
from penstock.api.bodies import check_type
from penstock.api.context import Context
from penstock.api.described import Raw, Schema
from penstock.api.problems import Refused
from penstock.core.access import Permission
from penstock.files.local import make_folder
from penstock.orchestration import kept_files
from penstock.orchestration.kept_files import KeptFile

MEDIA_TYPE = "application/octet-stream"

MAX_BUNDLE_BYTES = 256 << 20
"""The largest bundle of code that is taken."""

SLOWEST_SECONDS = 60.0
"""The next bytes of a file must have come after this time."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20

_TAKERS = frozenset({Permission.WORK, Permission.RUN, Permission.AUTHOR})
_RUNNERS = frozenset({Permission.WORK, Permission.RUN})


def routes(context: Context) -> list[HTTPRouteHandler]:
    """Below ``/api``."""

    @put(
        "/bundles/{digest:str}",
        name="put_bundle",
        opt={NEEDS: frozenset({Permission.AUTHOR})},
        request_max_body_size=MAX_BUNDLE_BYTES,
    )
    async def put_bundle(request: Request[Any, Any, Any]) -> Response[bytes]:
        digest = _digest(request)
        with _incoming(context) as file:
            await _receive(context, request, file, digest)
            await context.in_thread(kept_files.keep_bundle, context.store, digest, file)
        return _done()

    @get("/bundles/{digest:str}", name="get_bundle", opt={NEEDS: _TAKERS})
    async def get_bundle(request: Request[Any, Any, Any]) -> Stream:
        digest = _digest(request)
        return _given(context, digest, await context.in_thread(kept_files.bundle, context.store, digest))

    @head("/bundles/{digest:str}", name="head_bundle", opt={NEEDS: _TAKERS})
    async def head_bundle(request: Request[Any, Any, Any]) -> Response[None]:
        digest = _digest(request)
        found = await context.in_thread(kept_files.bundle, context.store, digest)
        if found is None:
            raise _missing(digest)
        return Response(None, media_type=MediaType.TEXT, headers={"Content-Length": str(found.size)})

    most = context.settings.results_upload_max_bytes

    @put("/results/{folder:str}/{digest:str}", name="put_result", opt={NEEDS: _RUNNERS}, request_max_body_size=most)
    async def put_result(request: Request[Any, Any, Any]) -> Response[bytes]:
        digest = _location(request)
        with _incoming(context) as file:
            await _receive(context, request, file, digest)
            await context.in_thread(kept_files.keep_result, context.settings, context.store, digest, file)
        return _done()

    @get("/results/{folder:str}/{digest:str}", name="get_result", opt={NEEDS: _RUNNERS})
    async def get_result(request: Request[Any, Any, Any]) -> Stream:
        digest = _location(request)
        found = await context.in_thread(kept_files.result, context.settings, context.store, digest)
        return _given(context, digest, found)

    return [put_bundle, get_bundle, head_bundle, put_result, get_result]


def _digest(request: Request[Any, Any, Any]) -> str:
    digest: str = request.path_params["digest"]
    if not _DIGEST.fullmatch(digest):
        raise errors.UsageError(f"A file is named by the BLAKE2b-256 of its bytes, in hex, not: `{digest[:100]}`")
    return digest


def _location(request: Request[Any, Any, Any]) -> str:
    digest = _digest(request)
    if request.path_params["folder"] != digest[:2]:
        raise errors.UsageError("A result lies in the folder of the first two digits of its name")
    return digest


@contextmanager
def _incoming(context: Context) -> Generator[Path]:
    """A new file of a name that nobody guesses, beside where it is to be; removed if it is still there."""
    folder = context.settings.home / "incoming"
    make_folder(folder)
    descriptor, name = tempfile.mkstemp(dir=folder)
    file = Path(name)
    try:
        with open(descriptor, "wb"):
            yield file
    finally:
        file.unlink(missing_ok=True)


async def _receive(context: Context, request: Request[Any, Any, Any], file: Path, digest: str) -> None:
    """Write the body to the file. Raises when it is not what the digest says."""
    check_type(request, MEDIA_TYPE)
    found = blake2b(digest_size=32)
    waiting = bytearray()
    coming = aiter(request.stream())
    with open(file, "wb") as opened:  # noqa: ASYNC230  it is written to in a thread
        while True:
            chunk = await _next(coming)
            waiting += chunk or b""
            if chunk is None or len(waiting) >= _CHUNK:
                found.update(waiting)
                await context.in_thread(opened.write, bytes(waiting))
                waiting.clear()
            if chunk is None:
                break
    if found.hexdigest() != digest:
        raise errors.UsageError(f"The bytes that came are not those of `{digest}`, but of `{found.hexdigest()}`")


async def _next(coming: AsyncIterator[bytes]) -> bytes | None:
    try:
        async with asyncio.timeout(SLOWEST_SECONDS):
            return await anext(coming)
    except StopAsyncIteration:
        return None
    except TimeoutError:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "The body came too slowly") from None


def _missing(digest: str) -> errors.NotFound:
    return errors.NotFound(f"There is no file of this digest: `{digest}`")


def _given(context: Context, digest: str, found: KeptFile | None) -> Stream:
    if found is None:
        raise _missing(digest)

    async def parts() -> AsyncIterator[bytes]:
        while (part := await context.in_thread(next, found.parts, None)) is not None:
            yield part

    return Stream(parts(), media_type=MEDIA_TYPE, headers={"Content-Length": str(found.size)})


def _done() -> Response[bytes]:
    return Response(b"", status_code=HTTPStatus.NO_CONTENT)


_BYTES = {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}
_HEX: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_BUNDLE = ({"name": "digest", "in": "path", "required": True, "schema": _HEX},)
_RESULT = ({"name": "folder", "in": "path", "required": True, "schema": {"type": "string"}}, *_BUNDLE)

DESCRIBED = (
    Raw(
        "put",
        "/api/bundles/{digest}",
        "put_bundle",
        "Keep an archive of code, named by the BLAKE2b-256 of its bytes.",
        tag="files",
        permissions=(Permission.AUTHOR,),
        parameters=_BUNDLE,
        body=_BYTES,
    ),
    Raw(
        "get",
        "/api/bundles/{digest}",
        "get_bundle",
        "An archive of code.",
        tag="files",
        permissions=tuple(sorted(_TAKERS)),
        parameters=_BUNDLE,
        answer=_BYTES,
    ),
    Raw(
        "head",
        "/api/bundles/{digest}",
        "head_bundle",
        "Whether there is an archive of code.",
        tag="files",
        permissions=tuple(sorted(_TAKERS)),
        parameters=_BUNDLE,
        answer={},
    ),
    Raw(
        "put",
        "/api/results/{folder}/{digest}",
        "put_result",
        "Keep the file of a result, named by the BLAKE2b-256 of its bytes, in a folder of its first two digits.",
        tag="files",
        permissions=tuple(sorted(_RUNNERS)),
        parameters=_RESULT,
        body=_BYTES,
    ),
    Raw(
        "get",
        "/api/results/{folder}/{digest}",
        "get_result",
        "The file of a result.",
        tag="files",
        permissions=tuple(sorted(_RUNNERS)),
        parameters=_RESULT,
        answer=_BYTES,
    ),
)
