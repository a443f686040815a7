"""``penstock flow-run ls | inspect``, ``penstock flow ls``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Call = Callable[..., Any]


@pytest.fixture
def three_runs(journals: Any, make_task: Any):
    journals.run(
        "brave-otter",
        tasks=(make_task("clean-0"), make_task("clean-1", "FAILED", "ValueError: bad row\nin line 2")),
        state="FAILED",
        message="ValueError: bad row",
        artifacts=(("table", "report", [{"day": 1}]),),
        parameters={"months": [1, 2], "color": "yellow"},
        tags=("nightly", "taxi"),
    )
    journals.run("calm-heron", began=-100, tags=("nightly",))
    journals.run("quick-fox", flow="train", began=-7, state=None, lives=True)
    return journals


def test_people_see_a_table_of_runs_newest_first(penstock: Call, three_runs: Any):
    assert penstock("flow-run", "ls", tty=True) == (
        0,
        (
            "NAME         FLOW   STATE      STARTED                    TOOK  ID\n"
            "quick-fox    train  Running    2025-11-23 12:59:53 CET   7.0 s  019ab095-b6a8\n"
            "calm-heron   etl    Completed  2025-11-23 12:58:20 CET  12.3 s  019ab094-4b60\n"
            "brave-otter  etl    Failed     2025-11-23 12:00:00 CET  12.3 s  019ab05e-e380\n"
        ),
        "",
    )


def test_programs_get_lines_with_tabs_whole_ids_and_utc(penstock: Call, three_runs: Any):
    assert penstock("flow-run", "list", "--flow", "train").out == (
        "quick-fox\ttrain\tRunning\t2025-11-23T11:59:53.000000Z\t7.0 s\t019ab095-b6a8-7000-8000-000000000003\n"
    )


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("--state failed", ["brave-otter"]),
        ("--state failed --state running", ["quick-fox", "brave-otter"]),
        ("--state FAILED --state Timed-Out", ["brave-otter"]),
        ("--state TimedOut --state not_ready", []),
        ("--tag nightly", ["calm-heron", "brave-otter"]),
        ("--tag nightly --tag taxi", ["brave-otter"]),
        ("--name br", ["brave-otter"]),
        ("--since 30min", ["quick-fox", "calm-heron"]),
        ("--since 2025-11-23T12:59", ["quick-fox"]),
        ("-n 1", ["quick-fox"]),
        ("--roots", ["quick-fox", "calm-heron", "brave-otter"]),
        ("--state paused", []),
    ],
)
def test_a_list_holds_what_was_asked_for(penstock: Call, three_runs: Any, line: Any, names: Any):
    found = json.loads(penstock("flow-run", "ls", "--json", "name", *line.split()).out)

    assert [each["name"] for each in found] == names


def test_a_list_that_goes_on_says_so(penstock: Call, three_runs: Any):
    assert penstock("flow-run", "ls", "-n", "2", tty=True).err == (
        "hint: these are the newest 2; `--limit` shows more\n"
    )


def test_a_home_without_runs_is_no_error(penstock: Call):
    assert penstock("flow-run", "ls") == (0, "", "")
    assert penstock("flow-run", "ls", "--json") == (0, "[]\n", "")
    assert penstock("flow-run", "ls", tty=True) == (
        0,
        "",
        (
            "There are no flow runs yet\n"
            "hint: `penstock init` writes a flow to start with, `penstock quickstart` runs one\n"
        ),
    )
    assert penstock("flow-run", "ls", "--state", "failed", tty=True).err == "There are no flow runs like that\n"


def test_runs_are_listed_by_the_name_of_their_state_however_it_is_written(penstock: Call, journals: Any):
    journals.run("slow-newt", state="FAILED", state_name="TimedOut")
    journals.run("sad-newt", state="FAILED")
    journals.run("cut-newt", state="CRASHED", state_name="Interrupted")

    def names(*line: str) -> list[str]:
        return sorted(each["name"] for each in json.loads(penstock("flow-run", "ls", "--json", "name", *line).out))

    for written in ("TimedOut", "timed out", "TIMED-OUT", "timedout"):
        assert names("--state", written) == ["slow-newt"]
    assert names("--state", "TimedOut", "--state", "failed") == ["sad-newt", "slow-newt"]
    assert names("--state", "Interrupted", "--state", "TimedOut") == ["cut-newt", "slow-newt"]


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("lte", "did you mean `Late`?"),
        ("Complete", "did you mean `completed`?"),
        (
            "blue",
            (
                "one of: scheduled, pending, running, paused, cancelling, completed, failed, crashed, cancelled, Late, "
                "AwaitingRetry, Resuming, AwaitingConcurrencySlot, Retrying, Suspended, Cached, TimedOut, NotReady, "
                "Interrupted, Poison"
            ),
        ),
    ],
)
def test_a_state_that_does_not_exist_is_refused_with_what_was_meant(penstock: Call, written: str, hint: str):
    assert penstock("flow-run", "ls", "--state", written) == (
        2,
        "",
        f"error: There is no state: `{written}`\nhint: {hint}\n",
    )


@pytest.mark.parametrize("limit", ["0", "-1", "x"])
def test_a_limit_is_a_whole_number_above_zero(penstock: Call, limit: Any):
    ran = penstock("flow-run", "ls", f"--limit={limit}")

    assert (ran.code, ran.out) == (2, "")


def test_a_run_is_shown_on_one_page(penstock: Call, three_runs: Any):
    assert penstock("flow-run", "inspect", "brave-otter", tty=True) == (
        0,
        (
            "brave-otter  Failed\n"
            "\n"
            "  flow        etl (version v1)\n"
            "  id          019ab05e-e380-7000-8000-000000000001\n"
            "  state       Failed: ValueError: bad row\n"
            "  attempt     1\n"
            "  created     2025-11-23 12:00:00 CET\n"
            "  started     2025-11-23 12:00:00 CET\n"
            "  ended       2025-11-23 12:00:12 CET\n"
            "  took        12.3 s\n"
            "  parameters  months = [1,2]\n"
            '              color = "yellow"\n'
            "  tags        nightly, taxi\n"
            "  task runs   1 Completed, 1 Failed\n"
            "  code        flows/etl.py:etl\n"
            "\n"
            "Failures\n"
            "  clean-1  ValueError: bad row\n"
            "           in line 2\n"
            "\n"
            "Artifacts\n"
            "  report  table: The report\n"
        ),
        "hint: go on from where it ended: `penstock flow-run resume brave-otter`\n",
    )


def test_a_run_may_be_named_by_the_beginning_of_its_id(penstock: Call, three_runs: Any):
    assert penstock("flow-run", "inspect", "019ab05e", "--json", "name").out == '{\n  "name": "brave-otter"\n}\n'


def test_a_beginning_that_several_runs_have_is_refused(penstock: Call, three_runs: Any):
    ran = penstock("flow-run", "inspect", "019ab")

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: The id of more than one flow run begins with: `019ab`\nhint: give more of it")


def test_a_run_that_does_not_exist_is_not_found(penstock: Call, three_runs: Any):
    assert penstock("flow-run", "inspect", "brave-oter") == (
        3,
        "",
        "error: No flow run has the name or id: `brave-oter`\nhint: did you mean `brave-otter`?\n",
    )


def test_programs_get_every_field_of_a_run(penstock: Call, three_runs: Any):
    found = json.loads(penstock("flow-run", "inspect", "--json", "brave-otter").out)

    assert found["state_type"] == "FAILED"
    assert found["parameters"] == {"months": [1, 2], "color": "yellow"}
    assert found["created_at"] == "2025-11-23T11:00:00.000000Z"
    assert found["duration_seconds"] == 12.3
    assert found["task_runs"] == {"Completed": 1, "Failed": 1}
    assert [each["name"] for each in found["failures"]] == ["clean-1"]
    assert [each["key"] for each in found["artifacts"]] == ["report"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("calm-heron", "run it again from one of its tasks: `penstock flow-run rerun calm-heron --from TASK`"),
        ("brave-otter", "go on from where it ended: `penstock flow-run resume brave-otter`"),
        ("quick-fox", "see what it is doing: `penstock flow-run logs -f quick-fox`"),
    ],
)
def test_a_run_says_how_to_go_on_with_it(penstock: Call, three_runs: Any, name: Any, hint: Any):
    assert penstock("flow-run", "inspect", name).err == f"hint: {hint}\n"


def test_more_failures_than_fit_a_page_are_counted(penstock: Call, journals: Any, make_task: Any):
    journals.run("sad-newt", state="FAILED", tasks=tuple(make_task(f"t-{n}", "FAILED", "no") for n in range(12)))

    assert penstock("flow-run", "inspect", "sad-newt").out.endswith(
        "  t-9  no\n       and 2 more: `penstock task-run ls sad-newt --state failed`\n"
    )


def test_what_a_run_is_called_cannot_steer_the_terminal(penstock: Call, journals: Any):
    journals.run("\x1b]0;owned\x07\x1b[2Jtidy\nname", message="\x1b[31mred", state="FAILED")

    listed = penstock("flow-run", "ls", tty=True)
    shown = penstock("flow-run", "inspect", "019ab05e", tty=True)

    assert "\x1b" not in listed.out + shown.out + shown.err
    assert "tidy name  etl" in listed.out
    assert "Failed: red" in shown.out


def test_a_narrow_terminal_gets_a_narrow_table(penstock: Call, three_runs: Any):
    lines = penstock("flow-run", "ls", tty=True, columns=60).out.splitlines()

    assert max(map(len, lines)) <= 60
    assert penstock("flow-run", "ls", tty=True, columns=1).code == 0


def test_flows_are_listed_with_their_latest_runs(penstock: Call, three_runs: Any):
    assert penstock("flow", "ls", tty=True).out == (
        "NAME   RUNS  LAST RUN                 STATE      ENTRYPOINT\n"
        "etl       2  2025-11-23 12:58:20 CET  Completed  flows/etl.py:etl\n"
        "train     1  2025-11-23 12:59:53 CET  Running    flows/etl.py:etl\n"
    )
    assert penstock("flow", "list", "-o", "jsonl", "--json", "name,runs").out == (
        '{"name":"etl","runs":2}\n{"name":"train","runs":1}\n'
    )


def test_before_the_first_run_there_is_no_flow(penstock: Call):
    assert penstock("flow", "ls", tty=True).err.startswith("No flow has run yet\n")


def test_lists_can_be_csv(penstock: Call, three_runs: Any):
    assert penstock("flow-run", "ls", "-o", "csv", "--json", "name,parameters,ended_at", "--flow", "etl").out == (
        "name,parameters,ended_at\n"
        "calm-heron,{},2025-11-23T11:58:32.300000Z\n"
        'brave-otter,"{""months"":[1,2],""color"":""yellow""}",2025-11-23T11:00:12.300000Z\n'
    )
