"""Journal, ciphertext and film read again by other means than the product's: what the campaign's judges go by.

Signatures are left to the verifier; everything else here is the standard library and bare primitives.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CHUNK = 65_536
_TAG = 16
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


@dataclass(frozen=True, slots=True)
class Line:
    """One whole line of a journal file."""

    file: int
    start: int
    end: int
    sha256: str
    payload: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.payload["kind"])

    @property
    def seq(self) -> int:
        return int(self.payload["seq"])

    @property
    def body(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.payload["body"]
        return found


@dataclass
class Evidence:
    """An evidence folder: every line that no opening sets aside, and every file."""

    root: Path
    journal: dict[int, bytes] = field(default_factory=dict)
    torn: dict[int, tuple[int, int, str]] = field(default_factory=dict)  # file -> offset, length, SHA-256
    lines: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        folder = self.root / "journal"
        for path in sorted(folder.iterdir()) if folder.exists() else ():
            self.journal[int(path.stem)] = path.read_bytes()
        for file, data in self.journal.items():
            first = _payload(data.partition(b"\n")[0])
            for tail in first["body"].get("torn", []) if first else ():
                if tail["file"] < file:
                    self.torn[tail["file"]] = (tail["offset"], tail["length"], tail["sha256"])
        for file, data in self.journal.items():
            self.lines += _lines(file, data[: self.torn.get(file, (len(data),))[0]])

    def of(self, *kinds: str) -> list[Line]:
        """Lines of these kinds, in order."""
        return [line for line in self.lines if line.kind in kinds]

    def segment_path(self, recording: str, segment: int) -> Path:
        return self.root / "segments" / recording / f"{segment:05d}.mp4.age"

    def segments(self) -> dict[tuple[str, int], list[Line]]:
        """The `segment` records, by recording and number."""
        found: dict[tuple[str, int], list[Line]] = {}
        for line in self.of("segment"):
            found.setdefault((line.body["recording"], line.body["segment"]), []).append(line)
        return found

    def fragments(self) -> dict[tuple[str, int], list[Line]]:
        """The `fragment` records, by recording and segment."""
        found: dict[tuple[str, int], list[Line]] = {}
        for line in self.of("fragment"):
            found.setdefault((line.body["recording"], line.body["segment"]), []).append(line)
        return found


def _lines(file: int, data: bytes) -> Iterator[Line]:
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        text = data[start:end]
        payload = _payload(text)
        if payload is None:
            return
        yield Line(file, start, end + 1, hashlib.sha256(text).hexdigest(), payload)
        start = end + 1


def _payload(line: bytes) -> dict[str, Any] | None:
    try:
        middle = line.split(b".")[1]
        payload = json.loads(base64.urlsafe_b64decode(middle + b"=" * (-len(middle) % 4)))
    except (IndexError, ValueError):
        return None
    return payload if isinstance(payload, dict) and "kind" in payload else None


def document(jws: str) -> dict[str, Any]:
    """The payload of an office's document."""
    middle = jws.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return found


# --- age


class Key:
    """An age identity, as text."""

    def __init__(self, text: str) -> None:
        values = [_BECH32.index(letter) for letter in text.lower().rpartition("1")[2]][:-6]
        number = int("".join(f"{value:05b}" for value in values)[:256], 2)
        self._private = X25519PrivateKey.from_private_bytes(number.to_bytes(32, "big"))
        self._public = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def open(self, data: bytes) -> Opened | None:
        """Take the header apart; None: it is not whole."""
        end = data.find(b"\n--- ")
        line_end = data.find(b"\n", end + 1)
        if end < 0 or line_end < 0 or len(data) < line_end + 17:
            return None
        lines = data[:end].decode().split("\n")
        for number, line in enumerate(lines):
            if line.startswith("-> X25519 "):
                file_key = self._unwrap(_unb64(line.split(" ")[2]), _unb64(lines[number + 1]))
                if file_key is not None and _mac_fits(file_key, data, end, line_end):
                    nonce = data[line_end + 1 : line_end + 17]
                    return Opened(file_key, _hkdf(nonce, b"payload", file_key), line_end + 17)
        return None

    def _unwrap(self, share: bytes, wrapped: bytes) -> bytes | None:
        shared = self._private.exchange(X25519PublicKey.from_public_bytes(share))
        key = _hkdf(share + self._public, b"age-encryption.org/v1/X25519", shared)
        try:
            return ChaCha20Poly1305(key).decrypt(bytes(12), wrapped, None)
        except InvalidTag:
            return None


@dataclass(frozen=True, slots=True)
class Opened:
    """A file whose header is open."""

    file_key: bytes
    payload_key: bytes
    header: int  # bytes, nonce included

    def plain(self, data: bytes) -> bytes:
        """All chunks that decrypt, from the first on."""
        cipher, plain = ChaCha20Poly1305(self.payload_key), bytearray()
        for number, start in enumerate(range(self.header, len(data), CHUNK + _TAG)):
            chunk = data[start : start + CHUNK + _TAG]
            for last in (b"\0", b"\1"):
                try:
                    plain += cipher.decrypt(number.to_bytes(11, "big") + last, chunk, None)
                    break
                except InvalidTag:
                    continue
            else:
                break
        return bytes(plain)


def _mac_fits(file_key: bytes, data: bytes, end: int, line_end: int) -> bool:
    mac = hmac.new(_hkdf(b"", b"header", file_key), data[: end + 4], "sha256").digest()
    return mac == _unb64(data[end + 5 : line_end].decode())


def _hkdf(salt: bytes, info: bytes, key: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, info).derive(key)


def _unb64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


# --- film


@dataclass(frozen=True, slots=True)
class Run:
    """The samples of one track in one fragment, in the track's ticks."""

    track: int
    start: int
    durations: tuple[int, ...]


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Type, begin and end of the content of each box."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        if size < 8 or start + size > end:
            raise ValueError(f"box {name!r} at {start} does not fit")
        yield name, start + 8, start + size
        start += size


def runs(plain: bytes) -> Iterator[Run]:
    """The runs of all fragments, in order."""
    for name, start, end in boxes(plain):
        if name == b"moof":
            for inner, at, until in boxes(plain, start, end):
                if inner == b"traf":
                    yield _run(plain, at, until)


def _run(plain: bytes, start: int, end: int) -> Run:
    parts = {name: at for name, at, _ in boxes(plain, start, end)}
    track = struct.unpack_from(">I", plain, parts[b"tfhd"] + 4)[0]
    begin = struct.unpack_from(">Q", plain, parts[b"tfdt"] + 4)[0]
    word, count = struct.unpack_from(">II", plain, parts[b"trun"])
    wide = 3 if word & 0x400 else 2  # duration and size, and flags of pictures
    table = struct.unpack_from(f">{count * wide}I", plain, parts[b"trun"] + 12)
    return Run(track, begin, table[::wide])


def stills(plain: bytes) -> Iterator[bytes]:
    """The JPEGs in a segment's plaintext."""
    for name, start, end in boxes(plain):
        if name == b"uuid" and plain[start : start + 4] == b"\x20\x8a\x76\x92":
            yield plain[start + 24 : end]
