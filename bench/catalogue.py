"""How fast the office finds things in a catalogue of a million segments, beside the same queries in raw `sqlite3`.

    scripts/bench catalogue [--segments N] [--rounds N] [--folder DIR] [--database URL]

One year of 40 cameras; segments of a minute, fifty to a recording. "Ours" ends with what a page or a command shows,
"raw" with the rows as tuples. `--database postgresql+pg8000://…`, an empty one: ours alone, in time and not in CPU.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from _measured import measure
from sqlalchemy import insert

from office import listing
from office.catalogue import Catalogue, utc
from office.database import Database, Row, sqlite_url
from office.duties import deadlines, describe
from office.schema import GAPS, LOANS, NOTICES, RECORDINGS, SEGMENTS

SEGMENTS_EACH = 50
CAMERAS = 40
DAYS = 365
OPEN = 200  # recordings that are not handed in whole
NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
WARN = timedelta(hours=4)
TIMES = 5  # of each query in a turn

DAY = "SELECT * FROM recordings WHERE started >= ? AND started < ? ORDER BY started, recording"
DAYS_PARTS = (
    "SELECT p.* FROM {} p JOIN recordings r ON p.device=r.device AND p.recording=r.recording "
    "WHERE r.started >= ? AND r.started < ?"
)
ONE = "SELECT * FROM recordings WHERE recording=?"
ONES_PARTS = "SELECT * FROM {} WHERE device=? AND recording=?"
UNDONE = (
    "SELECT r.*, count(s.segment), count(s.received), max(s.received), max(s.ended) FROM recordings r "
    "LEFT JOIN segments s USING (device, recording) WHERE r.ended IS NULL OR (r.device, r.recording) IN "
    "(SELECT device, recording FROM segments WHERE received IS NULL) GROUP BY r.device, r.recording ORDER BY r.started"
)
LENT = "SELECT * FROM loans WHERE met IS NULL OR issued >= ? ORDER BY issued"
MISSING = "SELECT device, recording, segment FROM segments WHERE received IS NULL"
PARTS = ("segments", "gaps", "notices")


def main() -> int:
    """Measure, print a table and, as the last line, the same as JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench catalogue", description=__doc__)
    parser.add_argument("--segments", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default 5)")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    parser.add_argument("--database", help="address of an empty PostgreSQL database")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=told.folder, prefix="bench-catalogue-") as name:
        file = Path(name) / "catalogue.sqlite"
        database = Database(told.database or sqlite_url(file))
        started = time.monotonic()
        fill(database, told.segments // SEGMENTS_EACH)
        sys.stderr.write(f"filled in {time.monotonic() - started:.0f} s\n")
        catalogue = Catalogue(database)
        if told.database:
            result = timed(ours(catalogue))
        else:
            with contextlib.closing(sqlite3.connect(file)) as raw:
                result = compared(ours(catalogue), plain(raw), told.rounds)
        catalogue.close()
    print(json.dumps({"segments": told.segments, **result}))
    return os.EX_OK


def fill(database: Database, recordings: int) -> None:
    """Make the rows of a year, as hand-ins would."""
    with database.begin() as db:
        for first in range(0, recordings, 500):
            numbers = range(first, min(first + 500, recordings))
            for table, rows in (
                (RECORDINGS, (recording(number, recordings) for number in numbers)),
                (SEGMENTS, (row for number in numbers for row in segments(number, recordings))),
                (GAPS, ({**key(number), "seq": number, "cause": "power_cut", "min_ms": 1} for number in numbers)),
                (NOTICES, (
                    {**key(number), "seq": number, "attempt": 1, "heard": True} for number in numbers
                )),
            ):  # fmt: skip
                db.execute(insert(table), list(rows))
        for number in range(CAMERAS * DAYS):
            issued = NOW - timedelta(days=number // CAMERAS, hours=9)
            ends = utc(issued + timedelta(hours=8))
            met = ends if number >= CAMERAS else None
            row = {"leaf_index": number, "device": device(number), "officer": "012345", "issued": utc(issued),
                   "shift_end": ends, "by": "keeper", "ends": ends, "met": met}  # fmt: skip
            db.execute(insert(LOANS), row)
    if database.is_sqlite:
        with database.engine.connect() as db:
            db.exec_driver_sql("ANALYZE")


def device(number: int) -> str:
    """One of the cameras."""
    return f"BWC-{number % CAMERAS:04d}"


def started(number: int, of: int) -> datetime:
    """When recording `number` began: the last one today."""
    return NOW - timedelta(hours=2) - timedelta(days=DAYS) * (of - 1 - number) / of


def key(number: int) -> Row:
    """Camera and id of a recording."""
    return {"device": device(number), "recording": f"{number:08x}-1"}


def recording(number: int, of: int) -> Row:
    """One of fifty minutes."""
    begin = started(number, of)
    return {
        **key(number), "boot": f"{number:032x}", "activity": "case", "started": utc(begin), "clock_source": "gnss",
        "clock_error_ms": 50, "parts": 1, "ended": utc(begin + timedelta(minutes=50)), "ended_by_set_clock": True,
        "frames_delivered": 90_000, "frames_encoded": 90_000, "frames_dropped": 0, "signed": True,
        "seen": utc(begin + timedelta(hours=1)),
    }  # fmt: skip


def segments(number: int, of: int) -> Iterator[Row]:
    """Its segments; the last one of the latest recordings is not handed in."""
    begin, minute = started(number, of), 60_000_000_000
    for index in range(SEGMENTS_EACH):
        held = index < SEGMENTS_EACH - 1 or number < of - OPEN
        yield {
            **key(number), "segment": index, "part": 1, "closed": True, "from_ns": index * minute,
            "to_ns": (index + 1) * minute, "frames": 1800, "samples": 2_880_000,
            "ended": utc(begin + timedelta(minutes=index + 1)), "size": 60_000_000, "sha256": f"{number:064x}",
            "received": utc(begin + timedelta(hours=1)) if held else None,
            "retain_until": utc(begin + timedelta(days=731)) if held else None,
            "leaf_index": number * SEGMENTS_EACH + index if held else None,
        }  # fmt: skip


def ours(catalogue: Catalogue) -> dict[str, Callable[[], object]]:
    """What pages and commands ask."""
    day = {"since": utc(NOW - timedelta(days=31)), "until": utc(NOW - timedelta(days=30))}
    return {
        "list of a day": lambda: [listing.describe(row) for row in catalogue.recordings(**day)],
        "one recording": lambda: [listing.describe(row) for row in catalogue.recordings("00000064-1")],
        "deadlines": lambda: [describe(one) for one in deadlines(catalogue, NOW, ZONE, WARN)],
        "segments to come": catalogue.missing,
    }


def plain(raw: sqlite3.Connection) -> dict[str, Callable[[], object]]:
    """The same rows."""

    def ask(query: str, *values: Any) -> list[Any]:
        return raw.execute(query, values).fetchall()

    def day() -> None:
        times = (utc(NOW - timedelta(days=31)), utc(NOW - timedelta(days=30)))
        for query in (DAY, *map(DAYS_PARTS.format, PARTS)):
            ask(query, *times)

    def one() -> None:
        for row in ask(ONE, "00000064-1"):
            for query in map(ONES_PARTS.format, PARTS):
                ask(query, *row[:2])

    def due() -> None:
        ask(UNDONE)
        ask(LENT, utc(NOW - timedelta(days=62)))

    return {"list of a day": day, "one recording": one, "deadlines": due, "segments to come": lambda: ask(MISSING)}


def compared(our: dict[str, Callable[[], object]], raw: dict[str, Callable[[], object]], rounds: int) -> dict[str, Any]:
    """CPU of each, and the ratio."""
    ways = {(who, name): _often(way) for who, all_of in (("ours", our), ("raw", raw)) for name, way in all_of.items()}
    spent = {which: statistics.median(turns) / TIMES * 1000 for which, turns in measure(ways, rounds).items()}
    print("| query | ours, ms CPU | raw sqlite3, ms CPU | ratio |\n|---|---|---|---|")
    result = {}
    for name in our:
        mine, bare = spent["ours", name], spent["raw", name]
        result[name] = {"ours_ms": round(mine, 2), "raw_ms": round(bare, 2), "ratio": round(mine / bare, 2)}
        print(f"| {name} | {mine:.2f} | {bare:.2f} | {mine / bare:.2f} |")
    return result


def timed(ways: dict[str, Callable[[], object]]) -> dict[str, Any]:
    """Milliseconds of each."""
    print("| query | ours, ms |\n|---|---|")
    result = {}
    for name, way in ways.items():
        way()
        begun = time.monotonic()
        _often(way)()
        result[name] = round((time.monotonic() - begun) / TIMES * 1000, 2)
        print(f"| {name} | {result[name]} |")
    return result


def _often(way: Callable[[], object]) -> Callable[[], None]:
    def often() -> None:
        for _ in range(TIMES):
            way()

    return often


if __name__ == "__main__":
    sys.exit(main())
