"""The catalogue over both engines: its versions, what it says, and that it is made again from store and log alone."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, MetaData, Table, Text, create_engine, delete, insert, inspect, select, update

from evidence import jose
from evidence.checkpoint import Checkpoint
from evidence.merkle import Tree, leaf_hash
from office import migrations
from office.alone import alone
from office.archive import Archive
from office.catalogue import utc_now
from office.contact import meet
from office.database import METADATA, Database, put, put_new, sqlite_url
from office.errors import OfficeError
from office.log import Log, load_key
from office.migrations.__main__ import load_all
from office.orders import ORDER_DOCKS, ORDERS
from office.rebuild import rebuild
from office.schema import ALERTS, BAYS, DEVICES, DOCKINGS, LOANS, RECORDINGS
from tests.agency import Agency
from tests.builders import RECIPIENTS
from tests.footage import Camera
from tests.lived_in import DOCK, LivedIn
from tests.office_kit import OfficeKit, running
from tests.postgres_kit import Server

HINTS = {"events", "docks", "bays", "telemetry", "order_docks"}


@pytest.fixture
def url(database: str | None, tmp_path: Path) -> str:
    return database or sqlite_url(tmp_path / "catalogue.sqlite")


@pytest.fixture
def opened(url: str) -> Iterator[Database]:
    opened = Database(url)
    yield opened
    opened.close()


@pytest.fixture
def lived_in(tmp_path: Path, worked_in: LivedIn, agency: Agency, database: str | None) -> Iterator[LivedIn]:
    if database is None:
        made = worked_in.copy(tmp_path / "office")
    else:
        made = LivedIn(tmp_path / "office", agency, database)
        made.live()
    yield made
    with contextlib.suppress(Exception):
        made.stop()


# --- Versions --------------------------------------------------------------------------------------------------------


def test_the_versions_make_the_tables_that_the_modules_use(opened: Database) -> None:
    load_all()
    with opened.read() as db:
        assert compare_metadata(MigrationContext.configure(db), METADATA) == []
        assert migrations.is_of_today(db)


def test_each_version_follows_the_one_before() -> None:
    script = ScriptDirectory.from_config(migrations.configuration())
    assert [one.revision for one in script.walk_revisions()] == migrations.known()[::-1]


def _with_next_version(folder: Path, what: str) -> Path:
    """A program of tomorrow: today's versions and one more."""
    shutil.copytree(migrations.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    number = int(migrations.known()[-1])
    (folder / "versions" / f"m{number + 1:04d}_next.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision, down_revision = '{number + 1:04d}', '{number:04d}'\n\n\ndef upgrade():\n    {what}\n"
    )
    return folder


def test_an_older_catalogue_is_brought_up_to_date(opened: Database, tmp_path: Path) -> None:
    row = {"dock": "DOCK-1", "bay": "1", "online": True, "camera": None, "since": "2026"}
    tomorrow = _with_next_version(tmp_path / "tomorrow", "op.add_column('bays', sa.Column('colour', sa.Text()))")
    with opened.begin() as db:
        put(db, BAYS, row, "online")
        assert not migrations.is_of_today(db, tomorrow)
        migrations.upgrade(db, tomorrow)
    with opened.read() as db:
        assert migrations.is_of_today(db, tomorrow)
        assert db.exec_driver_sql("SELECT dock, colour FROM bays").all() == [("DOCK-1", None)]


def test_a_version_that_fails_changes_nothing(opened: Database, tmp_path: Path) -> None:
    tomorrow = _with_next_version(tmp_path / "tomorrow", "op.drop_table('bays'); op.drop_table('unheard_of')")
    with pytest.raises(Exception, match="unheard_of"), opened.begin() as db:
        migrations.upgrade(db, tomorrow)
    with opened.read() as db:
        assert inspect(db).has_table("bays")
        assert migrations.is_of_today(db)


def test_a_catalogue_of_a_newer_program_is_refused_and_left_alone(opened: Database, url: str, tmp_path: Path) -> None:
    with opened.begin() as db:
        migrations.upgrade(db, _with_next_version(tmp_path / "tomorrow", "op.drop_table('bays')"))
    with pytest.raises(OfficeError, match=r"install the newer program again") as refused:
        Database(url)
    assert refused.value.code == "catalogue-version"
    with opened.read() as db:
        assert not inspect(db).has_table("bays")


def test_tables_of_something_else_are_refused(url: str) -> None:
    engine = create_engine(url)
    Table("devices", MetaData(), Column("device", Text)).create(engine)
    engine.dispose()
    with pytest.raises(OfficeError, match="move it away") as refused:
        Database(url)
    assert refused.value.code == "catalogue-version"


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "catalogue.sqlite").write_bytes(b"not a database" * 400)
    with pytest.raises(OfficeError, match="move it away") as refused:
        Database(sqlite_url(tmp_path / "catalogue.sqlite"))
    assert refused.value.code == "catalogue"


