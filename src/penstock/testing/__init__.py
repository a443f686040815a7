"""For your tests: run flows in an empty home, on a clock on which waiting takes no time.

With pytest, in ``conftest.py``::

    import pytest
    from penstock.testing import harness

    @pytest.fixture(autouse=True)
    def penstock():
        with harness() as harnessed:
            yield harnessed

and in a test, ``penstock.clock.sleeps`` tells how long retries would have waited. Time limits
(``timeout_seconds``) go by the machine's own clock: they are there to end code that really runs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.sdk.fake_clock import FakeClock
    from penstock.sdk.harness import Harness, harness
    from penstock.testing.utilities import penstock_test_harness

_WHERE = {
    "FakeClock": "sdk.fake_clock",
    "Harness": "sdk.harness",
    "harness": "sdk.harness",
    "penstock_test_harness": "testing.utilities",
}

__all__ = ["FakeClock", "Harness", "harness", "penstock_test_harness"]


def __getattr__(name: str) -> Any:
    """Load a name when it is first used."""
    if name not in _WHERE:
        raise AttributeError(f"module 'penstock.testing' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"penstock.{_WHERE[name]}"), name)
    return value
