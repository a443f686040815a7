"""``penstock deploy``: the deployments of a project's file."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock import clock, settings
from penstock.core.deployments import Bundle, GitRepository, LocalFolder
from penstock.core.operations.deployments import GetDeployment, ListDeployments, PauseDeployment
from penstock.sdk import connect

Call = Callable[..., Any]

ETL = '''
import helpers
from penstock import flow

@flow(name="Nightly ETL", version="v1")
def etl(year: int = 2021, color: str = helpers.COLOR):
    """Load it."""
'''
REPORT = """
import helpers
from penstock import flow

@flow
def report(kind: str = helpers.KIND): ...
"""
PROJECT = """
deployments:
  - name: nightly  # the first
    entrypoint: etl/flows.py:etl
    code: {folder: .}
    parameters: {year: 2020}
    schedules:
      - cron: 0 5 * * *
        timezone: Europe/Berlin
    tags: [nightly]
  - name: weekly
    entrypoint: report/flows.py:report
    schedule: {interval: 604800}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two flows, each with a module ``helpers`` of its own."""
    folder = tmp_path / "project"
    for name, text, helpers in (("etl", ETL, "COLOR = 'yellow'"), ("report", REPORT, "KIND = 'pdf'")):
        (folder / name).mkdir(parents=True)
        (folder / name / "flows.py").write_text(text)
        (folder / name / "helpers.py").write_text(helpers)
    (folder / "penstock.yaml").write_text(PROJECT)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def ask(home: Path, still: clock.Clock) -> Call:
    return lambda request: connect.orchestrator(settings.load(), still).ask(request)


def names(ask: Call) -> list[str]:
    return [each.full_name for each in ask(ListDeployments()).items]


def test_all_deployments_of_a_file_are_applied(penstock: Call, project: Path, ask: Call):
    ran = penstock("deploy", "--all")

    etl = ask(GetDeployment(deployment="Nightly ETL/nightly"))
    report = ask(GetDeployment(deployment="report/weekly"))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        f"Deployment 'Nightly ETL/nightly' created, with id '{etl.id}'.\n"
        f"Deployment 'report/weekly' created, with id '{report.id}'.\n"
    )
    assert (etl.spec.version, etl.spec.description, etl.spec.parameters) == ("v1", "Load it.", {"year": 2020})
    assert etl.spec.parameter_schema["properties"]["color"]["default"] == "yellow"
    assert report.spec.parameter_schema["properties"]["kind"]["default"] == "pdf"
    assert etl.spec.code == LocalFolder(str(project))


def test_doing_it_again_changes_nothing(penstock: Call, project: Path, ask: Call):
    penstock("deploy", "--all")
    before = ask(ListDeployments()).items

    ran = penstock("deploy", "--all")

    assert [line.partition(",")[0] for line in ran.out.splitlines()] == [
        "Deployment 'Nightly ETL/nightly' as it was",
        "Deployment 'report/weekly' as it was",
    ]
    assert ask(ListDeployments()).items == before
    ask(PauseDeployment(deployment="report/weekly"))
    assert "as it was" in penstock("deploy", "-n", "weekly").out
    assert ask(GetDeployment(deployment="report/weekly")).paused


def test_some_are_chosen_by_name(penstock: Call, project: Path, ask: Call):
    assert penstock("deploy", "-n", "week*").code == 0
    assert names(ask) == ["report/weekly"]
    assert penstock("deploy", "-n", "Nightly ETL/nightly").code == 0
    assert names(ask) == ["Nightly ETL/nightly", "report/weekly"]


def test_the_only_one_need_not_be_named(penstock: Call, project: Path, ask: Call):
    (project / "penstock.yaml").write_text("deployments:\n  - {name: x, entrypoint: 'report/flows.py:report'}\n")

    assert penstock("deploy").code == 0
    assert names(ask) == ["report/x"]


def test_a_rehearsal_shows_what_would_change_and_changes_nothing(penstock: Call, project: Path, ask: Call):
    assert penstock("deploy", "--all", "--dry-run").out == "Nightly ETL/nightly: created\nreport/weekly: created\n"
    assert names(ask) == []
    penstock("deploy", "--all")
    changed = PROJECT.replace("year: 2020", "color: green").replace("0 5 *", "0 6 *").replace("[nightly]", "[a, b]")
    (project / "penstock.yaml").write_text(changed)

    ran = penstock("deploy", "--all", "--dry-run")

    assert ran.out.splitlines() == [
        "Nightly ETL/nightly: changed",
        '  - tags: ["nightly"]',
        '  + tags: ["a","b"]',
        "  - parameters.year: 2020",
        "  + parameters.color: green",
        "  - schedules.default.when: At 05:00 every day, Europe/Berlin",
        "  + schedules.default.when: At 06:00 every day, Europe/Berlin",
        "report/weekly: as it is",
    ]
    assert ran.err == "Nothing was changed\n"
    assert ask(GetDeployment(deployment="Nightly ETL/nightly")).spec.tags == ("nightly",)


def test_a_mistake_in_one_leaves_all_as_they_were(penstock: Call, project: Path, ask: Call):
    (project / "penstock.yaml").write_text(PROJECT + "    work_pool: {name: gpu}\n")

    assert penstock("deploy", "--all").code == 3
    assert names(ask) == []
    (project / "penstock.yaml").write_text(PROJECT + "    parameters: {knd: x}\n")
    assert "It has no parameter `knd`; did you mean `kind`?" in penstock("deploy", "--all").err
    assert names(ask) == []


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((), 2, "The file holds several deployments: `nightly`, `weekly`"),
        (("--all", "-n", "weekly"), 2, "`--all` and `-n` exclude each other"),
        (("-n", "daily"), 3, "The file holds no deployment: `daily`"),
        (("-f", "none.yaml"), 2, "There is no file of deployments: `none.yaml`"),
    ],
)
def test_what_cannot_be_is_refused(penstock: Call, project: Path, words: tuple[str, ...], code: int, told: str):
    ran = penstock("deploy", *words)

    assert ran.code == code
    assert told in ran.err


def test_a_flow_that_does_not_import_is_shown(penstock: Call, project: Path):
    (project / "report" / "flows.py").write_text("import nothing_like_that\n")

    ran = penstock("deploy", "--all")

    assert ran.code == 2
    assert "ModuleNotFoundError: No module named 'nothing_like_that'" in ran.err


def test_without_a_file_it_says_how_to_go_on(penstock: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    ran = penstock("deploy")

    assert ran.code == 2
    assert f"There is no file of deployments: `{tmp_path}/penstock.yaml`" in ran.err


def test_a_file_of_prefect_will_do(penstock: Call, project: Path, ask: Call):
    (project / "penstock.yaml").rename(project / "prefect.yaml")
    text = (project / "prefect.yaml").read_text().replace("    code: {folder: .}\n", "")
    (project / "prefect.yaml").write_text("name: project\nprefect-version: 2.14.0\nbuild: null\n" + text)

    assert penstock("deploy", "--all").code == 0
    assert names(ask) == ["Nightly ETL/nightly", "report/weekly"]


def test_the_folder_is_uploaded_when_asked(penstock: Call, project: Path, ask: Call):
    assert penstock("deploy", "-n", "weekly", "--upload").code == 0
    code = ask(GetDeployment(deployment="report/weekly")).spec.code
    assert isinstance(code, Bundle)

    assert "as it was" in penstock("deploy", "-n", "weekly", "--upload").out
    (project / "report" / "helpers.py").write_text("KIND = 'html'")
    assert "  - code.digest: " + code.digest in penstock("deploy", "-n", "weekly", "--upload", "--dry-run").out


def test_code_in_a_repository_is_looked_at_there(penstock: Call, project: Path, ask: Call, tmp_path: Path):
    repository = tmp_path / "repository"
    project.rename(repository)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(repository)]
    for words in (["init", "--quiet", "--initial-branch=main"], ["add", "."], ["commit", "--quiet", "-m", "1"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    project.mkdir()
    (project / "penstock.yaml").write_text(
        f"code: {{git: '{repository}', ref: main}}\n" + PROJECT.replace("    code: {folder: .}\n", "")
    )

    ran = penstock("deploy", "-n", "weekly", "-f", project / "penstock.yaml")

    assert ran.code == 0, ran.err
    assert ask(GetDeployment(deployment="report/weekly")).spec.code == GitRepository(str(repository), "main")
