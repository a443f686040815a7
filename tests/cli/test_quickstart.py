"""What the quickstart refuses before it starts anything; the rest is in tests/examples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Ran

from penstock.cli import quickstart


def test_without_what_the_etl_needs_nothing_is_started_and_it_is_told_what_to_install(
    penstock: Callable[..., Ran], home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(quickstart, "find_spec", lambda name: None if name == "pandas" else object())

    ran = penstock("quickstart")

    assert ran.code == 2
    assert ran.err.startswith("error: The quickstart needs what is not installed: pandas\nhint: `pip install ")
    assert not (home / "logs").exists()
