"""The office's log and store on disk: what a power cut or an insider may do to them."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence import merkle
from evidence.checkpoint import Checkpoint
from office.errors import OfficeError
from office.log import Log
from office.retention import retain_until
from office.store import Store, segment_name

ORIGIN = "bodycam/AGENCY-1/OFFICE-1"
KEY = Ed25519PrivateKey.generate()


def _open(folder: Path) -> Log:
    return Log(folder, ORIGIN, KEY)


def test_a_leaf_is_proven_and_stays_after_a_restart(tmp_path: Path) -> None:
    log = _open(tmp_path)
    assert [log.append({"act": "test", "n": n}) for n in range(5)] == [0, 1, 2, 3, 4]
    before = Checkpoint.read(log.checkpoint(), ORIGIN, KEY.public_key())
    log.close()
    log = _open(tmp_path)
    log.append({"act": "test", "n": 5})
    after = log.proof(3).verify(ORIGIN, KEY.public_key())
    assert json.loads(log.proof(3).entry) == {"act": "test", "n": 3}
    leaves = (tmp_path / "leaves.jsonl").read_bytes().splitlines()
    growth = merkle.Tree(map(merkle.leaf_hash, leaves)).consistency(before.size)
    merkle.verify_consistency(before.size, before.root, after.size, after.root, growth)


def test_two_processes_write_one_log(tmp_path: Path) -> None:
    one, other = _open(tmp_path), _open(tmp_path)
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda log=log: found.extend(log.append({"act": "test"}) for _ in range(20)))
        for log in (one, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(40))
    assert _open(tmp_path).size == 40


def test_a_torn_line_is_no_leaf(tmp_path: Path) -> None:
    _open(tmp_path).append({"act": "test"})
    with (tmp_path / "leaves.jsonl").open("ab") as file:
        file.write(b'{"act":"half')
    log = _open(tmp_path)
    assert log.append({"act": "next"}) == 1
    assert json.loads(log.proof(1).entry) == {"act": "next"}


@pytest.mark.parametrize("attack", ["edit", "remove", "no checkpoint", "other key"])
def test_a_changed_log_is_not_gone_on_with(tmp_path: Path, attack: str) -> None:
    log = _open(tmp_path)
    for n in range(3):
        log.append({"act": "test", "n": n})
    path = tmp_path / "leaves.jsonl"
    if attack == "edit":
        path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":7'))
    elif attack == "remove":
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    elif attack == "no checkpoint":
        (tmp_path / "checkpoint").unlink()
    else:
        note = Checkpoint(ORIGIN, 3, bytes(32)).sign(Ed25519PrivateKey.generate())
        (tmp_path / "checkpoint").write_bytes(note)
    with pytest.raises(OfficeError, match="log-changed"):
        _open(tmp_path)


@pytest.mark.parametrize(
    ("ended", "years", "until"),
    [
        ("2026-11-24", 2, "2028-11-24"),
        ("2028-02-29", 2, "2030-03-01"),
        ("2028-02-29", 4, "2032-02-29"),
        ("2027-02-28", 2, "2029-02-28"),
        ("2027-03-01", 1, "2028-03-01"),
    ],
)
def test_the_term_is_whole_years_and_never_a_day_short(ended: str, years: int, until: str) -> None:
    start = datetime.fromisoformat(ended).replace(hour=13, tzinfo=UTC)
    assert retain_until(start, years) == datetime.fromisoformat(until).replace(hour=13, tzinfo=UTC)


def test_a_term_beyond_2106_is_refused() -> None:
    with pytest.raises(OfficeError, match="retention-range"):
        retain_until(datetime(2105, 1, 1, tzinfo=UTC), 2)


def test_the_store_writes_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    name = segment_name("BWC-0001", "0123abcd-1", 0)
    for content in (b"first", b"second"):
        (tmp_path / "staged").write_bytes(content)
        if content == b"first":
            store.local.put(tmp_path / "staged", name, None)
        else:
            with pytest.raises(FileExistsError):
                store.local.put(tmp_path / "staged", name, None)
    assert store.local.path(name).read_bytes() == b"first"
    assert store.local.path(name).stat().st_mode & 0o777 == 0o440
    assert (tmp_path / "staged").read_bytes() == b"second"
    assert list(store.without_receipt()) == [("BWC-0001", "0123abcd-1", 0)]
