"""A real ETL: New York's taxi trips, from compressed CSV files on the web into Parquet and a database.

    python taxi_etl.py --year 2019 --months 3 --colors yellow,green
    python taxi_etl.py --source http://files.example/trips --database-url postgresql+psycopg://me@localhost/taxi
    penstock run taxi_etl.py:taxi_etl -p year=2019 -p months=[1,2,3]

Kill it whenever you like, and go on with `penstock flow-run resume --last`: a file that was loaded is
not loaded again, and one that was half loaded is loaded whole, once.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import shutil
import sys
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, TypedDict
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from pydantic import Field, SecretStr

from penstock import flow, task, task_input_hash
from penstock.artifacts import create_table_artifact
from penstock.errors import UsageError
from penstock.examples import made_up_trips

try:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
    import sqlalchemy as sa
except ModuleNotFoundError as missing:
    needed = f"This example needs {missing.name}. Install what it needs by: pip install 'penstock[etl]'"
    raise (SystemExit if __name__ == "__main__" else ImportError)(needed) from missing

PUBLIC = "https://github.com/DataTalksClub/nyc-tlc-data/releases/download"
MADE_UP = "made-up"

Color = Literal["yellow", "green"]
Month = Annotated[int, Field(ge=1, le=12)]

METADATA = sa.MetaData()

TRIPS = sa.Table(
    "taxi_trips",
    METADATA,
    # Where each trip comes from: with this as its key, no trip can be in the table twice, whoever loads it.
    sa.Column("file", sa.String(40), primary_key=True),
    sa.Column("line", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("pickup_at", sa.DateTime),
    sa.Column("dropoff_at", sa.DateTime),
    sa.Column("pickup_zone", sa.Integer),
    sa.Column("dropoff_zone", sa.Integer),
    sa.Column("passenger_count", sa.Integer),
    sa.Column("trip_distance", sa.Float),
    sa.Column("vendor", sa.Integer),
    sa.Column("ratecode", sa.Integer),
    sa.Column("store_and_fwd_flag", sa.String(3)),
    sa.Column("payment_type", sa.Integer),
    sa.Column("fare_amount", sa.Float),
    sa.Column("extra", sa.Float),
    sa.Column("mta_tax", sa.Float),
    sa.Column("tip_amount", sa.Float),
    sa.Column("tolls_amount", sa.Float),
    sa.Column("improvement_surcharge", sa.Float),
    sa.Column("total_amount", sa.Float),
    sa.Column("congestion_surcharge", sa.Float),
    sa.Column("ehail_fee", sa.Float),  # only green taxis
    sa.Column("trip_type", sa.Integer),  # only green taxis
)

ZONES = sa.Table(
    "taxi_zones",
    METADATA,
    sa.Column("zone", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("borough", sa.String(40)),
)

OUR_NAMES = {
    "VendorID": "vendor",
    "tpep_pickup_datetime": "pickup_at",
    "lpep_pickup_datetime": "pickup_at",
    "tpep_dropoff_datetime": "dropoff_at",
    "lpep_dropoff_datetime": "dropoff_at",
    "RatecodeID": "ratecode",
    "PULocationID": "pickup_zone",
    "DOLocationID": "dropoff_zone",
}
"""What we call columns that the files call otherwise."""

NEEDED = {"pickup_at", "dropoff_at", "pickup_zone", "passenger_count", "total_amount"}
"""A file without one of these columns is no file of trips."""

TYPES: dict[Any, tuple[str, pa.DataType]] = {
    sa.Integer: ("Int64", pa.int64()),
    sa.Float: ("float64", pa.float64()),
    sa.String: ("string", pa.string()),
    sa.DateTime: ("string", pa.timestamp("us")),
}
"""What a type of the database is called by pandas, when it reads the files, and in Parquet."""

SCHEMA = pa.schema([(column.name, TYPES[type(column.type)][1]) for column in TRIPS.columns])


class Loaded(TypedDict):
    """What became of a month's file."""

    file: str
    source: str
    trips_before: int
    trips_after: int
    rows_loaded: int


class Cleaned(TypedDict):
    """What `clean` made of a file."""

    parquet: Path
    before: int
    after: int


class NoSuchFile(LookupError):
    """The source does not have the file: asking again would not help."""


# ── the flows ───────────────────────────────────────────────────────────────────────────────────────────────────────


