"""Dock and office beside the camera, each a machine of its own: started, cut, started again, and a bay between them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import office.catalogue
import office.ingest
import office.receipts
from evidence import records
from office.archive import Archive
from office.ingest import Ingest
from office.web import Pages
from runtime.outbox import Event
from syncd import link
from syncd.bay import Bay, Drain, HandIns
from syncd.camera import Camera
from syncd.events import Events
from syncd.handin import Dock
from syncd.office import Office, Signers
from syncd.retries import Retries
from syncd.spool import Spool
from tests.camera_rig import DEVICE, STARTED_MS, World
from tests.memory_disk import PowerCut
from tests.powercut import reading, wire
from tests.powercut.machine import Machine
from tests.powercut.parties import DOCK, Parties
from tests.powercut.reading import Evidence

_SPOOL_BYTES = 1 << 30
_SEND_AGAIN = b"460"  # a cut left a length without its bytes: the whole was not what the camera signed


class _Told:
    """The outbox's writing side; what is told over MQTT is a hint."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def publish_many(self, events: list[Event]) -> None:
        self.events += events

    def tell_state(self, topic: str, payload: bytes) -> None:
        """States are told anew at each connection: no promise hangs on them."""


class Site:
    """A dock and an office, with their disks. `keep`: the dock keeps ciphertext, and brings it from its spool."""

    def __init__(self, parties: Parties, dock: Machine, office: Machine, world: World, seed: int) -> None:
        self.dock, self.office = dock, office
        self.told = _Told()
        self.offsets: dict[str, int] = {}  # what the office has told durable, by upload
        self.receipts: dict[tuple[str, int], bytes] = {}  # and the receipts it has given
        self.broken: list[str] = []  # promises that the office's disk did not keep, after each cut
        self.keep = False
        self._parties, self._world = parties, world
        self._random = random.Random(seed)
        self._archive: Archive | None = None
        self._bay: Bay | None = None
        self._drain: Drain | None = None

    def close(self) -> None:
        self.stop_office()

    # Power.

    def start_office(self) -> None:
        """As `office.run` does, without sockets and broker."""
        config = self._parties.office_config(self.office.root / "data")
        self._archive = archive = Archive(config)
        ingest = Ingest(archive)
        ingest.recover()
        application = Pages(ingest, archive.office, config.stall_seconds, dict).application()
        answer = wire.of_office(application, DOCK)
        wire.Connection.ends[wire.OFFICE] = self._noting(answer), self._parties.office.certificate

    def stop_office(self) -> None:
        wire.Connection.ends.pop(wire.OFFICE, None)
        archive, self._archive = self._archive, None
        if archive is not None:
            archive.catalogue.close()

    def start_dock(self) -> None:
        """As `syncd.main` does, without sockets and broker."""
        parties = self._parties
        roots = [parties.owner.agency.root.certificate]
        signers = Signers([parties.signer.certificate, *parties.signer.above], roots)
        dock = Dock(
            Spool(self.dock.root / "spool", _SPOOL_BYTES), roots, signers, parties.signer_pem(),
            Events(self.told, DOCK), Retries(1.0, 1.0), threading.Event(), self.keep,  # type: ignore[arg-type]
        )  # fmt: skip
        handins, context = HandIns(dock), wire.no_tls()
        self._bay = Bay(handins, Camera(wire.CAMERA, context), Office(wire.OFFICE, context, signers))
        self._drain = Drain(handins, Office(wire.OFFICE, context, signers))

    def revive(self) -> None:
        """Start again what is without power. A cut during a start is one more."""
        for machine, stop, start in (
            (self.office, self.stop_office, self.start_office),
            (self.dock, lambda: None, self.start_dock),
        ):
            while machine.dead or not self._runs(machine):
                if machine.dead:
                    stop()
                    machine.lose_power()
                    self.broken += self._broken_promises()
                    if machine is self.office and self._random.random() < 1 / 4:
                        machine.forget("data/catalogue.sqlite")  # moved away, as advised: it is made again
                    if machine is self.dock:
                        self._bay = self._drain = None
                try:
                    start()
                except PowerCut:
                    continue

    def _runs(self, machine: Machine) -> bool:
        return self._archive is not None if machine is self.office else self._bay is not None

    # Work.

    def visit(self) -> None:
        """The dock looks once at its bay, and brings the office what waits in its spool."""
        assert self._bay is not None
        assert self._drain is not None
        try:
            self._bay.work()
            self._drain.work()
        except PowerCut:
            if not self.dock.dead:
                raise

    def _noting(self, answer: wire.Answerer) -> wire.Answerer:
        """Take note of what the office promises, as it leaves the office."""

        def noting(asked: bytes) -> bytes:
            told = answer(asked)
            method, path, _ = asked.partition(b"\r\n")[0].decode().split(" ")
            head, _, body = told.partition(b"\r\n\r\n")
            status = head.split(b" ")[1]
            if status == _SEND_AGAIN:
                self.offsets.pop(path, None)
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"upload-offset: ") and status in (b"200", b"204"):
                    self.offsets[path] = int(line[15:])
            if method == "GET" and status == b"200" and path.startswith("/v1/receipts/"):
                recording, segment = path.split("/")[-2:]
                self.receipts[recording, int(segment)] = body
            return told

        return noting

    def _broken_promises(self) -> Iterator[str]:
        """What the office has told and its disk does not bear out, read from its files."""
        data = self.office.root / "data"
        store = data / "store" / DEVICE
        for path, offset in self.offsets.items():
            group, number = path.split("/")[-2:]
            if group == "journal":
                held = [store / records.journal_path(int(number))]
            else:
                staged = data / "staging" / f"{DEVICE}.{group}.{number}.part"
                held = [store / records.segment_path(group, int(number)), staged]
            if offset > max((path.stat().st_size for path in held if path.exists()), default=0):
                yield f"{group}/{number}: {offset} bytes were told durable and are not there"
        for (recording, segment), receipt in self.receipts.items():
            kept, segment_path = (
                store / path(recording, segment) for path in (records.receipt_path, records.segment_path)
            )
            if not kept.exists() or kept.read_bytes() != receipt:
                yield f"the receipt for {recording}/{segment} was given and is not kept"
            told = reading.document(receipt.decode())
            whole = segment_path.read_bytes() if segment_path.exists() else b""
            if (told["sha256"], told["size"]) != (hashlib.sha256(whole).hexdigest(), len(whole)):
                yield f"a receipt was given for {recording}/{segment}, and the store does not hold those bytes"
            leaf = _leaf(data / "log" / "leaves.jsonl", told["leaf_index"])
            if (leaf.get("act"), leaf.get("sha256")) != ("ingest", told["sha256"]):
                yield f"the log has no leaf of the receipt for {recording}/{segment}"

    def judge(self, evidence: Evidence) -> list[str]:
        """Cut the office once more, leaving only what is durable, and hold everything against the camera's evidence."""
        self.stop_office()
        self.office.lose_power(everything=True)
        found = [*self.broken, *self._broken_promises()]
        store = self.office.root / "data" / "store" / DEVICE
        for key, (line, *_) in evidence.segments().items():
            if line.body["file_size"] and key not in self.receipts:
                found.append(f"{key}: was never receipted")
        for file, data in evidence.journal.items():
            held = store / records.journal_path(file)
            if held.exists() and not data.startswith(held.read_bytes()):
                found.append(f"journal file {file}: the office holds other lines than the camera")
        return found


