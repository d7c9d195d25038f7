"""A recording for benchmarks: a minute of encoded picture and sound, and the camera's own path for it to disk."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import av
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import age, jose, pki
from evidence.records import Chain, Stamp
from firmware.capture import media_signer
from firmware.capture.journal_writer import JournalWriter, Opening
from firmware.capture.part import Format
from firmware.capture.ring import Ring
from firmware.capture.writer import Run, Writer
from firmware.hal.ports import Frame, SoundBlock
from firmware.media import Media, PartPlan
from runtime.disk import PosixDisk

WIDTH, HEIGHT, RATE = 1920, 1080, 30
SEGMENT_SECONDS, FRAGMENT_MS = 60, 500
BLOCK_NS = 50_000_000
DEVICE = "BWC-0001"


@dataclass(frozen=True)
class Clip:
    """A minute of encoded picture and sound, to be repeated."""

    path: Path
    frames: list[tuple[bytes, bool]]  # Annex B access units
    packets: list[bytes]  # FLAC, 50 ms each
    streaminfo: bytes


class Packets:
    """`SoundEncoder` that gives the clip's packets in turn: encoding is not what is measured."""

    def __init__(self, clip: Clip) -> None:
        self.config = clip.streaminfo
        self._packets = clip.packets
        self._next = 0

    def encode(self, pcm: bytes) -> bytes:
        del pcm
        packet = self._packets[self._next % len(self._packets)]
        self._next += 1
        return packet


@dataclass(frozen=True)
class Owner:
    """Whose camera records: a root, a session certified below it, and an identity that opens what it records."""

    root: x509.Certificate
    boot: str
    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]  # session, evidence, issuing
    identity: str


def make_owner() -> Owner:
    """Fresh keys and certificates, valid now."""
    first, last = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(days=1)
    root_key, issuing_key, evidence_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(4))
    root = pki.make_root(root_key, "AGENCY-1", "bench", first, last)
    issuing = pki.make_certificate(pki.Role.ISSUING, "AGENCY-1", issuing_key.public_key(), root, root_key, first, last)
    evidence = pki.make_certificate(
        pki.Role.EVIDENCE, DEVICE, evidence_key.public_key(), issuing, issuing_key, first, last
    )
    boot = secrets.token_hex(16)
    session = pki.make_session_certificate(evidence, evidence_key, key.public_key(), boot)
    return Owner(root, boot, key, (session, evidence, issuing), age.generate_identity())


def make_clip(scratch: Path) -> Clip:
    """Drawn and noisy pictures at 8 Mbit/s, pink noise as FLAC."""
    path = scratch / "clip.mp4"
    size = f"{WIDTH}x{HEIGHT}"
    run(
        "ffmpeg", "-v", "error", "-y",
        "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={RATE}:duration=20,noise=alls=12:allf=t",
        "-f", "lavfi", "-i", "anoisesrc=color=pink:amplitude=0.1:sample_rate=48000:duration=20",
        "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-b:v", "8M", "-maxrate", "8M",
        "-bufsize", "8M", "-g", str(RATE), "-x264-params", "nal-hrd=cbr:repeat-headers=1",
        "-c:a", "flac", "-frame_size", "2400", "-ac", "1", "-strict", "-2", str(scratch / "third.mp4"),
    )  # fmt: skip
    run("ffmpeg", "-v", "error", "-y", "-stream_loop", "2", "-i", str(scratch / "third.mp4"), "-c", "copy",
        "-strict", "-2", str(path))  # fmt: skip
    with av.open(str(path)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        to_annex_b = av.BitStreamFilterContext("h264_mp4toannexb", video)
        frames: list[tuple[bytes, bool]] = []
        packets: list[bytes] = []
        for packet in container.demux(video, sound):
            if packet.size and packet.stream is sound:
                packets.append(bytes(packet))
            elif packet.size:
                frames += [(bytes(p), bool(p.is_keyframe)) for p in to_annex_b.filter(packet)]
        return Clip(path, frames, packets, bytes(sound.codec_context.extradata or b"")[-34:])


def record(clip: Clip, owner: Owner, minutes: int, disk: PosixDisk, *, media_signing: bool = True) -> float:
    """From encoded pictures to durable, signed, encrypted segments; returns CPU seconds of it."""
    public = owner.key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    chain = Chain(DEVICE, owner.boot, owner.key, pki.key_id(owner.key.public_key()), seq=0, prev="0" * 64)
    begun_ns, begun_ms = time.monotonic_ns(), time.time_ns() // 1_000_000

    def stamp() -> Stamp:
        boot_ns = time.monotonic_ns() - begun_ns
        return Stamp(boot_ns, utc_ms(boot_ns), "rtc", 500)

    def utc_ms(boot_ns: int) -> int:
        return begun_ms + boot_ns // 1_000_000

    ders = tuple(jose.b64(each.public_bytes(serialization.Encoding.DER)) for each in owner.chain)
    journal = JournalWriter(disk, chain, Opening(jose.b64(public), ders, owner.boot), stamp, 0, [])
    journal.boot(
        {"software": "0", "configuration": "0" * 64, "key_store": "extractable", "hardware": {}, "simulated": True}
    )
    recipients = [age.recipient_of(owner.identity), age.recipient_of(age.generate_identity())]
    writer = Writer(
        disk, journal, recipients, reserve_bytes=1 << 20, make_room=lambda: False, on_failure=_fail, on_fault=_fail
    )
    encoder = Packets(clip)
    form = Format(
        WIDTH, HEIGHT, 1_000_000_000 // RATE, FRAGMENT_MS * 1_000_000, SEGMENT_SECONDS * 1_000_000_000, encoder.config
    )
    signer = media_signer.signer(owner.key, ders, "0", DEVICE) if media_signing else None
    media = Media(Ring(0, 1 << 20), encoder, form, writer, utc_ms, _fail, signer)
    recording = f"{owner.boot[:8]}-1"
    started: dict[str, Any] = {
        "recording": recording, "part": 1, "resumed": False, "mode": "picture_and_sound", "activity": None,
        "pressed_ns": 0, "ring_from_ns": None,
    }  # fmt: skip
    begin = Run(lambda: journal.append("recording_started", started))
    before = time.process_time()
    media.begin(PartPlan(recording, 1, 0, 0, 0, lambda _start, _ring: [begin]), with_ring=False)
    silence = bytes(4_800)
    next_block = 0
    for index, (data, is_key) in enumerate(repeated(clip.frames, minutes)):
        now = index * 1_000_000_000 // RATE
        media.picture(Frame(data, now, is_key))
        while next_block + BLOCK_NS <= now:
            media.sound(SoundBlock(silence, next_block))
            next_block += BLOCK_NS
        while writer.work_once():
            pass
    media.end()
    while writer.work_once():
        pass
    journal.close()
    return time.process_time() - before


def _fail(*what: object) -> None:
    raise SystemExit(f"the bench's own run failed: {what}")


def repeated(items: list[Any], times: int) -> Iterator[Any]:
    """`items` again and again."""
    for _ in range(times):
        yield from items


def run(*command: str) -> None:
    """A program that must succeed."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"scripts/bench: {command[0]} failed: {done.stderr.strip()[-500:]}")
