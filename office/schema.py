"""The catalogue's own tables: what journals, receipts, messages and the ledger tell. Times are UTC, as of records.

`seen`, `handed_in`: when the office had a record, which is when it logged the first head that reaches so far.
`dockings`: a camera's stays in docks by its own word, from the record `seq`; `last`: its last word from there.
`loans.ends`: when the use that was planned is over: the planned end, the return, or the next issue, whichever is first;
`loans.met`: the camera's first signed word from a dock after that.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Connection, Index, LargeBinary, Table, Text, delete, update

from office.database import METADATA

HINTS: Final = {"hints": True}
"""Of tables that hold what nothing else does, and that nothing waits for: what docks and cameras told by messages."""

# Numbers are those of records, which have 63 bits. PostgreSQL's `Integer` has 31.

DEVICES: Final = Table(
    "devices",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("head_seq", BigInteger, nullable=False),
    Column("head", Text, nullable=False),
    Column("handed_in", Text, nullable=False),
    Column("dock", Text),
)

DOCKINGS: Final = Table(
    "dockings",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("since", Text, nullable=False),
    Column("last", Text, nullable=False),
    Column("over", Boolean, nullable=False),
)

RECORDINGS: Final = Table(
    "recordings",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("recording", Text, primary_key=True),
    Column("boot", Text, nullable=False),
    Column("activity", Text),
    Column("started", Text, nullable=False),
    Column("clock_source", Text, nullable=False),
    Column("clock_error_ms", BigInteger),
    Column("parts", BigInteger, nullable=False),
    Column("ended", Text),
    Column("ended_by_set_clock", Boolean),
    Column("frames_delivered", BigInteger),
    Column("frames_encoded", BigInteger),
    Column("frames_dropped", BigInteger),
    Column("signed", Boolean, nullable=False),
    Column("seen", Text, nullable=False),
)

SEGMENTS: Final = Table(
    "segments",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("recording", Text, primary_key=True),
    Column("segment", BigInteger, primary_key=True),
    Column("part", BigInteger, nullable=False),
    Column("closed", Boolean, nullable=False),
    Column("from_ns", BigInteger, nullable=False),
    Column("to_ns", BigInteger, nullable=False),
    Column("frames", BigInteger, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("ended", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("received", Text),
    Column("retain_until", Text),
    Column("leaf_index", BigInteger),
)

GAPS: Final = Table(
    "gaps",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("recording", Text, nullable=False),
    Column("after_part", BigInteger),
    Column("before_part", BigInteger),
    Column("cause", Text, nullable=False),
    Column("min_ms", BigInteger, nullable=False),
    Column("max_ms", BigInteger),
    Column("reason", Text),
    Index("gaps_recording", "device", "recording"),
)

NOTICES: Final = Table(
    "notices",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("recording", Text, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("heard", Boolean, nullable=False),
    Column("score_permille", BigInteger),
    Column("from_ns", BigInteger),
    Column("to_ns", BigInteger),
    Index("notices_recording", "device", "recording"),
)

MARKERS: Final = Table(
    "markers",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("recording", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("boot", Text, nullable=False),
    Column("at", Text, nullable=False),
    Index("markers_recording", "device", "recording"),
)

STILLS: Final = Table(
    "stills",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("recording", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("boot", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("segment", BigInteger, nullable=False),
    Column("plain_offset", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Index("stills_recording", "device", "recording"),
)

POSITIONS: Final = Table(
    "positions",  # where they stand in the journal: what they say is sealed to the office
    METADATA,
    Column("device", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("boot", Text, nullable=False),
    Column("at", Text, nullable=False),
    Index("positions_boot", "device", "boot", "at_ns"),
)

FORKS: Final = Table(
    "forks",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("file", BigInteger),
    Column("size", BigInteger),
    Column("dock", Text),
    Column("at", Text),
)

EVENTS: Final = Table(
    "events",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("dock", Text, primary_key=True),
    Column("camera", Text, nullable=False),
    Column("class", Text, nullable=False),
    Column("kind", Text),
    Column("seq", BigInteger),
    Column("verdict", Text, nullable=False),
    Column("received", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    info=HINTS,
)

ALERTS: Final = Table(
    "alerts",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("at", Text, nullable=False),
    Column("clock_source", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("recording", Text),
    Column("detail", Text, nullable=False),
    Column("signed", Boolean, nullable=False),
    Column("told", Text),
    Column("handed_in", Text),
)

UNSIGNED: Final = Table(
    "unsigned",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("boot", Text, primary_key=True),
    Column("name", Text, primary_key=True),
)

DOCKS: Final = Table(
    "docks",
    METADATA,
    Column("dock", Text, primary_key=True),
    Column("online", Boolean, nullable=False),
    Column("seen", Text, nullable=False),
    info=HINTS,
)

BAYS: Final = Table(
    "bays",
    METADATA,
    Column("dock", Text, primary_key=True),
    Column("bay", Text, primary_key=True),
    Column("online", Boolean, nullable=False),
    Column("camera", Text),
    Column("since", Text, nullable=False),
    info=HINTS,
)

TELEMETRY: Final = Table(
    "telemetry",
    METADATA,
    Column("dock", Text, primary_key=True),
    Column("camera", Text, primary_key=True),
    Column("payload", LargeBinary, nullable=False),
    Column("received", Text, nullable=False),
    info=HINTS,
)

EXPORTS: Final = Table(
    "exports",
    METADATA,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("device", Text, nullable=False),
    Column("recording", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("decrypted", Boolean, nullable=False),
    Column("folder", Text, nullable=False),
)

HEADS: Final = Table(
    "heads",
    METADATA,
    Column("device", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("leaf_index", BigInteger, nullable=False),
    Column("at", Text, nullable=False),
    Column("dock", Text),
)

LOANS: Final = Table(
    "loans",
    METADATA,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("device", Text, nullable=False),
    Column("officer", Text, nullable=False),
    Column("issued", Text, nullable=False),
    Column("shift_end", Text, nullable=False),
    Column("dock", Text),
    Column("by", Text, nullable=False),
    Column("returned", Text),
    Column("ends", Text, nullable=False),
    Column("met", Text),
)

REMOTES: Final = Table(
    "remotes",
    METADATA,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("device", Text, nullable=False),
    Column("since", Text, nullable=False),
    Column("until", Text),
    Column("reason", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("declared", Text, nullable=False),
    Column("returned", Text),
)


def _only(name: str, table: Table, columns: str, condition: object) -> None:
    """An index of those rows alone, which are few."""
    Index(name, *(table.c[column] for column in columns.split()), sqlite_where=condition, postgresql_where=condition)


_only("segments_missing", SEGMENTS, "device recording", SEGMENTS.c.received.is_(None))
_only("events_unverified", EVENTS, "camera", EVENTS.c.verdict == "unverified")
_only("events_openings", EVENTS, "camera", EVENTS.c.kind.in_(("boot", "summary")))
_only("loans_open", LOANS, "device", LOANS.c.met.is_(None))
Index("recordings_id", RECORDINGS.c.recording)
Index("recordings_started", RECORDINGS.c.started)
Index("loans_device", LOANS.c.device, LOANS.c.issued)
Index("remotes_device", REMOTES.c.device, REMOTES.c.since)


def is_hints(table: Table) -> bool:
    """Whether a table holds what only messages told."""
    return bool(table.info.get("hints"))


def empty(db: Connection) -> None:
    """Take out all that store and log can make again."""
    for table in reversed(METADATA.sorted_tables):
        if table is ALERTS:
            db.execute(delete(ALERTS).where(ALERTS.c.told.is_(None)))
            db.execute(update(ALERTS).values(handed_in=None))
        elif not is_hints(table):
            db.execute(delete(table))
