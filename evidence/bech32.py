"""Bech32 (BIP 173), the text form of age keys: 32 bytes each. No IO."""

from __future__ import annotations

from collections.abc import Sequence

from evidence.errors import EvidenceError

_BYTES = 32

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def encode(prefix: str, data: bytes) -> str:
    """The text of a key."""
    words = _regroup(data, 8, 5, pad=True) or []
    check = _polymod([*_expand(prefix), *words, 0, 0, 0, 0, 0, 0]) ^ 1
    words += [check >> 5 * (5 - i) & 31 for i in range(6)]
    return prefix + "1" + "".join(_ALPHABET[w] for w in words)


def decode(prefix: str, text: str, code: str) -> bytes:
    """The key of a text. Raises `EvidenceError`, with that code."""
    words = [_ALPHABET.find(c) for c in text[len(prefix) + 1 :]]
    if not text.startswith(prefix + "1") or -1 in words or _polymod([*_expand(prefix), *words]) != 1:
        raise EvidenceError(code, "this is not an age key: check that it was copied whole")
    data = _regroup(words[:-6], 5, 8, pad=False)
    if data is None or len(data) != _BYTES:
        raise EvidenceError(code, "this age key has the wrong length")
    return bytes(data)


def _polymod(values: Sequence[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                check ^= generator
    return check


def _expand(prefix: str) -> list[int]:
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _regroup(data: Sequence[int], size: int, to: int, *, pad: bool) -> list[int] | None:
    bits = value = 0
    out = []
    for item in data:
        value = value << size | item
        bits += size
        while bits >= to:
            bits -= to
            out.append(value >> bits & (1 << to) - 1)
        value &= (1 << bits) - 1
    if pad and bits:
        out.append(value << to - bits)
    elif not pad and (bits >= size or value):
        return None
    return out
