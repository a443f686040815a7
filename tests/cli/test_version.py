"""``penstock version``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

Call = Callable[..., Any]


def test_it_says_which_penstock_this_is(penstock: Call):
    ran = penstock("version")

    assert (ran.code, ran.err) == (0, "")
    assert re.fullmatch(r"penstock \S+\n", ran.out)
    assert penstock("--version") == penstock("-V") == ran


def test_programs_get_more(penstock: Call):
    assert list(json.loads(penstock("version", "--json").out)) == ["version", "python", "platform"]
    assert penstock("version", "-o", "csv", "--json", "python,platform").out.startswith("python,platform\n3.")
