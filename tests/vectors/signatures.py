"""The signatures inside a segment's pictures, taken apart from the bytes alone: nothing is asked of `evidence`."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Any

from tests.evidence_keys import sha256

UUID = bytes.fromhex("005bc93f2d715e95ada4796f90877a6f")
FIGURES = struct.Struct(">B3sBqqIH32s32s")


def signatures(plain: bytes) -> Iterator[dict[str, Any]]:
    """Each SEI in a segment's plaintext, with the hashes of the slices that it covers, computed from these."""
    anchor, linked = b"", bytes(32)
    waiting: list[bytes] = []
    for offset, unit in _units(plain):
        if unit[0] & 31 == 6:
            told = _signature(unit)
            count = len(told["hashes"])
            assert told["hashes"] == [value.hex() for value in waiting[:count]]
            assert told["gop_hash"] == sha256(b"".join(waiting[:count]))
            assert linked in (bytes.fromhex(told["linked_hash"]), bytes(32))
            linked, waiting = waiting[0], waiting[count:]
            yield {"plain_offset": offset, "size": len(unit), **told}
        else:
            own = hashlib.sha256(unit).digest()
            anchor = own if unit[0] & 31 == 5 else anchor
            waiting.append(own if unit[0] & 31 == 5 else hashlib.sha256(anchor + own).digest())


def _signature(unit: bytes) -> dict[str, Any]:
    head = unit.index(UUID) + len(UUID) + 1
    payload = unit[head:].replace(b"\0\0\3", b"\0\0")
    values, at = {}, 0
    while payload[at:] != b"\x80":
        tag, size = struct.unpack_from(">BH", payload, at)
        if tag == 3:
            document = unit[: head + _escaped_length(unit[head:], at)]
        values[tag] = payload[at + 3 : at + 3 + size]
        at += 3 + size
    _, _, cut, begins, ends, number, count, whole, linked = FIGURES.unpack(values[1])
    hashes = [values[2][n : n + 32].hex() for n in range(1, len(values[2]), 32)]
    assert count == len(hashes)
    size = int.from_bytes(values[3][1:3], "big")
    return {
        "number": number,
        "cut": bool(cut),
        "begins": begins,
        "ends": ends,
        "hashes": hashes,
        "gop_hash": whole.hex(),
        "linked_hash": linked.hex(),
        "document_sha256": sha256(document),
        "signature": values[3][3 : 3 + size].hex(),
    }


def _escaped_length(data: bytes, count: int) -> int:
    """How many bytes of `data` hold its first `count` once the escapes are taken out."""
    at = zeros = 0
    while count:
        escape = zeros == 2 and data[at] == 3
        zeros = 0 if escape or data[at] else zeros + 1
        count -= not escape
        at += 1
    return at


def _units(plain: bytes) -> Iterator[tuple[int, bytes]]:
    """The pictures' units, by where they stand: behind their lengths, from the begin of each `mdat` to its sound."""
    at = 0
    while at < len(plain):
        size, kind = struct.unpack_from(">I4s", plain, at)
        position, end = at + 8, at + size
        while kind == b"mdat" and plain[position : position + 2] != b"\xff\xf8":  # a FLAC frame
            length = int.from_bytes(plain[position : position + 4], "big")
            yield position + 4, plain[position + 4 : position + 4 + length]
            position += 4 + length
        at = end
