"""age v1 files (age-encryption.org/v1): X25519 recipients, streaming writer, random-access reader.

The subset that evidence uses: X25519 stanzas only, so any `age` program opens what is written here.
Sizes are bytes. Every function raises `EvidenceError` on bad input and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from evidence.errors import EvidenceError

CHUNK = 65536
TAG = 16
CIPHER_CHUNK = CHUNK + TAG
NONCE = 16
HEADER_LIMIT = 16384  # 2 recipients need 250; a header beyond this is hostile
STANZA_LIMIT = 16

_VERSION = b"age-encryption.org/v1\n"
_FILE_KEY = 16
_KEY = 32
_IDENTITY_PREFIX = "age-secret-key-"
_RECIPIENT_PREFIX = "age"

Random = Callable[[int], bytes]


def generate_identity(random: Random = os.urandom) -> str:
    """Return a new secret identity, `AGE-SECRET-KEY-1…`."""
    return _bech32_encode(_IDENTITY_PREFIX, random(_KEY)).upper()


def recipient_of(identity: str) -> str:
    """Return the public recipient, `age1…`, of a secret identity."""
    return _bech32_encode(_RECIPIENT_PREFIX, _private_key(identity).public_key().public_bytes_raw())


def is_recipient(value: object) -> bool:
    """Whether this is the text of a public recipient."""
    try:
        return isinstance(value, str) and len(_public_bytes(value)) == _KEY
    except EvidenceError:
        return False


def fingerprint(recipient: str) -> str:
    """Return the SHA-256 of a recipient's public key in hex: how `segment` records name it."""
    return hashlib.sha256(_public_bytes(recipient)).hexdigest()


