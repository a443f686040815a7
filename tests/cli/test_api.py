"""``penstock api`` and ``penstock open``: the server, asked directly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.conftest import Journals, Kept

Call = Callable[..., Any]


def test_a_request_is_sent_with_the_key_of_this_machine(remote: Call):
    ran = remote("api", "GET", "/work-pools/default")

    assert ran.code == 0
    assert json.loads(ran.out)["name"] == "default"
    assert "\n" not in ran.out.rstrip()
    assert remote("api", "get", "api/work-pools/default", tty=True).out.startswith('{\n  "name": "default"')


def test_a_body_is_json_a_file_or_stdin(remote: Call, tmp_path: Path):
    (tmp_path / "pool.json").write_text('{"name": "b"}')

    made = [
        remote("api", "POST", "/work-pools", "-d", '{"name": "a"}'),
        remote("api", "POST", "/work-pools", "-d", f"@{tmp_path / 'pool.json'}"),
        remote("api", "POST", "/work-pools", "-d", "-", stdin='{"name": "c"}'),
        remote("api", "DELETE", "/work-pools/c"),
    ]

    assert [ran.code for ran in made] == [0, 0, 0, 0]
    assert made[3].out == ""
    assert [pool["name"] for pool in json.loads(remote("api", "GET", "/work-pools").out)] == ["a", "b", "default"]


def test_what_the_server_refuses_is_told(remote: Call):
    ran = remote("api", "GET", "/work-pools/defualt")

    assert ran.code == 3
    assert ran.err == "error: There is no work pool: `defualt`\nhint: did you mean `default`?\n"
    assert remote("api", "GET", "/flow-runs", PENSTOCK_API_KEY="wrong").code == 4


def test_what_cannot_be_sent_is_told(remote: Call, penstock: Call):
    assert remote("api", "FETCH", "/flow-runs").code == 2
    assert "Not JSON" in remote("api", "POST", "/work-pools", "-d", "{").err
    assert "There is no file" in remote("api", "POST", "/work-pools", "-d", "@none").err


def test_without_a_server_there_is_nobody_to_ask(penstock: Call):
    for line in (["api", "GET", "/flow-runs"], ["open"], ["ui"]):
        ran = penstock(*line)
        assert ran.code == 5
        assert "`penstock server start` starts one" in ran.err


def test_a_link_leads_to_a_run_or_a_deployment(remote: Call, kept: Kept, journals: Journals):
    run_id = journals.run("quiet-otter")
    kept.fold()

    front = remote("open", "--no-browser").out
    run = remote("open", "quiet-otter").out

    assert "/login?code=" in front
    assert "&to=" not in front
    assert run.rstrip().endswith(f"&to=%2Fapi%2Fflow-runs%2F{run_id}")
    assert remote("open", "no-otter").code == 3
    assert remote("open", "no/deployment").code == 3
