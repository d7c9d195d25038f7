"""`bodycam sim docked`: light cameras for their bays.

No lens, no sound, no panel. Journal, writer, hand-in and dock port are the product's own, and so is the evidence, made
of a clip that is repeated. Orders:

    {"do": "record", "camera": ID, "seconds": 60}   one recording, durable when it is answered: its id and its segments
    {"do": "dock", "camera": ID}                    put it in: its port opens
    {"do": "undock", "camera": ID}                  take it out

It stands here because it joins what may not import each other.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import os
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evidence import records
from evidence.records import Chain, Stamp
from firmware import identity as identities
from firmware.capture import media_signer, recovery
from firmware.capture.journal_writer import JournalWriter
from firmware.capture.part import Format
from firmware.capture.ring import Ring
from firmware.capture.writer import Run, Writer
from firmware.dock_port import DockPort
from firmware.evidence_key import EvidenceKey
from firmware.hal.ports import Frame, SoundBlock, Utc
from firmware.handin import HandIn
from firmware.media import Media, PartPlan
from hw_sim import control
from hw_sim.fleet import clip as clips
from hw_sim.fleet.clip import Clip
from runtime import log, tls
from runtime.disk import AppendFile, PosixDisk
from runtime.keys import CredentialError
from runtime.service import Service

_SECOND_NS = 1_000_000_000
_ON_SECONDS = 60  # before this program starts, if nothing else is asked for: there must be a past to record
_RESERVE = 64 * 1024 * 1024  # bytes left free
_RTC_ERROR_MS = 500


class _Clock:
    """`Clock` of a camera that was switched on so many seconds ago; it lags behind until `catch_up`."""

    def __init__(self, on_seconds: int) -> None:
        self.kernel_boot = secrets.token_hex(16)
        self._passed_ns = 0
        self._began_ns = time.monotonic_ns()
        self._claim = Utc(time.time_ns() // 1_000_000 - on_seconds * 1000, "rtc", _RTC_ERROR_MS)

    def boot_ns(self) -> int:
        return time.monotonic_ns() - self._began_ns + self._passed_ns

    def utc(self) -> Utc:
        return replace(self._claim, ms=self._claim.ms + self.boot_ns() // 1_000_000)

    def set_utc(self, ms: int, source: str, error_ms: int) -> None:
        self._claim = Utc(ms - self.boot_ns() // 1_000_000, source, error_ms)

    def go_to(self, boot_ns: int) -> None:
        """Let time pass in no time."""
        self._passed_ns += max(0, boot_ns - self.boot_ns())

    def catch_up(self) -> None:
        """The present has come."""
        self._passed_ns += max(0, time.time_ns() - self.utc().ms * 1_000_000)


class _Packets:
    """`SoundEncoder` that gives the clip's blocks in turn."""

    def __init__(self, clip: Clip) -> None:
        self.config = clip.streaminfo
        self._blocks = clip.blocks
        self._next = 0

    def encode(self, pcm: bytes) -> bytes:
        del pcm
        self._next += 1
        return self._blocks[(self._next - 1) % len(self._blocks)]


class _PastDisk(PosixDisk):
    """`PosixDisk` on which nothing waits for the disk as long as what is written has happened in no time."""

    past = True

    def create(self, path: str) -> AppendFile:
        file = super().create(path)
        return _Hasty(self, file)


class _Hasty:
    def __init__(self, disk: _PastDisk, file: AppendFile) -> None:
        self._disk, self._file = disk, file
        self.append, self.close = file.append, file.close

    def sync(self) -> None:
        if not self._disk.past:
            self._file.sync()


