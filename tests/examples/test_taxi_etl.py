"""The main job, on files that are made up, and on real ones where they are at hand.

What it loads is compared with what csv, gzip and a query in plain SQL say.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.examples.web import Site
from tests.postgres import PASSWORD

from penstock import clock, errors
from penstock.cli import main
from penstock.cli.quickstart import FLOW
from penstock.testing import harness

pytest.importorskip("pandas", reason="the ETL needs what penstock[etl] installs")

from penstock.examples import made_up_trips, taxi_etl

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data" / "nyc-tlc"
KILLED = Path(__file__).with_name("killed.py")

YELLOW, GREEN, ZONES = "yellow_tripdata_2019-03.csv.gz", "green_tripdata_2019-03.csv.gz", "taxi_zone_lookup.csv"

Row = dict[str, str]


# ── what the files say ──────────────────────────────────────────────────────────────────────────────────────────────


def rows_of(content: bytes) -> list[Row]:
    return list(csv.DictReader(io.StringIO(gzip.decompress(content).decode())))


def carried_somebody(row: Row) -> bool:
    return not row["passenger_count"] or float(row["passenger_count"]) != 0


def pickup(row: Row) -> str:
    return row.get("tpep_pickup_datetime") or row["lpep_pickup_datetime"]


def per_day(rows: list[Row]) -> Counter[str]:
    return Counter(pickup(row)[:10] for row in rows if carried_somebody(row))


def expected_report(rows: list[Row], boroughs: dict[str, str]) -> dict[tuple[str, str], tuple[int, float]]:
    trips: Counter[tuple[str, str]] = Counter()
    revenue: defaultdict[tuple[str, str], float] = defaultdict(float)
    for row in filter(carried_somebody, rows):
        place = (pickup(row)[:10], boroughs.get(row["PULocationID"], "Unknown"))
        trips[place] += 1
        revenue[place] += float(row["total_amount"])
    return {place: (count, revenue[place]) for place, count in trips.items()}


# ── what the database says ──────────────────────────────────────────────────────────────────────────────────────────


def ask(database_url: str, query: str) -> list[tuple[Any, ...]]:
    """Ask the database by its own driver."""
    if database_url.startswith("sqlite:///"):
        connection = sqlite3.connect(database_url.removeprefix("sqlite:///"))
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()
    import psycopg

    with psycopg.connect(database_url.replace("+psycopg", "")) as postgres:
        return postgres.execute(query.encode()).fetchall()


def loaded_per_day(database_url: str, file: str) -> dict[str, int]:
    name = file.removesuffix(".csv.gz")
    day = "substr(cast(pickup_at as varchar(30)), 1, 10)"
    return dict(ask(database_url, f"SELECT {day}, count(*) FROM taxi_trips WHERE file = '{name}' GROUP BY {day}"))


def count_trips(database_url: str) -> int:
    return ask(database_url, "SELECT count(*) FROM taxi_trips")[0][0]


# ── running it ──────────────────────────────────────────────────────────────────────────────────────────────────────


def trips(*passengers: int | None, day: int = 5) -> bytes:
    """A file of yellow trips that carried so many; None: nobody counted."""
    text = io.StringIO()
    writer = csv.DictWriter(text, made_up_trips.COLUMNS["yellow"])
    writer.writeheader()
    for number, count in enumerate(passengers):
        pickup_at = f"2019-03-{day:02} 10:{number % 60:02}:00"
        row = {"VendorID": 1, "tpep_pickup_datetime": pickup_at, "tpep_dropoff_datetime": pickup_at}
        row |= {"passenger_count": count, "PULocationID": 4, "DOLocationID": 1, "total_amount": 10.5}
        writer.writerow(row)
    return gzip.compress(text.getvalue().encode())


def march(site: Site, folder: Path, **more: Any) -> dict[str, Any]:
    """Parameters for the yellow trips of March 2019."""
    given = {"months": [3], "year": 2019, "colors": ["yellow"], "source": site.url, "folder": str(folder)}
    return {**given, **more}


class Ran(NamedTuple):
    """What a call of the command line exited with and wrote."""

    code: int
    out: str
    err: str


def penstock(*line: str) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stderr(err):  # where runs show their progress
        code = main.call(line, out=out, err=err, stdin=None, environ=os.environ, time=clock.SYSTEM)
    return Ran(code, out.getvalue(), err.getvalue())


def artifact() -> list[dict[str, Any]]:
    shown = penstock("artifact", "inspect", "trips-by-day-and-borough", "--json")
    assert shown.code == 0, shown.err
    return json.loads(shown.out)["data"]


@pytest.fixture
def few_made_up_trips(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Made-up files are short."""
    monkeypatch.setattr(made_up_trips, "TRIPS", {"yellow": 1_500, "green": 400})
    made_up_trips.file.cache_clear()
    yield
    made_up_trips.file.cache_clear()