@pytest.mark.slow
@pytest.mark.parametrize("options", ["ENCODING 'SQL_ASCII'", "LC_COLLATE 'C' ENCODING 'LATIN1'"])
def test_a_database_that_does_not_sort_by_bytes_is_refused(postgres: Server, options: str) -> None:
    with pytest.raises(OfficeError, match="createdb") as refused:
        Database(postgres.create(f"TEMPLATE template0 {options}"))
    assert refused.value.code == "catalogue"


# --- Made again ------------------------------------------------------------------------------------------------------


def _derived(tables: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    return {name: rows for name, rows in tables.items() if name not in HINTS}


def test_a_rebuilt_catalogue_is_the_one_before(lived_in: LivedIn) -> None:
    """Every table, messages too, which it keeps."""
    before = lived_in.tables()
    assert [name for name, rows in before.items() if not rows and name in _OURS] == []
    with lived_in.stopped(), alone(lived_in.config.data), contextlib.closing(Archive(lived_in.config)) as archive:
        with archive.database.begin() as db:  # somebody has been at it
            db.execute(update(RECORDINGS).values(signed=True, seen="2000", started="2000"))
            db.execute(delete(LOANS))
            db.execute(update(DEVICES).values(head_seq=10**6))
        rebuild(archive)
    assert lived_in.tables() == before


_OURS = {
    "alerts", "bays", "book", "devices", "dockings", "docks", "events", "exports", "forks", "gaps", "heads", "loans",
    "markers", "notices", "order_docks", "orders", "positions", "recordings", "remotes", "segments", "stills",
    "telemetry", "unsigned",
}  # fmt: skip


def test_a_version_may_ask_for_all_of_it_anew(lived_in: LivedIn) -> None:
    before = lived_in.tables()
    with lived_in.archive.database.begin() as db:
        db.exec_driver_sql("UPDATE book SET leaves = -1")
        db.execute(update(RECORDINGS).values(activity="inspection", boot="0" * 32))
    with lived_in.stopped():
        pass
    assert lived_in.tables() == before


def test_a_lost_catalogue_is_made_from_store_and_log_alone(lived_in: LivedIn, postgres_or_file: Any) -> None:
    """As any start does: what only messages told is gone."""
    before = lived_in.tables()
    with lived_in.stopped():
        lived_in.config = postgres_or_file(lived_in)
    after = lived_in.tables()
    alerts, told = after.pop("alerts"), before.pop("alerts")
    assert _derived(after) == _derived(before)
    assert {name for name in HINTS if after[name]} == set()
    column = list(ALERTS.c.keys()).index("told")
    handed_in = [(*row[:column], None, *row[column + 1 :]) for row in told if row[-1]]
    assert alerts == handed_in
    assert len(told) > len(handed_in)


@pytest.fixture
def postgres_or_file(request: pytest.FixtureRequest, database: str | None) -> Any:
    """Takes a catalogue away: the configuration with an empty one."""

    def anew(lived_in: LivedIn) -> Any:
        if database is not None:
            return replace(lived_in.config, database=request.getfixturevalue("postgres").create())
        for path in lived_in.config.data.glob("catalogue.sqlite*"):
            path.unlink()
        return lived_in.config

    return anew


def test_the_log_is_read_from_where_the_catalogue_stands(lived_in: LivedIn, monkeypatch: pytest.MonkeyPatch) -> None:
    size = lived_in.archive.log.size
    lived_in.stop()
    asked: list[int] = []
    since = Log.since

    def noting(log: Log, index: int) -> Any:
        asked.append(index)
        return since(log, index)

    monkeypatch.setattr(Log, "since", noting)
    monkeypatch.setattr(Log, "entries", lambda *_, **__: pytest.fail("the whole log was read"))
    lived_in.start()
    assert set(asked) == {size}


def test_a_catalogue_of_another_log_is_found(lived_in: LivedIn) -> None:
    """Somebody has put back an older log under a newer catalogue, or has forked it."""
    leaves = lived_in.config.data / "log" / "leaves.jsonl"
    whole = leaves.read_bytes()
    lived_in.stop()
    for forged in (whole[: whole.rindex(b"\n", 0, -1) + 1], whole.replace(b'"012345"', b'"012346"')):
        leaves.write_bytes(forged)
        (leaves.parent / "checkpoint").unlink()
        _sign_anew(lived_in, leaves)
        with pytest.raises(OfficeError) as found:
            lived_in.start()
        assert found.value.code == "catalogue-log"
        lived_in.stop()


def _sign_anew(lived_in: LivedIn, leaves: Path) -> None:
    """As whoever has the log's key can."""
    tree = Tree(leaf_hash(line) for line in leaves.read_bytes().splitlines())
    note = Checkpoint(lived_in.archive.log.origin, tree.size, tree.root()).sign(load_key(lived_in.config.log_key))
    (leaves.parent / "checkpoint").write_bytes(note)


# --- What it says ----------------------------------------------------------------------------------------------------


def test_what_is_there_stays_or_changes_as_told(opened: Database) -> None:
    row = {"dock": "DOCK-1", "bay": "1", "online": True, "camera": "BWC-0001", "since": "2026"}
    with opened.begin() as db:
        assert put_new(db, BAYS, row) == 1
        assert put_new(db, BAYS, {**row, "since": "2027"}) == 0
        put(db, BAYS, [{**row, "online": False, "since": "2028"}, {**row, "bay": "2"}], "online")
    with opened.read() as db:
        found = db.execute(select(BAYS.c.bay, BAYS.c.online, BAYS.c.since).order_by(BAYS.c.bay)).all()
    assert found == [("1", False, "2026"), ("2", True, "2026")]


def test_a_change_that_fails_leaves_nothing(opened: Database) -> None:
    row = {"dock": "DOCK-1", "bay": "1", "online": True, "since": "2026"}
    with contextlib.suppress(KeyboardInterrupt), opened.begin() as db:
        put_new(db, BAYS, row)
        raise KeyboardInterrupt
    with opened.read() as db:
        assert db.execute(select(BAYS)).all() == []


def test_the_recordings_of_a_day(lived_in: LivedIn) -> None:
    catalogue = lived_in.archive.catalogue
    everything = catalogue.recordings()
    times = [row["started"] for row in everything]
    assert times == sorted(times)
    since, until = times[1], times[-1]
    assert catalogue.recordings(since=since, until=until) == [
        row for row in everything if since <= row["started"] < until
    ]
    (one,) = catalogue.recordings(lived_in.recording)
    assert one in everything
    assert (len(one["segments"]), len(one["gaps"]), len(one["notices"])) == (2, 1, 1)


def test_uses_and_stays_in_docks_in_either_order(opened: Database) -> None:
    """A use is over with the first stay that reaches beyond its end, whichever is entered first."""
    loan = {"device": "BWC-0001", "officer": "1", "issued": "08", "shift_end": "10", "by": "k", "ends": "10"}
    stays = [("07", "07"), ("09", "09"), ("09", "12"), ("13", "14")]
    with opened.begin() as db:
        for seq, (since, last) in enumerate(stays):
            db.execute(insert(DOCKINGS).values(device="BWC-0001", seq=seq, since=since, last=last, over=True))
        put_new(db, LOANS, {"leaf_index": 0, **loan})
        put_new(db, LOANS, {"leaf_index": 1, **loan, "ends": "15"})
        meet(db, "BWC-0001")
        assert list(db.scalars(select(LOANS.c.met).order_by(LOANS.c.leaf_index))) == ["10", None]


def test_orders_go_to_the_docks_that_have_not_answered(lived_in: LivedIn) -> None:
    orders, catalogue = lived_in.archive.orders, lived_in.archive.catalogue
    database = lived_in.archive.database
    with database.begin() as db:
        db.execute(update(ORDER_DOCKS).values(sent=utc_now()))
    assert orders.due() == []  # sent just now
    with database.begin() as db:
        db.execute(update(ORDER_DOCKS).values(sent="2000"))
    (hold, find) = sorted(orders.due(), key=lambda sending: _act(database, sending.order))[::-1]
    assert (_act(database, hold.order), _act(database, find.order), hold.dock) == ("hold", "find", DOCK)
    answer = {"order": hold.order, "result": "done", "code": None, "detail": "好\0"}
    orders.answered(DOCK, jose.dump_json(answer))
    orders.answered(DOCK, b"nonsense")
    assert [(one["result"], one["detail"]) for one in orders.answers(hold.order)] == [("done", "好\ufffd")]
    with database.begin() as db:
        db.execute(update(ORDER_DOCKS).values(sent="2000"))
        db.execute(update(ORDERS).where(ORDERS.c.act == "find").values(ended="2001"))  # as a minute later
    assert orders.due() == []
    catalogue.set_presence(DOCK, online=False)
    orders.came_back(DOCK)
    assert orders.due() == []
    catalogue.set_presence(DOCK, online=True)
    assert [sending.order for sending in orders.due()] == [hold.order]


def _act(database: Database, order: str) -> str:
    with database.read() as db:
        return str(db.execute(select(ORDERS.c.act).where(ORDERS.c.id == order)).scalar_one())


@pytest.mark.slow
@pytest.mark.net
def test_a_running_office_keeps_its_catalogue_elsewhere(tmp_path: Path, postgres: Server) -> None:
    """The whole program over PostgreSQL: hand-in over HTTPS, messages, commands beside it, killed and started again."""
    office = OfficeKit(tmp_path, database=postgres.create())
    camera = Camera(office.agency, RECIPIENTS)
    recording = camera.start()
    data = camera.noise(recording, 0, 5000)
    camera.end(recording, 1, 1)
    with running(office):
        client = office.client()
        client.hand_in_journal(camera.device, camera.journal)
        assert client.patch(client.segment(camera.device, (recording, 0), data), 0, data).status == 204
        assert office.call("issue", camera.device, "--officer", "1", "--shift-end", "23:59").returncode == 0
        office.kill()
    with running(office):
        (listed,) = json.loads(office.call("list", "--json").stdout)["recordings"]
        assert (listed["recording"], listed["held"], listed["missing"]) == (recording, 1, [])
        due = json.loads(office.call("deadlines", "--json").stdout)["deadlines"]
        assert [one["recording"] for one in due] == [None]
    assert not list(office.data.glob("catalogue.sqlite*"))


def test_the_desk_sees_acts_of_people_only(lived_in: LivedIn) -> None:
    book = lived_in.archive.book
    before = book.version()
    lived_in.record()
    lived_in.hand_in()
    assert book.version() == before
    lived_in.archive.ledger.issue("BWC-0005", "1", datetime.now(UTC) + timedelta(hours=1), "keeper")
    assert book.version() > before


def test_a_file_is_durable_with_each_change(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "catalogue.sqlite"))
    with database.read() as db:
        asked = [db.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    database.close()
    assert asked == ["wal", 2]
    with contextlib.closing(sqlite3.connect(tmp_path / "catalogue.sqlite")) as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