class LightCamera:
    """A camera as `bodycam provision camera` left it in `folder`, switched on; its evidence is in `folder/data`."""

    def __init__(self, folder: Path, address: tuple[str, int], clip: Clip, on_seconds: int) -> None:
        """`on_seconds`: how long ago it was switched on. Raises `CredentialError`, OSError."""
        self._clip = clip
        self._identity = identity = identities.load(folder)
        self.device = identity.device
        self._disk = _PastDisk(folder / "data")
        found = recovery.recover(self._disk)
        if found.recording is not None:
            raise OSError(f"{folder}: was killed while it recorded, which only bodycam camera goes on with")
        self._session = session = identities.new_session()
        self._clock = _Clock(on_seconds)
        evidence_key = EvidenceKey(identity, session, None)  # of a file, which signs at once
        evidence_key.start()
        opening, key_store = evidence_key.opening(self._clock.kernel_boot)
        self._session_chain = opening.chain
        chain = Chain(identity.device, session.boot, session.key, session.kid, seq=found.seq, prev=found.prev)
        self._journal = JournalWriter(self._disk, chain, opening, self._stamp, found.next_file, list(found.torn))
        self._handin = HandIn(self._disk, self._journal, identity, self._clock, lambda: None)
        self._handin.finish_releases()
        certs, key = folder / "certs", folder / "keys" / "camera.key.pem"
        context = tls.server_context(certs / "camera.pem", key, certs / "root.pem", check_dates=False)
        self._port = DockPort(self._handin, self._disk, context, address)
        self._recordings = 0
        self._recorded_ns = 0  # up to then
        self._present = False
        self._journal.boot(
            {
                "software": importlib.metadata.version("bodycam"),
                "configuration": "0" * 64,
                "key_store": key_store,
                "hardware": {},
                "simulated": True,
            }
        )

    def dock(self) -> None:
        """Put it in, now. Raises OSError if its address cannot be had."""
        self._clock.catch_up()
        self._present, self._disk.past = True, False
        self._journal.append("docked", {"docked": True})
        self._handin.docked()
        self._port.start()

    def undock(self) -> None:
        """Take it out."""
        self._port.stop()
        self._journal.append("docked", {"docked": False})

    def record(self, seconds: int) -> tuple[str, list[tuple[int, int]]]:
        """Make one recording; its id, and number and size in bytes of each segment.

        Of time that passes in no time; once it was docked, of the last seconds, for which it waits if they were
        recorded before.
        """
        self._recordings += 1
        recording = records.recording_id(self._session.boot, self._recordings)
        begun_ns = self._clock.boot_ns()
        if self._present:
            begun_ns = max(self._recorded_ns, begun_ns - seconds * _SECOND_NS)
            time.sleep(max(0, begun_ns + seconds * _SECOND_NS - self._clock.boot_ns()) / _SECOND_NS)
        self._recorded_ns = begun_ns + seconds * _SECOND_NS
        media, writer = self._media()
        started = {
            "recording": recording,
            "part": 1,
            "resumed": False,
            "mode": "picture_and_sound",
            "activity": None,
            "pressed_ns": begun_ns,
            "ring_from_ns": None,
        }
        opening = [Run(lambda: self._journal.append("recording_started", started))]
        media.begin(PartPlan(recording, 1, 0, begun_ns, begun_ns, lambda *_: opening), with_ring=False)
        sound_ns, block_ns = begun_ns, _SECOND_NS // clips.BLOCKS_PER_SECOND
        for number in range(seconds * clips.RATE):
            now_ns = begun_ns + number * _SECOND_NS // clips.RATE
            self._clock.go_to(now_ns)
            data = self._clip.frames[number % len(self._clip.frames)]
            media.picture(Frame(data, now_ns, keyframe=number % clips.RATE == 0))
            while sound_ns + block_ns <= now_ns:
                media.sound(SoundBlock(b"", sound_ns))
                sound_ns += block_ns
            while writer.work_once():
                pass
        self._clock.go_to(self._recorded_ns)
        segments = media.end()
        while writer.work_once():
            pass
        counts = {"frames_delivered": 0, "frames_encoded": 0, "frames_dropped": 0}
        ended = {"recording": recording, "ground": None, "parts": 1, "segments": segments, **counts}
        self._journal.append("recording_ended", ended)
        held = self._handin.state().segments
        return recording, [(segment, size) for mine, segment, size in held if mine == recording]

    def close(self) -> None:
        """Switch it off."""
        self._port.stop()
        self._journal.append("shutdown", {"clean": True})
        self._journal.close()

    def _media(self) -> tuple[Media, Writer]:
        told, clip = self._identity.configuration, self._clip
        writer = Writer(
            self._disk,
            self._journal,
            told.recipients,
            reserve_bytes=_RESERVE,
            make_room=self._handin.make_room,
            on_failure=_raise,
            on_fault=_raise,
        )
        form = Format(
            clips.WIDTH,
            clips.HEIGHT,
            _SECOND_NS // clips.RATE,
            told.fragment_ms * 1_000_000,
            told.segment_seconds * _SECOND_NS,
            clip.streaminfo,
        )
        software = importlib.metadata.version("bodycam")
        signer = media_signer.signer(self._session.key, self._session_chain, software, self.device)
        return Media(Ring(0, 1), _Packets(clip), form, writer, self._utc_ms, _raise, signer), writer

    def _stamp(self) -> Stamp:
        utc = self._clock.utc()
        return Stamp(self._clock.boot_ns(), utc.ms, utc.source, utc.error_ms)

    def _utc_ms(self, boot_ns: int) -> int:
        return self._clock.utc().ms - (self._clock.boot_ns() - boot_ns) // 1_000_000


def _raise(*what: object) -> None:
    raise OSError(f"the recording failed: {what}")


def main(argv: list[str]) -> int:
    """Run light cameras until stopped."""
    parser = argparse.ArgumentParser(prog="bodycam sim docked", description="轻型记录仪 light cameras for their bays")
    parser.add_argument("cameras", nargs="+", type=Path, metavar="CAMERA", help="a folder of bodycam provision camera")
    parser.add_argument("--clip", type=Path, required=True, help="what they record, as the fleet made it")
    parser.add_argument("--control", type=Path, required=True, help="socket for orders (bodycam sim ask)")
    parser.add_argument("--address", default="127.0.0.1", help="of all ports")
    parser.add_argument("--ports", required=True, help="one for each camera, with commas between them")
    parser.add_argument("--on-seconds", type=int, default=_ON_SECONDS, help="how long ago they were switched on")
    parser.add_argument("--docked", action="store_true", help="all are in their bays from the start")
    options = parser.parse_args(argv)
    log.setup("docked")
    service = Service()
    clip = clips.load(options.clip)
    with contextlib.ExitStack() as ending:
        try:
            cameras: dict[str, LightCamera] = {}
            for folder, port in zip(options.cameras, map(int, options.ports.split(",")), strict=True):
                camera = LightCamera(folder, (options.address, port), clip, options.on_seconds)
                cameras[camera.device] = camera
                ending.callback(camera.close)
                if options.docked:
                    camera.dock()
        except (CredentialError, ValueError, OSError) as error:
            sys.stderr.write(f"bodycam sim docked: {error}\n")
            return os.EX_NOINPUT
        ending.callback(control.serve(options.control, _orders(cameras)))
        service.ready(cameras=len(cameras))
        service.stopping.wait()
    return os.EX_OK


def _orders(cameras: Mapping[str, LightCamera]) -> Mapping[str, control.Handler]:
    def record(request: dict[str, Any]) -> dict[str, Any]:
        recording, segments = cameras[request["camera"]].record(request["seconds"])
        return {"recording": recording, "segments": segments}

    return {
        "record": record,
        "dock": lambda request: cameras[request["camera"]].dock(),
        "undock": lambda request: cameras[request["camera"]].undock(),
    }
