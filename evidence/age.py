"""age v1 files (age-encryption.org/v1): X25519 recipients, streaming writer, random-access reader.

The subset that evidence uses, X25519 stanzas only, so any `age` program opens what is written here; and for keys that
lie on a disk, a passphrase.
Sizes are bytes. Every function raises `EvidenceError` on bad input and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from evidence import bech32
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
_SALT = 16
_WORK = re.compile("1?[0-9]|20")  # at most a gigabyte; the program `age` asks for 2^18
_IDENTITY_PREFIX = "age-secret-key-"
_RECIPIENT_PREFIX = "age"

Random = Callable[[int], bytes]


def generate_identity(random: Random = os.urandom) -> str:
    """Return a new secret identity, `AGE-SECRET-KEY-1…`."""
    return bech32.encode(_IDENTITY_PREFIX, random(_KEY)).upper()


def recipient_of(identity: str) -> str:
    """Return the public recipient, `age1…`, of a secret identity."""
    return bech32.encode(_RECIPIENT_PREFIX, _private_key(identity).public_key().public_bytes_raw())


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
        self.header, self._cipher = _begin(file_key, stanzas, random)
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
        _check_mac(header, file_key)
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


def seal_by_passphrase(plain: bytes, passphrase: str, log_n: int = 17, random: Random = os.urandom) -> bytes:
    """Encrypt a small body (at most one chunk) under a passphrase, as `age --passphrase` does.

    Whoever opens it needs 2^`log_n` KiB of memory.
    """
    file_key, salt = random(_FILE_KEY), random(_SALT)
    body = ChaCha20Poly1305(_stretch(passphrase, salt, log_n)).encrypt(bytes(12), file_key, None)
    stanza = b"-> scrypt " + _b64(salt) + b" %d\n" % log_n + _b64(body) + b"\n"
    header, cipher = _begin(file_key, [stanza], random)
    return header + cipher.encrypt(bytes(11) + b"\1", plain, None)


def open_by_passphrase(data: bytes, passphrase: str) -> bytes:
    """What `seal_by_passphrase`, or `age --passphrase`, has sealed. Raises `EvidenceError` ("age-identity")."""
    header = parse_header(data)
    args = header.stanzas[0].args
    if len(header.stanzas) != 1 or len(args) != 3 or args[0] != "scrypt" or not _WORK.fullmatch(args[2]):  # noqa: PLR2004
        raise EvidenceError("age-header", "the file is not sealed by a passphrase")
    key = _stretch(passphrase, _unb64(args[1].encode(), _SALT), int(args[2]))
    try:
        file_key = ChaCha20Poly1305(key).decrypt(bytes(12), header.stanzas[0].body, None)
    except (InvalidTag, ValueError) as error:
        raise EvidenceError("age-identity", "this is not the passphrase") from error
    _check_mac(header, file_key)
    return Decryptor(file_key, header.nonce).final_chunk(0, data[header.size :])


def _stretch(passphrase: str, salt: bytes, log_n: int) -> bytes:
    kdf = Scrypt(b"age-encryption.org/v1/scrypt" + salt, _KEY, 1 << log_n, 8, 1)
    return kdf.derive(passphrase.encode())


def _begin(file_key: bytes, stanzas: Sequence[bytes], random: Random) -> tuple[bytes, ChaCha20Poly1305]:
    """The header with its payload nonce, and the cipher of the payload."""
    mac_input = b"".join([_VERSION, *stanzas, b"---"])
    raw = mac_input + b" " + _b64(_mac(file_key, mac_input)) + b"\n"
    nonce = random(NONCE)
    return raw + nonce, ChaCha20Poly1305(_hkdf(file_key, nonce, b"payload"))


def _check_mac(header: Header, file_key: bytes) -> None:
    if len(file_key) != _FILE_KEY or not hmac.compare_digest(_mac(file_key, header.mac_input), header.mac):
        raise EvidenceError("age-mac", "the header of the encrypted file was altered")


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
    return X25519PrivateKey.from_private_bytes(bech32.decode(_IDENTITY_PREFIX, identity.lower(), "age-identity"))


def _public_bytes(recipient: str) -> bytes:
    return bech32.decode(_RECIPIENT_PREFIX, recipient, "age-recipients")
