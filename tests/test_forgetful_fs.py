"""The disk that forgets: what a power cut takes, what it leaves, and how a bad card behaves."""

from __future__ import annotations

import errno
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evidence import jose
from hw_sim import forgetful_fs
from hw_sim.control import ControlError
from hw_sim.forgetful_fs import MountedDisk
from hw_sim.forgetful_tree import Tree
from runtime.disk import PosixDisk, sync_folder, write_once

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs /dev/fuse; run: modprobe fuse"),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[MountedDisk]:
    with forgetful_fs.mount(tmp_path / "store", tmp_path / "point") as mounted:
        yield mounted


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_unsynced_bytes_and_names_are_lost(disk: MountedDisk) -> None:
    write_once(disk.point / "kept", b"kept")
    (disk.point / "lost").write_bytes(b"lost")
    with (disk.point / "kept").open("ab") as file:
        file.write(b" and lost")
    assert (disk.point / "kept").read_bytes() == b"kept and lost"
    assert _names(disk.point) == ["kept", "lost"]
    disk.cut_power()
    assert _names(disk.store) == ["kept"]
    assert (disk.store / "kept").read_bytes() == b"kept"


def test_a_synced_file_without_a_synced_name_is_lost(disk: MountedDisk) -> None:
    with (disk.point / "nameless").open("wb") as file:
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())
    disk.cut_power()
    assert _names(disk.store) == []


def test_a_synced_name_without_synced_bytes_is_empty(disk: MountedDisk) -> None:
    (disk.point / "empty").write_bytes(b"x")
    sync_folder(disk.point)
    disk.cut_power()
    assert (disk.store / "empty").read_bytes() == b""


@pytest.mark.parametrize("synced", [False, True])
def test_rename_unlink_and_truncate_wait_for_sync(disk: MountedDisk, synced: bool) -> None:
    for name in ("old", "gone", "long"):
        write_once(disk.point / name, name.encode())
    (disk.point / "old").rename(disk.point / "new")
    (disk.point / "gone").unlink()
    with (disk.point / "long").open("r+b") as file:
        file.truncate(2)
        if synced:
            os.fsync(file.fileno())
    assert _names(disk.point) == ["long", "new"]
    if synced:
        sync_folder(disk.point)
    disk.cut_power()
    left = {path.name: path.read_bytes() for path in disk.store.iterdir()}
    assert left == ({"new": b"old", "long": b"lo"} if synced else {"old": b"old", "gone": b"gone", "long": b"long"})


def test_a_rename_over_a_file_is_all_or_nothing(disk: MountedDisk) -> None:
    write_once(disk.point / "state", b"one")
    write_once(disk.point / "state.new", b"two")
    (disk.point / "state.new").replace(disk.point / "state")
    assert (disk.store / "state").read_bytes() == b"one"
    sync_folder(disk.point)
    disk.cut_power()
    assert {path.name: path.read_bytes() for path in disk.store.iterdir()} == {"state": b"two"}


def test_folders_and_moves_between_them(disk: MountedDisk) -> None:
    for name in ("a", "b", "unsynced"):
        (disk.point / name).mkdir()
        write_once(disk.point / name / "file", name.encode())
        if name != "unsynced":
            sync_folder(disk.point)
    assert not (disk.store / "unsynced").exists()
    (disk.point / "a" / "file").rename(disk.point / "b" / "moved")
    sync_folder(disk.point / "a")  # the old name goes first: between the two, a cut loses the file
    sync_folder(disk.point / "b")
    with pytest.raises(OSError, match="not empty"):
        (disk.point / "b").rmdir()
    (disk.point / "a").rmdir()
    sync_folder(disk.point)
    assert (disk.point / "b" / "moved").read_bytes() == b"a"
    disk.cut_power()
    assert {str(path.relative_to(disk.store)) for path in disk.store.rglob("*")} == {
        "b",
        "b/file",
        "b/moved",
        "unsynced",
        "unsynced/file",
    }
    assert (disk.store / "b" / "moved").read_bytes() == b"a"


def test_what_survived_is_mounted_again(tmp_path: Path) -> None:
    store, point = tmp_path / "store", tmp_path / "point"
    with forgetful_fs.mount(store, point) as disk:
        PosixDisk(point).create("journal/00000000.jws").close()
        disk.cut_power()
    with forgetful_fs.mount(store, point) as disk:
        with (point / "journal" / "00000000.jws").open("ab") as file:
            file.write(b"line\n")
        disk.shut_down()  # in order: nothing is lost
    assert (store / "journal" / "00000000.jws").read_bytes() == b"line\n"


