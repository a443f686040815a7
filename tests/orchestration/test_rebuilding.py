from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from datetime import timedelta
from hashlib import blake2b
from typing import Any

import pytest
from tests.orchestration.plant import Plant, furnished
from tests.orchestration.written import WrittenRun

from penstock import clock, errors
from penstock.core.deployments import Bundle, ScheduleSpec
from penstock.core.operations import Permission
from penstock.core.operations import api_keys as of_keys
from penstock.core.operations import concurrency_limits as of_limits
from penstock.core.operations import deployments as of_deployments
from penstock.core.operations import flow_runs as of_runs
from penstock.core.operations import pauses as of_pauses
from penstock.core.operations import work_pools as of_pools
from penstock.core.schedules import Interval
from penstock.core.slots import Policy
from penstock.core.states import StateType
from penstock.core.work import ExitReason
from penstock.orchestration import fsck, kept_files, taking_over
from penstock.orchestration.fsck import Rebuilt
from penstock.orchestration.local import Home
from penstock.settings import Settings
from penstock.store import tables
from penstock.store.sqlite import SqliteStore

PAGE = 4096
HOURLY = Interval(timedelta(hours=1))


@contextmanager
def at_work(settings: Settings) -> Generator[Plant]:
    """The plant in the home's own file."""
    settings.home.mkdir(exist_ok=True)
    with SqliteStore.open(settings.store, write=True) as store:
        yield Plant(store)


@contextmanager
def first_at_work(settings: Settings) -> Generator[Plant]:
    with at_work(settings) as plant:
        furnished(plant.store)
        yield plant


def rebuilt(settings: Settings) -> Rebuilt:
    with Home(settings, clock.SYSTEM) as home:
        return fsck.rebuild(home)


def goes_on(settings: Settings, before: Plant, run_id: str) -> tuple[list[str], str]:
    """What the worker of a run hears that was under way, and what becomes of the run when it ends."""
    with at_work(settings) as after:
        after._ends = before._ends  # it is the same process that goes on
        heard = after.heartbeat("w1", (run_id, 1))
        after.end(run_id, 1)
        return heard, after.exit(run_id, 1)


def problems(settings: Settings) -> list[str]:
    with Home(settings, clock.SYSTEM) as home:
        return [each.message for each in fsck.fsck(home).problems]


def taken(done: Rebuilt, table: str) -> tuple[int, int, bool]:
    """Rows that were taken over, rows that were lost, and whether others may have been."""
    (found,) = (each for each in done.taken if each.table == table)
    return found[1:]


def change(settings: Settings, *statements: str) -> None:
    with closing(sqlite3.connect(settings.store)) as database, database:
        for each in statements:
            database.execute(each)


def root_page(settings: Settings, name: str) -> int:
    """The page at which a table or an index begins."""
    with closing(sqlite3.connect(settings.store)) as database:
        return database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0]


def overwrite(settings: Settings, *pages: int) -> None:
    with settings.store.open("r+b") as file:
        for page in pages:
            file.seek(PAGE * (page - 1))
            file.write(b"\xff" * PAGE)


def pages_below(settings: Settings, page: int) -> list[int]:
    """The pages to which one in the middle of a tree of SQLite refers, in their order."""
    data = settings.store.read_bytes()[PAGE * (page - 1) : PAGE * page]
    assert data[0] in (2, 5), "that is a leaf"
    count = int.from_bytes(data[3:5], "big")
    cells = [int.from_bytes(data[12 + 2 * each : 14 + 2 * each], "big") for each in range(count)]
    return [int.from_bytes(data[at : at + 4], "big") for at in cells] + [int.from_bytes(data[8:12], "big")]


# ── what no journal tells ────────────────────────────────────────────────────────────────────────────────────────────


def test_what_no_journal_tells_survives_damage_elsewhere(settings: Settings):
    with first_at_work(settings) as plant:
        plant.ask(of_pools.CreateWorkPool(name="gpu", concurrency_limit=2))
        plant.deploy("often", ScheduleSpec(schedule=HOURLY), work_pool="gpu", work_queue="fast")
        plant.ask(of_keys.CreateApiKey(name="ada", permissions=(Permission.READ,)))
        plant.ask(of_limits.CreateConcurrencyLimit(name="db", limit=3))
        waiting = plant.create("etl/often", in_seconds=0, idempotency_key="once")
        with plant.store.transaction() as tx:
            tx.meta.put("run_key_secret", "5ec7e7")
    before = everything(settings)
    overwrite(settings, root_page(settings, "flow_run"))

    done = rebuilt(settings)

    assert done.set_aside == settings.store.with_name("penstock.db.damaged")
    assert (done.runs, taken(done, "journal_segment")) == (1, (1, 0, False))
    assert all((each.lost, each.more) == (0, False) for each in done.taken)
    assert taken(done, "deployment") == (2, 0, False)
    assert everything(settings) == before
    assert problems(settings) == []
    with at_work(settings) as plant:
        plant.start_worker("w2", pool="gpu")
        assert [each.run_id for each in plant.claim("w2", pool="gpu")] == [waiting]


