"""``penstock server``, where none is running; `tests/server` starts some."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[..., Any]


def test_that_no_server_runs_is_told_in_the_form_that_was_asked_for(penstock: Call, home: Path):
    assert penstock("server", "status") == (
        1,
        "",
        f"No server keeps this home: {home}\nhint: `penstock server start` starts one\n",
    )
    assert penstock("server", "status", "--json") == (1, "null\n", "")
    assert penstock("server", "status", "-o", "csv") == (1, "", "")
