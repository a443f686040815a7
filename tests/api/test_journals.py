"""Journals over HTTP: shipped in pieces, folded once, handed out again."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.api.serving import TOKEN, Answer, Served
from tests.orchestration.plant import Plant

from penstock.core import records
from penstock.core.access import Permission
from penstock.core.operations import api_keys as of_keys
from penstock.core.operations import flow_runs as of_runs
from penstock.core.operations import work_pools as of_pools
from penstock.core.records import Record
from penstock.journal import frames
from penstock.orchestration.fold import START
from penstock.store.interface import Store

RUN = "01920001-0000-7000-8000-000000000001"
TYPE = {"Content-Type": "application/vnd.penstock.journal"}


def framed(*said: Record) -> bytes:
    return b"".join(frames.frame(records.encode(each)) for each in said)


def beginning(run: str = RUN) -> bytes:
    return framed(
        records.JournalOpened(1, run, 1, "main", "host", "boot", 4242, 1_000, "0"),
        records.FlowRunBegan(1_000, run, 1, "busy-bee", "etl", "1", "etl.py:etl", {}),
    )


def ending(run: str = RUN) -> bytes:
    return framed(records.FlowRunEnded(2_000, run, "COMPLETED", "Completed"))


def ship(served: Served, *pieces: Any, key: str | None = TOKEN, **headers: str) -> Answer:
    return served.ask("POST", "/api/journal", msgspec.msgpack.encode(pieces), key=key, headers=headers or TYPE)


def state(served: Served, run: str = RUN) -> str:
    return served.orchestrator.ask(of_runs.GetFlowRun(run=run)).state_name


def test_pieces_are_folded_and_a_receipt_is_given_for_each(served: Served):
    first, rest = beginning(), ending()
    answer = ship(served, [RUN, 1, "main", START, first])
    assert (answer.status, answer.json) == (200, [["folded", START + len(first)]])
    assert state(served) == "Running"

    end = START + len(first) + len(rest)
    answer = ship(
        served,
        [RUN, 1, "main", START, first],
        [RUN, 1, "main", end, b""],
        [RUN, 1, "main", START + len(first), rest],
        [RUN, 1, "main", START, first + rest + b"\1torn"],
    )
    assert answer.json == [["known", START + len(first)], ["gap", START + len(first)], ["folded", end], ["known", end]]
    assert state(served) == "Completed"


def test_a_journal_comes_back_as_it_went(served: Served):
    ship(served, [RUN, 1, "main", START, beginning()])
    ship(served, [RUN, 1, "main", START + len(beginning()), ending()])

    answer = served.ask("GET", f"/api/flow-runs/{RUN}/journal")
    assert answer.headers["content-type"] == "application/vnd.penstock.journal"
    assert msgspec.msgpack.decode(answer.body) == [
        [RUN, 1, "main", START, beginning()],
        [RUN, 1, "main", START + len(beginning()), ending()],
    ]
    assert "penstock-next" not in answer.headers


def test_a_long_journal_comes_back_some_at_a_time(served: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("penstock.orchestration.ingest.PAGE_BYTES", 1)
    ship(served, [RUN, 1, "main", START, beginning()])
    ship(served, [RUN, 1, "main", START + len(beginning()), ending()])

    found: list[Any] = []
    after: str | None = "0"
    while after is not None:
        answer = served.ask("GET", f"/api/flow-runs/{RUN}/journal?after={after}")
        found.append(msgspec.msgpack.decode(answer.body))
        after = answer.headers.get("penstock-next")
    assert [len(page) for page in found] == [1, 1]


def test_one_bad_piece_and_none_is_folded(served: Served):
    other = RUN.replace("1920001", "1920002")
    bad = bytearray(beginning(other))
    bad[12] ^= 1

    answer = ship(served, [RUN, 1, "main", START, beginning()], [other, 1, "main", START, bytes(bad)])

    assert (answer.status, answer.json["type"]) == (422, "CorruptJournal")
    assert other in answer.json["detail"]
    assert served.ask("GET", f"/api/flow-runs/{RUN}").status == 404


@pytest.mark.parametrize(
    ("piece", "status", "said"),
    [
        ([RUN, 1, "control", START, b""], 403, "written by the server alone"),
        ([RUN, 1, "../main", START, b""], 422, "name of a writer"),
        ([f"{RUN}\n", 1, "main", START, b""], 422, "id of a run"),
        (["../../etc", 1, "main", START, b""], 422, "id of a run"),
        ([RUN, 0, "main", START, b""], 422, "No attempt or offset"),
        ([RUN, 1, "main", -1, b""], 422, "No attempt or offset"),
        ([RUN, 1 << 63, "main", 0, b""], 422, "No attempt or offset"),
        ([RUN, 1, "main", START], 422, "no list of pieces"),
        ([RUN, 1, "main", START, "text"], 422, "no list of pieces"),
        ({"run_id": RUN}, 422, "no list of pieces"),
    ],
)
def test_what_is_no_piece_of_a_journal_is_refused(served: Served, piece: Any, status: int, said: str):
    answer = ship(served, piece)

    assert answer.status == status
    assert said in answer.json["detail"]


def test_the_body_is_a_journal_by_its_type(served: Served):
    assert ship(served, **{"Content-Type": "application/json"}).status == 415
    assert ship(served, **{"Content-Type": "application/msgpack"}).status == 200


def test_numbers_that_no_database_keeps_spoil_nothing(served: Served):
    said = framed(
        records.JournalOpened(1, RUN, 1, "main", "host\0", "boot", 1 << 63, 1_000, "0"),
        records.FlowRunBegan((1 << 63) + 5, RUN, 1, "busy\0bee", "etl", "1", "etl.py:etl", {}),
    )

    answer = ship(served, [RUN, 1, "main", START, said])
    assert answer.status in {200, 422}
    assert b"Traceback" not in answer.body


def test_workers_ship_for_their_pool_and_runs_for_themselves(store: Store, served: Served):
    plant = Plant(store)
    plant.deploy()
    plant.start_worker()
    plant.ask(of_pools.CreateWorkPool(name="other"))
    run = plant.create()
    (claim,) = plant.claim()

    def new_key(name: str, *permissions: Permission, pool: str | None = None) -> str:
        return plant.ask(of_keys.CreateApiKey(name=name, permissions=permissions, pool=pool)).key

    mine, other, reader = new_key("a", pool="default"), new_key("b", pool="other"), new_key("c", Permission.READ)
    journal = f"/api/flow-runs/{run}/journal"
    piece = [run, 1, "main", START, beginning(run)]

    for key, status in ((mine, 200), (claim.key, 200), (other, 403), (reader, 403), (None, 401)):
        assert ship(served, piece, key=key).status == status
        assert served.ask("GET", journal, key=key).status == status
    assert ship(served, piece, [RUN, 1, "main", START, beginning()], key=mine).status == 403
    assert ship(served, piece, [RUN, 1, "main", START, beginning()], key=claim.key).status == 403
    assert ship(served, [run, 2, "main", START, beginning(run)], key=claim.key).status == 403
    assert json.loads(ship(served, key=claim.key).body) == []


def test_a_journal_says_nothing_of_runs_that_are_not_its_own(store: Store, served: Served):
    """The key is for the journal; what lies in it must not reach further."""
    plant = Plant(store)
    plant.deploy()
    plant.start_worker()
    other = plant.create(name="other")
    (claim,) = plant.claim()
    plant.begin(other, claim.attempt)
    plant.finish_task(other, claim.attempt, "load")
    mine = plant.create(name="mine")
    (claim,) = plant.claim()
    published = "0192ffff-0000-7000-8000-000000000001"
    plant.tell(other, 1, records.ArtifactSaved(1, published, other, None, "markdown", "k", "", "theirs"))
    at = 2_000
    opened = records.JournalOpened(1, mine, 1, "main", "host", "boot", 4242, at, "0")
    before = plant.run(other), plant.events(other)

    for foreign in (
        records.FlowRunBegan(at, other, 1, "taken over", "etl", "1", "etl.py:etl", {}),
        records.FlowRunEnded(at, other, "FAILED", "Failed"),
        records.TaskRunBegan(at, f"{other}/load", mine, mine, 0, "load"),
        records.TaskRunEnded(at, f"{other}/load", type="FAILED", name="Failed"),
        records.LogLine(at, other, None, 20, "x", "not from me"),
        records.ArtifactSaved(at, published, mine, None, "markdown", "k", "", "mine now"),
        records.EventEmitted(at, "e", other, None, "done", {}, {}),
        records.CommandIssued(at, other, "cancel", "me", {}),
    ):
        said = framed(opened, records.TaskDefined(0, "etl.load", "load"), foreign)
        answer = ship(served, [mine, 1, "main", START, said], key=claim.key)
        assert (answer.status, answer.json["type"]) == (422, "CorruptJournal"), foreign
        assert other in answer.json["detail"]

    assert (plant.run(other), plant.events(other)) == before
    assert served.ask("GET", f"/api/flow-runs/{other}/logs").json["items"] == []
    with store.reading() as tx:
        assert tx.artifacts.rows([published])[0].flow_run_id == other


def test_a_journal_does_say_how_its_subflow_runs_go(served: Served):
    below = "01920003-0000-7000-8000-000000000003"
    said = framed(
        records.JournalOpened(1, RUN, 1, "main", "host", "boot", 4242, 1_000, "0"),
        records.FlowRunBegan(1_000, RUN, 1, "busy-bee", "etl", "1", "etl.py:etl", {}),
        records.FlowRunBegan(1_000, below, 1, "little-bee", "load", "1", "etl.py:load", {}, parent_flow_run_id=RUN),
        records.LogLine(1_000, below, None, 20, "x", "from below"),
    )
    assert ship(served, [RUN, 1, "main", START, said]).status == 200
    rest = framed(records.FlowRunEnded(2_000, below, "COMPLETED", "Completed"))
    assert ship(served, [RUN, 1, "main", START + len(said), rest]).status == 200
    assert state(served, below) == "Completed"
