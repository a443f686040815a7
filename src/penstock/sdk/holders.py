"""Who has slots."""

from __future__ import annotations

import os
import platform
from typing import NamedTuple


class Holder(NamedTuple):
    """Who has slots: a run, or a process outside of any."""

    run_id: str | None = None
    attempt: int = 0
    run_name: str | None = None
    is_directed: bool = False
    """Whether a worker tells the server that the run lives, so that nobody else has to."""

    @staticmethod
    def process() -> str:
        """This process, as others are told of it."""
        return f"process {os.getpid()} on {platform.node()}"
