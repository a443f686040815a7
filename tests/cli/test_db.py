"""``penstock db`` and ``penstock fsck``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.orchestration.plant import furnished

from penstock.cli import db
from penstock.core.deployments import ScheduleSpec
from penstock.core.schedules import Interval
from penstock.orchestration.mending import Mended
from penstock.orchestration.taking_over import TAKEN_OVER
from penstock.store.sqlite import SqliteStore

Call = Callable[..., Any]

DAYS = 86_400


@pytest.fixture
def runs(journals: Any):
    return [journals.run("old-owl", began=-100 * DAYS), journals.run("calm-heron", began=-60)]


def names(penstock: Call) -> list[str]:
    return [run["name"] for run in json.loads(penstock("flow-run", "ls", "--json", "name").out)]


def test_status_says_what_is_where(penstock: Call, home: Path, runs: Any):
    ran = penstock("db", "status", tty=True)
    found = json.loads(penstock("db", "status", "--json").out)

    assert ran.code == 0
    assert ran.out.splitlines()[0] == f"home      {home}"
    assert ran.out.splitlines()[2:] == ["schema    2", "runs      2 of 1 flow", "journals  of 0 runs"]
    assert (found["database"], found["runs"], found["kept_by_another_process"]) == (f"{home}/penstock.db", 2, False)


def test_prune_forgets_runs_older_than_the_settings_say(penstock: Call, runs: Any):
    assert penstock("db", "prune", "--yes") == (
        0,
        "",
        "Forgot 1 run and kept 1; deleted 0 result files (0 B), 0 cache entries and 0 leftover files\n",
    )
    assert names(penstock) == ["calm-heron"]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("--older-than 101d", ["calm-heron", "old-owl"]),
        ("--older-than 30s", []),
        ("--keep 1 --older-than 1000d", ["calm-heron"]),
        ("--keep 0", []),
    ],
)
def test_prune_forgets_what_the_line_says(penstock: Call, runs: Any, line: Any, kept: Any):
    assert penstock("db", "prune", "--yes", *line.split()).code == 0
    assert names(penstock) == kept


def test_prune_can_be_rehearsed(penstock: Call, runs: Any):
    assert penstock("db", "prune", "--dry-run").err.startswith("Would forget 1 run and keep 1; would delete 0")
    assert len(names(penstock)) == 2


def test_prune_asks_before_it_forgets(penstock: Call, runs: Any):
    assert penstock("db", "prune").code == 2
    assert penstock("db", "prune", tty=True, stdin="n\n").code == 1
    assert len(names(penstock)) == 2
    assert penstock("db", "prune", tty=True, stdin="y\n").code == 0
    assert len(names(penstock)) == 1


@pytest.mark.parametrize("line", [(), ("--yes",), ("--dry-run",)])
def test_prune_asks_nothing_when_there_is_nothing_to_forget(penstock: Call, line: Any):
    assert penstock("db", "prune", *line) == (0, "", "There is nothing to forget or delete; 0 runs stay\n")


def test_a_backup_that_is_not_there_is_told_before_anything_is_asked(penstock: Call, tmp_path: Path):
    for option in ("--dry-run", "--yes", "--quiet"):
        assert penstock("db", "restore", tmp_path / "none", option) == (
            2,
            "",
            f"error: There is no such file: `{tmp_path / 'none'}`\nhint: `penstock db backup FILE` writes one\n",
        )


def test_a_backup_can_be_restored(penstock: Call, runs: Any, tmp_path: Path):
    assert penstock("db", "backup", tmp_path / "copy").out == f"{tmp_path}/copy\n"
    penstock("db", "prune", "--yes", "--keep", "0")
    assert names(penstock) == []

    assert penstock("db", "restore", tmp_path / "copy", "--dry-run").code == 0
    assert penstock("db", "restore", tmp_path / "copy").code == 2
    assert names(penstock) == []

    ran = penstock("db", "restore", tmp_path / "copy", "--yes")

    assert ran.code == 0
    assert ran.err.startswith("What was there is in `")
    assert names(penstock) == ["calm-heron", "old-owl"]


def test_a_backup_overwrites_nothing(penstock: Call, runs: Any, tmp_path: Path):
    (tmp_path / "copy").write_text("mine")

    assert penstock("db", "backup", tmp_path / "copy").code == 2
    assert (tmp_path / "copy").read_text() == "mine"


def test_rebuild_makes_the_same_rows(penstock: Call, runs: Any):
    before = penstock("flow-run", "ls")

    assert penstock("db", "rebuild", "--dry-run").code == 0
    assert penstock("db", "rebuild").err.startswith("Made anew: 2 runs of ")
    assert penstock("flow-run", "ls") == before


def test_rebuild_says_what_could_be_read_of_a_damaged_database_and_what_not(penstock: Call, home: Path):
    home.mkdir(exist_ok=True)
    with SqliteStore.open(home / "penstock.db", write=True) as store:
        plant = furnished(store)
        plant.deploy("hourly", ScheduleSpec(schedule=Interval(timedelta(hours=1))))
        plant.create("etl/hourly")
    damage(home, "work")

    ran = penstock("db", "rebuild")

    assert ran.code == 0
    assert ran.err.splitlines() == [
        "Made anew: 1 run of 1 record",
        "Taken over: 1 piece of a journal, 2 deployments, 1 schedule, 1 work pool, 1 work queue, 1 worker",
        "1 run had lost what it is to execute: it goes on as its deployment is now",
        f"warning: The database was damaged; it lies in `{home}/penstock.db.damaged`",
        "warning: 1 job for workers could not be read, and is lost",
        "hint: `penstock fsck` says what deployments and runs need that is not there any more",
    ]
    assert penstock("fsck").code == 0


def test_rebuild_says_when_nothing_could_be_read(penstock: Call, home: Path, runs: Any):
    penstock("flow-run", "ls")
    (home / "penstock.db").write_bytes(b"no database" * 1000)

    assert penstock("db", "rebuild").err.splitlines() == [
        "Made anew: 0 runs of 0 records",
        f"warning: The database was damaged; it lies in `{home}/penstock.db.damaged`",
        "warning: Nothing could be read of it: deployments, schedules, keys and folded runs are lost",
    ]


def test_rebuild_says_what_it_has_made_fit():
    assert db._mended(Mended()) == []
    assert db._mended(Mended(told_again=1, set_up_again=1200, ended=2, schedules=1)) == [
        "1 run is known again by what it is to execute, and goes on",
        "1,200 runs had lost what they are to execute: they go on as their deployments are now",
        "2 runs were ended: how they had ended, or what they were to execute, is lost",
        "1 schedule had been lost: it is as its deployment says",
    ]


def test_what_is_taken_over_has_a_name():
    assert db._CALLED.keys() == {"journal_segment", *TAKEN_OVER}


def damage(home: Path, table: str) -> None:
    """Overwrite the page at which a table begins."""
    with closing(sqlite3.connect(home / "penstock.db")) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    with (home / "penstock.db").open("r+b") as file:
        file.seek(4096 * (page - 1))
        file.write(b"\xff" * 4096)


def test_fsck_finds_nothing_wrong_with_a_sound_home(penstock: Call, runs: Any):
    ran = penstock("fsck")

    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "Checked 2 runs, 6 records and 0 result files: nothing is wrong\n"
    assert penstock("fsck", "--quick", "--json") == (0, "[]\n", ran.err)


def test_fsck_tells_what_is_wrong_and_what_to_do(penstock: Call, home: Path, runs: Any):
    penstock("flow-run", "ls")
    with sqlite3.connect(home / "penstock.db") as database:
        database.execute("UPDATE flow_run SET state_name = 'Great' WHERE name = 'old-owl'")
    database.close()

    ran = penstock("fsck")

    assert ran.code == 1
    assert ran.out.startswith(f"rows\tThe flow runs of run `{runs[0]}` are not what its journals say")
    assert ran.err.endswith("hint: `penstock db rebuild` makes the rows anew from the journals\n")
    assert json.loads(penstock("fsck", "--json", "kind,run_id").out) == [{"kind": "rows", "run_id": runs[0]}]

    penstock("db", "rebuild")

    assert penstock("fsck").code == 0


def test_a_store_is_moved_to_postgres_and_asked_there(
    penstock: Call, runs: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    moved = penstock("db", "move", "--to", postgres_url, "--yes")
    monkeypatch.setenv("PENSTOCK_DATABASE_URL", postgres_url)

    assert moved.code == 0
    assert "rows were copied to `postgresql+psycopg://tests:********@127.0.0.1" in moved.err
    assert "PENSTOCK_DATABASE_URL" in moved.err
    assert sorted(names(penstock)) == ["calm-heron", "old-owl"]
    assert "tests:********@127.0.0.1" in penstock("db", "status", "--json").out
    assert "a-secret-of-tests" not in penstock("db", "status", "--json").out + penstock("doctor", "--json").out
    assert penstock("db", "move", "--to", postgres_url, "--yes").code == 2


def test_the_tables_are_made_and_brought_up_to_date_by_a_command(penstock: Call, home: Path):
    assert penstock("db", "upgrade", "--dry-run").err == f"The tables would be made: `{home}/penstock.db`\n"
    assert penstock("db", "upgrade").err == f"The tables were made: `{home}/penstock.db`\n"
    assert penstock("db", "upgrade").err == f"The tables are up to date: `{home}/penstock.db`\n"


def test_without_the_driver_it_is_said_how_to_install_it(penstock: Call, monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "penstock.store.postgres", None)
    monkeypatch.setenv("PENSTOCK_DATABASE_URL", "postgresql://me:geheim@here/x")
    ran = penstock("flow-run", "ls")

    assert ran.code == 2
    assert "pip install 'penstock[postgres]'" in ran.err
    assert "geheim" not in ran.err
