"""Camera, dock, archive and broker as four processes with cables between them: each can be cut, killed and held up."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evidence import age, pki, records, shape
from evidence.documents import Configuration
from evidence.pki import Role
from hw_sim import control
from hw_sim.fleet import clip as clips
from office.catalogue import Catalogue
from office.database import Database, sqlite_url
from tests.agency import Agency, Holder
from tests.office_kit import ROOT, OfficeKit, free_port, wait_for
from tests.relay import Relay

DEVICE = "BWC-0001"
CAMERA, DOCK, OFFICE, BROKER = PROGRAMS = ("camera", "dock", "office", "broker")
Key = tuple[str, int]
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "BODYCAM_LOG": "json"}


def enrol(folder: Path, agency: Agency, signer: Holder, device: str) -> str:
    """Make a camera's folder as provisioning leaves it; the identity that opens what it records."""
    for name in ("certs", "keys"):
        (folder / name).mkdir(parents=True)
    (folder / "certs/root.pem").write_bytes(pki.to_pem(agency.root.certificate))
    (folder / "certs/signer.pem").write_bytes(pki.to_pem(signer.certificate, *signer.above))
    for role in (Role.EVIDENCE, Role.CAMERA):
        _, key = agency.issue(role, device).write(folder / "certs", str(role))
        key.rename(folder / "keys" / key.name)
    identity = age.generate_identity()
    configuration = Configuration(
        "OFFICE-1", device, "agency", shape.utc_text(int(datetime.now(UTC).timestamp() * 1000) - 86_400_000),
        "unit", "000042", "name", None, (age.recipient_of(identity),),
    )  # fmt: skip
    signed = configuration.sign(signer.key, pki.key_id(signer.key.public_key()))
    (folder / "config.jws").write_text(signed)
    return identity


class Yard:
    """One camera in one bay. Whoever dies is started again by `revive`, as a service manager does."""

    def __init__(self, folder: Path, kilobits: int) -> None:
        self.folder = folder
        self.office = OfficeKit(folder / "office")
        self.office.port = free_port()
        text = self.office.config.read_text()
        self.office.config.write_text(text.replace("port = 0", f"port = {self.office.port}", 1))
        port = free_port()
        self.cables = {
            CAMERA: Relay(("127.0.0.1", port)),
            OFFICE: Relay(("127.0.0.1", self.office.port)),
            BROKER: Relay(("127.0.0.1", self.office.broker_port)),
        }
        clips.make(kilobits).save(folder / "clip.json")
        self._commands = {CAMERA: self._camera(port), DOCK: self._dock()}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.told: set[str] = set()  # ids of events that the dock has kept, as far as they were seen

    def start(self) -> None:
        """Start all four; return when a camera can be given orders."""
        self.office.start()
        for name in self._commands:
            self._start(name)
        wait_for(self._socket.exists, 60)

    def stop(self) -> None:
        """End all that runs."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait(20)
        self.office.stop()
        for cable in self.cables.values():
            cable.close()

    def kill(self, name: str) -> None:
        """As the out-of-memory killer does; returns when it is gone."""
        if name == BROKER:
            for pid in self._broker_pids():
                os.kill(pid, signal.SIGKILL)
        elif name == OFFICE:
            if self.office.process is not None:
                self.office.kill()
        elif name in self._running:
            process = self._running.pop(name)
            process.kill()
            process.wait()

    def revive(self) -> None:
        """Start what does not run. The office looks after the broker."""
        if self.office.process is None:
            self.office.start()
        for name in self._commands.keys() - self._running.keys():
            if name == CAMERA:
                self._socket.unlink(missing_ok=True)
            self._start(name)

    def record(self, seconds: int) -> Key:
        """Let the camera record; the one segment that it made."""
        wait_for(self._socket.exists, 60)
        told = control.ask(self._socket, {"do": "record", "camera": DEVICE, "seconds": seconds})
        ((segment, _),) = told["segments"]
        return told["recording"], segment

    # --- what lies where

    def at_camera(self, key: Key) -> Path:
        return self.folder / "camera" / "data" / records.segment_path(*key)

    def at_office(self, key: Key) -> Path:
        return self.office.data / "store" / DEVICE / records.segment_path(*key)

    def receipt_at(self, where: str, key: Key) -> Path:
        root = self.office.data / "store" if where == OFFICE else self.folder / "dock" / "spool"
        return root / DEVICE / records.receipt_path(*key)

    def staged(self) -> int:
        """Bytes of segments on their way into the archive."""
        total = 0
        for path in (self.office.data / "staging").glob("*.part"):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def journal(self) -> list[Path]:
        """The camera's journal files."""
        return sorted((self.folder / "camera" / "data" / "journal").glob("*.jws"))

    def note_events(self) -> int:
        """Look into the dock's outbox; how many events wait there."""
        with contextlib.suppress(sqlite3.Error):
            with contextlib.closing(
                sqlite3.connect(f"file:{self.folder}/dock/spool/outbox.sqlite?mode=ro", uri=True, timeout=1)
            ) as outbox:
                waiting = {row[0] for row in outbox.execute("SELECT id FROM event")}
            self.told |= waiting
            return len(waiting)
        return -1

    def events(self) -> list[dict[str, Any]]:
        """What the office has of events."""
        with contextlib.closing(Catalogue(Database(sqlite_url(self.office.data / "catalogue.sqlite")))) as catalogue:
            return catalogue.table("events")

    # --- how they are started

    @property
    def _socket(self) -> Path:
        return self.folder / "camera" / "control.sock"

    def _start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "bodycam", *self._commands[name]]
            self._running[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, env=_ENVIRONMENT)

    def _camera(self, port: int) -> list[str]:
        folder = self.folder / "camera"
        self.identity = enrol(folder, self.office.agency, self.office.signer, DEVICE)
        clip, socket = str(self.folder / "clip.json"), str(self._socket)
        return ["sim", "docked", str(folder), "--clip", clip, "--control", socket, "--ports", str(port), "--docked"]

    def _dock(self) -> list[str]:
        folder, office = self.folder / "dock", self.office
        folder.mkdir()
        chain, key = office.agency.issue(Role.DOCK, "DOCK-1").write(folder, "dock")
        (folder / "signers.pem").write_bytes(pki.to_pem(office.signer.certificate, *office.signer.above))
        at = {name: f"127.0.0.1:{cable.port}" for name, cable in self.cables.items()}
        settings: dict[str, object] = {
            "certificate": str(chain), "key": str(key), "roots": str(office.roots),
            "signers": str(folder / "signers.pem"), "spool": str(folder / "spool"), "office": at[OFFICE],
            "broker": at[BROKER], "poll_seconds": 0.1, "retry_seconds": 0.1, "retry_limit_seconds": 1,
        }  # fmt: skip
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        (folder / "dock.toml").write_text("\n".join([*lines, "[[bays]]", f'camera = "{at[CAMERA]}"', ""]))
        return ["dock", "run", "--config", str(folder / "dock.toml")]

    def _broker_pids(self) -> list[int]:
        """The office's child; it is another after each death."""
        assert self.office.process is not None
        tasks = Path(f"/proc/{self.office.process.pid}/task").glob("*/children")
        children = [int(pid) for task in tasks for pid in task.read_text().split()]
        return [pid for pid in children if Path(f"/proc/{pid}/comm").read_text().strip() == "mosquitto"]
