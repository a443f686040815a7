"""Taxi trips that nobody took, in files like the public ones, for machines that cannot reach those.

The columns, their types and their dirt are those of the real files: trips without passengers, counts
that nobody entered, dates of another month, refunds with negative amounts, rows that come twice.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from calendar import monthrange
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from threading import Thread
from typing import Any

TRIPS = {"yellow": 10_000, "green": 2_000}
"""How many trips a month's file has."""

_AMOUNTS = ["fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount"]
COLUMNS = {
    "yellow": [
        *["VendorID", "tpep_pickup_datetime", "tpep_dropoff_datetime", "passenger_count", "trip_distance"],
        *["RatecodeID", "store_and_fwd_flag", "PULocationID", "DOLocationID", "payment_type"],
        *[*_AMOUNTS, "improvement_surcharge", "total_amount", "congestion_surcharge"],
    ],
    "green": [
        *["VendorID", "lpep_pickup_datetime", "lpep_dropoff_datetime", "store_and_fwd_flag", "RatecodeID"],
        *["PULocationID", "DOLocationID", "passenger_count", "trip_distance"],
        *[*_AMOUNTS, "ehail_fee", "improvement_surcharge", "total_amount", "payment_type", "trip_type"],
        "congestion_surcharge",
    ],
}

_ZONES = {
    "EWR": "1",
    "Queens": (
        "2 7-10 15 16 19 27 28 30 38 53 56 57 64 70 73 82 83 86 92 93 95 96 98 101 102 117 121 122 124 129-132 134 135 "
        "138 139 145 146 157 160 171 173 175 179 180 191-193 196-198 201 203 205 207 215 216 218 219 223 226 252 253 "
        "258 260"
    ),
    "Bronx": (
        "3 18 20 31 32 46 47 51 58-60 69 78 81 94 119 126 136 147 159 167-169 174 182-185 199 200 208 212 213 220 235 "
        "240-242 247 248 250 254 259"
    ),
    "Manhattan": (
        "4 12 13 24 41-43 45 48 50 68 74 75 79 87 88 90 100 103-105 107 113 114 116 120 125 127 128 137 140-144 148 "
        "151-153 158 161-164 166 170 186 194 202 209 211 224 229-234 236-239 243 244 246 249 261-263"
    ),
    "Staten Island": "5 6 23 44 84 99 109 110 115 118 156 172 176 187 204 206 214 221 245 251",
    "Brooklyn": (
        "11 14 17 21 22 25 26 29 33-37 39 40 49 52 54 55 61-63 65-67 71 72 76 77 80 85 89 91 97 106 108 111 112 123 "
        "133 149 150 154 155 165 177 178 181 188-190 195 210 217 222 225 227 228 255-257"
    ),
    "Unknown": "264 265",
}


def boroughs() -> dict[int, str]:
    """The borough of each of the city's 265 taxi zones."""
    found: dict[int, str] = {}
    for borough, zones in _ZONES.items():
        for zone in zones.split():
            first, _, last = zone.partition("-")
            found.update(dict.fromkeys(range(int(first), int(last or first) + 1), borough))
    return dict(sorted(found.items()))


@contextmanager
def serve() -> Generator[str]:
    """Serve made-up files over HTTP to this machine alone, for as long as the block lasts; gives the URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Files) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Files(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = file(self.path.removeprefix("/"))
        if content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is the base class's
        """Say nothing: the log is the flow's."""


@lru_cache(maxsize=4)
def file(name: str) -> bytes | None:
    """The file of that name, the same bytes every time; None when there is none."""
    if name == "taxi_zone_lookup.csv":
        return _text(["LocationID", "Borough", "Zone", "service_zone"], _zone_rows()).encode()
    if (found := re.fullmatch(r"(yellow|green)_tripdata_(\d{4})-(0[1-9]|1[0-2])\.csv\.gz", name)) is None:
        return None
    color, year, month = found[1], int(found[2]), int(found[3])
    rows = _with_refunds_and_repeats(Random(name), _trips(Random(f"trips of {name}"), color, year, month))
    return gzip.compress(_text(COLUMNS[color], rows).encode(), mtime=0)


def _text(columns: list[str], rows: Iterator[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _zone_rows() -> Iterator[dict[str, Any]]:
    for zone, borough in boroughs().items():
        yield {"LocationID": zone, "Borough": borough, "Zone": f"{borough} {zone}", "service_zone": "Made up"}


def _trips(chance: Random, color: str, year: int, month: int) -> Iterator[dict[str, Any]]:
    prefix = "tpep" if color == "yellow" else "lpep"
    first, days = datetime(year, month, 1), monthrange(year, month)[1]  # noqa: DTZ001  the files say no zone
    for _ in range(TRIPS[color]):
        pickup_at = first + timedelta(seconds=chance.randrange(days * 86_400))
        if chance.random() < 0.002:  # a taximeter whose clock is wrong
            pickup_at -= timedelta(days=chance.choice([31, 365, 3_653]))
        miles = round(chance.lognormvariate(0.7, 0.8), 2)
        trip = _paid(chance, miles) | _counted(chance)
        trip |= {
            f"{prefix}_pickup_datetime": pickup_at,
            f"{prefix}_dropoff_datetime": pickup_at + timedelta(seconds=int(120 + miles * chance.uniform(150, 420))),
            "trip_distance": miles,
            "PULocationID": chance.choice(_BUSY) if chance.random() < 0.7 else chance.randint(1, 265),
            "DOLocationID": chance.randint(1, 265),
        }
        yield trip


_BUSY = [48, 79, 132, 138, 142, 161, 162, 170, 186, 230, 234, 236, 237, 239]
"""Midtown, the Upper East Side and the airports."""


def _paid(chance: Random, miles: float) -> dict[str, Any]:
    fare = round(2.5 + 2.5 * miles * chance.uniform(0.9, 1.5), 1)
    amounts = {
        "fare_amount": fare,
        "extra": chance.choice([0.0, 0.5, 1.0]),
        "mta_tax": 0.5,
        "tip_amount": round(fare * chance.choice([0.0, 0.15, 0.2]), 2),
        "tolls_amount": 5.76 if chance.random() < 0.05 else 0.0,
        "improvement_surcharge": 0.3,
        "congestion_surcharge": chance.choice([0.0, 2.5]),
    }
    return {**amounts, "total_amount": round(sum(amounts.values()), 2), "trip_type": chance.choice([1.0, 1.0, 2.0])}


def _counted(chance: Random) -> dict[str, Any]:
    """What the driver and the meter say; of some trips they say nothing."""
    if chance.random() < 0.02:
        return {}
    return {
        "VendorID": chance.choice([1, 2]),
        "passenger_count": chance.choices([0, 1, 2, 3, 4, 5, 6], [2, 72, 14, 4, 2, 4, 2])[0],
        "RatecodeID": 1,
        "store_and_fwd_flag": "Y" if chance.random() < 0.01 else "N",
        "payment_type": chance.choice([1, 1, 2]),
    }


def _with_refunds_and_repeats(chance: Random, trips: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for trip in trips:
        yield trip
        if (draw := chance.random()) < 0.001:
            yield trip
        elif draw < 0.004:
            yield {**trip, "fare_amount": -trip["fare_amount"], "total_amount": -trip["total_amount"]}
