"""Extract, clean and load: a file of sales for each day, and a report.

Run it: ``penstock run etl.py`` or ``python etl.py``. Kill it, and go on with
``penstock flow-run resume --last``: days that were loaded are not loaded again.
"""

import csv
import io
from pathlib import Path

from penstock import flow, task
from penstock.artifacts import create_table_artifact

Row = dict[str, str]


@task(retries=3, retry_delay_seconds=1)
def extract(day: int) -> str:
    """A day's sales as CSV. Fetch yours here; if that fails, it is tried again."""
    lines = ["shop,item,amount"]
    lines += [f"shop {shop},item {day * shop % 5},{'' if shop % 4 == 0 else day * shop}" for shop in range(1, 9)]
    return "\n".join(lines)


@task(log_prints=True)
def clean(text: str) -> list[Row]:
    """The rows that say how much was sold."""
    rows = list(csv.DictReader(io.StringIO(text)))
    kept = [row for row in rows if row["amount"]]
    print(f"{len(rows)} rows, {len(kept)} with an amount")
    return kept


@task(retries=3, retry_delay_seconds=1)
def load(day: int, rows: list[Row], folder: Path) -> int:
    """Write the day's file; loading a day twice is loading it once. Returns the day's total."""
    folder.mkdir(parents=True, exist_ok=True)
    half_way = folder / f"day={day:02}.csv.part"
    with half_way.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["shop", "item", "amount"])
        writer.writeheader()
        writer.writerows(rows)
    half_way.replace(half_way.with_suffix(""))  # so that nobody reads half a day
    return sum(int(row["amount"]) for row in rows)


@flow(log_prints=True)
def etl(days: int = 5, folder: Path = Path("sales")) -> int:
    """Load the first days of the month, and report what was sold."""
    totals = {day: load(day, clean(extract(day)), folder) for day in range(1, days + 1)}
    table = [{"day": day, "sold": total} for day, total in totals.items()]
    create_table_artifact(table, key="sales-by-day", description="Sales by day")
    print(f"{sum(totals.values())} sold in {days} days: see {folder}")
    return sum(totals.values())


if __name__ == "__main__":
    etl()
