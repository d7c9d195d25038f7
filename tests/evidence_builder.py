"""Builds evidence folders in memory (path → bytes), the same bytes each time: keys, randomness and clocks are derived.

A recording is told as a string, one letter a segment, one fragment each:

    S  closed                    T  cut by a power loss; the next boot goes on with the recording
    H  closed, with a receipt    R  closed, with a receipt, given up: its file is not here
    M  closed, with a still
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import age, jose, mp4, pki, records, shape
from evidence.documents import Configuration, Receipt, TimeAnchor
from evidence.records import Chain, Record, Stamp
from firmware.capture.media_signer import MediaSigner, PartSigning
from tests.evidence_keys import AGENCY, Agency, Stream, key, kid, recipients, sha256
from tests.evidence_media import (
    BLOCKS,
    FRAGMENT_NS,
    PICTURES,
    media,
    media_fragment,
    media_init,
    signed_pictures,
    taken,
)

START_UTC_MS = 1_795_500_000_000  # 2026-11-24T06:00:00Z
MS = 1_000_000


@dataclass
class Segment:
    """A segment being written: what its records tell."""

    where: dict[str, Any]
    encryptor: age.Encryptor
    plain: bytes
    sealed: int
    cipher: bytes
    fragments: list[dict[str, Any]] = field(default_factory=list)


class Camera:
    """Writes the evidence folder of one camera. `files` is what lies on its disk."""

    def __init__(self, device: str = "BWC-0001", agency: Agency = AGENCY) -> None:
        self.device = device
        self.agency = agency
        self.files: dict[str, bytes] = {"certs/signer.pem": pki.to_pem(agency.signer, agency.issuing)}
        self.records: list[Record] = []
        self.random = Stream(f"{agency.seed} {device} random")
        self.boots = 0
        self.file = -1
        self.utc_ms = START_UTC_MS
        self.error_ms: int | None = 100
        self.now_ns = 0
        self.recording = ""
        self.part = 0
        self.next_segment = 0
        self.part_from_ns = 0
        self.sequence = 0
        self.segment_records: dict[tuple[str, int], Record] = {}
        self._chain: Chain

    # --- the journal

    def boot(self, *, signed: bool = True, torn: bytes = b"") -> Record:
        """Start; `torn` stands after the last line of the journal so far."""
        self.boots += 1
        self.boot_id = sha256(f"{self.device} boot {self.boots}".encode())[:32]
        self.session_key = f"{self.agency.seed} session {self.device} {self.boots}"
        self.signed = signed
        self.now_ns = 1_000 * MS
        self.utc_ms += 10_000
        seq, prev = (self.records[-1].seq + 1, self.records[-1].sha256) if self.records else (0, records.GENESIS)
        self._chain = Chain(self.device, self.boot_id, key(self.session_key), kid(self.session_key), seq=seq, prev=prev)
        tails = [self._tear(torn)] if torn else []
        members = {
            "software": "0.1.0",
            "configuration": sha256(self.configuration().encode()),
            "key_store": "extractable" if signed else "none",
            "hardware": {"video": {"model": "ov5647"}},
            "simulated": False,
        }
        return self._open("boot", tails, members)

    def certify(self, key_store: str = "extractable") -> Record:
        """The evidence key answers, after a boot that was not signed."""
        chain = self.agency.session(self.device, self.boot_id, self.session_key)
        told = [jose.b64(one.public_bytes(serialization.Encoding.DER)) for one in chain]
        self.signed = True
        return self.line("certified", {"chain": told, "key_store": key_store})

    def summary(self) -> Record:
        """Go on in a new journal file."""
        return self._open("summary", [], {})

    def line(self, kind: str, body: Mapping[str, Any]) -> Record:
        """Append a record."""
        self.now_ns += MS
        self.utc_ms += 1
        line = self._chain.append(
            kind, body, Stamp(self.now_ns, self.utc_ms, "dock", self.error_ms), deterministic=True
        )
        path = records.journal_path(self.file)
        self.files[path] = self.files.get(path, b"") + line + b"\n"
        self.records.append(records.parse(line))
        return self.records[-1]

    def _open(self, kind: str, tails: list[dict[str, Any]], members: Mapping[str, Any]) -> Record:
        self.file += 1
        spki = (
            key(self.session_key)
            .public_key()
            .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        chain = self.agency.session(self.device, self.boot_id, self.session_key) if self.signed else []
        ders = [jose.b64(one.public_bytes(serialization.Encoding.DER)) for one in chain]
        self._signer = MediaSigner(self._sign_video, ders, "0.1.0", self.device) if chain else None
        opening = {
            "file": self.file,
            "session_key": jose.b64(spki),
            "chain": ders,
            "kernel_boot": sha256(f"kernel {self.device} {self.boots}".encode())[:32],
            "torn": tails,
        }
        return self.line(kind, {**opening, **members})

    def _sign_video(self, document: bytes) -> bytes:
        return key(self.session_key).sign(document, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))

    def _claimed_ms(self, boot_ns: int) -> int:
        return self.utc_ms - (self.now_ns - boot_ns) // MS

    def _tear(self, torn: bytes) -> dict[str, Any]:
        path = records.journal_path(self.file)
        offset = len(self.files[path])
        self.files[path] += torn
        return {"file": self.file, "offset": offset, "length": len(torn), "sha256": sha256(torn)}

    # --- recordings

    def record(self, story: str, *, stop: bool = True) -> str:
        """Make a recording as the string tells; returns its id."""
        self.start()
        for letter in story:
            self.segment(cut=letter == "T", stills=int(letter == "M"))
            if letter == "T":
                self.resume()
            if letter in "HR":
                self.hand_in(self.recording, self.next_segment - 1, release=letter == "R")
        if stop:
            self.stop()
        return self.recording

    def start(self) -> None:
        begun = sum(r.kind == "recording_started" and r.boot == self.boot_id for r in self.records)
        self.recording = records.recording_id(self.boot_id, begun + 1)
        self.part, self.next_segment = 0, 0
        self.begin_part(resumed=False)

    def begin_part(self, *, resumed: bool) -> None:
        self.part += 1
        self.sequence = 0
        body = {
            "recording": self.recording,
            "part": self.part,
            "resumed": resumed,
            "mode": "picture_and_sound",
            "activity": "inspection",
        }
        pressed = None if resumed else self.now_ns
        self.part_from_ns = self.now_ns + MS
        self._signing = PartSigning(self._signer, self._claimed_ms) if self._signer else None
        self.line("recording_started", {**body, "pressed_ns": pressed, "ring_from_ns": None})

    def segment(
        self,
        fragments: int = 1,
        *,
        cut: bool = False,
        tail: bytes = b"unattested",
        stills: int = 0,
        listed: bool = True,
    ) -> Segment:
        """Write the next segment, closed, or `cut` with bytes that no record attests. Each fragment carries `stills`.

        `listed`: they have records.
        """
        where: dict[str, Any] = {"recording": self.recording, "part": self.part, "segment": self.next_segment}
        encryptor = age.Encryptor(recipients(), self.random)
        segment = Segment(where, encryptor, media_init(), 0, encryptor.header)
        self.next_segment += 1
        for left in reversed(range(fragments)):
            self.fragment(segment, stills, listed=listed, closes=not left and not cut)
        if cut:
            segment.cipher += tail
        else:
            segment.plain += mp4.TRAILER
            segment.cipher += encryptor.finish(mp4.TRAILER)
            self.close(segment, closed=True)
        self.files[records.segment_path(self.recording, where["segment"])] = segment.cipher
        self._last = segment
        return segment

    def fragment(
        self, segment: Segment, stills: int = 0, *, listed: bool = True, closes: bool = False
    ) -> dict[str, Any]:
        """Append half a second, with stills that were taken 1, 2, … ms after its begin."""
        from_ns = self.part_from_ns + self.sequence * FRAGMENT_NS
        index = len(segment.fragments)
        taken_ns = [from_ns + n * MS for n in range(1, stills + 1)]
        carried = [mp4.still(at_ns, media().still) for at_ns in taken_ns]
        signed = signed_pictures(self._signing, index, from_ns, last=closes) if self._signing else None
        data = self.media(media_fragment(self.sequence, index, self._claimed_ms(from_ns), sum(carried, ()), signed))
        offset = len(segment.plain)
        segment.plain += data
        segment.cipher += segment.encryptor.seal(segment.plain[segment.sealed :])
        segment.sealed = len(segment.plain)
        body = {
            **segment.where,
            "index": index,
            "plain_offset": offset,
            "plain_len": len(data),
            "cipher_len": len(segment.cipher),
            "plain_sha256": sha256(segment.plain),
            "cipher_sha256": sha256(segment.cipher),
            "frames": PICTURES,
            "samples": BLOCKS * mp4.BLOCK,
            "drops": 0,
            "from_ns": from_ns,
            "to_ns": from_ns + FRAGMENT_NS,
            "starts_with_idr": taken(media().pictures, index * PICTURES, 1)[0].idr,
        }
        self.sequence += 1
        self.now_ns = max(self.now_ns, from_ns + FRAGMENT_NS)  # what lay in a ring is older
        self.utc_ms += FRAGMENT_NS // MS
        segment.fragments.append(body)
        self.line("fragment", body)
        for number, at_ns in enumerate(taken_ns if listed else ()):
            self.still(segment, offset + number * sum(map(len, carried[number])), at_ns)
        return body

    def media(self, data: bytes) -> bytes:
        """A fragment's bytes as they are signed and written: a camera that lies changes them."""
        return data

    def still(self, segment: Segment, box: int, at_ns: int) -> Record:
        """The record of the vectors' still, whose box is at an offset in the plaintext."""
        named = {name: segment.where[name] for name in ("recording", "segment")}
        jpeg = media().still
        place = {"plain_offset": box + mp4.STILL_HEAD, "size": len(jpeg), "sha256": sha256(jpeg)}
        return self.line("still", {**named, "at_ns": at_ns, **place})

    def close(self, segment: Segment, *, closed: bool) -> Record:
        """The `segment` record: the writer's, or the late one of a recovery."""
        header, last = age.parse_header(segment.cipher), segment.fragments[-1]
        attested = segment.cipher if closed else segment.cipher[: last["cipher_len"]]
        body = {
            **segment.where,
            "closed": closed,
            "fragments": len(segment.fragments),
            "frames": sum(f["frames"] for f in segment.fragments),
            "samples": sum(f["samples"] for f in segment.fragments),
            "from_ns": segment.fragments[0]["from_ns"],
            "to_ns": last["to_ns"],
            "plain_len": len(segment.plain),
            "plain_sha256": sha256(segment.plain),
            "attested_len": len(attested),
            "attested_sha256": sha256(attested),
            "file_size": len(segment.cipher),
            "file_sha256": sha256(segment.cipher),
            "recipients": [age.fingerprint(recipient) for recipient in recipients()] if closed else [],
            "stanzas": len(header.stanzas),
            "header_sha256": header.sha256,
        }
        record = self.line("segment", body)
        self.segment_records[segment.where["recording"], segment.where["segment"]] = record
        return record

    def resume(self, torn: bytes = b"") -> None:
        """A boot after a power cut: goes on with the recording, then closes the books of what was cut."""
        cut, last_ns = self._last, self._last.fragments[-1]["to_ns"]
        self.boot(torn=torn)
        self.begin_part(resumed=True)
        first_ns = self.part_from_ns
        gap = {"recording": self.recording, "after_part": self.part - 1, "before_part": self.part}
        bounds = {"last_ns": last_ns, "first_ns": first_ns, "same_clock": False, "min_ms": first_ns // MS}
        self.line("gap", {**gap, **bounds, "cause": "power_cut", "max_ms": None})
        self.close(cut, closed=False)
        # What was queued while the books were closed has been recorded all the same.
        self.now_ns = max(self.now_ns, first_ns)

    def stop(self) -> None:
        counts = {"frames_delivered": 0, "frames_encoded": 0, "frames_dropped": 0}
        body = {
            "recording": self.recording,
            "ground": None,
            "parts": self.part,
            "segments": self.next_segment,
            **counts,
        }
        self.line("recording_ended", body)

    # --- the office

    def receipt(self, recording: str, segment: int, /, **changed: Any) -> str:
        told = self.segment_records[recording, segment].body
        members = {
            "office": "OFFICE-1",
            "device": self.device,
            "recording": recording,
            "segment": segment,
            "sha256": told["file_sha256"],
            "size": told["file_size"],
            "received": shape.utc_text(self.utc_ms + 3_600_000),
            "retain_until": "2028-11-24T00:00:00.000Z",
            "leaf_index": segment,
        }
        return self.sign(Receipt(**{**members, **changed}))

    def hand_in(self, recording: str, segment: int, *, release: bool) -> None:
        text = self.receipt(recording, segment)
        self.files[records.receipt_path(recording, segment)] = text.encode()
        self.line("receipt", {"receipt": text})
        if release:
            body = {"recording": recording, "segment": segment, "receipt_sha256": sha256(text.encode())}
            self.line("released", body)
            del self.files[records.segment_path(recording, segment)]

    def anchor(self, **changed: Any) -> Record:
        """A docking: the office's time over the head that was handed in."""
        head = self.records[-1]
        members = {
            "office": "OFFICE-1",
            "device": self.device,
            "nonce": sha256(f"nonce {head.seq}".encode())[:32],
            "head_seq": head.seq,
            "head": head.sha256,
            "utc": shape.utc_text(self.utc_ms + 50),
            "error_ms": 20,
        }
        anchor = self.sign(TimeAnchor(**{**members, **changed}))
        self.utc_ms += 50
        return self.line("time_anchor", {"anchor": anchor, "stepped_ms": 50})

    def configuration(self) -> str:
        return self.sign(
            Configuration(
                office="OFFICE-1",
                device=self.device,
                agency="示例执法局",
                issued="2026-11-01T00:00:00.000Z",
                unit="执法一中队",
                officer_number="012345",
                officer_name="示例",
                activity="inspection",
                recipients=tuple(recipients()),
            )
        )

    def sign(self, document: Receipt | TimeAnchor | Configuration) -> str:
        return document.sign(self.agency.key("signer"), self.agency.kid("signer"), deterministic=True)


@dataclass(frozen=True)
class MemoryFolder:
    """`evidence.verify.Folder` of a dict."""

    files: Mapping[str, bytes]

    def names(self) -> list[str]:
        return list(self.files)

    def blocks(self, path: str) -> Iterator[bytes]:
        yield self.files[path]
