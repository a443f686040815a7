"""``penstock work-pool`` and ``penstock work-queue``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock import clock, settings
from penstock.core.deployments import DeploymentSpec, LocalFolder
from penstock.core.operations.deployments import ApplyDeployment, RunDeployment
from penstock.core.operations.work import RegisterWorker
from penstock.sdk import connect

Call = Callable[..., Any]


@pytest.fixture
def ask(home: Path, still: clock.Clock) -> Callable[[Any], Any]:
    return lambda request: connect.orchestrator(settings.load(), still).ask(request)


@pytest.fixture
def run(ask: Call) -> Call:
    """``run(work_queue="fast")`` makes a run of a deployment."""

    def run(**options: Any) -> str:
        spec = DeploymentSpec(name="nightly", flow_name="etl", entrypoint="etl.py:etl", code=LocalFolder("/flows"))
        ask(ApplyDeployment(spec=spec))
        return ask(RunDeployment(deployment="etl/nightly", **options)).id

    return run


# ── pools ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_pool_is_made_looked_at_changed_and_deleted(penstock: Call):
    made = penstock("work-pool", "create", "gpu", "--description", "With cards", "-l", "2", "--paused")
    listed = penstock("work-pool", "ls")
    shown = penstock("work-pool", "inspect", "gpu", "--json", "concurrency_limit,paused,queues")

    assert (made.code, made.out) == (0, "Created work pool 'gpu'.\n")
    assert "penstock worker start -p 'gpu'" in made.err
    assert [line.split("\t")[:4] for line in listed.out.splitlines()] == [
        ["default", "process", "", "active"],
        ["gpu", "process", "2", "paused"],
    ]
    assert json.loads(shown.out)["queues"][0]["name"] == "default"
    assert penstock("work-pool", "resume", "gpu").out == "Resumed work pool 'gpu'\n"
    assert penstock("work-pool", "pause", "gpu").out == "Paused work pool 'gpu'\n"
    assert penstock("work-pool", "update", "gpu", "--description", "").out == "Updated work pool 'gpu'\n"
    assert penstock("work-pool", "delete", "gpu", "--dry-run").out == ""
    assert penstock("work-pool", "delete", "gpu").code == 2
    assert penstock("work-pool", "delete", "gpu", "--yes").out == "Deleted work pool 'gpu'\n"
    assert penstock("work-pool", "inspect", "gpu").code == 3


def test_a_pools_page_shows_its_queues_and_workers(penstock: Call, ask: Call):
    ask(RegisterWorker(id="w1", name="ada", pool="default"))

    page = penstock("work-pool", "inspect", "default", tty=True).out

    assert page.startswith("default\n\n  type")
    assert "Queues\nNAME" in page
    assert "Workers\nNAME" in page
    assert "ada" in page


def test_the_limit_of_a_pool_is_set_and_taken_away(penstock: Call):
    def limit() -> Any:
        return json.loads(penstock("work-pool", "inspect", "--json", "concurrency_limit").out)["concurrency_limit"]

    assert penstock("work-pool", "set-concurrency-limit", "default", "3").out == (
        "Set concurrency limit for work pool 'default' to 3\n"
    )
    assert limit() == 3
    assert penstock("work-pool", "clear-concurrency-limit", "default").out == (
        "Cleared concurrency limit for work pool 'default'\n"
    )
    assert limit() is None


def test_a_pool_takes_a_template_from_a_file_or_stdin(penstock: Call, tmp_path: Path):
    file = tmp_path / "template.json"
    file.write_text('{"env": {"A": "1"}}')

    penstock("work-pool", "create", "gpu", "--base-job-template", file)
    first = json.loads(penstock("work-pool", "inspect", "gpu", "--json").out)["job_template"]
    penstock("work-pool", "update", "gpu", "--base-job-template", "-", stdin='{"env": {}}')
    second = json.loads(penstock("work-pool", "inspect", "gpu", "--json").out)["job_template"]

    assert (first, second) == ({"env": {"A": "1"}}, {"env": {}})


@pytest.mark.parametrize(("text", "said"), [("[]", "Not a JSON object"), ("{", "Not JSON"), (None, "There is no file")])
def test_a_template_that_is_none_is_refused(penstock: Call, tmp_path: Path, text: str | None, said: str):
    if text is not None:
        (tmp_path / "template.json").write_text(text)

    ran = penstock("work-pool", "create", "gpu", "--base-job-template", tmp_path / "template.json")

    assert ran.code == 2
    assert said in ran.err


def test_a_name_that_is_taken_is_refused_unless_it_is_to_be_changed(penstock: Call):
    assert penstock("work-pool", "create", "default").code == 1
    assert penstock("work-pool", "create", "default", "--overwrite", "-l", "1").code == 0


def test_a_pool_that_is_misspelt_is_told(penstock: Call):
    ran = penstock("work-pool", "pause", "defualt")

    assert ran.code == 3
    assert "did you mean `default`?" in ran.err


def test_an_update_without_a_change_is_refused(penstock: Call):
    assert penstock("work-pool", "update", "default").code == 2
    assert penstock("work-queue", "update", "default").code == 2


def test_a_preview_shows_what_comes_next_and_when(penstock: Call, run: Call):
    now, soon, late = run(), run(in_seconds=1800), run(in_seconds=7200)

    shown = penstock("work-pool", "preview")
    ahead = penstock("work-pool", "preview", "default", "-h", "24", "--json", "id")

    assert [line.split("\t")[-1] for line in shown.out.splitlines()] == [now, soon]
    assert [each["id"] for each in json.loads(ahead.out)] == [now, soon, late]
    assert "-h, --hours" in penstock("work-pool", "preview", "-h").out


# ── queues ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_queue_is_made_in_the_words_of_prefect(penstock: Call):
    ran = penstock("work-queue", "create", "fast", "--limit", "5")

    assert ran.code == 0
    assert ran.out.splitlines() == [
        "Created work queue with properties:",
        "    name - 'fast'",
        "    work pool - 'default'",
        "    priority - 1",
        "    concurrency limit - 5",
        "Start an agent to pick up flow runs from the work queue:",
        "    penstock agent start -q 'fast'",
        "Inspect the work queue:",
        "    penstock work-queue inspect 'fast'",
    ]
    assert penstock("work-queue", "create", "fast").code == 1
    assert penstock("work-queue", "create", "fast", "-q").code == 1


def test_queues_do_not_look_at_tags(penstock: Call):
    ran = penstock("work-queue", "create", "fast", "-t", "nightly")

    assert ran.code == 2
    assert ran.err == (
        "error: Queues do not look at tags\n"
        "hint: let deployments name the queue: `penstock deployment build … -q fast`\n"
    )


def test_a_queue_of_another_pool_is_made_looked_at_changed_and_deleted(penstock: Call):
    penstock("work-pool", "create", "gpu")
    assert "penstock agent start -q 'fast' -p 'gpu'" in penstock("work-queue", "create", "fast", "-p", "gpu").out

    assert penstock("work-queue", "pause", "fast", "-p", "gpu").out == "Paused work queue 'fast'\n"
    assert penstock("work-queue", "update", "fast", "-p", "gpu", "--priority", "7", "-l", "4").code == 0
    shown = json.loads(penstock("work-queue", "inspect", "fast", "-p", "gpu", "--json").out)
    assert (shown["priority"], shown["concurrency_limit"], shown["paused"]) == (7, 4, True)
    assert penstock("work-queue", "inspect", "fast", "-p", "gpu", tty=True).out.startswith(
        "fast  paused\n\n  work pool"
    )
    assert penstock("work-queue", "resume", "fast", "-p", "gpu").out == "Resumed work queue 'fast'\n"
    assert penstock("work-queue", "set-concurrency-limit", "fast", "9", "-p", "gpu").out == (
        "Concurrency limit of 9 set on work queue 'fast'\n"
    )
    assert penstock("work-queue", "clear-concurrency-limit", "fast", "-p", "gpu").out == (
        "Concurrency limits removed on work queue 'fast'\n"
    )
    listed = penstock("work-queue", "ls", "-p", "gpu", "-w", "fa").out
    assert listed == "fast\tgpu\t7\t\tactive\t0\t0\n"
    assert penstock("work-queue", "delete", "fast", "-p", "gpu", "--dry-run").code == 0
    assert penstock("work-queue", "delete", "fast", "-p", "gpu", "-y").out == "Deleted work queue 'fast'\n"
    assert penstock("work-queue", "inspect", "fast", "-p", "gpu").code == 3


def test_no_command_makes_a_queue_by_mistake(penstock: Call):
    for command in ("pause", "resume", "clear-concurrency-limit", "delete", "inspect"):
        ran = penstock("work-queue", command, "defualt")
        assert ran.code == 3
        assert "did you mean `default`?" in ran.err
    assert len(penstock("work-queue", "ls").out.splitlines()) == 1


def test_a_queues_runs_are_counted_and_previewed(penstock: Call, run: Call):
    mine = run(work_queue="fast")
    run()

    assert penstock("work-queue", "ls", "-w", "fast").out == "fast\tdefault\t1\t\tactive\t1\t0\n"
    assert penstock("work-queue", "preview", "fast", "-h", "24").out.rstrip().split("\t")[-1] == mine
    assert penstock("work-queue", "preview", "fast", tty=True).out.startswith("NAME")
    nothing = penstock("work-pool", "preview", "default", "--hours", "0", tty=True)
    assert nothing.code == 0
