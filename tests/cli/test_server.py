"""``penstock server``, where none is running; `tests/server` starts some."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.conftest import Kept

from penstock import clock
from penstock.client.home_server import HomeServer, Keeping

Call = Callable[..., Any]


def test_that_no_server_runs_is_told_in_the_form_that_was_asked_for(penstock: Call, home: Path):
    assert penstock("server", "status") == (
        1,
        "",
        f"No server keeps this home: {home}\nhint: `penstock server start` starts one\n",
    )
    assert penstock("server", "status", "--json") == (1, "null\n", "")
    assert penstock("server", "status", "-o", "csv") == (1, "", "")


def test_that_commands_ask_another_server_is_told_and_whether_that_is_ready(
    penstock: Call, remote: Call, kept: Kept, home: Path, tmp_path: Path
):
    no_server = f"No server keeps this home: {tmp_path / 'elsewhere'}\n"
    assert remote("server", "status") == (
        1,
        "",
        f"PENSTOCK_API_URL has commands ask another server, which is ready: {kept.url}\n{no_server}",
    )
    own = HomeServer(api_url=kept.url, pid=1, started_at=1, home_id="h", store="sqlite", version="0")
    with Keeping(home, clock.SYSTEM) as keeping:
        keeping.announce(own)
        ran = penstock("server", "status", PENSTOCK_API_URL="http://127.0.0.1:9/api")
        same = penstock("server", "status", PENSTOCK_API_URL=kept.url)

    assert (ran.code, ran.out.split()[:4]) == (0, ["API", kept.url, "ready", "yes"])
    assert ran.err == (
        "PENSTOCK_API_URL has commands ask another server, which is not ready, or not there: http://127.0.0.1:9/api\n"
    )
    assert (same.code, same.err) == (0, "")
