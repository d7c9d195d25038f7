"""The machine of the power cuts forgets: what a cut takes, what it may leave, and that nothing passes it by."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.disk import PosixDisk, sync_folder, write_once
from tests.memory_disk import PowerCut
from tests.powercut.machine import Machine, powered
from tests.powercut.platter import TEARS, File


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine("camera", tmp_path / "camera", seed=1)
    with powered(machine):
        yield machine


def left(machine: Machine) -> dict[str, bytes]:
    """What the worst cut leaves, on the real disk."""
    machine.lose_power(everything=True)
    found = {path: (machine.root / path).read_bytes() for path in machine.names()}
    assert found == machine.platter.durable()
    return found


def test_what_was_not_synced_is_gone(machine: Machine) -> None:
    write_once(machine.root / "kept", b"kept")
    with (machine.root / "kept").open("ab") as file:
        file.write(b" and lost")
    (machine.root / "nameless").write_bytes(b"x")
    with (machine.root / "nameless").open("ab") as file:
        os.fsync(file.fileno())
    with (machine.root / "empty").open("wb") as file:
        file.write(b"lost")
    assert (machine.root / "kept").read_bytes() == b"kept and lost"
    assert left(machine) == {"kept": b"kept"}


def test_a_name_without_its_bytes_is_empty(machine: Machine) -> None:
    (machine.root / "empty").write_bytes(b"x")
    sync_folder(machine.root)
    assert left(machine) == {"empty": b""}


def test_names_wait_for_their_folder(machine: Machine) -> None:
    for name in ("old", "gone", "moved"):
        write_once(machine.root / name, name.encode())
    for name in ("synced", "unsynced"):
        (machine.root / name).mkdir()
    sync_folder(machine.root)
    (machine.root / "unsynced" / "file").write_bytes(b"x")
    (machine.root / "old").rename(machine.root / "new")
    (machine.root / "gone").unlink()
    (machine.root / "moved").replace(machine.root / "synced" / "moved")
    sync_folder(machine.root / "synced")
    assert left(machine) == {"old": b"old", "gone": b"gone", "moved": b"moved", "synced/moved": b"moved"}


def test_truncation_waits_for_sync(machine: Machine) -> None:
    disk = PosixDisk(machine.root)
    for name in ("lost", "kept"):
        file = disk.create(name)
        file.append(b"123456")
        file.sync()
        file.close()
    os.truncate(machine.root / "lost", 2)
    disk.truncate("kept", 2)
    assert left(machine) == {"lost": b"123456", "kept": b"12"}


@pytest.mark.parametrize("operation", range(1, 6))
def test_a_cut_is_at_the_operation_and_all_that_follows_fails(machine: Machine, operation: int) -> None:
    disk = PosixDisk(machine.root)
    machine.cut_at(machine.operations + operation)

    def write(name: str) -> None:
        file = disk.create(name)
        for _ in range(2):
            file.append(b"0123456789")
            file.sync()

    with pytest.raises(PowerCut):
        write("name")
    with pytest.raises(PowerCut):
        (machine.root / "another").write_bytes(b"x")
    found = left(machine)
    assert found == ({} if operation < 3 else {"name": b"0123456789" if operation > 4 else b""})
    write("again")


def test_a_program_that_ends_has_lost_nothing_but_its_files(machine: Machine) -> None:
    file = PosixDisk(machine.root).create("name")
    file.append(b"kept in memory")
    machine.end_program()
    assert (machine.root / "name").read_bytes() == b"kept in memory"
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.append(b"x")
    assert left(machine) == {"name": b""}


def test_nothing_can_be_done_past_it(machine: Machine) -> None:
    write_once(machine.root / "file", b"x")
    past: list[Callable[[], object]] = [
        lambda: (machine.root / "link").hardlink_to(machine.root / "file"),
        lambda: (machine.root / "link").symlink_to("file"),
        lambda: (machine.root / "file").open("r+b"),
    ]
    for act in past:
        with pytest.raises(NotImplementedError):
            act()


@pytest.mark.parametrize("how", sorted(set(TEARS)))
def test_what_a_torn_file_may_hold(how: str) -> None:
    written, seen = b"durable" + b"a" * 5000 + b"b" * 5000, set[bytes]()
    for seed in range(400):
        file = File()
        file.write(0, b"durable")
        file.sync()
        file.write(7, b"a" * 5000)
        file.write(5007, b"b" * 5000)
        file.tear(how, random.Random(seed))  # type: ignore[arg-type]
        content = bytes(file.durable)
        assert content.startswith(b"durable")
        assert len(content) == file.size <= 10_007
        assert all(byte in (0, whole) for byte, whole in zip(content, written, strict=False))
        seen.add(content)
    zeros = any(b"\0" in content for content in seen)
    assert zeros == (how in ("zeros", "pages"))
    assert (len(seen) > 1) == (how not in ("nothing", "everything"))