@dataclass(frozen=True, slots=True)
class Stanza:
    """One recipient's wrapped file key: the type and its arguments, and the body."""

    args: tuple[str, ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """The header of an age file: `raw` is the header through its MAC line, `size` includes the payload nonce."""

    stanzas: tuple[Stanza, ...]
    raw: bytes
    mac: bytes
    nonce: bytes

    @property
    def size(self) -> int:
        """Bytes before the first cipher chunk."""
        return len(self.raw) + NONCE

    @property
    def sha256(self) -> str:
        """Hash of header and nonce, as `segment` records name it."""
        return hashlib.sha256(self.raw + self.nonce).hexdigest()

    @property
    def mac_input(self) -> bytes:
        """What the MAC covers: the header through `---`."""
        return self.raw[: self.raw.rindex(b"---") + 3]


class Encryptor:
    """Streaming writer: `header` first, then whole chunks by `seal`, at the end `finish` with 1 to 65,536 bytes."""

    def __init__(self, recipients: Sequence[str], random: Random = os.urandom) -> None:
        if not recipients:
            raise EvidenceError("age-recipients", "no recipient is given; the office-signed configuration names them")
        file_key = random(_FILE_KEY)
        stanzas = [_wrap(file_key, recipient, random) for recipient in recipients]
        mac_input = b"".join([_VERSION, *stanzas, b"---"])
        raw = mac_input + b" " + _b64(_mac(file_key, mac_input)) + b"\n"
        nonce = random(NONCE)
        self.header = raw + nonce
        self._cipher = ChaCha20Poly1305(_hkdf(file_key, nonce, b"payload"))
        self._counter = 0
        self._out = bytearray()

    def seal(self, data: bytes | bytearray | memoryview) -> memoryview:
        """Encrypt whole chunks: `len(data)` is a multiple of 65,536; returns `len(data) / 65536 * 65552` bytes.

        What is returned holds until the next call: half a megabyte twice a second is not to be allocated anew.
        """
        view = memoryview(data)
        count, rest = divmod(len(view), CHUNK)
        if rest:
            raise ValueError("seal takes whole chunks")
        if len(self._out) < count * CIPHER_CHUNK:
            self._out = bytearray(count * CIPHER_CHUNK)
        target = memoryview(self._out)[: count * CIPHER_CHUNK]
        for index in range(count):
            start = index * CIPHER_CHUNK
            self._cipher.encrypt_into(
                self._counter.to_bytes(11, "big") + b"\0",
                view[index * CHUNK : (index + 1) * CHUNK],
                None,
                target[start : start + CIPHER_CHUNK],
            )
            self._counter += 1
        return target

    def finish(self, data: bytes) -> bytes:
        """Encrypt the final chunk; the writer cannot be used afterwards."""
        if not 0 < len(data) <= CHUNK:
            raise ValueError("the final chunk holds 1 to 65,536 bytes")
        return self._cipher.encrypt(self._counter.to_bytes(11, "big") + b"\1", data, None)


def parse_header(data: bytes | memoryview) -> Header:
    """Parse the header at the start of a file; `data` may be longer or hold just the header and nonce."""
    head = bytes(data[: HEADER_LIMIT + NONCE])
    if not head.startswith(_VERSION):
        raise EvidenceError("age-header", "this is not an age v1 file")
    position = len(_VERSION)
    stanzas: list[Stanza] = []
    while True:
        line, position = _line(head, position)
        if line.startswith(b"--- "):
            mac = _unb64(line[4:], _KEY)
            break
        if not line.startswith(b"-> ") or len(stanzas) == STANZA_LIMIT:
            raise EvidenceError("age-header", "a recipient stanza is malformed or there are too many")
        body = b""
        while True:
            part, position = _line(head, position)
            body += part
            if len(part) < 64:  # noqa: PLR2004 - the column at which age wraps
                break
            if len(part) > 64:  # noqa: PLR2004
                raise EvidenceError("age-header", "a stanza line is too long")
        stanzas.append(Stanza(_arguments(line[3:]), _unb64(body)))
    if not stanzas:
        raise EvidenceError("age-header", "the file names no recipient")
    nonce = head[position : position + NONCE]
    if len(nonce) < NONCE:
        raise EvidenceError("age-header", "the file ends inside its header")
    return Header(tuple(stanzas), head[:position], mac, nonce)


def unwrap(header: Header, identity: str) -> bytes:
    """Return the file key that a secret identity opens. Checks the header's MAC."""
    private = _private_key(identity)
    public = private.public_key().public_bytes_raw()
    for stanza in header.stanzas:
        if len(stanza.args) != 2 or stanza.args[0] != "X25519":  # noqa: PLR2004 - type and share
            continue
        share = _unb64(stanza.args[1].encode(), _KEY)
        try:
            secret = private.exchange(X25519PublicKey.from_public_bytes(share))
            key = _hkdf(secret, share + public, b"age-encryption.org/v1/X25519")
            file_key = ChaCha20Poly1305(key).decrypt(bytes(12), stanza.body, None)
        except (InvalidTag, ValueError):
            continue
        if len(file_key) != _FILE_KEY or not hmac.compare_digest(_mac(file_key, header.mac_input), header.mac):
            raise EvidenceError("age-mac", "the header of the encrypted file was altered")
        return file_key
    raise EvidenceError(
        "age-identity", "this identity is not among the file's recipients; use the office's or recovery"
    )


class Decryptor:
    """Random-access reader of the chunks of one file."""

    def __init__(self, file_key: bytes, nonce: bytes) -> None:
        self._cipher = ChaCha20Poly1305(_hkdf(file_key, nonce, b"payload"))

    def chunk(self, index: int, data: bytes | memoryview, *, last: bool) -> bytes:
        """Open chunk `index` (from 0)."""
        try:
            return self._cipher.decrypt(index.to_bytes(11, "big") + (b"\1" if last else b"\0"), bytes(data), None)
        except (InvalidTag, ValueError, OverflowError) as error:
            raise EvidenceError("age-chunk", f"cipher chunk {index} was altered or is out of place") from error

    def final_chunk(self, index: int, data: bytes | memoryview) -> bytes:
        """Open the chunk that ends the file; age allows an empty one only in an empty file."""
        plain = self.chunk(index, data, last=True)
        if not plain and index:
            raise EvidenceError("age-chunk", "the last chunk is empty")
        return plain


@dataclass(frozen=True, slots=True)
class Opened:
    """What an age file gave: the plaintext up to the first bad chunk, and whether the file ends as a closed one."""

    plain: bytes
    complete: bool
    bad_chunk: int | None


def open_file(data: bytes | memoryview, identity: str) -> Opened:
    """Decrypt a whole file, or the correct prefix of a truncated or altered one."""
    header = parse_header(data)
    reader = Decryptor(unwrap(header, identity), header.nonce)
    view = memoryview(data)[header.size :]
    plain = bytearray()
    for index, chunk, at_end in _chunks(view):
        try:
            plain += reader.chunk(index, chunk, last=False)
            continue
        except EvidenceError:
            if not at_end:
                return Opened(bytes(plain), complete=False, bad_chunk=index)
        try:
            plain += reader.final_chunk(index, chunk)
        except EvidenceError:
            # A cut leaves a part of a chunk behind; a whole chunk that does not open was altered.
            whole = len(chunk) == CIPHER_CHUNK
            return Opened(bytes(plain), complete=False, bad_chunk=index if whole else None)
        return Opened(bytes(plain), complete=True, bad_chunk=None)
    return Opened(bytes(plain), complete=False, bad_chunk=None)


def seal_small(plain: bytes, recipients: Sequence[str], random: Random = os.urandom) -> bytes:
    """Encrypt a small body (at most one chunk) into one age file: how records that name people are sealed."""
    writer = Encryptor(recipients, random)
    return writer.header + writer.finish(plain)


def _chunks(view: memoryview) -> Iterator[tuple[int, memoryview, bool]]:
    for index, start in enumerate(range(0, len(view), CIPHER_CHUNK)):
        yield index, view[start : start + CIPHER_CHUNK], start + CIPHER_CHUNK >= len(view)


def _wrap(file_key: bytes, recipient: str, random: Random) -> bytes:
    public = _public_bytes(recipient)
    ephemeral = X25519PrivateKey.from_private_bytes(random(_KEY))
    share = ephemeral.public_key().public_bytes_raw()
    try:
        secret = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:  # a point of low order: every secret would be zero
        raise EvidenceError("age-recipients", "this recipient is no usable key") from error
    key = _hkdf(secret, share + public, b"age-encryption.org/v1/X25519")
    body = ChaCha20Poly1305(key).encrypt(bytes(12), file_key, None)
    return b"-> X25519 " + _b64(share) + b"\n" + _b64(body) + b"\n"


def _mac(file_key: bytes, mac_input: bytes) -> bytes:
    return hmac.digest(_hkdf(file_key, b"", b"header"), mac_input, "sha256")


def _hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), _KEY, salt or None, info).derive(secret)


