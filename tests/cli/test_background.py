"""Servers and workers in the background of a command."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import clock
from penstock.cli.background import Background
from penstock.cli.options import GlobalOptions
from penstock.cli.session import Session
from penstock.cli.terminal import Terminal
from penstock.server import listening


@pytest.fixture
def taken() -> Iterator[int]:
    with listening.listening("127.0.0.1", 0) as sockets:
        yield sockets[0].getsockname()[1]


@pytest.mark.slow
def test_a_port_that_was_free_a_moment_ago_and_is_taken_now_is_another_ones(
    home: Path, taken: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(listening, "is_taken", lambda *_: False)  # so it was when it was asked
    err = io.StringIO()
    environ = {**os.environ, "PENSTOCK_HOME": str(home), "PENSTOCK_SERVER_PORT": str(taken)}
    here = Session(Terminal(io.StringIO(), err, None, environ), GlobalOptions(), environ, clock.SYSTEM)

    with Background(here, stays=False) as background:
        background.start()
        server = background.ready()
        names = [each.name for each in background.started]
    here.close()

    assert f":{taken}/" not in server.api_url
    assert names == ["server"]
    assert err.getvalue() == f"Port {taken} is taken by something else, so the server takes another one\n"
