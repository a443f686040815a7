"""`penstock agent start` and `penstock worker start`, as people and service managers use them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api.serving import TOKEN, Served, serving
from tests.worker.factory import Factory, until
from tests.worker.test_supervision import WAITS, alive

pytestmark = pytest.mark.slow

HELLO = """
from penstock import flow

@flow(log_prints=True)
def main():
    print("hello")
"""


class Line:
    """A worker in a process of its own, and what it has printed."""

    def __init__(self, root: Path, served: Served, home: str, *line: str) -> None:
        self.printed = root / f"{home}.out"
        env = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        env |= {
            "PENSTOCK_HOME": str(root / home),
            "PENSTOCK_API_URL": served.url,
            "PENSTOCK_API_KEY": TOKEN,
        }
        with open(self.printed, "ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "penstock", *line], env=env, stdout=out, stderr=subprocess.STDOUT
            )

    @property
    def text(self) -> str:
        return self.printed.read_text()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def served(factory: Factory) -> Iterator[Served]:
    with serving(factory.store) as served:
        yield served


@pytest.fixture
def lines(factory: Factory, served: Served) -> Iterator[list[Line]]:
    started: list[Line] = []
    yield started
    for line in started:
        line.end()


def test_an_agent_tells_what_it_does_in_the_words_that_people_know(factory: Factory, served: Served, lines: list[Line]):
    run = factory.create(factory.deploy(HELLO), name="able-otter")
    lines.append(Line(factory.root, served, "w", "agent", "start", "-q", "default", "--run-once"))
    agent = lines[0]

    assert agent.process.wait(60) == 0
    text = agent.text
    assert f"agent connected to {served.url}..." in text
    assert "Agent started! Looking for work from queue(s): default..." in text
    wanted = [
        f"penstock.agent - Submitting flow run '{run}'",
        f"penstock.agent - Completed submission of flow run '{run}'",
        "Flow run 'able-otter' - hello",
        "penstock.process - Process 'able-otter' exited cleanly.",
    ]
    for line in wanted:
        assert re.search(rf"^\d\d:\d\d:\d\d\.\d{{3}} \| INFO    \| {re.escape(line)}$", text, re.MULTILINE), text
    assert text.rindex("Flow run 'able-otter' - ") < text.index("exited cleanly")
    assert text.endswith("Agent stopped!\n")
    assert factory.state(run) == "Completed"


def test_an_agent_without_queues_says_so(factory: Factory, served: Served, lines: list[Line]):
    lines.append(Line(factory.root, served, "w", "agent", "start"))

    assert lines[0].process.wait(60) == 1
    assert "No work queues provided!" in lines[0].text


def test_a_worker_of_a_pool_that_is_not_there_says_so(factory: Factory, served: Served, lines: list[Line]):
    lines.append(Line(factory.root, served, "w", "worker", "start", "-p", "nowhere"))

    assert lines[0].process.wait(60) == 3
    assert lines[0].text.startswith("error: There is no work pool: `nowhere`\n")


def test_a_worker_without_a_server_says_so_and_not_that_it_is_connected(
    factory: Factory, served: Served, lines: list[Line]
):
    lines.append(Line(factory.root, served, "w", "worker", "start", "--api", "http://127.0.0.1:9/api"))
    until(lambda: "Trying again until it answers" in lines[0].text)
    lines[0].process.send_signal(signal.SIGTERM)

    assert lines[0].process.wait(30) == 0
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} \| WARNING \| penstock\.worker - .*\n", lines[0].text)


def test_sigterm_hands_over_what_runs_and_exits_well(factory: Factory, served: Served, lines: list[Line]):
    run = factory.create(factory.deploy(WAITS))
    lines.append(Line(factory.root, served, "w", "worker", "start", "-p", "default", "-n", "one"))
    until(lambda: factory.stamps("pids"))
    lines[0].process.send_signal(signal.SIGTERM)

    assert lines[0].process.wait(30) == 0
    assert factory.state(run) == "Resuming"
    assert alive(run) == []
    assert lines[0].text.endswith("Worker stopped!\n")


def test_a_worker_that_was_killed_leaves_nothing_running_and_the_next_one_goes_on_at_once(
    factory: Factory, served: Served, lines: list[Line]
):
    source = WAITS.replace(
        "    stamp('up'", "    subprocess.Popen(['sleep', '600'], start_new_session=True)\n    stamp('up'"
    )
    run = factory.create(factory.deploy(source))
    lines.append(Line(factory.root, served, "w", "worker", "start"))
    until(lambda: factory.stamps("pids"))
    before = alive(run)
    lines[0].process.kill()
    lines[0].process.wait()
    until(lambda: alive(run) == [], "the end of what the worker had started")
    (factory.code / "go").touch()
    lines.append(Line(factory.root, served, "w", "worker", "start"))

    ended = factory.ended(run)
    assert len(before) >= 2
    assert (ended.state_name, ended.attempt) == ("Completed", 2)
    assert factory.stamps() == ["step 1", "step 2"]


def test_workers_are_listed_and_shown(factory: Factory, served: Served, lines: list[Line]):
    lines.append(Line(factory.root, served, "w", "worker", "start", "-n", "one", "-q", "fast", "-l", "3"))
    until(lambda: "Worker 'one' started!" in lines[0].text)
    for line in (("worker", "ls"), ("worker", "inspect", "one"), ("worker", "inspect", "two")):
        lines.append(Line(factory.root, served, f"x{len(lines)}", *line))
    codes = [line.process.wait(60) for line in lines[1:]]
    listed, shown, unknown = [line.text for line in lines[1:]]

    assert codes == [0, 0, 3]
    assert listed.split("\t")[:5] == ["one", "default", "fast", "online", "3"]
    assert re.search(r"queues\s+fast\n", shown)
    assert "There is no worker: `two`" in unknown
