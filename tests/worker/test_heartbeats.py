"""Heartbeats: what the server grants, and from when on it counts."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.worker.factory import until

from penstock import clock, errors
from penstock.core.operations.work import AwaitOrders, Heartbeat, Judged
from penstock.core.work import LEASE_MARGIN_SECONDS, Verdict
from penstock.worker.heartbeats import Heartbeats, Orders, Pauses


class Charge:
    """A run in the worker's care."""

    def __init__(self, run_id: str, attempt: int = 1) -> None:
        self.run_id = run_id
        self.attempt = attempt
        self.deadline = 0.0
        self.judged: list[Verdict] = []

    def extend_lease(self, deadline: float) -> None:
        self.deadline = deadline

    def judge(self, verdict: Verdict, reason: str) -> None:
        self.judged.append(verdict)


class Server:
    """Answers heartbeats as it was told to."""

    url = ""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []

    def ask(self, request: Any, *, key: str | None = None) -> Any:
        self.asked.append(request)
        answer = self.answers.pop(0) if self.answers else []
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer

    def close(self) -> None:
        return


def heartbeats(server: Server, *charges: Charge, pauses: Pauses | None = None, **options: Any) -> Heartbeats:
    given: Any = server
    return Heartbeats(
        given, "w", lambda: charges, pauses or Pauses(), interval_seconds=0.01, lease_seconds=30, **options
    )


def test_a_lease_counts_from_when_it_was_asked_for_and_not_from_when_the_answer_came(
    monkeypatch: pytest.MonkeyPatch,
):
    now = [1000.0]
    monkeypatch.setattr(clock, "boottime", lambda: now[0])

    def late() -> list[Judged]:
        now[0] += 20
        return []

    run = Charge("a")
    heartbeats(Server(late), run).beat()

    assert run.deadline == 1000 + 30 - LEASE_MARGIN_SECONDS


def test_each_run_is_told_what_is_said_of_it():
    runs = [Charge("a"), Charge("b"), Charge("c", 2), Charge("d")]
    verdicts = [
        Judged(run_id="a", attempt=1, verdict=Verdict.GO_ON),
        Judged(run_id="b", attempt=1, verdict=Verdict.CANCEL),
        Judged(run_id="c", attempt=2, verdict=Verdict.SUPERSEDED),
        Judged(run_id="d", attempt=7, verdict=Verdict.SUPERSEDED),
    ]
    server = Server(verdicts)
    heartbeats(server, *runs).beat()

    assert [run.judged for run in runs] == [[], [Verdict.CANCEL], [Verdict.SUPERSEDED], []]
    assert [bool(run.deadline) for run in runs] == [True, True, False, True]
    (asked,) = server.asked
    assert isinstance(asked, Heartbeat)
    assert [(each.run_id, each.attempt) for each in asked.runs] == [("a", 1), ("b", 1), ("c", 2), ("d", 1)]


def test_a_server_that_is_away_extends_nothing_and_ends_nothing():
    run = Charge("a")
    server = Server(errors.ServerUnreachable("away"), errors.ServerUnreachable("away"))
    beating = heartbeats(server, run)
    beating.start()
    until(lambda: run.deadline)
    beating.close()

    assert len(server.asked) >= 3
    assert run.judged == []


def test_a_heartbeat_that_was_not_heard_comes_again_soon_for_a_server_that_is_only_there_for_moments():
    run = Charge("a")
    server: Any = Server(errors.ServerUnreachable("away"))
    beating = Heartbeats(server, "w", lambda: [run], Pauses(), interval_seconds=600, lease_seconds=30)
    beating.start()
    until(lambda: run.deadline)
    beating.close()

    assert len(server.asked) == 2


def test_a_worker_that_the_server_has_forgotten_registers_again():
    told = threading.Event()
    beating = heartbeats(Server(errors.NotFound("No worker has the id")), when_unknown=told.set)
    beating.start()

    assert told.wait(60)
    beating.close()


def test_orders_are_followed_and_those_that_are_being_followed_not_asked_for_all_the_time():
    run = Charge("a")
    order = [Judged(run_id="a", attempt=1, verdict=Verdict.CANCEL)]
    server = Server(order, order, order, order)
    given: Any = server
    orders = Orders(given, "w", lambda: [run], Pauses())
    orders.start()
    until(lambda: len(server.asked) >= 2)
    orders.close()

    assert set(run.judged) == {Verdict.CANCEL}
    assert len(server.asked) <= 3
    assert all(isinstance(asked, AwaitOrders) for asked in server.asked)


def test_a_run_that_is_paused_is_told_once_and_the_server_that_it_is():
    run = Charge("a")
    paused = Judged(run_id="a", attempt=1, verdict=Verdict.PAUSE)
    on = Judged(run_id="a", attempt=1, verdict=Verdict.GO_ON)
    server = Server([paused], [on], [paused])
    given: Any = server
    orders = Orders(given, "w", lambda: [run], Pauses())
    orders.start()
    until(lambda: len(server.asked) >= 4)
    orders.close()

    assert run.judged == [Verdict.PAUSE, Verdict.GO_ON, Verdict.PAUSE]
    assert [asked.paused for asked in server.asked[:4]] == [(), ("a",), (), ("a",)]


def test_a_pause_of_a_run_that_is_not_in_care_yet_is_asked_for_again():
    charges: list[Charge] = []
    paused = [Judged(run_id="a", attempt=1, verdict=Verdict.PAUSE)]

    def take() -> list[Judged]:
        charges.append(Charge("a"))
        return paused

    server = Server(paused, take)
    given: Any = server
    orders = Orders(given, "w", lambda: charges, Pauses())
    orders.start()
    until(lambda: len(server.asked) >= 3)
    orders.close()

    assert charges[0].judged == [Verdict.PAUSE]
    assert [asked.paused for asked in server.asked[:3]] == [(), (), ("a",)]


def test_a_heartbeat_that_is_under_way_when_a_run_is_paused_again_does_not_let_it_go_on():
    run, pauses = Charge("a"), Pauses()
    paused = Judged(run_id="a", attempt=1, verdict=Verdict.PAUSE)
    on = Judged(run_id="a", attempt=1, verdict=Verdict.GO_ON)

    def late() -> list[Judged]:
        """The server answers between the resume and the second pause; both orders are there before its answer is."""
        pauses.ordered(run, on)
        pauses.ordered(run, paused)
        return []

    beating = heartbeats(Server([paused], late, [paused], []), run, pauses=pauses)
    beating.beat()
    beating.beat()
    after_both = list(run.judged)
    known = pauses.run_ids()
    beating.beat()
    beating.beat()

    assert after_both == [Verdict.PAUSE, Verdict.GO_ON, Verdict.PAUSE]
    assert known == ("a",)
    assert run.judged[3:] == [Verdict.PAUSE, Verdict.GO_ON]


def test_what_a_heartbeat_has_paused_is_known_to_whoever_waits_for_orders():
    run, pauses = Charge("a"), Pauses()
    paused = Judged(run_id="a", attempt=1, verdict=Verdict.PAUSE)
    heartbeats(Server([paused]), run, pauses=pauses).beat()
    server = Server()
    given: Any = server
    orders = Orders(given, "w", lambda: [run], pauses)
    orders.start()
    until(lambda: server.asked)
    orders.close()

    assert server.asked[0].paused == ("a",)