class _NoDeadlines:
    """As `_Patience`, of the dock's links."""

    @staticmethod
    def within(_seconds: float, _cut: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class _Patience:
    """A deadline in real time, which does not pass here."""

    daemon = True

    def __init__(self, _seconds: float, _act: Callable[..., None], _arguments: Any = ()) -> None:
        pass

    def start(self) -> None:
        pass

    def cancel(self) -> None:
        pass


async def _at_once(act: Callable[..., Any], *arguments: Any) -> Any:
    """In the place of a thread, whose end is waited for anyway."""
    return act(*arguments)


def _leaf(log: Path, index: int) -> dict[str, Any]:
    lines = log.read_bytes().split(b"\n") if log.exists() else []
    leaf: dict[str, Any] = json.loads(lines[index]) if index < len(lines) - 1 else {}
    return leaf


@contextlib.contextmanager
def connected(world: World) -> Iterator[None]:
    """Links in memory, clocks on the world's time, no other threads than the dock's own."""

    class _WorldTime(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Self:
            return cls.fromtimestamp(STARTED_MS / 1000 + world.now_ns / 1e9, tz)

    replaced: list[tuple[Any, str, Any]] = [
        (link, "_Connection", wire.Connection),
        (link, "_DEADLINES", _NoDeadlines()),
        (threading, "Timer", _Patience),
        (asyncio, "to_thread", _at_once),
        (time, "monotonic", lambda: world.now_ns / 1e9),
        (office.catalogue, "datetime", _WorldTime),
        (office.receipts, "datetime", _WorldTime),
    ]
    before = [getattr(module, name) for module, name, _ in replaced]
    for module, name, ours in replaced:
        setattr(module, name, ours)
    try:
        yield
    finally:
        for (module, name, _), old in zip(replaced, before, strict=True):
            setattr(module, name, old)
        wire.Connection.ends.clear()