@flow(log_prints=True)
def taxi_etl(
    months: list[Month] = [1, 2],
    year: int = 2021,
    colors: list[Color] = ["yellow", "green"],
    source: str | None = None,
    folder: Path = Path("taxi-data"),
    database_url: SecretStr | None = None,
    chunk_rows: int = 25_000,
) -> list[Loaded]:
    """Load months of taxi trips, and publish trips and revenue by day and borough.

    Args:
        months: Which months of the year.
        year: Which year.
        colors: Which taxis.
        source: The URL below which the files lie, or `made-up`. Without one: the public files, or made-up ones where
            those cannot be reached.
        folder: Where downloads, Parquet files and the SQLite file go.
        database_url: An SQLAlchemy URL; without one, an SQLite file in the folder. A password in it is never shown,
            but kept with the run, so better leave it out: Postgres looks into PGPASSWORD and ~/.pgpass.
        chunk_rows: How many trips are held in memory at a time.
    """
    # Both are decided in tasks: a resumed run goes on where, and with what, it began.
    source = choose_source(source)
    folder = make_folder(folder)
    database = database_url or SecretStr(f"sqlite:///{folder / 'taxi.db'}")

    loaded = [
        load_month(color, year, month, source, folder, database, chunk_rows) for month in months for color in colors
    ]
    load_zones(extract_zones(source), database)
    report([each["file"] for each in loaded], database)
    print(f"{sum(each['rows_loaded'] for each in loaded):,} trips are in the database")
    return loaded


@flow(flow_run_name="{color}-{year}-{month:02}", log_prints=True)
def load_month(
    color: Color, year: int, month: Month, source: str, folder: Path, database_url: SecretStr, chunk_rows: int
) -> Loaded:
    """Bring one file from the web into a Parquet file and the database."""
    name = f"{color}_tripdata_{year}-{month:02}"
    download = folder / "downloads" / re.sub(r"[^\w.]+", "-", source) / f"{name}.csv.gz"
    # What the cache remembers is worth nothing if somebody has deleted the file.
    extracted = extract.with_options(refresh_cache=not download.exists())(source, download, return_state=True)
    if extracted.name == "Cached":
        print(f"{download.name} was downloaded within the last day: that download is used")

    cleaned = clean(extracted.result(), folder / "trips" / f"{name}.parquet", chunk_rows)
    rows = load(cleaned["parquet"], database_url, chunk_rows)
    return {
        "file": name,
        "source": source,
        "trips_before": cleaned["before"],
        "trips_after": cleaned["after"],
        "rows_loaded": rows,
    }


# ── extract ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@task(log_prints=True)
def choose_source(wanted: str | None) -> str:
    """The source that is wanted; else the public files if they can be reached, else made-up ones."""
    if wanted is not None:
        if wanted != MADE_UP and urlsplit(wanted).scheme not in {"http", "https"}:
            raise ValueError(f"A source is the URL of a web server, or `{MADE_UP}`, not: `{wanted}`")
        print(f"Trips come from {wanted}")
        return wanted
    if can_be_reached(address_of("taxi_zone_lookup.csv", PUBLIC)):
        print(f"Trips come from the public files at {PUBLIC}")
        return PUBLIC
    print("The public files cannot be reached, so the trips are made up: files like those, served by this machine")
    return MADE_UP


