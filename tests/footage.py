"""A camera for tests of the office: real H.264 and FLAC, real fragments, age files and signed journal lines."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import av
import numpy as np
from cryptography.hazmat.primitives import serialization

from evidence import age, jose, mp4, pki, records
from evidence.certificate import Role
from evidence.records import Chain, Stamp
from evidence.session import make_voucher
from firmware.capture.media_signer import PartSigning, sealed, signer
from tests.agency import Agency, Holder, new_key

FPS = 24
FRAGMENT_NS = 500_000_000
SIZE = (320, 240)
_RATE = 48_000
_BLOCK = 2400


@dataclass(frozen=True)
class Fragment:
    """Half a second: 12 pictures, the first an IDR, and ten blocks of sound."""

    pictures: Sequence[mp4.Sample]
    sound: Sequence[mp4.Sample]


@functools.cache
def footage(fragments: int) -> tuple[mp4.VideoConfig, bytes, tuple[Fragment, ...]]:
    """Encoder configuration, STREAMINFO and fragments of a moving picture with a tone."""
    video = av.CodecContext.create("libx264", "w")
    video.width, video.height = SIZE
    video.pix_fmt = "yuv420p"
    video.framerate = Fraction(FPS)
    video.time_base = Fraction(1, FPS)
    video.gop_size = FPS // 2
    video.options = {"tune": "zerolatency", "preset": "ultrafast", "x264-params": "scenecut=0"}
    packets = []
    for number in range(fragments * FPS // 2):
        picture = np.full((SIZE[1] * 3 // 2, SIZE[0]), 128, np.uint8)
        picture[: SIZE[1], (number * 5) % SIZE[0] :] = 40 + number % 200
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = number
        packets += video.encode(frame)
    packets += video.encode(None)
    units = [mp4.access_unit(bytes(packet)) for packet in packets]
    assert units[0].sps is not None
    assert units[0].pps is not None
    config = mp4.VideoConfig(units[0].sps, units[0].pps, *SIZE)
    edges = [number * 1_000_000 // FPS for number in range(len(units) + 1)]
    pictures = [
        mp4.Sample(unit.data, end - begin, unit.idr) for unit, begin, end in zip(units, edges, edges[1:], strict=False)
    ]
    sound, streaminfo = _tone(fragments * 10)
    half = FPS // 2
    return (
        config,
        streaminfo,
        tuple(Fragment(pictures[n * half : (n + 1) * half], sound[n * 10 : (n + 1) * 10]) for n in range(fragments)),
    )


def _tone(blocks: int) -> tuple[list[mp4.Sample], bytes]:
    codec = av.CodecContext.create("flac", "w")
    codec.sample_rate, codec.layout, codec.format = _RATE, "mono", "s16"
    codec.options = {"frame_size": str(_BLOCK)}
    wave = (np.sin(np.arange(blocks * _BLOCK) * 2 * np.pi * 440 / _RATE) * 8000).astype(np.int16)
    out: list[mp4.Sample] = []
    for number in range(blocks):
        frame = av.AudioFrame.from_ndarray(wave[None, number * _BLOCK : (number + 1) * _BLOCK], "s16", "mono")
        frame.sample_rate, frame.pts = _RATE, number * _BLOCK
        out += [mp4.Sample((bytes(packet),), _BLOCK) for packet in codec.encode(frame)]
    out += [mp4.Sample((bytes(packet),), _BLOCK) for packet in codec.encode(None) if packet.size]
    assert codec.extradata is not None
    return out, bytes(codec.extradata)[-mp4.STREAMINFO :]


@dataclass
class Camera:
    """What a camera holds: journal files and segments. Every method writes as the firmware does."""

    agency: Agency
    recipients: Sequence[str]
    device: str = "BWC-0001"
    signed: bool = True
    vouched: bool = True  # by its link key, where it is not signed
    journal: list[bytes] = field(default_factory=list)
    segments: dict[tuple[str, int], bytes] = field(default_factory=dict)
    utc_ms: int = field(default_factory=lambda: int(datetime.now(UTC).timestamp() * 1000) - 600_000)

    def __post_init__(self) -> None:
        self._evidence: Holder = self.agency.issue(Role.EVIDENCE, self.device)
        self._chain: Chain | None = None
        self._part_ns = 0  # when the present part began, and how many fragments it has
        self._done = 0
        self._spans: dict[int, tuple[int, int]] = {}  # of the parts of the present recording
        self.boot()

    def boot(self) -> None:
        """Start up: a new session key, a new journal file."""
        self.boot_id = os.urandom(16).hex()
        self.now_ns = 5_000_000_000
        key = new_key()
        chain: list[str] = []
        self._signing: PartSigning | None = None
        if self.signed:
            session = pki.make_session_certificate(
                self._evidence.certificate, self._evidence.key, key.public_key(), self.boot_id
            )
            above = [session, self._evidence.certificate, *self._evidence.above]
            chain = [jose.b64(one.public_bytes(serialization.Encoding.DER)) for one in above]
        self._signer = signer(key, chain, "test", self.device)
        seq, prev = (self._chain.seq, self._chain.prev) if self._chain else (0, records.GENESIS)
        self._chain = Chain(self.device, self.boot_id, key, pki.key_id(key.public_key()), seq=seq, prev=prev)
        spki = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        voucher = None
        if not self.signed and self.vouched:
            link = self.agency.issue(Role.CAMERA, self.device)
            above = [link.certificate, *link.above]
            voucher = make_voucher(link.key, above, self.device, self.boot_id, jose.b64(spki))
        self.journal.append(b"")
        self.line(
            "boot", voucher=voucher, file=len(self.journal) - 1, session_key=jose.b64(spki), chain=chain,
            kernel_boot=self.boot_id, torn=[], software="test", configuration="0" * 64,
            key_store="extractable" if self.signed else "none", hardware={}, simulated=True,
        )  # fmt: skip

    def certify(self) -> None:
        """The evidence key answers, after a boot that was not signed."""
        assert self._chain is not None
        public = self._chain._key.public_key()
        session = pki.make_session_certificate(self._evidence.certificate, self._evidence.key, public, self.boot_id)
        above = [session, self._evidence.certificate, *self._evidence.above]
        chain = [jose.b64(one.public_bytes(serialization.Encoding.DER)) for one in above]
        self.line("certified", chain=chain, key_store="token")

    def line(self, kind: str, **body: Any) -> bytes:
        """Write a record; its line."""
        assert self._chain is not None
        self.now_ns += 1_000_000
        stamp = Stamp(self.now_ns, self.utc_ms + self.now_ns // 1_000_000, "gnss", 50)
        line = self._chain.append(kind, body, stamp)
        self.journal[-1] += line + b"\n"
        return line

    def start(self, recording: str | None = None, part: int = 1) -> str:
        """Begin a recording, or its next part."""
        assert self._chain is not None
        name = recording or records.recording_id(self.boot_id, self._chain.seq)
        self.line(
            "recording_started", recording=name, part=part, resumed=recording is not None,
            mode="picture_and_sound", activity="inspection",
            pressed_ns=None, ring_from_ns=None,
        )  # fmt: skip
        return name

    def film(
        self, recording: str, part: int, segment: int, fragments: Sequence[int], of: int = 8, still: bytes = b""
    ) -> None:
        """Write a closed segment of these half seconds of the footage; the first fragment of a part is number 0.

        Its first fragment carries the still.
        """
        config, streaminfo, all_fragments = footage(of)
        writer = age.Encryptor(self.recipients)
        where = {"recording": recording, "part": part, "segment": segment}
        plain = mp4.init(config, streaminfo, age.CHUNK)
        cipher = writer.header
        sealed = 0
        if fragments[0] == 0:
            self._part_ns, self._done = self.now_ns, 0
            self._signing = PartSigning(self._signer, self._claimed_ms) if self._signer else None
        base = self._done
        for index, number in enumerate(fragments):
            taken = all_fragments[number]
            start_us, start_samples = (base + index) * 500_000, (base + index) * _RATE // 2
            pictures, sound = mp4.Run(start_us, taken.pictures), mp4.Run(start_samples, taken.sound)
            at_ns = self._part_ns + (base + index) * FRAGMENT_NS
            if self._signing:
                samples = _signed(self._signing, taken.pictures, at_ns, last=index + 1 == len(fragments))
                pictures = mp4.Run(start_us, samples)
            carried = mp4.still(at_ns, still) if still and index == 0 else ()
            data = b"".join(mp4.fragment(index + 1, pictures, sound, self._claimed_ms(at_ns), age.CHUNK, carried))
            offset = len(plain)
            plain += data
            cipher += bytes(writer.seal(plain[sealed:]))
            sealed = len(plain)
            from_ns = self._part_ns + (base + index) * FRAGMENT_NS
            self.now_ns = from_ns + FRAGMENT_NS - 1_000_000
            self.line(
                "fragment", **where, index=index, plain_offset=offset, plain_len=len(data), cipher_len=len(cipher),
                plain_sha256=_sha256(plain), cipher_sha256=_sha256(cipher), frames=len(taken.pictures),
                samples=len(taken.sound) * _BLOCK, drops=0, from_ns=from_ns, to_ns=from_ns + FRAGMENT_NS,
                starts_with_idr=True,
            )  # fmt: skip
            if carried:
                self.line(
                    "still", recording=recording, segment=segment, at_ns=at_ns, plain_offset=offset + mp4.STILL_HEAD,
                    size=len(still), sha256=_sha256(still),
                )  # fmt: skip
        self._done = base + len(fragments)
        cipher += writer.finish(mp4.TRAILER)
        plain += mp4.TRAILER
        self._close(where, plain, cipher, len(fragments), self._done * FRAGMENT_NS)
        self._spans[part] = self._part_ns, self._part_ns + self._done * FRAGMENT_NS

    def _claimed_ms(self, boot_ns: int) -> int:
        return self.utc_ms + boot_ns // 1_000_000

    def cut_in_its_header(self, recording: str, part: int, segment: int) -> None:
        """A segment that a power cut ended before anything could be decrypted, and its late record."""
        data = self.segments[recording, segment] = age.Encryptor(self.recipients).header[:100]
        sums = dict.fromkeys(("fragments", "frames", "samples", "from_ns", "to_ns", "plain_len", "attested_len"), 0)
        nothing = dict.fromkeys(("plain_sha256", "attested_sha256", "header_sha256"), _sha256(b""))
        self.line(
            "segment", recording=recording, part=part, segment=segment, closed=False, **sums, **nothing,
            file_size=len(data), file_sha256=_sha256(data), recipients=[], stanzas=0,
        )  # fmt: skip

    def noise(self, recording: str, segment: int, size: int) -> bytes:
        """Write a segment of random bytes, which tells of no fragment; its file."""
        where = {"recording": recording, "part": 1, "segment": segment}
        data = age.Encryptor(self.recipients).header + os.urandom(size)
        self._part_ns = self.now_ns
        self._close(where, b"", data, 0, FRAGMENT_NS)
        return data

    def _close(
        self,
        where: dict[str, Any],
        plain: bytes,
        cipher: bytes,
        fragments: int,
        span_ns: int,
    ) -> None:
        self.segments[where["recording"], where["segment"]] = cipher
        self.line(
            "segment", **where, closed=True, fragments=fragments, frames=fragments * FPS // 2,
            samples=fragments * _RATE // 2, from_ns=self._part_ns + span_ns - max(fragments, 1) * FRAGMENT_NS,
            to_ns=self._part_ns + span_ns, plain_len=len(plain), plain_sha256=_sha256(plain), attested_len=len(cipher),
            attested_sha256=_sha256(cipher), file_size=len(cipher), file_sha256=_sha256(cipher),
            recipients=[age.fingerprint(one) for one in self.recipients], stanzas=len(self.recipients),
            header_sha256=age.parse_header(cipher).sha256,
        )  # fmt: skip

    def gap(self, recording: str, after_part: int) -> None:
        """Say that a power cut lies between two parts, and that its reason was spoken."""
        assert self._chain is not None
        seq = self._chain.seq
        self.line(
            "gap", recording=recording, after_part=after_part, before_part=after_part + 1, cause="power_cut",
            last_ns=self._spans[after_part][1], first_ns=self._spans[after_part + 1][0], same_clock=False,
            min_ms=2_000, max_ms=None,
        )  # fmt: skip
        self.line("gap_reason", recording=recording, gap_seq=seq, basis="speech_followed", from_ns=1, to_ns=self.now_ns)

    def end(self, recording: str, parts: int, segments: int) -> None:
        """End a recording."""
        self.line(
            "recording_ended", recording=recording, ground="end_of_activity", parts=parts, segments=segments,
            frames_delivered=96, frames_encoded=96, frames_dropped=0,
        )  # fmt: skip


def _signed(signing: PartSigning, pictures: Sequence[mp4.Sample], from_ns: int, *, last: bool) -> list[mp4.Sample]:
    """A fragment's pictures with their signatures; behind the `last` of a segment nothing is unsigned."""
    step = FRAGMENT_NS // len(pictures)
    seals = [signing.picture(one.data, from_ns + n * step, key=one.key) for n, one in enumerate(pictures)]
    signed = [replace(one, data=sealed(one.data, seal, ())) for one, seal in zip(pictures, seals, strict=True)]
    closing = signing.close(from_ns + FRAGMENT_NS) if last else ()
    return [*signed[:-1], replace(signed[-1], data=sealed(signed[-1].data, None, closing))]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
