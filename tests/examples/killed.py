"""Run the ETL, and kill it in the middle: ``killed.py rows|commit PARAMETERS``.

``rows``: at the second batch of trips, with one batch in the transaction; ``commit``: when the
transaction with the trips has been committed, before the journal knows. PARAMETERS is JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from itertools import count
from typing import Any

from sqlalchemy import Engine, Pool, event

from penstock.cli.quickstart import FLOW
from penstock.sdk import entrypoints

batches = count(1)
has_trips = False


def at_a_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    global has_trips  # noqa: PLW0603  two listeners share it
    if statement.startswith("INSERT INTO taxi_trips"):
        has_trips = True
        if next(batches) == 2 and sys.argv[1] == "rows":
            os.kill(os.getpid(), signal.SIGKILL)


def at_the_end_of_a_transaction(*_: Any) -> None:
    if has_trips and sys.argv[1] == "commit":
        os.kill(os.getpid(), signal.SIGKILL)


event.listen(Engine, "before_cursor_execute", at_a_statement)
event.listen(Pool, "checkin", at_the_end_of_a_transaction)
with entrypoints.loaded(f"{FLOW}:taxi_etl") as flow:
    flow(**json.loads(sys.argv[2]))