@task
def make_folder(folder: Path) -> Path:
    """The folder, made if it was not there, by its whole path: a resume may come from somewhere else."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder.absolute()


def may_succeed_next_time(_task: Any, _task_run: Any, state: Any) -> bool:
    """Whether a failed download is worth another try."""
    return not isinstance(state.data, NoSuchFile)


@task(
    cache_key_fn=task_input_hash,
    cache_expiration=timedelta(days=1),
    retries=3,
    retry_delay_seconds=[1, 5, 20],
    retry_condition_fn=may_succeed_next_time,
)
def extract(source: str, target: Path) -> Path:
    """Download a file of trips, whole and undamaged. Within a day, the same file is not downloaded again."""
    with serving(source) as url, written_whole(target) as part:
        with part.open("wb") as file:
            download(address_of(target.name, url), file)
        refuse_damaged(part, target.name)
    return target


@task(
    cache_key_fn=task_input_hash,
    cache_expiration=timedelta(days=1),
    retries=3,
    retry_delay_seconds=[1, 5, 20],
    retry_condition_fn=may_succeed_next_time,
    log_prints=True,
)
def extract_zones(source: str) -> dict[int, str]:
    """The borough of each zone, as the source has it, or else as this example knows it."""
    content = io.BytesIO()
    try:
        with serving(source) as url:
            download(address_of("taxi_zone_lookup.csv", url), content)
    except NoSuchFile:
        print("The source has no taxi_zone_lookup.csv: the zones that this example knows are used")
        return made_up_trips.boroughs()
    rows = csv.reader(io.StringIO(content.getvalue().decode("utf-8-sig")))
    header = [name.lower() for name in next(rows, [])]
    zone, borough = header.index("locationid"), header.index("borough")
    # A dict on purpose: some lookups list a zone once for each of its islands, and a join would count trips twice.
    return {int(row[zone]): row[borough] for row in rows}


@contextmanager
def serving(source: str) -> Generator[str]:
    """The URL of the source; made-up files are served for as long as the block lasts."""
    if source == MADE_UP:
        with made_up_trips.serve() as url:
            yield url
    else:
        yield source.rstrip("/")


def address_of(name: str, url: str) -> str:
    """Where a file lies: the public collection has a folder for each kind, other sources have all in one."""
    if url == PUBLIC:
        kind = name.partition("_tripdata_")[0] if "_tripdata_" in name else "misc"
        return f"{url}/{kind}/{name}"
    return f"{url}/{name}"


def download(address: str, file: BinaryIO) -> None:
    """Write what lies at the address into the file. Raises `NoSuchFile`, or another OSError, unless all of it came."""
    try:
        with opener(address).open(address, timeout=30) as response:
            shutil.copyfileobj(response, file)
            promised = response.headers.get("Content-Length")
    except HTTPError as error:
        error.close()
        answer = f"HTTP {error.code} {error.reason}: {address}"
        raise (NoSuchFile if error.code in {404, 410} else ConnectionError)(answer) from None
    if promised is not None and file.tell() != int(promised):
        raise ConnectionError(f"The download broke off after {file.tell():,} of {int(promised):,} bytes: {address}")


def can_be_reached(address: str) -> bool:
    """Whether there is an answer within three seconds."""
    try:
        with opener(address).open(Request(address, method="HEAD"), timeout=3):
            return True
    except (URLError, OSError):
        return False


def opener(address: str) -> Any:
    """What opens the address: through the proxy that the environment names, unless it is on this machine."""
    is_here = urlsplit(address).hostname in {"localhost", "127.0.0.1", "::1"}
    return build_opener(*([ProxyHandler({})] if is_here else []))


def refuse_damaged(path: Path, name: str) -> None:
    """Raise an OSError unless the file can be decompressed to its end."""
    try:
        with gzip.open(path) as file:
            while file.read(1 << 20):
                pass
    except (EOFError, gzip.BadGzipFile) as error:
        raise OSError(f"The source's {name} is damaged: {error}") from None


@contextmanager
def written_whole(target: Path) -> Generator[Path]:
    """A file to write, which takes its place only when all of it is on disk: nobody ever sees half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


# ── transform ───────────────────────────────────────────────────────────────────────────────────────────────────────


@task(log_prints=True)
def clean(raw: Path, target: Path, chunk_rows: int) -> Cleaned:
    """Write a Parquet file of the trips, with dates that are dates, and without the trips of nobody.

    A trip whose passengers nobody counted stays: that is not a trip without passengers.
    """
    before = after = empty_before = empty_after = 0
    with written_whole(target) as part, pq.ParquetWriter(part, SCHEMA) as parquet:
        for chunk in read_trips(raw, chunk_rows):
            trips = drop_trips_of_nobody(chunk)
            parquet.write_table(pa.Table.from_pandas(trips, SCHEMA, preserve_index=False))
            before, after = before + len(chunk), after + len(trips)
            empty_before += trips_of_nobody(chunk).sum()
            empty_after += trips_of_nobody(trips).sum()
    print(f"pre: missing passenger count: {empty_before}")
    print(f"post: missing passenger count: {empty_after}")
    return {"parquet": target, "before": before, "after": after}


