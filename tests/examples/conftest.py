"""What the tests of the examples need: a web server, and databases to load into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from tests.examples.web import Site


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server without files."""
    with Site() as site:
        thread = Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        site.shutdown()
        thread.join()


@pytest.fixture(params=["SQLite", "Postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database; the test runs once for each kind."""
    if request.param == "Postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'trips.db'}"
