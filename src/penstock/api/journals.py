"""Journals over HTTP: those of runs elsewhere come in, and go out again to who resumes a run."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler, get, post

from penstock import errors
from penstock.api.admission import NEEDS, asker
from penstock.api.bodies import bytes_of, check_query, check_type
from penstock.api.context import Context
from penstock.api.described import Raw
from penstock.core.access import Permission, Principal
from penstock.journal.frames import MAX_PAYLOAD
from penstock.orchestration import ingest
from penstock.orchestration.ingest import Piece, Pieces
from penstock.store.interface import Store

MEDIA_TYPE = "application/vnd.penstock.journal"

MAX_BYTES = MAX_PAYLOAD + (1 << 20)
"""The longest record comes through. Who ships sends less at a time."""

NEXT = "penstock-next"
"""The header that says where a journal goes on."""

_NEEDS = {NEEDS: frozenset({Permission.WORK, Permission.RUN})}
_PIECES = msgspec.msgpack.Decoder(list[Piece])


def routes(context: Context) -> list[HTTPRouteHandler]:
    """Below ``/api``."""

    @post("/journal", name="take_journal", status_code=HTTPStatus.OK, opt=_NEEDS, request_max_body_size=MAX_BYTES)
    async def take(request: Request[Any, Any, Any]) -> Response[bytes]:
        body = await bytes_of(request)
        check_type(request, MEDIA_TYPE, "application/msgpack")
        receipts = await context.in_thread(_taken, context.store, body, asker(request))
        return Response(receipts, media_type="application/json")

    @get("/flow-runs/{run:str}/journal", name="give_journal", opt=_NEEDS)
    async def give(request: Request[Any, Any, Any]) -> Response[bytes]:
        run: str = request.path_params["run"]
        check_query(request, "after")
        after = request.query_params.get("after", "0")
        if not after.isdecimal() or len(after) > 18:
            raise errors.UsageError(f"`after` is what the header `{NEXT}` said, not: `{after[:100]}`")
        found = await context.in_thread(_given, context.store, run, int(after), asker(request))
        headers = {} if found.after is None else {NEXT: str(found.after)}
        return Response(msgspec.msgpack.encode(found.pieces), media_type=MEDIA_TYPE, headers=headers)

    return [take, give]


def _taken(store: Store, body: bytes, by: Principal) -> bytes:
    try:
        pieces = _PIECES.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.UsageError(f"The body is no list of pieces: {error}") from None
    return msgspec.json.encode(ingest.ingest(store, pieces, by=by))


def _given(store: Store, run_id: str, after: int, by: Principal) -> Pieces:
    with store.reading() as tx:
        return ingest.journal_of(tx, run_id, after, by=by)


PIECES = """\
A list (MessagePack) of pieces. Each is a list: the id of the run whose journal it is, the number of the attempt, the
name of the writer, the offset at which it lies in the journal's file, and its bytes, which are whole frames."""

DESCRIBED = (
    Raw(
        "post",
        "/api/journal",
        "take_journal",
        "Fold pieces of journals, all or none of them. A piece may come again. Of deleted runs, none is kept.",
        tag="work",
        permissions=(Permission.WORK, Permission.RUN),
        body={MEDIA_TYPE: {"schema": {"type": "string", "format": "binary", "description": PIECES}}},
        answer={
            "application/json": {
                "schema": {
                    "type": "array",
                    "description": "A receipt for each piece: what became of it, and how far its journal is folded.",
                    "items": {
                        "type": "array",
                        "prefixItems": [
                            {"enum": ["folded", "known", "gap", "superseded", "gone"]},
                            {"type": "integer", "format": "int64"},
                        ],
                    },
                }
            }
        },
    ),
    Raw(
        "get",
        "/api/flow-runs/{run}/journal",
        "give_journal",
        f"What is kept of a run's journals, some at a time: while there is more, the header `{NEXT}` is what to ask "
        "for as `after`.",
        tag="work",
        permissions=(Permission.WORK, Permission.RUN),
        parameters=(
            {"name": "run", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
            {
                "name": "after",
                "in": "query",
                "required": False,
                "schema": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
            },
        ),
        answer={MEDIA_TYPE: {"schema": {"type": "string", "format": "binary", "description": PIECES}}},
    ),
)