def read_trips(raw: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    """The trips of a file, some at a time, under our names and with our types."""
    header = pd.read_csv(raw, nrows=0).columns
    if missing := NEEDED - {our_name(name) for name in header}:
        raise ValueError(f"{raw.name} is no file of trips: it has no {', '.join(sorted(missing))}")
    types = {name: TYPES[type(TRIPS.c[ours].type)][0] for name in header if (ours := our_name(name)) in TRIPS.c}
    for chunk in pd.read_csv(raw, dtype=types, usecols=list(types), chunksize=chunk_rows):
        trips = chunk.rename(columns=OUR_NAMES).reindex(columns=SCHEMA.names)
        for name in ("pickup_at", "dropoff_at"):
            trips[name] = pd.to_datetime(trips[name], format="%Y-%m-%d %H:%M:%S")
        trips["file"], trips["line"] = raw.name.removesuffix(".csv.gz"), trips.index + 1
        yield trips


def our_name(name: str) -> str:
    """What we call a column of the files."""
    return OUR_NAMES.get(name, name)


def drop_trips_of_nobody(trips: pd.DataFrame) -> pd.DataFrame:
    """The trips without those that carried nobody."""
    return trips.loc[~trips_of_nobody(trips)]


def trips_of_nobody(trips: pd.DataFrame) -> pd.Series:
    """Of each trip, whether it says that it carried nobody."""
    return trips.passenger_count.isin([0])


# ── load ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@task(log_prints=True, retries=3, retry_delay_seconds=[1, 5, 20])
def load(parquet: Path, database_url: SecretStr, chunk_rows: int) -> int:
    """Put a file's trips in the place of those that the database has of that file; returns how many.

    All in one transaction: whenever it is interrupted, and however often it is done again, the
    database has each trip once.
    """
    rows = 0
    with transaction(database_url) as database:
        database.execute(TRIPS.delete().where(TRIPS.c.file == parquet.stem))
        for batch in pq.ParquetFile(parquet).iter_batches(chunk_rows):
            database.execute(TRIPS.insert(), batch.to_pylist())
            rows += batch.num_rows
            print(f"{parquet.stem}: {rows:,} trips")
    return rows


@task(retries=3, retry_delay_seconds=[1, 5, 20])
def load_zones(boroughs: dict[int, str], database_url: SecretStr) -> None:
    """Put the zones in the place of those that the database has."""
    with transaction(database_url) as database:
        database.execute(ZONES.delete())
        database.execute(ZONES.insert(), [{"zone": zone, "borough": name} for zone, name in boroughs.items()])


@contextmanager
def transaction(database_url: SecretStr) -> Generator[sa.Connection]:
    """A transaction on the database, with our tables in it: all of the block counts, or nothing."""
    engine = sa.create_engine(database_url.get_secret_value(), poolclass=sa.NullPool)
    with engine.begin() as connection:
        METADATA.create_all(connection)
        yield connection


# ── report ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@task(retries=3, retry_delay_seconds=[1, 5, 20])
def report(files: list[str], database_url: SecretStr) -> list[dict[str, Any]]:
    """Publish, and return, how many trips began in each borough on each day, and what they brought in."""
    day = sa.func.date(TRIPS.c.pickup_at)
    borough = sa.func.coalesce(ZONES.c.borough, sa.literal_column("'Unknown'"))
    query = (
        sa.select(day, borough, sa.func.count(), sa.func.sum(TRIPS.c.total_amount))
        .outerjoin_from(TRIPS, ZONES, TRIPS.c.pickup_zone == ZONES.c.zone)
        .where(TRIPS.c.file.in_(files))
        .group_by(day, borough)
        .order_by(day, borough)
    )
    with transaction(database_url) as database:
        table = [
            {"day": str(day), "borough": borough, "trips": trips, "revenue": round(revenue or 0, 2)}
            for day, borough, trips, revenue in database.execute(query)
        ]
    create_table_artifact(table, key="trips-by-day-and-borough", description="Taxi trips by day and borough of pickup")
    return table


# ── the command line ────────────────────────────────────────────────────────────────────────────────────────────────


def main() -> None:
    """Run the flow with what the command line says."""
    parser = ArgumentParser(description="Load New York's taxi trips.", argument_default=SUPPRESS)
    parser.add_argument("--source", metavar="URL", help="where the files lie (default: the public files)")
    parser.add_argument("--year", type=int, help="which year")
    parser.add_argument("--months", type=listed, help="which months, as 1,2,3")
    parser.add_argument("--colors", type=listed, help="which taxis, as yellow,green")
    parser.add_argument("--folder", help="where files go")
    parser.add_argument("--database-url", metavar="URL", help="an SQLAlchemy URL (default: SQLite, in the folder)")
    parser.add_argument("--chunk-rows", type=int, help="how many trips are held in memory at a time")
    try:
        loaded = taxi_etl(**vars(parser.parse_args()))
    except UsageError as error:
        sys.exit(f"error: {error}")
    print_as_table(loaded)


def listed(text: str) -> list[str]:
    """The values of an option, which are separated by commas."""
    return text.split(",")


def print_as_table(loaded: Iterable[Loaded]) -> None:
    """Show what became of each file."""
    print(f"{'file':<26} {'before':>10} {'after':>10} {'loaded':>10}")
    for each in loaded:
        print(f"{each['file']:<26} {each['trips_before']:>10,} {each['trips_after']:>10,} {each['rows_loaded']:>10,}")


if __name__ == "__main__":
    main()