# ── tests ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.usefixtures("few_made_up_trips")
def test_made_up_trips_arrive_whole_in_parquet_database_and_report(tmp_path: Path, database_url: str):
    import pyarrow.parquet as pq

    given: dict[str, Any] = {"months": [2, 3], "year": 2019, "source": "made-up", "folder": tmp_path / "data"}
    loaded = taxi_etl.taxi_etl(**given, database_url=database_url, chunk_rows=500)

    everything: list[Row] = []
    for each in loaded:
        name = f"{each['file']}.csv.gz"
        rows = rows_of(made_up_trips.file(name) or b"")
        everything += rows
        kept = sum(map(carried_somebody, rows))
        assert (each["trips_before"], each["trips_after"], each["rows_loaded"]) == (len(rows), kept, kept)
        assert loaded_per_day(database_url, name) == per_day(rows)
        assert pq.read_metadata(tmp_path / "data" / "trips" / f"{each['file']}.parquet").num_rows == kept
    assert [each["file"] for each in loaded] == [
        f"{color}_tripdata_2019-0{month}" for month in (2, 3) for color in ("yellow", "green")
    ]
    boroughs = {str(zone): borough for zone, borough in made_up_trips.boroughs().items()}
    assert_reported(expected_report(everything, boroughs))


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the real trips are not at hand: there is no ../shared/data/nyc-tlc")
def test_real_trips_arrive_whole_in_database_and_report(site: Site, tmp_path: Path, database_url: str):
    for name in (YELLOW, GREEN, ZONES):
        site.files[name] = (REAL / name).read_bytes()

    given = march(site, tmp_path / "data", colors=["yellow", "green"], database_url=database_url)
    loaded = taxi_etl.taxi_etl(**given)

    assert [(each["trips_before"], each["trips_after"], each["rows_loaded"]) for each in loaded] == [
        (5500, 5406, 5406),
        (1000, 998, 998),
    ]
    for name in (YELLOW, GREEN):
        assert loaded_per_day(database_url, name) == per_day(rows_of(site.files[name]))
    zones = csv.DictReader(io.StringIO(site.files[ZONES].decode()))
    boroughs = {row["LocationID"]: row["borough"] for row in zones}
    assert_reported(expected_report(rows_of(site.files[YELLOW]) + rows_of(site.files[GREEN]), boroughs))


def assert_reported(expected: dict[tuple[str, str], tuple[int, float]]) -> None:
    reported = {(row["day"], row["borough"]): (row["trips"], row["revenue"]) for row in artifact()}
    assert reported.keys() == expected.keys()
    for place, (count, revenue) in expected.items():
        assert reported[place] == (count, pytest.approx(revenue, abs=0.006))