@pytest.mark.parametrize("unit", ["bytes", "sectors"])
def test_a_cut_while_writing_leaves_a_prefix(tmp_path: Path, unit: str) -> None:
    data = random.Random(7).randbytes(200_000)
    lengths = set()
    for seed in range(3):
        store = tmp_path / f"store{seed}"
        with forgetful_fs.mount(store, tmp_path / "point") as disk:
            write_once(disk.point / "torn", data[:1000])
            with (disk.point / "torn").open("ab") as file:
                file.write(data[1000:])
            disk.cut_power("bytes" if unit == "bytes" else "sectors", seed)
        left = (store / "torn").read_bytes()
        assert data.startswith(left)
        assert len(left) >= 1000
        assert unit == "bytes" or len(left) % 512 == 0 or len(left) == 1000
        lengths.add(len(left))
    assert len(lengths) == 3


def test_no_mount_is_left_when_the_parent_dies(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from hw_sim import forgetful_fs\n"
        "with forgetful_fs.mount(Path(sys.argv[1]), Path(sys.argv[2])): print('up', flush=True); sys.stdin.read()"
    )
    root, point = str(Path(__file__).resolve().parents[1]), tmp_path / "point"
    command = [sys.executable, "-c", script, str(tmp_path / "store"), str(point)]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"up\n"
        assert os.path.ismount(point)
        parent.kill()
    deadline = time.monotonic() + 5
    while os.path.ismount(point):
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_errors_on_request(disk: MountedDisk) -> None:
    target = disk.point / "file"
    write_once(target, b"x")
    disk.set_rules({"op": "fsync", "match": "/file", "errno": "EIO", "count": 1}, {"op": "create", "errno": "EROFS"})
    with target.open("ab") as file:
        file.write(b"y")
        file.flush()
        with pytest.raises(OSError, match="Input/output error"):
            os.fsync(file.fileno())
        file.write(b"z")
        file.flush()
        os.fsync(file.fileno())  # the rule was for one, but as on Linux the bytes of the failed sync are not written
    assert target.read_bytes() == b"xyz"
    assert (disk.store / "file").read_bytes() == b"x\0z"
    with pytest.raises(OSError, match="Read-only"):
        write_once(disk.point / "other", b"")
    disk.set_rules()
    write_once(disk.point / "other", b"")
    with pytest.raises(ControlError, match="EWHAT"):
        disk.set_rules({"op": "fsync", "errno": "EWHAT"})


def test_a_slow_sync_does_not_hold_up_other_files(disk: MountedDisk) -> None:
    disk.set_rules({"op": "fsync", "match": "*slow*", "delay_ms": 700})
    began = time.monotonic()
    slow = threading.Thread(target=write_once, args=(disk.point / "slow", b"x"))
    slow.start()
    while slow.is_alive() and not (disk.point / "slow").exists():
        pass
    write_once(disk.point / "quick", b"x")
    assert slow.is_alive()
    slow.join()
    assert time.monotonic() - began >= 0.7


def test_a_full_disk(tmp_path: Path) -> None:
    with forgetful_fs.mount(tmp_path / "store", tmp_path / "point", limit=1 << 20) as disk:
        posix = PosixDisk(disk.point)
        file = posix.create("segments/1")
        file.append(bytes(900 << 10))
        assert posix.free() == 124 << 10
        with pytest.raises(OSError, match="No space") as caught:
            file.append(bytes(200 << 10))
        assert caught.value.errno == errno.ENOSPC
        assert posix.size("segments/1") == 1 << 20
        file.sync()
        file.close()
        posix.remove("segments/1")
        assert posix.free() == 1 << 20


def test_exclusive_creation_and_reading(disk: MountedDisk) -> None:
    data = random.Random(1).randbytes(300_000)
    path = disk.point / "file"
    write_once(path, data)
    with pytest.raises(FileExistsError):
        write_once(path, b"")
    fd = os.open(path, os.O_RDWR)
    os.pwrite(fd, b"middle", 100_000)
    assert os.pread(fd, 10, 99_998) == data[99_998:100_000] + b"middle" + data[100_006:100_008]
    os.ftruncate(fd, 100_003)
    os.ftruncate(fd, 100_010)
    assert os.pread(fd, 100, 100_000) == b"mid" + bytes(7)
    path.unlink()
    assert os.pread(fd, 3, 100_000) == b"mid"
    os.close(fd)
    assert _names(disk.point) == []
    with pytest.raises(FileNotFoundError):
        path.stat()


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_sqlite_keeps_what_it_committed(tmp_path: Path, mode: str) -> None:
    store, point = tmp_path / "store", tmp_path / "point"
    with forgetful_fs.mount(store, point) as disk:
        db = sqlite3.connect(point / "db", isolation_level=None)
        assert db.execute(f"pragma journal_mode={mode}").fetchone() == (mode.lower(),)
        db.execute("pragma synchronous=EXTRA")
        db.execute("create table t (n integer primary key, blob)")
        for number in range(20):
            db.execute("insert into t values (?, zeroblob(5000))", (number,))
        reader = sqlite3.connect(point / "db")
        assert reader.execute("select count(*) from t").fetchone() == (20,)
        reader.close()
        db.execute("begin")
        db.execute("insert into t values (20, '')")
        disk.cut_power("bytes", seed=3)
        db.close()
    with forgetful_fs.mount(store, point):
        db = sqlite3.connect(point / "db")
        assert db.execute("select count(*) from t").fetchone() == (20,)
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        db.close()


