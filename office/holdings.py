"""What the page shows of the office's holdings: lists and figures out of the catalogue, each in one look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from office.alerts import describe as describe_alert
from office.archive import Archive
from office.catalogue import utc
from office.duties import OPEN, deadlines
from office.duties import describe as describe_deadline

PAGE: Final = 50
Row = dict[str, Any]

_SUMS: Final = (
    "SELECT r.device, r.recording, r.activity, r.started, r.clock_source, r.ended, r.parts, r.signed, "
    "(SELECT count(*) FROM segments s WHERE s.device=r.device AND s.recording=r.recording) AS segments, "
    "(SELECT count(s.received) FROM segments s WHERE s.device=r.device AND s.recording=r.recording) AS held, "
    "(SELECT max(s.received) FROM segments s WHERE s.device=r.device AND s.recording=r.recording) AS received, "
    "(SELECT sum(s.to_ns - s.from_ns) FROM segments s WHERE s.device=r.device AND s.recording=r.recording) AS ns, "
    "(SELECT count(*) FROM gaps g WHERE g.device=r.device AND g.recording=r.recording) AS gaps, "
    "(SELECT count(*) FROM gaps g WHERE g.device=r.device AND g.recording=r.recording "
    "AND coalesce(g.reason, 'unanswered') = 'unanswered') AS unexplained, "
    "(SELECT count(*) FROM notices n WHERE n.device=r.device AND n.recording=r.recording AND n.heard) AS heard "
    "FROM recordings r"
)
_INCOMPLETE = (
    "(r.ended IS NULL OR EXISTS (SELECT 1 FROM segments s WHERE s.device=r.device AND s.recording=r.recording "
    "AND s.received IS NULL))"
)
_GAPS = "EXISTS (SELECT 1 FROM gaps g WHERE g.device=r.device AND g.recording=r.recording{})"
STATES: Final = {
    "complete": f"NOT {_INCOMPLETE}",
    "incomplete": _INCOMPLETE,
    "gaps": _GAPS.format(""),
    "unexplained": _GAPS.format(" AND coalesce(g.reason, 'unanswered') = 'unanswered'"),
    "no_activity": "r.activity IS NULL",
}
"""What a list of recordings may be narrowed to."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which recordings: begun from one moment to before another (UTC), of a camera, of a kind, in a state."""

    since: str | None = None
    before: str | None = None
    device: str | None = None
    activity: str | None = None
    state: str | None = None


def rows(archive: Archive, query: str, **values: Any) -> list[Row]:
    """What a query finds."""
    with archive.database.read() as db:
        return [dict(row) for row in db.execute(text(query), values).mappings()]


def recordings(archive: Archive, wanted: Wanted, page: int) -> tuple[list[Row], bool]:
    """A page of recordings (from 1), the latest first, and whether there are more."""
    conditions: Sequence[tuple[str, Any]] = (
        ("r.started >= :since", wanted.since), ("r.started < :before", wanted.before),
        ("r.device = :device", wanted.device), ("r.activity = :activity", wanted.activity),
        (STATES.get(wanted.state or "", ""), wanted.state),
    )  # fmt: skip
    told = [condition for condition, value in conditions if value is not None and condition]
    where = f" WHERE {' AND '.join(told)}" if told else ""
    query = f"{_SUMS}{where} ORDER BY r.started DESC, r.recording DESC LIMIT :most OFFSET :skip"
    values = {name: getattr(wanted, name) for name in ("since", "before", "device", "activity")}
    values = {name: value for name, value in values.items() if value is not None}
    found = rows(archive, query, most=PAGE + 1, skip=(page - 1) * PAGE, **values)
    return [*map(_summed, found[:PAGE])], len(found) > PAGE


def recording(archive: Archive, device: str, name: str) -> Row | None:
    """One recording with its `segment_rows`, `gap_rows`, `notice_rows` and `export_rows`."""
    found = rows(archive, f"{_SUMS} WHERE r.device=:device AND r.recording=:recording", device=device, recording=name)
    if not found:
        return None
    told = _summed(found[0])
    for table, order in (("segments", "segment"), ("gaps", "seq"), ("notices", "seq"), ("exports", "leaf_index")):
        query = f"SELECT * FROM {table} WHERE device=:device AND recording=:recording ORDER BY {order}"  # noqa: S608
        told[f"{table[:-1]}_rows"] = rows(archive, query, device=device, recording=name)
    return told


