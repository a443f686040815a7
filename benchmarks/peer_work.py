"""The work that is compared: run by each peer's own Python, with nothing of this package but this file.

``python peer_work.py PEER JOB COUNT`` prints the seconds that each of the COUNT things took.
"""

# ruff: noqa: PLC0415  each peer is only there in its own environment
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable

Work = Callable[[int], object]


def penstock() -> dict[str, Work]:
    from penstock import flow, task

    @task
    def nothing(number: int) -> int:
        return number

    @flow
    def inner(number: int) -> int:
        return number

    @flow
    def loop(count: int) -> float:
        return seconds_each(count, lambda: [nothing(number) for number in range(count)])

    @flow
    def mapped(count: int) -> float:
        return seconds_each(count, lambda: [future.result() for future in nothing.map(range(count))])

    @flow
    def subflows(count: int) -> float:
        return seconds_each(count, lambda: [inner(number) for number in range(count)])

    return {"loop": loop, "map": mapped, "subflow": subflows}


def prefect() -> dict[str, Work]:
    from prefect import flow, task

    logging.disable(logging.CRITICAL)

    @task
    def nothing(number: int) -> int:
        return number

    @flow
    def inner(number: int) -> int:
        return number

    @flow
    def loop(count: int) -> float:
        return seconds_each(count, lambda: [nothing(number) for number in range(count)])

    @flow
    def mapped(count: int) -> float:
        return seconds_each(count, lambda: [future.result() for future in nothing.map(range(count))])

    @flow
    def subflows(count: int) -> float:
        return seconds_each(count, lambda: [inner(number) for number in range(count)])

    return {"loop": loop, "map": mapped, "subflow": subflows}


def dbos() -> dict[str, Work]:
    from dbos import DBOS

    logging.disable(logging.CRITICAL)
    folder = os.environ["PEER_HOME"]
    DBOS(
        config={
            "name": "peer-work",
            "system_database_url": f"sqlite:///{folder}/dbos.sqlite",
            "run_admin_server": False,
        }
    )

    @DBOS.step()
    def nothing(number: int) -> int:
        return number

    @DBOS.workflow()
    def inner(number: int) -> int:
        return number

    @DBOS.workflow()
    def loop(count: int) -> float:
        return seconds_each(count, lambda: [nothing(number) for number in range(count)])

    @DBOS.workflow()
    def mapped(count: int) -> float:
        def work() -> None:
            for handle in [queue.enqueue(inner, number) for number in range(count)]:
                handle.get_result()

        return seconds_each(count, work)

    @DBOS.workflow()
    def subflows(count: int) -> float:
        return seconds_each(count, lambda: [inner(number) for number in range(count)])

    DBOS.launch()
    queue = DBOS.register_queue("mapped", polling_interval_sec=0.01)
    return {"loop": loop, "map": mapped, "subflow": subflows}


def seconds_each(count: int, work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) / count


def main(peer: str, job: str, count: int) -> None:
    work = {"penstock": penstock, "prefect": prefect, "dbos": dbos}[peer]()
    if job == "hello":
        work["loop"](1)
    else:
        work[job](2)  # whatever is started at the first use is not what is compared
        print(work[job](count))
    if peer == "dbos":
        sys.modules["dbos"].DBOS.destroy()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
