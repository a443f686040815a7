"""Asking a server: patiently, never twice by mistake, and with its errors raised here."""

from __future__ import annotations

import msgspec
import pytest
from tests.client.scripted import Scripted, answer, scripted

from penstock import errors
from penstock.client.orchestrator import HttpOrchestrator
from penstock.core.operations.deployments import DeleteDeployment, GetDeployment, PauseDeployment, RunDeployment
from penstock.core.operations.flow_runs import ListFlowRuns
from penstock.core.operations.work import ClaimFlowRuns
from penstock.testing import FakeClock

PAGE = b'{"items": [], "next": null}'


def asking(server: Scripted, *, key: str | None = "a-key", patience: float = 10) -> HttpOrchestrator:
    return HttpOrchestrator(server.url, key, FakeClock(), patience_seconds=patience)


def problem(status: int, kind: str, detail: str = "It is so", hint: str | None = None) -> bytes:
    body = msgspec.json.encode({"type": kind, "title": "x", "status": status, "detail": detail, "hint": hint})
    return answer(status, body, Content_Type="application/problem+json")


def test_a_request_goes_where_its_operation_says_and_shows_the_key():
    with scripted(answer(body=PAGE), answer(204, b"")) as server:
        orchestrator = asking(server)
        orchestrator.ask(ListFlowRuns(flow="etl", limit=5))
        assert orchestrator.ask(DeleteDeployment(deployment="etl/nightly")) is None
        orchestrator.close()

    first, second = server.asked
    assert first.line == "GET /api/flow-runs?flow=etl&limit=5 HTTP/1.1"
    assert first.headers["authorization"] == "Bearer a-key"
    assert first.headers["user-agent"].startswith("penstock/")
    assert second.line == "DELETE /api/deployments/etl~1nightly HTTP/1.1"
    assert second.connection == first.connection, "the connection is kept"


def test_a_server_that_cannot_answer_now_is_asked_again_with_the_same_key():
    run = RunDeployment(deployment="a/b")
    with scripted(answer(503), None, answer(502), problem(404, "NotFound")) as server:
        orchestrator = asking(server)
        with pytest.raises(errors.NotFound):
            orchestrator.ask(run)
        orchestrator.close()
    assert len(server.asked) == 4
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1

    with scripted(problem(404, "NotFound"), problem(404, "NotFound")) as server:
        orchestrator = asking(server)
        for _ in range(2):
            with pytest.raises(errors.NotFound):
                orchestrator.ask(run)
        orchestrator.close()
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 2


def test_what_may_be_done_twice_needs_no_key():
    with scripted(problem(404, "NotFound"), problem(404, "NotFound")) as server:
        orchestrator = asking(server)
        for request in (PauseDeployment(deployment="x"), GetDeployment(deployment="x")):
            with pytest.raises(errors.NotFound):
                orchestrator.ask(request)
        orchestrator.close()

    assert all("idempotency-key" not in asked.headers for asked in server.asked)


def test_patience_has_an_end_and_the_last_answer_counts():
    with scripted(*[problem(503, "StoreUnreachable")] * 20) as server:
        orchestrator = asking(server, patience=3)
        with pytest.raises(errors.StoreUnreachable, match="It is so"):
            orchestrator.ask(ListFlowRuns())
        orchestrator.close()

    assert 3 <= len(server.asked) <= 8


def test_without_patience_a_connection_that_was_closed_is_opened_again_all_the_same():
    with scripted(answer(body=PAGE), None, answer(body=PAGE)) as server:
        orchestrator = asking(server, patience=0)
        orchestrator.ask(ListFlowRuns())
        orchestrator.ask(ListFlowRuns())
        orchestrator.close()

    assert [asked.connection for asked in server.asked] == [0, 0, 1]


def test_a_server_that_says_when_is_asked_then():
    clock = FakeClock()
    with scripted(answer(503, Retry_After="4"), answer(body=PAGE)) as server:
        orchestrator = HttpOrchestrator(server.url, None, clock, patience_seconds=10)
        began = clock.elapsed()
        orchestrator.ask(ListFlowRuns())
        orchestrator.close()

    assert clock.elapsed() - began >= 3
    assert "authorization" not in server.asked[0].headers


def test_an_error_is_raised_as_the_server_raised_it():
    for kind in (
        "NotFound",
        "AlreadyRunning",
        "UsageError",
        "ParameterError",
        "StoreBusy",
        "KeyReused",
        "AlreadyExists",
    ):
        with scripted(problem(400, kind, "There is no `x`", "say `y`")) as server:
            orchestrator = asking(server)
            with pytest.raises(errors.PenstockError) as raised:
                orchestrator.ask(ListFlowRuns())
            orchestrator.close()
        assert type(raised.value) is getattr(errors, kind)
        assert (raised.value.message, raised.value.hint) == ("There is no `x`", "say `y`")


def test_an_error_of_a_newer_server_is_an_error_too():
    with scripted(problem(409, "SomethingNew")) as server:
        orchestrator = asking(server)
        with pytest.raises(errors.PenstockError, match="It is so"):
            orchestrator.ask(ListFlowRuns())
        orchestrator.close()


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        (answer(401, b"<html>"), errors.NotAllowed, "does not allow that"),
        (answer(404, b"<html>"), errors.ServerFailed, "no API of Penstock"),
        (answer(500, b""), errors.ServerFailed, "status 500"),
        (answer(200, b"<html>"), errors.ServerFailed, "makes no sense"),
        (answer(200, b'{"items": 3}'), errors.ServerFailed, "makes no sense"),
        (problem(500, "os"), errors.PenstockError, "It is so"),
    ],
)
def test_what_is_no_answer_of_penstock_is_told(said: bytes, error: type[Exception], message: str):
    with scripted(said) as server:
        orchestrator = asking(server)
        with pytest.raises(error, match=message):
            orchestrator.ask(ListFlowRuns())
        orchestrator.close()


def test_nobody_there_is_told_with_what_to_do():
    with scripted() as server:
        pass
    orchestrator = asking(server, patience=1)

    with pytest.raises(errors.ServerUnreachable) as raised:
        orchestrator.ask(ListFlowRuns())
    assert (raised.value.exit_code, server.url in raised.value.message) == (5, True)
    assert "`penstock server start`" in (raised.value.hint or "")


def test_an_address_that_is_none_is_refused():
    for url in ("127.0.0.1:4200/api", "ftp://x", "http://", "nothing"):
        with pytest.raises(errors.UsageError, match="Not the URL of an API"):
            HttpOrchestrator(url, None, FakeClock())


def test_waiting_on_purpose_is_no_trouble():
    with scripted(answer(body=b"[]")) as server:
        orchestrator = asking(server)
        assert orchestrator.ask(ClaimFlowRuns(worker_id="w", pool="p", wait_seconds=30)) == []
        orchestrator.close()

    assert server.asked[0].body == b'{"pool":"p","wait_seconds":30}'


def test_a_bundle_that_is_there_is_not_sent():
    with scripted(answer(200, b""), answer(404, b""), answer(204, b"")) as server:
        orchestrator = asking(server)
        orchestrator.keep_bundle("a" * 64, b"code")
        orchestrator.keep_bundle("b" * 64, b"more")
        orchestrator.close()

    assert [asked.line.split()[0] for asked in server.asked] == ["HEAD", "HEAD", "PUT"]
    assert server.asked[2].body == b"more"
