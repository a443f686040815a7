from __future__ import annotations

import json
from typing import Any

import pytest

from penstock import concurrency

Penstock = Any


def test_a_limit_is_made_looked_at_changed_and_deleted(penstock: Penstock):
    made = penstock("concurrency-limit", "create", "db", "--limit", "2")
    listed = penstock("concurrency-limit", "ls", "-o", "table")
    changed = penstock("concurrency-limit", "update", "db", "--limit", "3", "--slot-decay-per-second", "0.5")
    shown = json.loads(penstock("concurrency-limit", "inspect", "db", "--json").out)
    rehearsed = penstock("concurrency-limit", "delete", "db", "--dry-run")
    deleted = penstock("concurrency-limit", "delete", "db", "-y")

    assert made.out == "Created concurrency limit 'db': 2 at once, of what asks for 'db'\n"
    assert listed.out.splitlines()[0].split() == ["NAME", "LIMIT", "HELD", "WAITING", "PER", "SECOND", "STATUS"]
    assert listed.out.splitlines()[1].split() == ["db", "2", "0", "0", "active"]
    assert changed.out == "Updated concurrency limit 'db'\n"
    assert (shown["limit"], shown["slot_decay_per_second"], shown["holders"]) == (3, 0.5, [])
    assert rehearsed.out == "Would delete concurrency limit 'db'\n"
    assert deleted.out == "Deleted concurrency limit 'db'\n"
    assert penstock("concurrency-limit", "inspect", "db").code == 3


def test_a_name_and_a_number_make_the_limit_of_a_tag_as_in_prefect_2(penstock: Penstock):
    made = penstock("concurrency-limit", "create", "etl", "2")
    shown = json.loads(penstock("concurrency-limit", "read", "etl", "--json", "name,limit").out)

    assert made.out == "Created concurrency limit 'tag:etl': 2 at once, of task runs with the tag 'etl'\n"
    assert shown == {"name": "tag:etl", "limit": 2}
    assert penstock("concurrency-limit", "reset", "etl", "-y").out == "Reset concurrency limit 'tag:etl'\n"


@pytest.mark.parametrize("noun", ["gcl", "global-concurrency-limit"])
def test_the_names_of_prefect_3_work(penstock: Penstock, noun: str):
    penstock(noun, "create", "db", "--limit", "1", "--inactive")

    assert penstock(noun, "ls").out == "db\t1\t0\t0\t\tinactive\n"
    assert penstock(noun, "enable", "db").out == "Enabled concurrency limit 'db'\n"
    assert penstock(noun, "disable", "db").out == "Disabled concurrency limit 'db'\n"


def test_a_limit_needs_one_number(penstock: Penstock):
    neither = penstock("concurrency-limit", "create", "db")
    both = penstock("concurrency-limit", "create", "db", "2", "--limit", "3")
    nothing = penstock("concurrency-limit", "update", "db")

    assert (neither.code, both.code, nothing.code) == (2, 2, 2)
    assert "`create db --limit 2` limits code that names it" in neither.err


def test_who_holds_slots_of_this_home_is_shown(penstock: Penstock):
    penstock("concurrency-limit", "create", "db", "--limit", "2", "--slot-decay-per-second", "4")
    with concurrency("db", key="ada"):
        shown = penstock("concurrency-limit", "inspect", "db", tty=True).out
        listed = penstock("concurrency-limit", "ls").out

    assert "rate     4 per second" in shown
    assert "Holders" in shown
    assert "process " in shown
    assert "ada" in shown
    assert listed == "db\t2\t1\t0\t4\tactive\n"


def test_there_may_be_no_limits(penstock: Penstock):
    ran = penstock("concurrency-limit", "ls", tty=True)

    assert ran.err.startswith("There are no concurrency limits\n")
