"""Real evidence for tests: a camera's folder with a signed journal and age-encrypted segments of random bytes."""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from cryptography.hazmat.primitives import serialization

from evidence import age, jose, pki, records
from evidence.pki import Role
from evidence.records import Chain, Stamp
from evidence.session import make_voucher
from runtime.disk import AppendFile, PosixDisk
from tests.agency import BOOT, Agency

RECIPIENTS = [age.recipient_of(age.generate_identity()) for _ in range(2)]
_MS = 1_000_000


def present_agency() -> Agency:
    """An agency whose certificates are valid now, as real TLS asks."""
    return Agency(at=datetime.now(UTC))


_P = ParamSpec("_P")
_R = TypeVar("_R")
_Method = Callable[Concatenate["CameraFolder", _P], _R]


def _in_turn(method: _Method[_P, _R]) -> _Method[_P, _R]:
    @functools.wraps(method)
    def alone(folder: CameraFolder, /, *args: _P.args, **named: _P.kwargs) -> _R:
        with folder.lock:
            return method(folder, *args, **named)

    return alone


class CameraFolder:
    """Writes an evidence folder as one boot of a camera does. Safe for several threads: a chain has one pen."""

    def __init__(self, folder: Path, agency: Agency, device: str = "BWC-0001", *, signed: bool = True) -> None:
        self.device = device
        self.lock = threading.RLock()
        self.disk = PosixDisk(folder)
        self.sizes: dict[tuple[str, int], int] = {}  # segments held
        self.session = agency.issue(Role.SESSION, device)
        key = self.session.key
        self.chain = Chain(device, BOOT, key, pki.key_id(key.public_key()), seq=0, prev=records.GENESIS)
        self._signed = signed
        self._link = agency.issue(Role.CAMERA, device)
        self._journal: AppendFile
        self._ms = 0
        self.file = -1
        self._recordings: dict[str, int] = {}
        self.rotate()

    @_in_turn
    def line(self, kind: str, body: dict[str, Any]) -> records.Record:
        """Append a record, durable."""
        self._ms += 1
        stamp = Stamp(self._ms * _MS, 1_795_500_000_000 + self._ms, "dock", 100)
        line = self.chain.append(kind, body, stamp)
        self._journal.append(line + b"\n")
        self._journal.sync()
        self.head = (self.chain.seq - 1, self.chain.prev)
        return records.parse(line)

    @_in_turn
    def rotate(self) -> None:
        """Begin the first, or the next, journal file."""
        self.file += 1
        self._journal = self.disk.create(records.journal_path(self.file))
        spki = self.session.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        certificates = [self.session.certificate, *self.session.above] if self._signed else []
        opening: dict[str, Any] = {
            "file": self.file,
            "session_key": jose.b64(spki),
            "chain": [jose.b64(one.public_bytes(serialization.Encoding.DER)) for one in certificates],
            "kernel_boot": BOOT,
            "torn": [],
        }
        if not self._signed:
            link = [self._link.certificate, *self._link.above]
            opening["voucher"] = make_voucher(self._link.key, link, self.device, BOOT, jose.b64(spki))
        if self.file:
            self.line("summary", opening)
            return
        boot: dict[str, Any] = {
            "software": "test",
            "configuration": "0" * 64,
            "key_store": "extractable" if self._signed else "none",
            "hardware": {},
            "simulated": True,
        }
        self.line("boot", {**opening, **boot})

    @_in_turn
    def begin_recording(self) -> str:
        """Begin a recording; returns its id."""
        recording = records.recording_id(BOOT, self.chain.seq)
        started = {"recording": recording, "part": 1, "resumed": False, "mode": "picture_and_sound", "activity": None}
        self.line("recording_started", {**started, "pressed_ns": None, "ring_from_ns": None})
        self._recordings[recording] = 0
        return recording

    @_in_turn
    def segment(self, recording: str, plain_size: int) -> tuple[str, int]:
        """Write the next segment, of one fragment, and its records."""
        index = self._recordings[recording]
        self._recordings[recording] += 1
        chunks = -(-plain_size // age.CHUNK)
        plain, trailer = os.urandom(chunks * age.CHUNK), b"\0\0\0\x08free"
        encryptor = age.Encryptor(RECIPIENTS)
        attested = encryptor.header + encryptor.seal(plain)
        cipher = attested + encryptor.finish(trailer)
        file = self.disk.create(records.segment_path(recording, index))
        file.append(cipher)
        file.sync()
        file.close()
        where = {"recording": recording, "part": 1, "segment": index}
        span = {"from_ns": index * 1000 * _MS, "to_ns": (index + 1) * 1000 * _MS}
        counts = {"frames": 25, "samples": 48_000}
        attest = {"plain_sha256": _sha256(plain), "cipher_sha256": _sha256(attested)}
        fragment = {"index": 0, "plain_offset": 0, "plain_len": len(plain), "cipher_len": len(attested), "drops": 0}
        self.line("fragment", {**where, **fragment, **attest, **counts, **span, "starts_with_idr": True})
        whole = {
            "closed": True,
            "fragments": 1,
            "plain_len": len(plain + trailer),
            "plain_sha256": _sha256(plain + trailer),
            "attested_len": len(cipher),
            "attested_sha256": _sha256(cipher),
            "file_size": len(cipher),
            "file_sha256": _sha256(cipher),
            "recipients": [age.fingerprint(recipient) for recipient in RECIPIENTS],
            "stanzas": len(RECIPIENTS),
            "header_sha256": age.parse_header(cipher).sha256,
        }
        self.line("segment", {**where, **whole, **counts, **span})
        self.sizes[recording, index] = len(cipher)
        return recording, index

    @_in_turn
    def release(self, key: tuple[str, int], receipt: str) -> None:
        """Write the receipt down, give the segment up."""
        self.line("receipt", {"receipt": receipt})
        self.line(
            "released", {"recording": key[0], "segment": key[1], "receipt_sha256": _sha256(receipt.encode("ascii"))}
        )
        del self.sizes[key]
        self.disk.remove(records.segment_path(*key))


def _sha256(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()