def test_it_says_how_many_trips_carried_nobody_and_keeps_those_that_nobody_counted(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    site.files[YELLOW] = trips(1, 0, None, 2, 0)

    loaded = taxi_etl.taxi_etl(**march(site, tmp_path, chunk_rows=2))

    told = capsys.readouterr().err
    assert told.count("pre: missing passenger count: 2") == 1
    assert told.count("post: missing passenger count: 0") == 1
    assert loaded[0]["trips_after"] == 3
    database = f"sqlite:///{tmp_path / 'taxi.db'}"
    assert ask(database, "SELECT line, passenger_count FROM taxi_trips ORDER BY line") == [(1, 1), (3, None), (4, 2)]


def test_a_server_that_fails_twice_is_asked_a_third_time(site: Site, tmp_path: Path):
    site.files[YELLOW] = trips(1, 1)
    site.unavailable[YELLOW] = 2

    with harness() as harnessed:
        loaded = taxi_etl.taxi_etl(**march(site, tmp_path))

    assert loaded[0]["rows_loaded"] == 2
    assert harnessed.clock.sleeps == [1, 5]


def test_a_download_that_breaks_off_is_begun_again(site: Site, tmp_path: Path):
    site.files[YELLOW] = trips(*[1] * 500)
    site.broken_off[YELLOW] = 1

    with harness() as harnessed:
        loaded = taxi_etl.taxi_etl(**march(site, tmp_path))

    assert loaded[0]["rows_loaded"] == 500
    assert harnessed.clock.sleeps == [1]


def test_a_file_that_is_damaged_at_its_source_is_refused_and_not_kept(site: Site, tmp_path: Path):
    site.files[YELLOW] = trips(*[1] * 500)[:-20]

    with harness(), pytest.raises(OSError, match=f"The source's {YELLOW} is damaged"):
        taxi_etl.taxi_etl(**march(site, tmp_path))

    assert site.asked[YELLOW] == 4
    assert not [path for path in (tmp_path / "downloads").rglob("*") if path.is_file()]


def test_a_month_that_the_source_does_not_have_is_asked_for_once_and_named(site: Site, tmp_path: Path):
    with harness(), pytest.raises(taxi_etl.NoSuchFile, match=f"HTTP 404 Not Found: {site.url}/{YELLOW}"):
        taxi_etl.taxi_etl(**march(site, tmp_path))

    assert site.asked[YELLOW] == 1


def test_a_file_that_holds_no_trips_is_refused_by_the_columns_that_it_lacks(site: Site, tmp_path: Path):
    site.files[YELLOW] = gzip.compress(b"<html>,passenger_count\nbody,1\n")

    with harness(), pytest.raises(ValueError, match="is no file of trips: it has no dropoff_at, pickup_at"):
        taxi_etl.taxi_etl(**march(site, tmp_path))


def test_a_month_without_trips_is_loaded_like_any_other(site: Site, tmp_path: Path):
    site.files[YELLOW] = trips()

    assert taxi_etl.taxi_etl(**march(site, tmp_path))[0]["rows_loaded"] == 0


@pytest.mark.parametrize("source", ["ftp://files.example/trips", "file:///etc/passwd", "trips"])
def test_a_source_that_is_no_web_server_is_refused(source: str, tmp_path: Path):
    with harness(), pytest.raises(ValueError, match="A source is the URL of a web server"):
        taxi_etl.taxi_etl(source=source, folder=tmp_path)


def test_a_month_that_does_not_exist_is_refused_before_anything_runs(tmp_path: Path):
    with harness(), pytest.raises(errors.ParameterError, match="months"):
        taxi_etl.taxi_etl(months=[13], source="made-up", folder=tmp_path / "data")

    assert not (tmp_path / "data").exists()


def test_the_second_run_uses_the_downloads_of_the_first(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    site.files[YELLOW] = trips(1, 0, 2)
    for _ in range(2):
        taxi_etl.taxi_etl(**march(site, tmp_path))

    assert site.asked == {YELLOW: 1, ZONES: 1}
    assert "was downloaded within the last day: that download is used" in capsys.readouterr().err
    assert count_trips(f"sqlite:///{tmp_path / 'taxi.db'}") == 2


def test_a_download_that_somebody_has_deleted_is_fetched_again(site: Site, tmp_path: Path):
    site.files[YELLOW] = trips(1, 0, 2)
    taxi_etl.taxi_etl(**march(site, tmp_path))
    for path in (tmp_path / "downloads").rglob("*.gz"):
        path.unlink()

    taxi_etl.taxi_etl(**march(site, tmp_path))

    assert site.asked[YELLOW] == 2


def test_a_file_that_has_changed_takes_the_place_of_what_was_loaded_of_it(
    site: Site, tmp_path: Path, database_url: str
):
    with harness() as harnessed:
        for content in (trips(1, 1, 1), trips(2, 2)):
            site.files[YELLOW] = content
            taxi_etl.taxi_etl(**march(site, tmp_path, database_url=database_url))
            harnessed.clock.advance(2 * 86_400)

    assert ask(database_url, "SELECT line, passenger_count FROM taxi_trips ORDER BY line") == [(1, 2), (2, 2)]


def test_a_zone_that_the_lookup_lists_twice_does_not_count_its_trips_twice(site: Site, tmp_path: Path):
    site.files[YELLOW] = trips(1, 1, 1)
    site.files[ZONES] = b"LocationID,zone,borough\n4,Here,Manhattan\n4,There,Manhattan\n"

    taxi_etl.taxi_etl(**march(site, tmp_path))

    assert artifact() == [{"day": "2019-03-05", "borough": "Manhattan", "trips": 3, "revenue": 31.5}]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "database_url"),
    [("rows", "SQLite"), ("rows", "Postgres"), ("commit", "SQLite")],
    indirect=["database_url"],
)
def test_killed_while_it_loads_and_resumed_from_elsewhere_it_has_each_trip_once(
    site: Site, tmp_path: Path, database_url: str, moment: str, monkeypatch: pytest.MonkeyPatch, few_made_up_trips: None
):
    site.files[YELLOW] = trips(*[1, 0, 2, None] * 25)
    site.files[GREEN] = made_up_trips.file(GREEN) or b""
    given = march(site, Path("data"), colors=["yellow", "green"], database_url=database_url, chunk_rows=30)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    killed = subprocess.run([sys.executable, KILLED, moment, json.dumps(given)], cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    monkeypatch.chdir(elsewhere)
    resumed = penstock("flow-run", "resume", "--last")

    assert resumed.code == 0, resumed.err
    assert site.asked == {YELLOW: 1, GREEN: 1, ZONES: 1}
    for name in (YELLOW, GREEN):
        assert loaded_per_day(database_url, name) == per_day(rows_of(site.files[name]))
    assert not list(elsewhere.iterdir())
    assert penstock("fsck").code == 0


@pytest.mark.slow
def test_a_password_in_the_databases_url_is_not_shown(site: Site, tmp_path: Path, postgres_url: str):
    site.files[YELLOW] = trips(1, 1)

    run = f"{FLOW}:taxi_etl"
    given = [
        f"-p{name}={json.dumps(value)}" for name, value in march(site, tmp_path, database_url=postgres_url).items()
    ]
    shown = [penstock("run", run, *given), penstock("flow-run", "inspect", "--json", newest("flow-run"))]
    shown += [penstock("flow-run", "logs", newest("flow-run")), penstock("task-run", "inspect", newest("task-run"))]

    assert [each.code for each in shown] == [0, 0, 0, 0]
    assert [each for each in shown if PASSWORD in each.out + each.err] == []
    assert count_trips(postgres_url) == 2


def newest(noun: str) -> str:
    of = [json.loads(penstock("flow-run", "ls", "--roots", "--json", "id").out)[0]["id"]]
    if noun == "flow-run":
        return of[0]
    return json.loads(penstock("task-run", "ls", *of, "--json", "id").out)[-1]["id"]


@pytest.mark.slow
def test_it_runs_as_a_script_with_options(site: Site, tmp_path: Path):
    site.files[YELLOW] = trips(1, 0, 2)
    line = [sys.executable, ROOT / "examples" / "taxi_etl.py", "--source", site.url]
    line += ["--months", "3", "--year", "2019", "--colors", "yellow", "--database-url", f"sqlite:///{tmp_path}/my.db"]

    ran = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True)

    assert [row.split() for row in ran.stdout.splitlines()] == [
        ["file", "before", "after", "loaded"],
        ["yellow_tripdata_2019-03", "3", "2", "2"],
    ]
    assert count_trips(f"sqlite:///{tmp_path}/my.db") == 2


