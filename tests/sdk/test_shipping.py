"""Which runs are to be sent to a server elsewhere."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import flow, processes, settings, testing
from penstock.client import shipper_process
from penstock.journal.outbox import Outbox
from penstock.sdk import shipping

URL = "http://server.test/api"


@flow
def hello() -> int:
    return 1


@pytest.fixture(autouse=True)
def without_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[..., Any]]]:
    """Nothing is sent; what would be called at the end of the program."""
    at_exit: list[Callable[..., Any]] = []
    monkeypatch.setattr(shipper_process, "start", lambda *_: False)
    monkeypatch.setattr(atexit, "register", at_exit.append)
    monkeypatch.setattr(shipping, "FLUSH_SECONDS", 0.05)
    monkeypatch.setattr(shipping, "_senders", {})
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    yield at_exit
    outbox = Outbox(settings.load().outbox)
    for entry in outbox.entries():
        outbox.remove(entry)  # the threads that see to it that all is sent have nothing left to do


def waiting() -> int:
    return len(Outbox(settings.load().outbox).entries())


def test_a_run_is_to_be_sent_when_the_settings_name_a_server_elsewhere(
    monkeypatch: pytest.MonkeyPatch, without_processes: list[Callable[..., Any]], capsys: pytest.CaptureFixture[str]
):
    hello()
    without = waiting()
    monkeypatch.setenv("PENSTOCK_API_URL", URL)
    hello()
    hello()
    capsys.readouterr()
    for call in without_processes:
        call()

    assert (without, waiting()) == (0, 2)
    assert len(without_processes) == 1
    assert "not all that 2 runs recorded is with the server" in capsys.readouterr().err


def test_a_process_that_has_just_been_started_to_send_is_given_time_to_begin(
    monkeypatch: pytest.MonkeyPatch, without_processes: list[Callable[..., Any]]
):
    started: list[str] = []

    def start(chosen: settings.Settings, url: str, *_: Any) -> bool:
        started.append(url)
        return True

    monkeypatch.setattr(shipper_process, "start", start)
    monkeypatch.setenv("PENSTOCK_API_URL", URL)
    for _ in range(10):
        hello()
    for call in without_processes:
        call()
    of_the_runs = len(started)
    sent = shipping.send(settings.load(), URL, seconds=0.2)

    assert (of_the_runs, len(started)) == (1, 2)
    assert sent.left == 10


def test_what_the_server_does_not_take_is_told_once_and_asked_again_by_the_next_program(
    monkeypatch: pytest.MonkeyPatch, without_processes: list[Callable[..., Any]], capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("PENSTOCK_API_URL", URL)
    hello()
    outbox = Outbox(settings.load().outbox)
    (entry,) = outbox.entries()
    (sender,) = shipping._senders.values()
    before = sender._left()
    outbox.refuse(entry, "The server does not take what was recorded: no")
    capsys.readouterr()
    after = [sender._left(), sender._left()]
    for call in without_processes:
        call()
    said = capsys.readouterr().err
    refused = outbox.refused()
    shipping._senders.clear()  # as in a new program
    hello()

    assert (before, after) == ([entry], [[], []])
    assert said.count("does not take what was recorded: no; `penstock flow-run ship` tries again") == 1
    assert "not all that" not in said
    assert (refused, outbox.refused()) == ({entry[:2]}, set())


def test_a_run_of_a_worker_or_of_a_test_is_not(monkeypatch: pytest.MonkeyPatch):
    with testing.harness(api_url=URL):
        hello()
        of_test = waiting()
    monkeypatch.setenv("PENSTOCK_API_URL", URL)
    monkeypatch.setenv(processes.RUN_ID, "01920001-0000-7000-8000-000000000001")
    hello()

    assert (of_test, waiting()) == (0, 0)


def test_nobody_waits_for_a_run_that_was_told_to_end(
    monkeypatch: pytest.MonkeyPatch, without_processes: list[Callable[..., Any]], capsys: pytest.CaptureFixture[str]
):
    @flow
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("PENSTOCK_API_URL", URL)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    capsys.readouterr()
    for call in without_processes:
        call()

    assert waiting() == 1
    assert capsys.readouterr().err == ""


def test_another_process_has_the_same_settings_by_its_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PENSTOCK_API_URL", URL)
    monkeypatch.setenv("PENSTOCK_RESULTS_PERSIST", "false")
    monkeypatch.setenv("PENSTOCK_OFFLINE_GRACE_SECONDS", "2.5")
    chosen = settings.load()

    assert settings.load(settings.to_environment(chosen)) == chosen
