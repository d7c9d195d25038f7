"""keyd as a process: what it gives, what it keeps of that, who gets no answer; its roster."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from evidence import age, jose
from evidence.checkpoint import Checkpoint
from office import keyd, keyd_link
from office.errors import OfficeError
from office.roster import Roster, read_card
from tests.footage import Camera
from tests.keyd_kit import (
    OFFICE_LOG,
    PASSPHRASE,
    KeydKit,
    Request,
    new_keyd,
    present,
    statement,
)
from tests.office_kit import ROOT, wait_for
from tests.people_kit import Town

pytestmark = [pytest.mark.net, pytest.mark.long]
NOBODY = 65534


# --- the roster


def test_a_key_comes_in_by_two_people_and_its_fingerprint(tmp_path: Path) -> None:
    kit, _ = new_keyd(tmp_path / "k")
    town = Town(tmp_path, log=kit.open_log())
    kit.enrol(town, "li")
    roster = Roster(kit.folder / keyd.ROSTER)
    assert [approver.account for approver in roster.approvers().values()] == ["li"]
    card = kit.office.folder / "card.json"
    wrong = kit.call("enrol", "--card", str(card), "--fingerprint", "0000 " * 8)
    assert (wrong.returncode, "fingerprint" in wrong.stderr) == (69, True)
    short = kit.call("enrol", "--card", str(card), "--fingerprint", next(iter(roster.approvers()))[:8])
    assert (short.returncode, "fingerprint" in short.stderr) == (69, True)
    leaf = town.people.enter_key("zhao", town.people.approver_keys()[0]["spki"])
    proof = town.log.proof(leaf).to_text().decode()
    confirmed = town.log.proof(town.people.approver_keys()[0]["confirmed"]).to_text().decode()
    for told in ({"entered": proof, "confirmed": proof}, {"entered": proof, "confirmed": confirmed}, {}):
        with pytest.raises(OfficeError, match="card"):
            read_card(json.dumps(told).encode(), OFFICE_LOG, kit.judge().log_key)
    done = kit.call("withdraw", "--account", "li")
    assert done.returncode == 0
    assert dict(roster.approvers()) == {}
    assert kit.call("withdraw", "--account", "li").returncode == 69


def test_a_roster_that_is_damaged_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "roster.jsonl"
    path.write_text('{"act":"enrol"}\n')
    with pytest.raises(OfficeError, match="roster"):
        Roster(path).approvers()


# --- the process


@dataclass
class Running:
    kit: KeydKit
    camera: Camera
    town: Town
    key: tuple[str, int]

    def request(self) -> bytes:
        now = present()
        said = statement(now, request=self.town.log.size - 2, review=self.town.log.size - 1)
        return Request(self.town.log, self.camera, self.key, [(said, self.town.keys["li"])], now).build()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("k")
    kit, camera = new_keyd(folder / "o")
    recording = camera.start()
    camera.film(recording, 1, 0, [0])
    town = Town(folder, log=kit.open_log())
    kit.enrol(town, "li")
    with kit.running():
        yield Running(kit, camera, town, (recording, 0))


def test_it_gives_the_file_key_and_keeps_a_record_of_it(running: Running) -> None:
    kit, file = running.kit, running.camera.segments[running.key]
    before = len(kit.given()) if (kit.folder / keyd.GIVEN).exists() else 0
    answer = kit.ask(running.request())
    header = age.parse_header(file)
    assert jose.unb64(answer["key"].encode()) == age.unwrap(header, kit.identity)
    note = kit.given()[before]
    assert (note["viewer"], note["recording"], note["header"]) == ("zhang", running.key[0], header.sha256)
    size, now = running.town.log.state()
    assert note["log_size"] == size
    root = Checkpoint.read(now, OFFICE_LOG, kit.judge().log_key).root
    assert note["log_root"] == root.hex()
    assert "key" not in note


def test_a_refusal_is_told_and_not_noted(running: Running) -> None:
    before = (running.kit.folder / keyd.GIVEN).read_bytes()
    asked = json.loads(running.request()) | {"proof": None}
    assert running.kit.ask(json.dumps(asked).encode())["code"] == "proof-missing"
    assert (running.kit.folder / keyd.GIVEN).read_bytes() == before


def test_noise_and_silence_do_not_stop_it(running: Running) -> None:
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(running.kit.socket))
        link.sendall(b"\xff" * 64)  # four gigabytes are to come
        with contextlib.suppress(ConnectionResetError):
            assert link.recv(1) == b""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(running.kit.socket))
        silent.sendall(b"\0\0")
        silent.close()
        assert "key" in running.kit.ask(running.request())


def _knock(path: str, asked: bytes, heard: Connection) -> None:
    """What somebody else's process gets."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(path)
            link.sendall(keyd_link.LENGTH.pack(len(asked)) + asked)
            heard.send(link.recv(keyd_link.ANSWER_LIMIT))
        except ConnectionError:  # closed with the request unread
            heard.send(b"")


