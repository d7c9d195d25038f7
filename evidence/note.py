"""Signed notes (C2SP signed-note): a text and Ed25519 signatures below it. No IO."""

from __future__ import annotations

import base64
import binascii
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from evidence.errors import EvidenceError

_ED25519 = b"\1"
_KEY = 32
_KEY_ID = 4
_SIGNATURES_LIMIT = 16


def sign_note(text: str, name: str, key: Ed25519PrivateKey) -> bytes:
    """The text, which ends with a line feed, signed under that key name."""
    signature = key_id(name, key.public_key()) + key.sign(text.encode())
    return f"{text}\n— {name} {b64(signature)}\n".encode()


def key_id(name: str, key: Ed25519PublicKey) -> bytes:
    """The four bytes by which a signed note names a key."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + key.public_bytes_raw()).digest()[:_KEY_ID]


def verifier_key(name: str, key: Ed25519PublicKey) -> str:
    """The public key as other programs take it: `<name>+<id>+<base64>`."""
    return f"{name}+{key_id(name, key).hex()}+{b64(_ED25519 + key.public_bytes_raw())}"


def read_verifier_key(text: str) -> tuple[str, Ed25519PublicKey]:
    """Name and key of a `verifier_key`. Raises `EvidenceError`."""
    parts = text.strip().split("+", 2)
    if len(parts) != 3:  # noqa: PLR2004 - name, id, key
        raise EvidenceError("log-key", "a log's key is written <name>+<id>+<base64>")
    data = unb64(parts[2], 1 + _KEY)
    key = Ed25519PublicKey.from_public_bytes(data[1:])
    if data[:1] != _ED25519 or verifier_key(parts[0], key) != text.strip():
        raise EvidenceError("log-key", "the log's key is malformed: check that it was copied whole")
    return parts[0], key


def verify_note(note: bytes, name: str, key: Ed25519PublicKey) -> str:
    """The text of a signed note that this key has signed; signatures by other keys are passed over."""
    whole = utf8(note)
    if any(character < " " and character != "\n" for character in whole) or not whole.endswith("\n"):
        raise EvidenceError("log-note", "the signed note is malformed")
    text, _, tail = whole[:-1].rpartition("\n\n")
    signatures = tail.split("\n")
    if not text or len(signatures) > _SIGNATURES_LIMIT:
        raise EvidenceError("log-note", "the note has no signature, or too many")
    found = False
    for line in signatures:
        dash, _, rest = line.partition(" ")
        signer, _, encoded = rest.partition(" ")
        signature = unb64(encoded)
        if dash != "—" or not signer:
            raise EvidenceError("log-note", "a signature line is malformed")
        if signer != name or signature[:_KEY_ID] != key_id(name, key):
            continue
        try:
            key.verify(signature[_KEY_ID:], f"{text}\n".encode())
        except InvalidSignature as error:
            raise EvidenceError("log-signature", "the note's signature does not match") from error
        found = True
    if not found:
        raise EvidenceError("log-signature", f"the note is not signed by {name} with this key")
    return f"{text}\n"


def utf8(data: bytes) -> str:
    """Decode, or raise `EvidenceError`."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise EvidenceError("log-note", "the text is not UTF-8") from error


def b64(data: bytes) -> str:
    """Standard base64 with padding."""
    return base64.b64encode(data).decode()


def unb64(text: str, length: int | None = None) -> bytes:
    """Decode canonical base64: one text for each value. Raises `EvidenceError`."""
    try:
        data = base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise EvidenceError("log-note", "base64 is malformed") from error
    if b64(data) != text or (length is not None and len(data) != length):
        raise EvidenceError("log-note", "base64 is not canonical or has the wrong length")
    return data
