"""Answering requests that came from elsewhere: to those who may ask, and what must not be done twice once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, cast

import msgspec
from msgspec.structs import replace

from penstock import errors, telemetry
from penstock.core.access import Principal
from penstock.core.operations import Operation, Request, operation_of
from penstock.core.operations.work import ClaimFlowRuns
from penstock.orchestration import handlers
from penstock.orchestration.access import authorize, in_their_name
from penstock.orchestration.claims import claim_together
from penstock.orchestration.local import Home
from penstock.store.interface import Store, Transaction
from penstock.store.kept_answers import KeptAnswer

KEPT_SECONDS = 86_400
"""After this time nobody asks the same again."""

LONGEST_KEY = 200


class Answer(NamedTuple):
    """An answer as JSON; an empty one for None."""

    body: bytes
    says_nothing: bool = False
    """There is nothing yet: those who wait for something may ask again."""
    items: int = 0
    """How many it lists."""


def answer(
    store: Store, request: Request[Any], *, by: Principal, key: str | None = None, home: Home | None = None
) -> Answer:
    """The answer. Raises `NotAllowed` when something in it is not theirs.

    With a ``key``, the answer is kept, in the same transaction: when the request comes again with it, that answer is
    given again, and nothing is done. Raises `KeyReused` when it comes with another request.
    """
    operation = operation_of(request)
    handler = handlers.handler_of(operation)

    def work(tx: Transaction) -> Answer:
        authorize(tx, by, request)
        return _as_json(handler(tx, in_their_name(by, request)))

    if operation.name in handlers.NEEDS_HOME:
        store.ask(lambda tx: authorize(tx, by, request))
        return _told(operation, _as_json(handlers.answer(store, request, home)))
    if not operation.writes:
        with store.reading() as tx:
            return work(tx)
    if operation.is_idempotent:
        key = None
    if key is not None and not 0 < len(key) <= LONGEST_KEY:
        raise errors.UsageError(f"An `Idempotency-Key` has 1 to {LONGEST_KEY} characters")
    if isinstance(request, ClaimFlowRuns):
        claim = cast("ClaimFlowRuns", request)
        about = f"claims:{claim.pool}"
        return _told(operation, store.run_together(about, _Asked(claim, by, key), _claim, weight=claim.limit))
    if key is None:
        return _told(operation, store.run(work))
    asked = _Asked(request, by, key)

    def once(tx: Transaction) -> Answer:
        known = _known(tx, [asked])[0]
        if isinstance(known, errors.KeyReused):
            raise known
        if known is not None:
            return known
        made = work(tx)
        _keep(tx, [(asked, made)])
        return made

    return _told(operation, store.run(once))


class _Asked(NamedTuple):
    """A request, who asks, and the key by which it is carried out once."""

    request: Request[Any]
    by: Principal
    key: str | None


def _known(tx: Transaction, asked: Sequence[_Asked]) -> list[Answer | errors.KeyReused | None]:
    """What was answered to these requests when they came before; nobody else carries them out meanwhile."""
    tx.lock_all(f"answer:{by.name}:{key}" for _, by, key in asked if key is not None)
    names = dict.fromkeys(by.name for _, by, key in asked if key is not None)
    kept = {
        name: tx.kept_answers.answers(name, {key for _, by, key in asked if key is not None and by.name == name})
        for name in names
    }
    return [_if_same(each, kept[each.by.name].get(each.key)) if each.key is not None else None for each in asked]


def _if_same(asked: _Asked, known: KeptAnswer | None) -> Answer | errors.KeyReused | None:
    if known is None:
        return None
    if known.digest != _digest(asked.request):
        return _reused(asked.key)
    return Answer(known.answer)


def _reused(key: str | None) -> errors.KeyReused:
    return errors.KeyReused(
        f"This `Idempotency-Key` came with another request before: `{key}`",
        hint="each request takes a key of its own, and keeps it when it is sent again",
    )


def _keep(tx: Transaction, made: Iterable[tuple[_Asked, Answer]]) -> None:
    """Keep what was answered, unless there was nothing yet."""
    for (request, by, key), answer in made:
        if key is not None and (not answer.says_nothing or not answer.body):
            tx.kept_answers.keep(by.name, {key: KeptAnswer(_digest(request), answer.body)}, tx.now)


def _claim(tx: Transaction, asked: Sequence[_Asked]) -> list[Answer | Exception]:
    """The answers to claims that came at once, all for one pool."""
    answers: dict[int, Answer | Exception] = {}
    first: dict[tuple[str, str], int] = {}
    again: dict[int, int] = {}
    for place, (each, known) in enumerate(zip(asked, _known(tx, asked), strict=True)):
        try:
            authorize(tx, each.by, each.request)
        except errors.NotAllowed as error:
            answers[place] = error
            continue
        if known is not None:
            answers[place] = known
        elif each.key is not None and first.setdefault((each.by.name, each.key), place) != place:
            again[place] = first[each.by.name, each.key]
    new = [place for place in range(len(asked)) if place not in answers and place not in again]
    made = claim_together(tx, [cast("ClaimFlowRuns", asked[place].request) for place in new]) if new else []
    for place, found in zip(new, made, strict=True):
        answers[place] = found if isinstance(found, Exception) else _as_json(found)
    _keep(tx, [(asked[place], answer) for place in new if isinstance(answer := answers[place], Answer)])
    for place, before in again.items():
        same = _digest(asked[place].request) == _digest(asked[before].request)
        answers[place] = answers[before] if same else _reused(asked[place].key)
    return [answers[place] for place in range(len(asked))]


def _told(operation: Operation, answer: Answer) -> Answer:
    """What was written is kept by now: those who count may count it."""
    telemetry.emit("operation.done", operation=operation.name, count=answer.items)
    return answer


def _as_json(value: Any) -> Answer:
    items = len(cast("list[Any]", value)) if isinstance(value, list) else 0
    return Answer(b"" if value is None else msgspec.json.encode(value), not value, items)


def take_once(store: Store, code: str) -> bool:
    """Whether nobody has taken this code before, at any server of the store."""

    def work(tx: Transaction) -> bool:
        tx.lock(f"code:{code}")
        key = sha256(code.encode()).hexdigest()
        if tx.kept_answers.answer(_CODES, key) is not None:
            return False
        tx.kept_answers.keep(_CODES, {key: KeptAnswer(b"", b"")}, tx.now)
        return True

    return store.run(work)


_CODES = "codes"
"""Nobody who asks has this name."""


def forget_answers(store: Store) -> int:
    """Delete the answers that nobody asks for again; says how many."""
    return store.run(lambda tx: tx.kept_answers.forget(tx.now - KEPT_SECONDS * 1_000_000))


def _digest(request: Request[Any]) -> bytes:
    """What tells this request from others. For how long the answer may be waited for does not."""
    if hasattr(request, "wait_seconds"):
        request = replace(request, wait_seconds=0)
    return sha256(operation_of(request).name.encode() + b"\0" + msgspec.json.encode(request, order="sorted")).digest()
