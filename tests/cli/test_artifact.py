"""``penstock artifact``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Call = Callable[..., Any]

ROWS = [{"borough": "Queens", "trips": 12}, {"borough": "Bronx", "trips": 3}]


@pytest.fixture
def run(journals: Any):
    journals.run("calm-heron", began=-7200, artifacts=(("markdown", "notes", "# Old"),))
    return journals.run(
        "brave-otter",
        artifacts=(
            ("table", "trips", ROWS),
            ("table", "columns", {"a": [1, 2], "b": ["x", None]}),
            ("table", "lists", [[1, 2], [3, 4]]),
            ("markdown", "notes", "# Trips\n\n\x1b[31mmany"),
            ("progress", "load", 75.0),
        ),
    )


def test_artifacts_are_listed_newest_first(penstock: Call, run: Any):
    lines = penstock("artifact", "ls", tty=True).out.splitlines()

    assert lines[0].split() == ["KEY", "KIND", "DESCRIPTION", "UPDATED", "ID"]
    assert [line.split()[0] for line in lines[1:]] == ["load", "notes", "lists", "columns", "trips", "notes"]


@pytest.mark.parametrize(
    ("line", "keys"),
    [
        ("--kind progress", ["load"]),
        ("--key notes", ["notes", "notes"]),
        ("--run calm-heron", ["notes"]),
        ("--kind link", []),
    ],
)
def test_a_list_holds_what_was_asked_for(penstock: Call, run: Any, line: Any, keys: Any):
    found = json.loads(penstock("artifact", "ls", "--json", "key", *line.split()).out)

    assert [each["key"] for each in found] == keys


def test_nothing_published_is_no_error(penstock: Call):
    assert penstock("artifact", "ls", tty=True) == (0, "", "There are no artifacts yet\n")


@pytest.mark.parametrize(
    ("key", "table"),
    [
        ("trips", "borough  trips\nQueens      12\nBronx        3\n"),
        ("columns", "a  b\n1  x\n2\n"),
        ("lists", "1  2\n1  2\n3  4\n"),
        ("notes", "# Trips\n\nmany\n"),
        ("load", "75.0\n"),
    ],
)
def test_an_artifact_is_shown_as_what_it_is(penstock: Call, run: Any, key: Any, table: Any):
    ran = penstock("artifact", "inspect", key, tty=True)

    assert ran.code == 0
    assert ran.out.endswith(f"  description  The {key}\n\n{table}")


def test_of_several_with_a_key_the_newest_is_shown(penstock: Call, run: Any):
    assert json.loads(penstock("artifact", "inspect", "notes", "--json", "flow_run_id").out) == {"flow_run_id": run}


def test_a_table_can_be_csv(penstock: Call, run: Any):
    assert penstock("artifact", "inspect", "trips", "-o", "csv").out == "borough,trips\nQueens,12\nBronx,3\n"


def test_an_artifact_that_does_not_exist_is_not_found(penstock: Call, run: Any):
    assert penstock("artifact", "inspect", "trip") == (
        3,
        "",
        "error: No artifact has the key or id: `trip`\nhint: did you mean `trips`?\n",
    )
