"""The live stream: told soon, told in order, told again from where a listener was."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from time import monotonic  # noqa: TID251  how long something took is what is tested
from typing import Any, NamedTuple

import pytest
from tests.api.serving import TOKEN, Served, serving
from tests.orchestration.plant import Plant

from penstock.api import stream
from penstock.core import records
from penstock.core.operations.deployments import RunDeployment
from penstock.orchestration import deployments

MAX_HEARTBEATS = 4
"""After so many that nothing came between, nothing will."""


class Message(NamedTuple):
    id: int
    kind: str
    data: Any


class Listener:
    """What an EventSource does, without its patience."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.response = response

    def next(self) -> Message:
        """The next message; comments are passed over."""
        fields: dict[str, str] = {}
        heartbeats = 0
        while True:
            line = self.response.readline().decode()
            assert line, "the stream has ended"
            heartbeats += line.startswith(":")
            assert heartbeats < MAX_HEARTBEATS, "nothing is told"
            line = line.rstrip("\n")
            if not line and "event" in fields:
                return Message(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value

    def until(self, kind: str) -> Message:
        while (message := self.next()).kind != kind:
            pass
        return message

    def events(self, count: int) -> list[dict[str, Any]]:
        """The next so many events, in however many messages they come."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            found += self.until("events").data
        return found


@pytest.fixture
def served(plant: Plant) -> Iterator[Served]:
    with serving(plant.store) as served:
        yield served


@contextmanager
def listening(served: Served, query: str = "", **headers: str) -> Generator[Listener]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request("GET", f"/api/events/stream{query}", headers={"Authorization": f"Bearer {TOKEN}", **headers})
    response = connection.getresponse()
    assert (response.status, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    try:
        yield Listener(response)
    finally:
        response.close()
        connection.close()


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events]


def test_what_happens_to_runs_is_told_in_order(served: Served, plant: Plant):
    with listening(served, "?topics=runs") as listener:
        assert listener.next().kind == "hello"
        run = plant.create()
        plant.work_off()
        told = listener.events(4)

    assert [event["run_id"] for event in told] == [run] * 4
    assert names(told) == plant.events(run)[:4]
    assert [event["sequence"] for event in told] == sorted(event["sequence"] for event in told)


def test_it_is_told_within_a_quarter_of_a_second(served: Served, plant: Plant):
    with listening(served, "?topics=runs") as listener:
        listener.next()
        took: list[float] = []
        # A machine that others keep busy is given time to come back to it.
        while len(took) < 5 or (sorted(took[-5:])[2] >= 0.25 and sum(took) < 30):
            began = monotonic()
            plant.create()
            listener.events(1)
            took.append(monotonic() - began)

    assert sorted(took[-5:])[2] < 0.25


def test_a_listener_that_comes_back_misses_nothing_and_hears_nothing_twice(served: Served, plant: Plant):
    with listening(served) as listener:
        place = listener.next().id
        plant.create()
        message = listener.until("events")
        place = message.id
    missed = [plant.create() for _ in range(3)]

    for query, headers in ((f"?cursor={place}", {}), ("?cursor=1", {"Last-Event-ID": str(place)})):
        with listening(served, query, **headers) as listener:
            assert listener.next() == Message(place, "hello", {})
            told = listener.events(3)
            assert [event["run_id"] for event in told] == missed


def test_only_what_was_asked_for_is_told(served: Served, plant: Plant):
    mine, other = plant.create(), plant.create()
    with listening(served, f"?topics=run:{mine}") as listener:
        listener.next()
        plant.cancel(other)
        plant.cancel(mine)
        told = listener.events(1)

    assert {event["run_id"] for event in told} == {mine}


def test_that_more_is_known_of_a_run_is_told_without_an_event(served: Served, plant: Plant):
    run = plant.create()
    plant.claim()
    plant.begin(run, 1)
    with listening(served, f"?topics=run:{run},logs:{run}") as listener:
        listener.next()
        plant.finish_task(run, 1, "load")
        assert listener.until("changed").data == [f"run:{run}"]

        plant.tell(run, 1, records.LogLine(1, run, None, 20, "etl", "hello"))
        assert listener.until("changed").data == [f"logs:{run}", f"run:{run}"]


def test_whoever_is_too_far_behind_is_told_of_the_gap(served: Served, plant: Plant, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stream, "REMEMBERED", 5)
    for _ in range(10):
        plant.create()
    with listening(served, "?cursor=0") as listener:
        assert listener.next() == Message(0, "hello", {})
        gap = listener.next()
        assert gap.kind == "gap"
        assert gap.data == {"after": 0, "until": gap.id}

        plant.create()
        assert listener.events(1)[0]["sequence"] > gap.id


def test_a_place_that_the_log_has_not_come_to_is_a_gap(served: Served, plant: Plant):
    with listening(served, "?cursor=999999999999999999") as listener:
        assert listener.next().kind == "hello"
        gap = listener.next()
        assert gap.kind == "gap"
        assert gap.data == {"after": 999999999999999999, "until": gap.id}

        run = plant.create()
        assert listener.events(1)[0]["run_id"] == run


def test_much_at_once_comes_in_few_messages(served: Served, plant: Plant):
    with listening(served) as listener:
        listener.next()
        wanted = RunDeployment(deployment="etl/nightly")
        plant.store.run(lambda tx: [deployments.run_deployment(tx, wanted) for _ in range(30)])
        told, messages = 0, 0
        while told < 30:
            told += len(listener.until("events").data)
            messages += 1

    assert messages <= 2


def test_many_listen_at_once_and_each_hears_all(served: Served, plant: Plant):
    heard: list[list[str]] = []
    ready = threading.Barrier(9)

    def listen() -> None:
        with listening(served) as listener:
            listener.next()
            ready.wait(30)
            heard.append([event["run_id"] for event in listener.events(5)][:5])

    threads = [threading.Thread(target=listen) for _ in range(8)]
    for thread in threads:
        thread.start()
    ready.wait(30)
    runs = [plant.create() for _ in range(5)]
    for thread in threads:
        thread.join(30)

    assert heard == [runs] * 8


def test_an_error_does_not_end_the_stream(served: Served, plant: Plant, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stream, "SAFETY_SECONDS", 0.05)
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 1.0)
    read, has_failed = stream._page, threading.Event()

    def fail_once(*given: Any) -> Any:
        if has_failed.is_set():
            return read(*given)
        has_failed.set()
        raise MemoryError("no room for the answer")

    with listening(served, "?topics=runs") as listener:
        listener.next()
        monkeypatch.setattr(stream, "_page", fail_once)
        run = plant.create()
        told = listener.events(1)

    assert has_failed.is_set()
    assert told[0]["run_id"] == run


def test_a_heartbeat_keeps_the_line_open(served: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.05)
    with listening(served) as listener:
        listener.next()
        assert listener.response.readline().startswith(b": heartbeat")


def test_the_stream_ends_when_the_server_does(plant: Plant):
    with serving(plant.store) as served:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        connection.request("GET", "/api/events/stream", headers={"Authorization": f"Bearer {TOKEN}"})
        response = connection.getresponse()
        response.readline()
    while response.readline():
        pass
    connection.close()


@pytest.mark.parametrize(
    "query", ["?topics=", "?topics=nothing", "?topics=run:", "?cursor=x", "?cursor=-1", "?cursor="]
)
def test_what_cannot_be_listened_to_is_said(served: Served, query: str):
    answer = served.ask("GET", f"/api/events/stream{query}")

    assert (answer.status, answer.json["type"]) == (422, "UsageError")
