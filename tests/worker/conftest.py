"""A factory for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.worker.factory import Factory


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[Factory]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    made = Factory(tmp_path, environ)
    yield made
    made.close()