def everything(settings: Settings) -> dict[str, list[Any]]:
    """All rows of all tables, apart from what the rebuild itself notes."""
    with SqliteStore.open(settings.store, write=False) as store, store.reading() as tx:
        return {
            table: sorted(
                ((columns, row) for columns, rows in tx.tables.rows(table) for row in map(_unnumbered(columns), rows)),
                key=repr,
            )
            for table in tables.names()
        }


def _unnumbered(columns: tuple[str, ...]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    return lambda row: row[1:] if columns[0] == "sequence" else row


def test_a_run_that_waited_is_executed_after_the_rebuild(settings: Settings):
    with first_at_work(settings) as plant:
        run_id = plant.create()
    overwrite(settings, root_page(settings, "flow_run"))

    rebuilt(settings)

    with at_work(settings) as plant:
        assert plant.work_off() == [run_id]
        assert plant.state(run_id) == "Completed"


def test_a_run_that_was_under_way_is_still_its_workers(settings: Settings):
    with first_at_work(settings) as plant:
        run_id = plant.create()
        plant.claim()
        plant.begin(run_id, 1)
    overwrite(settings, root_page(settings, "flow_run"))

    rebuilt(settings)

    assert goes_on(settings, plant, run_id) == (["go_on"], "Completed")


def test_the_crashes_before_a_retry_count_no_more_after_the_rebuild(settings: Settings):
    with first_at_work(settings) as plant:
        plant.deploy(on_crash="fail")
        run_id = plant.create()
        plant.claim()
        crashed = plant.exit(run_id, 1, ExitReason.CRASHED)
        before = plant.run(run_id).crashes
        plant.ask(of_runs.RetryFlowRun(run=run_id))
    found = problems(settings)
    rebuilt(settings)

    with at_work(settings) as plant:
        assert (crashed, before, plant.run(run_id).crashes) == ("Crashed", 1, 0)
    assert found == []


def test_a_damaged_page_loses_what_is_on_it_and_says_so(settings: Settings):
    with first_at_work(settings) as plant:
        for number in range(100):
            plant.deploy(f"d{number:03}", description="x" * 300)
    leaves = pages_below(settings, root_page(settings, "deployment"))
    overwrite(settings, leaves[len(leaves) // 2])

    done = rebuilt(settings)

    kept, lost, more = taken(done, "deployment")
    assert done.set_aside
    assert kept + lost == 101
    assert 1 <= lost <= PAGE // 300
    assert not more
    with at_work(settings) as plant:
        names = [each.name for each in plant.ask(of_deployments.ListDeployments(limit=200)).items]
    assert len(names) == kept
    assert {"nightly", "d000", "d099"} <= set(names)
    assert problems(settings) == []


def test_where_no_key_says_which_rows_there_are_all_that_can_be_read_is_still_taken_over(settings: Settings):
    with first_at_work(settings) as plant:
        for number in range(100):
            plant.deploy(f"d{number:03}", description="x" * 300)
    change(settings, "UPDATE deployment SET rowid = rowid + 1000000 WHERE name > 'd060'")
    leaves = pages_below(settings, root_page(settings, "deployment"))
    keys = [root_page(settings, f"sqlite_autoindex_deployment_{number}") for number in (1, 2)]
    overwrite(settings, leaves[3], *keys)

    done = rebuilt(settings)

    kept, lost, more = taken(done, "deployment")
    assert 101 - PAGE // 300 <= kept < 101
    assert (lost, more) == (0, True)
    with at_work(settings) as plant:
        names = [each.name for each in plant.ask(of_deployments.ListDeployments(limit=200)).items]
    assert {"d000", "d099"} <= set(names)


def test_a_table_that_cannot_be_read_at_all_is_counted_and_the_others_are_taken_over(settings: Settings):
    with first_at_work(settings) as plant:
        plant.deploy("other")
        plant.ask(of_keys.CreateApiKey(name="ada", permissions=(Permission.READ,)))
    overwrite(settings, root_page(settings, "deployment"))

    done = rebuilt(settings)

    assert taken(done, "deployment") == (0, 2, False)
    assert taken(done, "api_key") == (1, 0, False)


def test_rows_that_make_no_sense_are_left_out_one_by_one(settings: Settings):
    with first_at_work(settings) as plant:
        for name in ("a", "b", "c", "d"):
            plant.deploy(name)
        plant.ask(of_limits.CreateConcurrencyLimit(name="db", limit=3))
    change(
        settings,
        "PRAGMA ignore_check_constraints = ON",
        "UPDATE deployment SET spec = '{' WHERE name = 'a'",
        "UPDATE deployment SET spec = CAST('{\"name\": 7}' AS BLOB) WHERE name = 'b'",
        "UPDATE deployment SET paused = 7 WHERE name = 'c'",
        "UPDATE deployment SET created_at = 'yesterday' WHERE name = 'd'",
        "UPDATE concurrency_limit SET name = CAST(x'ff' AS TEXT)",
    )
    overwrite(settings, root_page(settings, "flow_run"))

    done = rebuilt(settings)

    assert taken(done, "deployment") == (1, 4, False)
    assert taken(done, "concurrency_limit") == (0, 1, False)
    assert problems(settings) == []


def test_a_database_of_which_the_list_of_tables_is_damaged_gives_what_it_still_knows(settings: Settings):
    with first_at_work(settings) as plant:
        plant.ask(of_keys.CreateApiKey(name="ada", permissions=(Permission.READ,)))
    # The list begins on the first page, behind the header of the file.
    data = settings.store.read_bytes()
    count = int.from_bytes(data[103:105], "big")
    cells = [int.from_bytes(data[112 + 2 * each : 114 + 2 * each], "big") for each in range(count)]
    pages = [int.from_bytes(data[at : at + 4], "big") for at in cells] + [int.from_bytes(data[108:112], "big")]
    overwrite(settings, pages[-1])

    done = rebuilt(settings)

    assert taken(done, "deployment") == (1, 0, False)
    assert taken(done, "api_key")[2]


def test_a_table_or_a_column_that_an_older_version_did_not_have_is_no_loss(settings: Settings):
    with first_at_work(settings):
        pass
    change(settings, "DROP TABLE deleted_run", "ALTER TABLE work DROP COLUMN losses")
    overwrite(settings, root_page(settings, "flow_run"))

    done = rebuilt(settings)

    assert taken(done, "deleted_run") == (0, 0, False)
    assert problems(settings) == []


def test_the_pool_that_is_always_there_is_as_it_was_or_new(settings: Settings):
    for damaged, limit in (("flow_run", 7), ("work_pool", None)):
        with at_work(settings) as plant:
            plant.ask(of_pools.UpdateWorkPool(pool="default", concurrency_limit=7))
        overwrite(settings, root_page(settings, damaged))

        rebuilt(settings)

        with at_work(settings) as plant:
            (pool,) = plant.ask(of_pools.ListWorkPools())
            assert (pool.name, pool.concurrency_limit) == ("default", limit)


def test_numbers_of_events_go_on_after_a_rebuild(settings: Settings):
    with first_at_work(settings) as plant:
        run_id = plant.create()
        with plant.store.reading() as tx:
            last = tx.events.page(run_ids=(run_id,), limit=9)[-1].sequence
    overwrite(settings, root_page(settings, "flow_run"))

    rebuilt(settings)

    with at_work(settings) as plant, plant.store.reading() as tx:
        assert tx.events.page(run_ids=(run_id,), limit=9)[0].sequence > last


def test_what_was_deleted_does_not_come_back_though_pieces_of_it_are_left(settings: Settings):
    with first_at_work(settings) as plant:
        run_id = plant.create()
        with plant.store.transaction() as tx:
            tx.flow_runs.note_deleted(run_id, 1)
    overwrite(settings, root_page(settings, "flow_run"))

    done = rebuilt(settings)

    assert done.runs == 0
    assert problems(settings) == []
    with at_work(settings) as plant:
        assert plant.claim() == []


def test_a_bundle_of_which_a_part_is_lost_counts_as_lost_so_that_it_is_sent_again(settings: Settings):
    whole, torn = b"w" * 100, b"t" * (3 << 20)
    digests = [blake2b(each, digest_size=32).hexdigest() for each in (whole, torn)]
    with first_at_work(settings) as plant:
        for digest, data in zip(digests, (whole, torn), strict=True):
            kept_files.keep_bundle(plant.store, digest, data)
        plant.deploy("torn", code=Bundle(digests[1], len(torn)))
    change(settings, "DELETE FROM kept_file_part WHERE part = 1")
    overwrite(settings, root_page(settings, "flow_run"))

    done = rebuilt(settings)

    assert taken(done, "kept_file") == (1, 1, False)
    with at_work(settings) as plant:
        assert kept_files.bundle(plant.store, digests[0]) is not None
        assert kept_files.bundle(plant.store, digests[1]) is None
        kept_files.keep_bundle(plant.store, digests[1], torn)
    assert problems(settings) == []


def test_code_and_pools_that_deployments_lack_are_found(settings: Settings):
    with first_at_work(settings) as plant:
        plant.ask(of_pools.CreateWorkPool(name="gpu"))
        plant.deploy("sent", code=Bundle("0" * 64, 9))
        plant.deploy("elsewhere", work_pool="gpu")
    change(settings, "DELETE FROM work_pool WHERE name = 'gpu'")

    with Home(settings, clock.SYSTEM) as home:
        found = fsck.fsck(home).problems

    assert [(each.kind, each.message) for each in found] == [
        ("deployment", "The code of a deployment is not there: `etl/sent`"),
        ("work", "There is no such work pool, though deployments or waiting runs name it: `gpu`"),
    ]
    assert all(each.hint for each in found)


def test_schedules_that_are_lost_are_as_the_deployment_says(settings: Settings):
    with first_at_work(settings) as plant:
        policy = Policy(catchup="all")
        plant.deploy(
            "often", ScheduleSpec(schedule=HOURLY, policy=policy), ScheduleSpec(schedule=HOURLY, paused=True, name="b")
        )
        before = plant.ask(of_deployments.GetDeployment(deployment="etl/often")).schedules
    overwrite(settings, root_page(settings, "schedule"))

    done = rebuilt(settings)

    assert taken(done, "schedule") == (0, 2, False)
    assert done.mended.schedules == 2
    with at_work(settings) as plant:
        after = plant.ask(of_deployments.GetDeployment(deployment="etl/often")).schedules
    assert [(each.name, each.spec, each.paused) for each in after] == [
        (each.name, each.spec, each.paused) for each in before
    ]
    assert after[0].next_at == before[0].next_at


def test_a_rebuild_that_is_interrupted_leaves_the_damaged_database_in_its_place(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    with first_at_work(settings):
        pass
    overwrite(settings, root_page(settings, "flow_run"))
    with monkeypatch.context() as patched:
        patched.setattr(taking_over.kept_files, "forget_incomplete", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            rebuilt(settings)

    done = rebuilt(settings)

    assert taken(done, "deployment") == (1, 0, False)
    assert sorted(each.name for each in settings.home.glob("penstock.db*") if "-" not in each.name) == [
        "penstock.db",
        "penstock.db.damaged",
        "penstock.db.lock",
    ]


def test_every_table_has_its_rows_by_number():
    assert "WITHOUT ROWID" not in "".join(
        tables.statements("schema")[each].text for each in tables.statements("schema")
    )


# ── work and runs fit again ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_whose_work_is_lost_is_found_and_goes_on_as_its_deployment_says(settings: Settings):
    with first_at_work(settings) as plant:
        run_id = plant.create(parameters={"day": 7})
    change(settings, "DELETE FROM work")
    with Home(settings, clock.SYSTEM) as home:
        (problem,) = fsck.fsck(home).problems

    done = rebuilt(settings)

    assert (problem.kind, problem.run_id) == ("work", run_id)
    assert "No worker will ever have this run, which is Scheduled" in problem.message
    assert "penstock db rebuild" in (problem.hint or "")
    assert (done.set_aside, done.mended.set_up_again) == (None, 1)
    assert problems(settings) == []
    with at_work(settings) as plant:
        (claim,) = plant.claim()
        assert (claim.run_id, claim.attempt) == (run_id, 1)
        assert claim.job.parameters == {"day": 7}


def test_a_damaged_table_of_work_keeps_no_run_waiting_for_ever(settings: Settings):
    with first_at_work(settings) as plant:
        run_ids = [plant.create() for _ in range(3)]
    overwrite(settings, root_page(settings, "work"))

    done = rebuilt(settings)

    assert taken(done, "work") == (0, 3, False)
    assert done.mended.set_up_again == 3
    with at_work(settings) as plant:
        assert plant.work_off() == run_ids


def test_a_run_without_work_and_without_a_deployment_ends(settings: Settings):
    with first_at_work(settings) as plant:
        run_id = plant.create()
    change(settings, "DELETE FROM work", "DELETE FROM deployment")

    done = rebuilt(settings)

    assert done.mended.ended == 1
    with at_work(settings) as plant:
        run = plant.run(run_id)
        assert (run.state_name, run.state_message) == (
            "Crashed",
            "What it was to execute is lost, and its deployment is not there any more",
        )
    assert problems(settings) == []


def test_a_run_under_way_whose_work_is_lost_goes_on_where_it_is(settings: Settings):
    with first_at_work(settings) as plant:
        run_id = plant.create()
        plant.claim()
        plant.begin(run_id, 1)
    change(settings, "DELETE FROM work")

    rebuilt(settings)

    assert goes_on(settings, plant, run_id) == (["go_on"], "Completed")


def test_a_run_whose_work_is_lost_and_whose_worker_died_beside_it_goes_on_too(settings: Settings, run: WrittenRun):
    with first_at_work(settings) as plant:
        run.id = plant.create()
        plant.claim()
    run.journal().append(run.began())
    run.die()
    overwrite(settings, root_page(settings, "work"))

    rebuilt(settings)

    with at_work(settings) as plant:
        assert plant.state(run.id) == "Running"
    change(settings, "UPDATE work SET lease_ends_at = 0")
    with at_work(settings) as plant:
        assert plant.rescue().resumed == 1


def test_a_run_that_has_ended_and_lost_its_work_cannot_be_retried_and_it_is_said_why(settings: Settings):
    with first_at_work(settings) as plant:
        run_id = plant.create()
        plant.claim()
        plant.begin(run_id, 1)
        plant.end(run_id, 1, "FAILED", "Failed")
        plant.exit(run_id, 1)
    overwrite(settings, root_page(settings, "work"))

    rebuilt(settings)

    with at_work(settings) as plant, pytest.raises(errors.UsageError, match="is not there any more"):
        plant.ask(of_runs.RetryFlowRun(run=run_id))


def test_a_cancelled_run_under_way_whose_work_is_lost_is_still_to_end(settings: Settings):
    with first_at_work(settings) as plant:
        run_id = plant.create()
        plant.claim()
        plant.cancel(run_id)
    change(settings, "DELETE FROM work")

    rebuilt(settings)

    with at_work(settings) as plant:
        assert plant.heartbeat("w1", (run_id, 1)) == ["cancel"]


def test_a_run_that_is_tried_again_and_whose_work_is_lost_has_its_next_attempt(settings: Settings):
    with first_at_work(settings) as plant:
        run_id = plant.create()
        plant.claim()
        plant.begin(run_id, 1)
        plant.end(run_id, 1, "FAILED", "Failed")
        plant.exit(run_id, 1)
        plant.ask(of_runs.RetryFlowRun(run=run_id))
    change(settings, "DELETE FROM work")

    rebuilt(settings)

    with at_work(settings) as plant:
        assert [(each.run_id, each.attempt) for each in plant.claim()] == [(run_id, 2)]


def test_a_suspended_run_whose_work_is_lost_waits_to_be_resumed(settings: Settings):
    with first_at_work(settings) as plant:
        run_id = plant.create()
        plant.ask(of_pauses.SuspendFlowRun(run=run_id))
    change(settings, "DELETE FROM work")

    rebuilt(settings)

    with at_work(settings) as plant:
        assert plant.claim() == []
        plant.ask(of_pauses.ResumeFlowRun(run=run_id))
        assert [each.run_id for each in plant.claim()] == [run_id]


def test_runs_of_a_schedule_whose_work_is_lost_still_wait_for_each_other(settings: Settings):
    with first_at_work(settings) as plant:
        plant.deploy("often", ScheduleSpec(schedule=HOURLY, policy=Policy(overlap="queue_one")))
        first, second = plant.create("etl/often"), plant.create("etl/often")
        (deployment_id,) = {plant.run(each).deployment_id for each in (first, second)}
    slots = ", ".join(
        f"('{deployment_id}', 'default', {at}, {at}, 1, '{run_id}')" for at, run_id in enumerate((first, second))
    )
    change(
        settings,
        "DELETE FROM work",
        f"INSERT INTO slot (deployment_id, schedule, slot, last, slots, run_id) VALUES {slots}",
    )

    rebuilt(settings)

    with at_work(settings) as plant:
        assert [each.run_id for each in plant.claim(limit=9)] == [first]
        plant.begin(first, 1)
        plant.end(first, 1)
        plant.exit(first, 1)
        assert [each.run_id for each in plant.claim(limit=9)] == [second]


def test_work_whose_run_is_lost_tells_of_it_again(settings: Settings):
    with first_at_work(settings) as plant:
        plant.deploy("often", ScheduleSpec(schedule=HOURLY))
        waiting = plant.create("etl/often", parameters={"day": 7}, tags=("x",))
        under_way = plant.create(due_at=1)
        plant.claim()
        plant.begin(under_way, 1)
        name = plant.run(waiting).name
    overwrite(settings, root_page(settings, "journal_segment"))

    done = rebuilt(settings)

    assert (done.runs, taken(done, "journal_segment"), done.mended.told_again) == (0, (0, 4, False), 2)
    with Home(settings, clock.SYSTEM) as home:
        assert fsck.fsck(home).problems == ()
    with at_work(settings) as after:
        run = after.run(waiting)
        assert (run.name, run.parameters, run.state_name) == (name, {"day": 7}, "Scheduled")
        assert after.heartbeat("w1", (under_way, 1)) == ["go_on"]
        after.begin(under_way, 1)  # the store asks for what it has not
        after.end(under_way, 1)
        assert after.exit(under_way, 1) == "Completed"
        assert after.work_off() == [waiting]


def test_a_run_of_which_only_its_processes_tell_is_a_workers_again(settings: Settings):
    with first_at_work(settings) as plant:
        run_id = plant.create()
        plant.claim()
        plant.begin(run_id, 1)
    change(settings, "DELETE FROM journal_segment WHERE writer = 'control'", "DELETE FROM sqlite_sequence")
    overwrite(settings, root_page(settings, "flow_run"))

    done = rebuilt(settings)

    assert done.mended.told_again == 1
    assert problems(settings) == []
    with at_work(settings) as after:
        after._ends = plant._ends  # it is the same process that goes on
        assert after.state(run_id) == "Running"
        assert after.heartbeat("w1", (run_id, 1)) == ["go_on"]
        after.end(run_id, 1)
        assert after.exit(run_id, 1) == "Completed"


@pytest.mark.parametrize("cancels", [True, False])
def test_a_run_that_had_ended_nobody_knows_how_does_not_stay_as_it_was(settings: Settings, cancels: bool):
    with first_at_work(settings) as plant:
        run_id = plant.create()
        plant.claim()
        plant.begin(run_id, 1)
        if cancels:
            plant.cancel(run_id)
        plant.end(run_id, 1)
        plant.exit(run_id, 1)
    change(
        settings,
        "DELETE FROM journal_segment"
        " WHERE sequence = (SELECT MAX(sequence) FROM journal_segment WHERE writer = 'main')",
    )
    overwrite(settings, root_page(settings, "flow_run"))

    done = rebuilt(settings)

    assert done.mended.ended == 1
    with at_work(settings) as plant:
        run = plant.run(run_id)
        assert run.state_type is (StateType.CANCELLED if cancels else StateType.CRASHED)
        assert run.state_message == "It had ended, but how is not known any more"
    assert problems(settings) == []


def test_work_that_waits_for_a_run_that_has_ended_is_done(settings: Settings):
    with first_at_work(settings) as plant:
        run_id = plant.create()
        plant.work_off()
    change(settings, "UPDATE work SET status = 'waiting'")

    assert problems(settings) == ["Its work is waiting, but the run is Completed"]
    rebuilt(settings)

    assert problems(settings) == []
    with at_work(settings) as plant:
        assert (plant.claim(), plant.state(run_id)) == ([], "Completed")


def test_work_that_is_done_of_a_run_that_is_lost_is_forgotten(settings: Settings):
    with first_at_work(settings) as plant:
        plant.create()
        plant.work_off()
    overwrite(settings, root_page(settings, "journal_segment"))

    rebuilt(settings)

    assert problems(settings) == []


def test_a_lost_queue_in_which_runs_wait_is_there_again(settings: Settings):
    with first_at_work(settings) as plant:
        plant.deploy("fast", work_queue="fast")
        run_id = plant.create("etl/fast")
    overwrite(settings, root_page(settings, "work_queue"))

    rebuilt(settings)

    with at_work(settings) as plant:
        assert [each.run_id for each in plant.claim()] == [run_id]
