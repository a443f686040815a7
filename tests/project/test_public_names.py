"""Public means exported, documented, and written down here: anything else may move tomorrow."""

from __future__ import annotations

from pathlib import Path

import penstock

WRITTEN = Path(__file__).with_name("public_names.txt").read_text().split()


def test_the_public_names_are_those_written_down():
    assert sorted(penstock.__all__) == WRITTEN


def test_each_public_name_is_there_and_listed():
    assert [name for name in WRITTEN if not hasattr(penstock, name)] == []
    assert set(WRITTEN) <= set(dir(penstock))