def _summed(row: Row) -> Row:
    ms = row.pop("ns")
    complete = row["ended"] is not None and row["held"] == row["segments"] > 0
    return {**row, "recorded_ms": int(ms or 0) // 1_000_000, "complete": complete, "signed": bool(row["signed"])}


def devices(archive: Archive) -> list[str]:
    """Cameras of which something was handed in."""
    return [row["device"] for row in rows(archive, "SELECT device FROM devices ORDER BY device")]


def overview(archive: Archive, now: datetime) -> Row:
    """What goes on now: cameras in use, docks and their bays with how far each hand-in is, duties, alerts, figures."""
    config = archive.config
    midnight = now.astimezone(config.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    due = deadlines(archive.catalogue, now, config.zone, timedelta(hours=config.warn_hours))
    alerts = _alerts(archive, utc(now - timedelta(days=7)))
    docks = _docks(archive)
    on_duty = rows(
        archive,
        "SELECT l.device, l.officer, l.issued, l.shift_end, (SELECT min(m.since) FROM remotes m "
        "WHERE m.device=l.device AND m.returned IS NULL) AS away "
        "FROM loans l WHERE l.returned IS NULL AND l.met IS NULL ORDER BY l.shift_end",
    )
    on_duty = [{**loan, "late": loan["shift_end"] < utc(now)} for loan in on_duty]
    late = [describe_deadline(one) for one in due if one.state in OPEN[:2]]
    today = rows(
        archive,
        "SELECT count(*) AS count FROM (SELECT device, recording FROM segments WHERE received >= :since "
        "GROUP BY device, recording) AS taken", since=utc(midnight.astimezone(UTC)),
    )  # fmt: skip
    return {
        "docks": docks, "on_duty": on_duty, "late": late, "alerts": alerts[:8],
        "figures": {
            "on_duty": len(on_duty),
            "docked": sum(bay["camera"] is not None for dock in docks for bay in dock["bays"]),
            "today": today[0]["count"],
            "overdue": sum(one["state"] == OPEN[0] for one in late),
            "alerts": len(alerts),
        },
    }  # fmt: skip


def _alerts(archive: Archive, since: str) -> list[Row]:
    found = rows(
        archive,
        "SELECT a.*, a.seq <= coalesce(d.head_seq, -1) AS covered FROM alerts a LEFT JOIN devices d "
        "ON d.device=a.device WHERE coalesce(a.told, a.handed_in) >= :since ORDER BY a.at DESC, a.seq DESC",
        since=since,
    )  # fmt: skip
    return [describe_alert(row) for row in found]


def _docks(archive: Archive) -> list[Row]:
    bays = rows(archive, "SELECT dock, bay, online, camera, since FROM bays ORDER BY dock, bay")
    found = rows(archive, "SELECT dock, online, seen FROM docks ORDER BY dock")
    for bay in bays:
        bay["hand_in"] = _hand_in(archive, bay["camera"], bay["since"]) if bay["camera"] else None
    return [{**dock, "online": bool(dock["online"]), "bays": [bay for bay in bays if bay["dock"] == dock["dock"]]}
            for dock in found]  # fmt: skip


def _hand_in(archive: Archive, device: str, since: str) -> Row:
    """How far a camera in a bay is: segments that the journal tells of, and those of them that came in since."""
    (row,) = rows(
        archive,
        "SELECT count(*) - count(received) AS waiting, "
        "coalesce(sum(CASE WHEN received >= :since THEN 1 ELSE 0 END), 0) AS done, "
        "coalesce(sum(CASE WHEN received IS NULL THEN size ELSE 0 END), 0) AS bytes "
        "FROM segments WHERE device=:device",
        device=device, since=since,
    )  # fmt: skip
    return {name: int(value) for name, value in row.items()}
