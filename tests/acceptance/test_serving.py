"""`serve`: one process deploys flows and executes their runs, until it is told to stop."""

from __future__ import annotations

import signal

import pytest
from tests.acceptance.place import Place, write

from penstock.core.operations.deployments import GetDeployment, ListDeployments
from penstock.core.operations.flow_runs import ListFlowRuns
from penstock.core.states import StateType

pytestmark = pytest.mark.slow

SERVED = """
import sys
from pathlib import Path
from time import sleep

from penstock import flow, serve


@flow(log_prints=True)
def hello(name: str = "world"):
    print(f"Hello, {name}!")


@flow
def other():
    ...


@flow
def long():
    Path("begun").touch()
    sleep(600)


if __name__ == "__main__":
    if sys.argv[1] == "one":
        hello.serve(name="greeting", interval=1, parameters={"name": "Ada"})
    elif sys.argv[1] == "keeps on":
        long.serve("x", cron="0 5 * * *", pause_on_shutdown=False, limit=1)
    else:
        serve(hello.to_deployment("a"), other.to_deployment("b", cron="0 5 * * *"), limit=2)
"""


def completed(place: Place, deployment: str) -> int:
    found = place.ask(ListFlowRuns(deployment=deployment, state=(StateType.COMPLETED,)))
    return len(found.items)


def test_a_flow_serves_itself_on_its_schedule_and_is_paused_when_it_stops(place: Place):
    write(place.folder, hello=SERVED)
    place.start_server()

    served = place.start("hello.py", "one")
    served.says(r"Your flow 'hello' is being served and polling for scheduled runs!")
    served.says(r"\$ penstock deployment run 'hello/greeting'")
    place.until(lambda: completed(place, "hello/greeting") >= 2, "scheduled runs")
    ran = place.run("deployment", "run", "hello/greeting", "-p", "name=Bob", "--watch")

    assert "Hello, Bob!" in ran.out
    served.says(r"Hello, Ada!")
    assert served.end(signal.SIGINT) == 0
    assert "Paused the schedules of 'hello/greeting'" in served.output
    assert place.ask(GetDeployment(deployment="hello/greeting")).paused

    again = place.start("hello.py", "one")
    again.says(r"is being served")
    assert not place.ask(GetDeployment(deployment="hello/greeting")).paused


def test_several_are_served_together_and_other_workers_leave_them_alone(place: Place):
    write(place.folder, hello=SERVED)
    place.start_server()
    worker = place.start("worker", "start")
    worker.says(r"Looking for work")

    served = place.start("hello.py", "both")
    served.says(r"Your deployments are being served")
    place.run("deployment", "run", "hello/a", "--watch")
    place.run("deployment", "run", "other/b", "--watch")

    assert "Hello, world!" in served.output
    assert "Hello" not in worker.output
    assert {each.full_name: each.spec.work_pool for each in place.ask(ListDeployments()).items} == {
        "hello/a": "serve",
        "other/b": "serve",
    }


def test_who_takes_over_a_deployment_is_told_how_it_was_and_who_else_serves_it(place: Place):
    write(place.folder, hello=SERVED)
    place.start_server()
    place.run("deployment", "build", "hello.py:hello", "-n", "greeting", "--apply")

    first = place.start("hello.py", "one")
    first.says(
        rf"WARNING \| penstock\.serve - Deployment 'hello/greeting' was there already, of `hello.py:hello` in "
        rf"`{place.folder}`, for workers of the pool `default`: from now on it is as it is served here\n"
    )
    first.says(r"is being served")
    second = place.start("hello.py", "one")
    other = rf"`serve-.*-{first.popen.pid}`"
    second.says(rf"Deployment 'hello/greeting' is served by worker {other} as well: each run goes to one of them\n")
    assert "was there already" not in second.output

    assert (first.end(), second.end()) == (0, 0)
    third = place.start("hello.py", "one")
    third.says(r"is being served")
    assert "WARNING" not in third.output


def test_a_run_that_was_interrupted_goes_on_when_it_is_served_again(place: Place):
    write(place.folder, hello=SERVED)
    place.start_server()
    served = place.start("hello.py", "keeps on")
    served.says(r"is being served")
    place.run("deployment", "run", "long/x")
    place.until((place.folder / "begun").exists, "the run's beginning")

    assert served.end() == 0
    (run,) = place.ask(ListFlowRuns()).items
    assert not run.is_final
    assert not place.ask(GetDeployment(deployment="long/x")).paused

    (place.folder / "begun").unlink()
    place.start("hello.py", "keeps on").says(r"is being served")
    place.until((place.folder / "begun").exists, "the run's second attempt")


def test_a_file_that_serves_when_it_is_imported_is_refused(place: Place):
    write(place.folder, hello="from penstock import flow\n\n@flow\ndef hello(): ...\n\nhello.serve()\n")
    place.start_server()

    ran = place.run("deployment", "build", "hello.py:hello", "-n", "x", code=2)

    assert "A flow's file serves its flows when it is imported" in ran.err
    assert '`if __name__ == "__main__":`' in ran.err


def test_without_a_server_it_says_so(place: Place):
    write(place.folder, hello=SERVED)

    served = place.start("hello.py", "one")

    served.says(r"ServerUnreachable: The server cannot be reached")
    assert served.popen.wait(60) == 1
