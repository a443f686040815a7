"""What is to be sent is remembered, until it is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock import clock, settings
from penstock.core import records
from penstock.engine.attempt import open_attempt
from penstock.journal.outbox import Entry, Outbox
from penstock.orchestration import local

RUN = "01920001-0000-7000-8000-000000000001"
OLDER = "01920000-0000-7000-8000-000000000001"
URL = "http://server.test/api"


def test_entries_come_in_the_order_of_runs_and_attempts(tmp_path: Path):
    outbox = Outbox(tmp_path / "outbox")
    entries = [Entry(RUN, 10, URL), Entry(OLDER, 1, URL), Entry(RUN, 9, "http://other.test/api")]
    for entry in entries:
        outbox.put(entry)
        outbox.sync(entry)

    assert outbox.entries() == [entries[1], entries[2], entries[0]]


def test_an_entry_is_gone_when_it_was_removed_and_may_be_so_twice(tmp_path: Path):
    outbox = Outbox(tmp_path / "outbox")
    entry = Entry(RUN, 1, URL)
    outbox.put(entry)
    held = outbox.holds(RUN, 1)
    outbox.remove(entry)
    outbox.remove(entry)
    outbox.sync(entry)

    assert held
    assert not outbox.holds(RUN, 1)
    assert outbox.entries() == []


def test_what_else_lies_there_is_no_entry(tmp_path: Path):
    outbox = Outbox(tmp_path)
    (tmp_path / "shipper.0123").write_text(URL)
    (tmp_path / f"{RUN}.1").touch()

    assert outbox.entries() == []
    assert Outbox(tmp_path / "none").entries() == []


@pytest.mark.parametrize("is_sent", [False, True])
def test_journals_of_a_run_that_has_ended_are_kept_until_they_are_sent(is_sent: bool):
    chosen = settings.load()
    opened = open_attempt(chosen, clock.SYSTEM, None, RUN)
    opened.journal.append(records.FlowRunBegan(1, RUN, 1, "quiet-otter", "etl", "1", "etl.py:etl", {}))
    opened.journal.append(records.FlowRunEnded(2, RUN, "COMPLETED", "Completed"))
    opened.close()
    outbox, entry = Outbox(chosen.outbox), Entry(RUN, 1, URL)
    outbox.put(entry)
    if is_sent:
        outbox.remove(entry)
    local.open_home(chosen, clock.SYSTEM).close()

    assert opened.journal.path.exists() is not is_sent