@pytest.mark.skipif(os.getuid() != 0, reason="another user is needed")
def test_another_user_gets_no_answer(running: Running) -> None:
    for folder in running.kit.socket.parents:
        if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(0o711)
    heard, said = multiprocessing.Pipe(duplex=False)
    stranger = multiprocessing.get_context("fork").Process(
        target=_knock, args=(str(running.kit.socket), running.request(), said)
    )
    stranger.start()
    assert heard.recv() == b""
    stranger.join()
    assert b"knocks" in running.kit.output.read_bytes()


def test_it_has_no_network_and_leaves_no_core(running: Running) -> None:
    assert running.kit.process is not None
    proc = Path(f"/proc/{running.kit.process.pid}")
    inodes = {str(fd.readlink()) for fd in (proc / "fd").iterdir()}
    for name in ("tcp", "tcp6", "udp", "udp6"):
        held = {f"socket:[{line.split()[9]}]" for line in (proc / "net" / name).read_text().splitlines()[1:]}
        assert inodes.isdisjoint(held)
    limits = (proc / "limits").read_text().splitlines()
    assert next(line for line in limits if "core file" in line).split()[4] == "0"


def test_its_files_are_its_own(running: Running) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in running.kit.folder.iterdir()}
    assert modes == {"identity.age": 0o400, "log.vkey": 0o640, "roster.jsonl": 0o640, "given.jsonl": 0o640}
    sealed = (running.kit.folder / keyd.IDENTITY).read_bytes()
    assert running.kit.identity.encode() not in sealed
    assert age.open_by_passphrase(sealed, PASSPHRASE).decode().strip() == running.kit.identity


def test_it_starts_again_after_a_kill_and_forgets_what_was_torn(tmp_path: Path) -> None:
    kit, camera = new_keyd(tmp_path / "o")
    recording = camera.start()
    camera.film(recording, 1, 0, [0])
    town = Town(tmp_path, log=kit.open_log())
    kit.enrol(town, "li")
    one = Running(kit, camera, town, (recording, 0))
    kit.start()
    assert "key" in kit.ask(one.request())
    kit.stop(kill=True)
    with (kit.folder / keyd.GIVEN).open("ab") as file:
        file.write(b'{"at":"20')
    with kit.running():
        assert "key" in kit.ask(one.request())
        second = kit.call(said=f"{PASSPHRASE}\n")
        assert (second.returncode, "already-running" in second.stderr) == (69, True)
    assert len(kit.given()) == 2
    assert not kit.socket.exists()


def test_a_clock_that_was_set_back_gives_nothing(running: Running) -> None:
    """Or an approval that has expired could be played again."""
    held = keyd.Keyd.__new__(keyd.Keyd)
    held.known, held.roster = running.kit.judge(), Roster(running.kit.folder / keyd.ROSTER)
    held.given = keyd.Given(running.kit.folder / "other.jsonl")
    held._identity = running.kit.identity
    asked, now = running.request(), present()
    assert "key" in held.answer(asked, now + timedelta(minutes=30))
    assert held.answer(asked, now)["code"] == "clock-back"
    held.given.close()
    (running.kit.folder / "other.jsonl").unlink()


@pytest.mark.parametrize("said", ["wrong\n", ""])
def test_it_does_not_start_without_its_passphrase(running: Running, said: str) -> None:
    done = running.kit.call(said=said)
    assert (done.returncode, "passphrase" in done.stderr) == (69, True)


def test_a_prepared_folder_is_not_written_over(running: Running) -> None:
    plain = running.kit.office.folder / "again.age"
    plain.write_text(age.generate_identity() + "\n")
    before = (running.kit.folder / keyd.IDENTITY).read_bytes()
    done = running.kit.call("prepare", "--identity", str(plain), said=f"{PASSPHRASE}\n")
    assert (done.returncode, "not written over" in done.stderr) == (69, True)
    short = running.kit.call("prepare", "--identity", str(plain), said="short\n")
    assert "12 characters" in short.stderr
    assert (running.kit.folder / keyd.IDENTITY).read_bytes() == before


def test_the_passphrase_comes_from_the_service_managers_credential(running: Running, tmp_path: Path) -> None:
    (tmp_path / "office-passphrase").write_text(PASSPHRASE)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "CREDENTIALS_DIRECTORY": str(tmp_path), "BODYCAM_LOG": "json"}
    running.kit.stop()
    with running.kit.output.open("ab") as log:
        start = log.tell()
        running.kit.process = subprocess.Popen(
            running.kit.office.command("keyd"), stdin=subprocess.DEVNULL, stderr=log, env=environ
        )  # fmt: skip
    wait_for(lambda: b'"ready"' in running.kit.output.read_bytes()[start:])
    assert "key" in running.kit.ask(running.request())