def test_posix_disk_from_several_threads(disk: MountedDisk) -> None:
    posix = PosixDisk(disk.point)
    pieces = {f"segments/{n}": [random.Random(n * 100 + i).randbytes(9000) for i in range(20)] for n in range(4)}

    def write(path: str) -> None:
        file = posix.create(path)
        for piece in pieces[path]:
            file.append(piece)
            file.sync()
        file.append(b"lost")
        file.close()

    threads = [threading.Thread(target=write, args=(path,)) for path in pieces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert posix.list("segments") == ["0", "1", "2", "3"]
    disk.cut_power()
    for path, written in pieces.items():
        assert (disk.store / path).read_bytes() == b"".join(written)


def test_random_histories_survive_as_the_model_says(tmp_path: Path) -> None:
    """Replay random operations on the tree and on plain dictionaries; every cut must leave what the latter say."""
    for seed in range(30):
        chance = random.Random(seed)
        store = tmp_path / str(seed)
        store.mkdir()
        tree = Tree(store)
        live: dict[str, list[bytes]] = {}  # name -> [bytes as seen, bytes synced]; one list is one file
        durable: dict[str, list[bytes]] = {}
        for _ in range(60):
            name, other = chance.choices("abcd", k=2)
            action = chance.choice(["create", "write", "sync", "truncate", "unlink", "rename", "names", "names"])
            if action == "names":
                tree.sync_folder(tree.root)
                durable = dict(live)
            elif action == "create" and name not in live:
                tree.create(f"/{name}", 0o600, (0, 0))
                live[name] = [b"", b""]
            elif name not in live:
                continue
            elif action == "write":
                offset, data = chance.randrange(len(live[name][0]) + 3), chance.randbytes(5)
                tree.write(tree.file(f"/{name}"), data, offset)
                seen = live[name][0].ljust(offset, b"\0")
                live[name][0] = seen[:offset] + data + seen[offset + 5 :]
            elif action == "sync":
                tree.file(f"/{name}").sync()
                live[name][1] = live[name][0]
            elif action == "truncate":
                size = chance.randrange(12)
                tree.truncate(tree.file(f"/{name}"), size)
                live[name][0] = live[name][0][:size].ljust(size, b"\0")
            elif action == "unlink":
                tree.unlink(f"/{name}")
                del live[name]
            elif action == "rename":
                tree.rename(f"/{name}", f"/{other}")
                live[other] = live.pop(name)
            assert {n: tree.file(f"/{n}").read(99, 0) for n in tree.root.entries} == {n: f[0] for n, f in live.items()}
            assert {p.name: p.read_bytes() for p in store.iterdir()} == {n: f[1] for n, f in durable.items()}
            assert tree.used == sum(len(f[0]) for f in live.values())


@pytest.mark.parametrize(("moment", "left"), [("before", b"1\n"), ("after", b"1\n2\n")])
def test_a_program_is_killed_at_one_operation(disk: MountedDisk, moment: str, left: bytes) -> None:
    """Before it is done, or when it is done and the program does not know it yet; nothing of it runs any further."""
    disk.set_rules({"op": "write", "match": "/told", "skip": 1, "kill": moment})
    script = "import sys\nwith open(sys.argv[1], 'ab', 0) as file:\n  for n in b'123': file.write(bytes([n]) + b'\\n')"
    done = subprocess.run([sys.executable, "-c", script, str(disk.point / "told")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (disk.point / "told").read_bytes() == left


def test_a_program_is_killed_at_one_kind_of_record(disk: MountedDisk) -> None:
    def line(kind: str) -> bytes:
        return b".".join((b"x", jose.b64(b'{"kind":"' + kind.encode() + b'"}').encode(), b"x")) + b"\n"

    disk.set_rules({"op": "write", "record": "gap", "kill": "before"})
    lines = [line("fragment"), b"no line", line("gap"), line("segment")]
    script = f"file = open({str(disk.point / 'told')!r}, 'ab', 0)\nfor line in {lines!r}: file.write(line)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert (disk.point / "told").read_bytes() == b"".join(lines[:2])


@pytest.mark.parametrize("short", [1, 8, 12, 20, 40])
def test_a_record_that_crosses_a_page_is_known(disk: MountedDisk, short: int) -> None:
    """The kernel may hand its line over in two pieces: it is killed when the line is whole."""
    lines = [
        b"x" * (4096 - short - 1) + b"\n",
        b".".join((b"x", jose.b64(b'{"kind":"gap"}').encode(), b"x" * 40)) + b"\n",
    ]
    disk.set_rules({"op": "write", "record": "gap", "kill": "after"})
    script = f"file = open({str(disk.point / 'told')!r}, 'ab', 0)\nfor line in {[*lines, b'more']!r}: file.write(line)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert (disk.point / "told").read_bytes() == b"".join(lines)