def _arguments(line: bytes) -> tuple[str, ...]:
    args = line.split(b" ")
    if not all(arg and all(0x21 <= byte <= 0x7E for byte in arg) for arg in args):  # noqa: PLR2004 - visible ASCII
        raise EvidenceError("age-header", "a stanza's argument is empty or not visible ASCII")
    return tuple(arg.decode("ascii") for arg in args)


def _line(head: bytes, position: int) -> tuple[bytes, int]:
    end = head.find(b"\n", position)
    if end < 0:
        raise EvidenceError("age-header", "the header does not end")
    return head[position:end], end + 1


def _b64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _unb64(text: bytes, length: int | None = None) -> bytes:
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise EvidenceError("age-header", "base64 in the header is malformed") from error
    if _b64(data) != text or (length is not None and len(data) != length):
        raise EvidenceError("age-header", "base64 in the header is not canonical or has the wrong length")
    return data


def _private_key(identity: str) -> X25519PrivateKey:
    if identity != identity.upper():
        raise EvidenceError("age-identity", "an age identity is written in capitals: AGE-SECRET-KEY-1…")
    return X25519PrivateKey.from_private_bytes(_bech32_decode(_IDENTITY_PREFIX, identity.lower(), "age-identity"))


def _public_bytes(recipient: str) -> bytes:
    return _bech32_decode(_RECIPIENT_PREFIX, recipient, "age-recipients")


# Bech32 (BIP 173), the text form of age keys.

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


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


def _bech32_encode(prefix: str, data: bytes) -> str:
    words = _regroup(data, 8, 5, pad=True) or []
    check = _polymod([*_expand(prefix), *words, 0, 0, 0, 0, 0, 0]) ^ 1
    words += [check >> 5 * (5 - i) & 31 for i in range(6)]
    return prefix + "1" + "".join(_ALPHABET[w] for w in words)


def _bech32_decode(prefix: str, text: str, code: str) -> bytes:
    words = [_ALPHABET.find(c) for c in text[len(prefix) + 1 :]]
    if not text.startswith(prefix + "1") or -1 in words or _polymod([*_expand(prefix), *words]) != 1:
        raise EvidenceError(code, "this is not an age key: check that it was copied whole")
    data = _regroup(words[:-6], 5, 8, pad=False)
    if data is None or len(data) != _KEY:
        raise EvidenceError(code, "this age key has the wrong length")
    return bytes(data)