def test_as_a_script_it_says_which_option_does_not_fit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["taxi_etl.py", "--months", "13"])

    with pytest.raises(SystemExit, match=r"(?s)^error: .*`months`"):
        taxi_etl.main()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["script", "penstock run"])
def test_without_its_extras_it_says_what_to_install(how: str, tmp_path: Path):
    (tmp_path / "pandas.py").write_text("raise ModuleNotFoundError(name='pandas')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    script = str(ROOT / "examples" / "taxi_etl.py")
    line = [sys.executable, script] if how == "script" else [sys.executable, "-m", "penstock", "run", script]

    ran = subprocess.run(
        line, env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert ran.returncode == (1 if how == "script" else errors.FlowFileError.exit_code)
    assert "This example needs pandas. Install what it needs by: pip install 'penstock[etl]'" in ran.stderr


def test_the_public_files_are_the_default_where_they_can_be_reached(site: Site, monkeypatch: pytest.MonkeyPatch):
    def head(answer: Any) -> None:
        answer.send_response(200)
        answer.end_headers()

    monkeypatch.setattr(site.RequestHandlerClass, "do_HEAD", head, raising=False)
    monkeypatch.setattr(taxi_etl, "PUBLIC", site.url)
    assert taxi_etl.choose_source.fn(None) == site.url
    assert taxi_etl.address_of(YELLOW, site.url) == f"{site.url}/yellow/{YELLOW}"
    assert taxi_etl.address_of(ZONES, site.url) == f"{site.url}/misc/{ZONES}"

    monkeypatch.setattr(taxi_etl, "PUBLIC", "http://127.0.0.1:9")
    assert taxi_etl.choose_source.fn(None) == "made-up"


def test_the_example_beside_the_readme_is_the_one_in_the_package():
    assert (ROOT / "examples" / "taxi_etl.py").samefile(FLOW)


def test_made_up_files_are_the_same_each_time_and_as_dirty_as_real_ones():
    made_up_trips.file.cache_clear()
    first = made_up_trips.file(YELLOW)
    made_up_trips.file.cache_clear()
    assert made_up_trips.file(YELLOW) == first

    rows = rows_of(first or b"")
    assert list(rows[0]) == made_up_trips.COLUMNS["yellow"]
    assert any(row["passenger_count"] == "0" for row in rows)
    assert any(row["passenger_count"] == "" for row in rows)
    assert any(not pickup(row).startswith("2019-03") for row in rows)
    assert any(float(row["fare_amount"]) < 0 for row in rows)
    assert len({tuple(row.values()) for row in rows}) < len(rows)
    assert made_up_trips.file("yellow_tripdata_2019-13.csv.gz") is None


@pytest.mark.skipif(not REAL.is_dir(), reason="the real trips are not at hand: there is no ../shared/data/nyc-tlc")
@pytest.mark.parametrize("name", [YELLOW, GREEN])
def test_made_up_files_have_the_columns_of_real_ones(name: str):
    assert list(rows_of((REAL / name).read_bytes())[0]) == made_up_trips.COLUMNS[name.partition("_")[0]]


def test_every_zone_of_the_city_has_one_borough():
    assert list(made_up_trips.boroughs()) == list(range(1, 266))
