"""``penstock flow``: flows that have run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.cli.conftest import Journals

Call = Callable[..., Any]


def test_a_flow_is_shown_with_its_latest_runs(penstock: Call, journals: Journals):
    journals.run("old-otter", began=-7200)
    journals.run("new-otter", state="FAILED")

    page = penstock("flow", "inspect", "etl", tty=True)
    values = json.loads(penstock("flow", "inspect", "etl", "--json", "name,runs,latest_runs,deployments").out)

    assert page.code == 0
    assert page.out == (
        "etl\n\n"
        "  entrypoint  flows/etl.py:etl\n"
        "  runs        2\n\n"
        "Latest runs\n"
        "  new-otter  Failed, 2025-11-23 12:00:00 CET\n"
        "  old-otter  Completed, 2025-11-23 11:00:00 CET\n"
    )
    assert values["runs"] == 2
    assert [run["name"] for run in values["latest_runs"]] == ["new-otter", "old-otter"]
    assert values["deployments"] == []


def test_a_flow_that_is_misspelt_is_told(penstock: Call, journals: Journals):
    journals.run("old-otter")

    ran = penstock("flow", "inspect", "etll")

    assert ran.code == 3
    assert ran.err == "error: No flow has run that is named: `etll`\nhint: did you mean `etl`?\n"


def test_flows_are_listed_up_to_a_limit(penstock: Call, journals: Journals):
    for flow in ("a", "b", "c"):
        journals.run(f"run-{flow}", flow=flow)

    assert len(penstock("flow", "ls", "-n", "2").out.splitlines()) == 2
    assert "these are the first 2" in penstock("flow", "ls", "-n", "2", tty=True).err
