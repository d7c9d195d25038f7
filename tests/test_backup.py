"""Backups of a running office, their drill, and what becomes of an office that an old one was put back into."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from evidence import records
from evidence.checkpoint import Checkpoint
from evidence.errors import EvidenceError
from evidence.merkle import Tree, leaf_hash, verify_consistency
from office.backup import backup
from office.config import OfficeConfig
from office.errors import OfficeError
from office.restore import drill, restore
from office.schema import ALERTS
from tests.agency import Agency
from tests.lived_in import LivedIn
from tests.postgres_kit import Server


@pytest.fixture
def lived_in(tmp_path: Path, worked_in: LivedIn) -> Iterator[LivedIn]:
    made = worked_in.copy(tmp_path / "office")
    yield made
    with contextlib.suppress(Exception):
        made.stop()


def _lost(lived_in: LivedIn) -> OfficeConfig:
    """The disk is gone; its keys were kept apart."""
    lived_in.stop()
    shutil.rmtree(lived_in.config.data)
    return lived_in.config


def _refused(code: str, act: Any, *arguments: Any) -> None:
    with pytest.raises(OfficeError) as refused:
        act(*arguments)
    assert refused.value.code == code, refused.value


def test_a_lost_office_comes_back_as_it_was(lived_in: LivedIn, tmp_path: Path) -> None:
    made = backup(lived_in.archive, tmp_path / "backups", "keeper", whole=True)
    before = lived_in.tables()
    done = restore(_lost(lived_in), made.folder, "keeper")
    assert (done.receipts, done.lacking) == (len(lived_in.camera.segments) + 2, 0)
    lived_in.start()
    after = lived_in.tables()
    (_, leaf) = lived_in.archive.log.entries("restore")[0]
    assert (leaf["by"], leaf["leaves"], leaf["root"]) == ("keeper", made.about.leaves, made.about.root)
    before.pop("book")
    assert {name: after[name] for name in before} == before
    lived_in.record()
    lived_in.hand_in()  # and it goes on


def test_other_programs_check_a_backup(lived_in: LivedIn, tmp_path: Path) -> None:
    made = backup(lived_in.archive, tmp_path / "backups", "keeper", whole=True)
    for sums in ("SHA256SUMS", "segments.sha256"):
        checked = subprocess.run(["sha256sum", "--check", "--strict", "--quiet", sums], cwd=made.folder, check=False)
        assert checked.returncode == 0
    there = {str(path.relative_to(made.folder)) for path in made.folder.rglob("*") if path.is_file()}
    told = {line.split("  ")[1] for line in (made.folder / "SHA256SUMS").read_text().splitlines()}
    assert there - told == {"SHA256SUMS", "backup.json"}
    assert not [name for name in there if "catalogue" in name or "staging" in name]
    assert made.folder.stat().st_mode & 0o077 == 0


def test_the_next_backup_takes_only_what_is_new(lived_in: LivedIn, tmp_path: Path) -> None:
    first = backup(lived_in.archive, tmp_path / "backups", "keeper", whole=True)
    recording = lived_in.record(size=50_000)
    lived_in.hand_in()
    second = backup(lived_in.archive, tmp_path / "backups", "keeper", whole=True)
    held = len(lived_in.camera.segments) + 2
    assert second.linked == 2 * (held - 1)
    key = (lived_in.camera.device, records.segment_path(recording, 0))
    assert (second.folder / "data/store" / key[0] / key[1]).stat().st_nlink == 1
    shutil.rmtree(first.folder)  # each is whole by itself
    assert restore(_lost(lived_in), second.folder, "keeper").receipts == held


def test_a_backup_while_docks_hand_in_contradicts_itself_nowhere(lived_in: LivedIn, tmp_path: Path) -> None:
    stop, failures = threading.Event(), []

    def work() -> None:
        try:
            while not stop.is_set():
                lived_in.record(size=100_000)
                lived_in.hand_in()
        except BaseException as error:  # noqa: BLE001 - told in the test
            failures.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    made = [backup(lived_in.archive, tmp_path / "backups", "keeper", whole=True) for _ in range(2)]
    stop.set()
    worker.join()
    assert failures == []
    for one in made:
        done = drill(lived_in.config, one.folder, "keeper")
        assert done.lacking == 0
    assert made[0].about.leaves < made[-1].about.leaves


def test_the_drill_leaves_nothing_behind_but_its_word(lived_in: LivedIn, tmp_path: Path) -> None:
    made = backup(lived_in.archive, tmp_path / "backups", "keeper", whole=True)
    before = sorted(lived_in.config.data.parent.iterdir())
    tables = lived_in.tables()
    done = drill(lived_in.config, made.folder, "keeper")
    assert sorted(lived_in.config.data.parent.iterdir()) == before
    assert min(done.copying, done.rebuilding, done.proving) > 0
    assert done.rows["segments"] == len(tables["segments"])
    (_, leaf) = lived_in.archive.log.entries("restore-drill")[0]
    assert (leaf["by"], leaf["leaves"]) == ("keeper", made.about.leaves)


def test_without_segments_it_says_which_are_to_be_put_back(lived_in: LivedIn, tmp_path: Path) -> None:
    made = backup(lived_in.archive, tmp_path / "backups", "keeper", whole=False)
    assert not list(made.folder.rglob("*.mp4.age")) or all(
        "quarantine" in path.parts for path in made.folder.rglob("*.mp4.age")
    )
    segments = lived_in.config.data / "store"
    kept = tmp_path / "second"
    shutil.copytree(segments, kept)
    done = restore(_lost(lived_in), made.folder, "keeper")
    assert done.lacking == done.receipts > 0
    listed = (made.folder / "segments.sha256").read_text().splitlines()
    for line in listed:
        name = line.split("  ")[1].removeprefix("data/store/")
        (segments / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kept / name, segments / name)
    lived_in.start()
    assert lived_in.archive.receipts.get(lived_in.camera.device, lived_in.recording, 1) is not None


def test_what_was_disposed_of_is_not_missed(lived_in: LivedIn, tmp_path: Path) -> None:
    of = {"device": lived_in.camera.device, "recording": lived_in.recording}
    with lived_in.archive.book.turn() as turn:
        index = turn.enter("disposal-proposed", by="keeper", **of, term="2026-11-24T00:00:00.000Z", reason="到期")
        turn.enter("disposed", by="director", proposal=index)
    shutil.rmtree(lived_in.config.data / "store" / of["device"] / "segments" / of["recording"])
    made = backup(lived_in.archive, tmp_path / "backups", "keeper", whole=True)
    subprocess.run(["sha256sum", "--check", "--quiet", "segments.sha256"], cwd=made.folder, check=True)
    done = restore(_lost(lived_in), made.folder, "keeper")
    assert done.lacking == 0


def test_locks_come_back(lived_in: LivedIn, tmp_path: Path) -> None:
    """The date until which a segment is locked is its time of change, also where it is linked to, not copied."""
    name = f"{lived_in.camera.device}/{records.segment_path(lived_in.recording, 0)}"
    store = lived_in.archive.store.segments
    backup(lived_in.archive, tmp_path / "backups", "keeper", whole=True)
    store.extend(name, datetime(2040, 1, 1, tzinfo=UTC))
    store.hold(name, on=True)
    lock = store.lock(name)
    made = backup(lived_in.archive, tmp_path / "backups", "keeper", whole=True)
    assert made.linked > 0
    restore(_lost(lived_in), made.folder, "keeper")
    lived_in.start()
    assert lived_in.archive.store.segments.lock(name) == lock


# --- Attacks ---------------------------------------------------------------------------------------------------------


def test_an_old_backup_is_not_put_back_over_newer_entries(lived_in: LivedIn, tmp_path: Path) -> None:
    made = backup(lived_in.archive, tmp_path / "backups", "keeper", whole=True)
    lived_in.record()
    lived_in.hand_in()
    lived_in.stop()
    leaves = (lived_in.config.data / "log" / "leaves.jsonl").read_bytes()
    _refused("restore-newer", restore, lived_in.config, made.folder, "keeper")
    shutil.rmtree(lived_in.config.data / "log")  # the insider takes the log away, and the store
    shutil.rmtree(lived_in.config.data / "store")
    _refused("restore-newer", restore, lived_in.config, made.folder, "keeper")  # the catalogue knows how long it was
    assert leaves.count(b"\n") > made.about.leaves


def test_a_restored_old_backup_is_found_by_whoever_holds_a_later_checkpoint(lived_in: LivedIn, tmp_path: Path) -> None:
    """Even if the insider leaves nothing else: the log does not continue what was signed, however it grows."""
    made = backup(lived_in.archive, tmp_path / "backups", "keeper", whole=True)
    lived_in.record()
    lived_in.hand_in()
    later = _checkpoint(lived_in)  # as a dock, a stamp or a witness keeps it
    restore(_lost(lived_in), made.folder, "keeper")
    lived_in.start()
    tree = _tree(lived_in)
    assert tree.size < later.size  # shorter than what was seen: found at once
    while tree.size <= later.size:
        lived_in.archive.log.append({"act": "made-up"})
        tree = _tree(lived_in)
    with pytest.raises(EvidenceError) as found:
        verify_consistency(later.size, later.root, tree.size, tree.root(), tree.consistency(later.size))
    assert found.value.code == "log-proof"
    assert lived_in.archive.log.since(made.about.leaves)[0][1]["act"] == "restore"


def _checkpoint(lived_in: LivedIn) -> Checkpoint:
    tree = _tree(lived_in)
    return Checkpoint(lived_in.archive.log.origin, tree.size, tree.root())


def _tree(lived_in: LivedIn) -> Tree:
    lines = (lived_in.config.data / "log" / "leaves.jsonl").read_bytes().splitlines()
    return Tree(map(leaf_hash, lines))


def test_an_office_that_is_there_is_not_written_over(lived_in: LivedIn, tmp_path: Path) -> None:
    made = backup(lived_in.archive, tmp_path / "backups", "keeper", whole=True)
    lived_in.stop()
    leaves = lived_in.config.data / "log" / "leaves.jsonl"
    leaves.write_bytes(b"".join(leaves.read_bytes().splitlines(keepends=True)[: made.about.leaves]))
    _refused("restore-occupied", restore, lived_in.config, made.folder, "keeper")


def test_a_backup_that_was_changed_is_refused(lived_in: LivedIn, tmp_path: Path) -> None:
    made = backup(lived_in.archive, tmp_path / "backups", "keeper", whole=True)
    store = ("store/*/segments/*/*", "store/*/receipts/*/*", "store/*/journal/*")
    for name in (*(f"data/{part}" for part in store), "data/log/leaves.jsonl", "told.jsonl"):
        changed = next(made.folder.glob(name))
        before = changed.read_bytes()
        changed.chmod(0o640)
        changed.write_bytes(before[:-1] + b"?")
        _refused("backup-changed", drill, lived_in.config, made.folder, "keeper")
        changed.write_bytes(before)
    changed.write_bytes(b"")
    _refused("backup-changed", restore, _lost(lived_in), made.folder, "keeper")
    assert not (lived_in.config.data / "log").exists()


def test_a_receipt_that_was_made_up_is_refused(lived_in: LivedIn, tmp_path: Path) -> None:
    """With its hash in the lists: what the office did not sign, or its log does not tell, is no receipt."""
    made = backup(lived_in.archive, tmp_path / "backups", "keeper", whole=True)
    receipt = next(made.folder.glob("data/store/*/receipts/*/*"))
    other = receipt.with_name("00077.jws")
    shutil.copy(receipt, other)
    text = (made.folder / "SHA256SUMS").read_text()
    line = next(line for line in text.splitlines() if line.endswith(str(receipt.relative_to(made.folder))))
    (made.folder / "SHA256SUMS").write_text(text + line.replace(receipt.name, other.name) + "\n")
    _refused("backup-changed", drill, lived_in.config, made.folder, "keeper")


def test_half_a_backup_and_anothers_are_refused(lived_in: LivedIn, tmp_path: Path, agency: Agency) -> None:
    made = backup(lived_in.archive, tmp_path / "backups", "keeper", whole=True)
    other = LivedIn(tmp_path / "another", agency)
    _refused("backup", lambda: backup(other.archive, tmp_path / "backups", "keeper", whole=True))
    other.stop()
    about = made.folder / "backup.json"
    told = json.loads(about.read_bytes())
    about.write_text(json.dumps({**told, "format": 2}))
    _refused("backup", drill, lived_in.config, made.folder, "keeper")
    about.unlink()
    _refused("backup", restore, lived_in.config, made.folder, "keeper")


# --- Commands --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_keepers_commands(tmp_path: Path, agency: Agency) -> None:
    lived_in = LivedIn(tmp_path / "office", agency)
    lived_in.live()
    call = lived_in.kit.call
    done = call("backup", str(tmp_path / "backups"), "--by", "王保管")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "backups").iterdir()
    done = call("restore", str(folder), "--drill", "--by", "王保管")
    assert done.returncode == 0, done.stderr
    assert "演练成功" in done.stdout
    assert [leaf["by"] for _, leaf in lived_in.archive.log.entries("backup", "restore-drill")] == ["王保管"] * 2
    done = call("restore", str(folder))
    assert (done.returncode, done.stderr.split(":")[1]) == (69, " restore-newer")
    before = lived_in.tables()
    lived_in.stop()
    done = call("rebuild")
    assert done.returncode == 0, done.stderr
    assert "目录已重建" in done.stdout
    lived_in.start()
    assert lived_in.tables() == before


def test_alerts_that_were_only_told_come_back_too(lived_in: LivedIn, tmp_path: Path) -> None:
    made = backup(lived_in.archive, tmp_path / "backups", "keeper", whole=True)
    restore(_lost(lived_in), made.folder, "keeper")
    lived_in.start()
    with lived_in.archive.database.read() as db:
        told = db.execute(select(ALERTS.c.device).where(ALERTS.c.told.is_not(None)).order_by(ALERTS.c.device)).scalars()
        assert list(told) == [lived_in.camera.device, "BWC-0007"]


@pytest.mark.slow
def test_a_database_apart_knows_how_long_the_log_was(tmp_path: Path, agency: Agency, postgres: Server) -> None:
    """A catalogue on another machine tells of a restored backup."""
    office = LivedIn(tmp_path / "office", agency, postgres.create())
    office.live()
    made = backup(office.archive, tmp_path / "backups", "keeper", whole=True)
    office.record()
    office.hand_in()
    config = _lost(office)
    _refused("restore-newer", restore, config, made.folder, "keeper")
    restore(replace(config, database=None), made.folder, "keeper")  # the insider helps himself
    with pytest.raises(OfficeError) as found:
        office.start()
    assert found.value.code == "catalogue-log"
    office.stop()
