"""A file of a flow whose import waits at a gate."""

from __future__ import annotations

import os

from lab_flows import pass_gate

from penstock import flow

pass_gate(os.environ["IMPORT_GATE"])


@flow
def imported() -> int:
    return 1
