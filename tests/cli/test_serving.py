"""What a server says of itself when it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.cli.serving import welcome
from penstock.server.app import Options, Started

HERE = "http://127.0.0.1:4200"


def told(options: Options, *, elsewhere: str = "", store: str = "SQLite") -> str:
    link = f"{HERE}/login?code=x" if options.has_pages else ""
    started = Started(HERE, f"{HERE}/api", elsewhere, link, store, "where", Path("/home"))
    return "\n".join(welcome(started, options, is_terminal=False))


def test_a_server_of_this_machine_alone_does_all_and_gives_its_address_for_this_machine():
    said = told(Options())

    assert "find this server by themselves; elsewhere on this machine:\n" in said
    assert f"    penstock config set PENSTOCK_API_URL={HERE}/api\n" in said
    assert said.endswith("Home:  /home\n")


def test_a_server_that_other_machines_may_call_gives_the_address_that_is_good_there():
    said = told(Options(host="0.0.0.0", behind_proxy=True), elsewhere="https://flows.example/api")

    assert "find this server by themselves; elsewhere:\n" in said
    assert "    penstock config set PENSTOCK_API_URL=https://flows.example/api\n" in said
    assert "refused" not in said


@pytest.mark.parametrize(
    ("options", "note"),
    [
        (Options(host="0.0.0.0", behind_proxy=True), "Other machines are refused: `--allowed-host NAME` lets them in"),
        (Options(has_pages=False), "No browser is let in (`--no-ui`)"),
        (Options(services=frozenset()), "It only answers (`--no-services`): on SQLite, nobody else folds, schedules"),
        (Options(services=frozenset({"tailer"})), "It makes no runs of schedules (`--no-scheduler`)"),
        (Options(marks_late=False), "It marks no run as Late (`--no-late-runs`)"),
    ],
)
def test_a_server_says_what_it_does_not_do(options: Options, note: str):
    assert f"\n{note}" in told(options)
    assert note not in told(Options())


def test_a_server_without_services_leaves_them_to_others_of_its_database():
    said = told(Options(services=frozenset()), store="Postgres")

    assert "It only answers (`--no-services`): other servers of this database fold, schedule and rescue" in said
    assert "--no-scheduler" not in said
