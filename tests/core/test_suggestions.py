from __future__ import annotations

import pytest

from penstock.core.suggestions import did_you_mean, nearest


@pytest.mark.parametrize(
    ("name", "likeness", "meant"),
    [("nigthly", 0.6, "nightly"), ("hourly", 0.6, None), ("night", 0.6, "nightly"), ("light", 0.99, None)],
)
def test_a_mistyped_name_is_told_from_another_one(name: str, likeness: float, meant: str | None):
    assert nearest(name, ["daily", "nightly"], likeness=likeness) == meant


def test_a_hint_says_what_was_probably_meant():
    assert did_you_mean("nigthly", {"nightly": 1}) == "did you mean `nightly`?"
    assert did_you_mean("x", ()) is None
