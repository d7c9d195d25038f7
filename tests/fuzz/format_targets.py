"""Targets of `evidence`: lines, documents, age, MP4, certificates, the office's log."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import struct
from itertools import pairwise
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence import age, boxes, jose, merkle, mp4, pki, records, sealed
from evidence.checkpoint import Checkpoint, Proof
from evidence.documents import Configuration, Receipt, TimeAnchor
from evidence.join import Joiner, PartSource, whole_boxes
from evidence.note import read_verifier_key, sign_note, verifier_key
from syncd.office import Signers
from tests.evidence_keys import AGENCY, Stream, identity, key, recipients, sha256
from tests.evidence_media import media, media_fragment, media_init
from tests.fuzz.signed import DEVICE, OWN, certified, document_of, folder, line_of, payloads, vector
from tests.fuzz.target import attempt, target

CUT = b"\xffCUT"
"""Between the pieces of an input that has several."""


# --- lines and documents


def _kinds() -> list[bytes]:
    """One payload of each kind of record."""
    found = {json.loads(payload)["kind"]: payload for payload in payloads() if b'"kind"' in payload}
    return list(found.values())


@target(lambda: [b'{"v":1,"x":[{"y":-9223372036854775808}],"z":"\\ud83d\\ude00"}', *_kinds()])
def strict_json(data: bytes) -> None:
    """JSON, strictly: what was read says the same when it is written and read again."""
    value = attempt(jose.parse_json, data)
    assert value is None or jose.parse_json(jose.dump_json(value)) == value


@target(lambda: [folder()["journal/00000000.jws"].splitlines()[-2], vector("line")["line"].encode()])
def line(data: bytes) -> None:
    """A journal line: there is one text for what it says."""
    record = attempt(records.parse, data)
    attempt(jose.payload_of, data)
    if record is not None:
        parts = (jose.b64(part) for part in (record.jws.payload, record.jws.signature))
        assert data.split(b".")[1:] == [part.encode() for part in parts]


@target(_kinds)
def record(data: bytes) -> None:
    """A journal line whose signature holds, over any payload."""
    text = line_of(data) if len(data) < jose.LINE_LIMIT else b""
    if (found := attempt(records.parse, text)) is not None:
        found.jws.verify(key(OWN).public_key())
        found.clock.to_json()


SIGNERS = Signers([AGENCY.signer, AGENCY.issuing], [AGENCY.root])
_DOCUMENTS: dict[str, Any] = {"receipt": Receipt, "configuration": Configuration, "time anchor": TimeAnchor}


@target(lambda: [vector("documents")[name]["payload"].encode() for name in _DOCUMENTS])
def document(data: bytes) -> None:
    """Receipt, configuration and time anchor whose signatures hold, over any payload."""
    office = AGENCY.key("signer").public_key()
    for kind in _DOCUMENTS.values():
        attempt(kind.read, document_of(data, kind.TYP), office)
    attempt(SIGNERS.receipt, document_of(data, Receipt.TYP))
    attempt(SIGNERS.anchor, document_of(data, TimeAnchor.TYP))
    configuration = attempt(Configuration.read, document_of(data, Configuration.TYP), office)
    if configuration is not None:
        attempt(age.Encryptor, configuration.recipients)


@target(lambda: [case["plain"].encode() for case in vector("sealed").values()])
def sealed_body(data: bytes) -> None:
    """The plaintext of a sealed body that has the hash of its record."""
    for kind in (*sealed.BODIES, "fault"):
        attempt(sealed.check_plain, kind, data, sha256(data))
    attempt(sealed.open_sealed, "assigned", {"sealed": jose.b64(data), "sha256": sha256(data)}, identity("office"))
    if 0 < len(data) <= age.CHUNK:
        text = jose.b64(age.seal_small(data, recipients(), Stream("fuzz")))
        attempt(sealed.open_sealed, "position", {"sealed": text, "sha256": sha256(data)}, identity("office"))


# --- age


def _age_files() -> list[bytes]:
    return [bytes.fromhex(case["file"]) for case in vector("age") if case["file"]]


@target(_age_files)
def age_file(data: bytes) -> None:
    """A whole file. What opens is as long as it can be."""
    header = attempt(age.parse_header, data)
    opened = attempt(age.open_file, data, identity("office"))
    if opened is not None and header is not None:
        assert len(opened.plain) <= len(data) - header.size


@target(lambda: [_age_files()[0].partition(b"\n")[2].partition(b"\n---")[0] + b"\n", b"-> grease x\n\n"])
def age_stanzas(data: bytes) -> None:
    """Recipient stanzas before a good one, under a MAC that holds."""
    writer = age.Encryptor(recipients()[:1], Stream("fuzz stanzas"))
    own = writer.header.splitlines(keepends=True)
    file_key = age.unwrap(age.parse_header(writer.header), identity("office"))
    covered = own[0] + data + own[1] + own[2] + b"---"
    mac = base64.b64encode(age._mac(file_key, covered)).rstrip(b"=")
    header = attempt(age.parse_header, covered + b" " + mac + b"\n" + bytes(age.NONCE))
    if header is not None:
        attempt(age.unwrap, header, identity("office"))


@target(lambda: [identity("office").encode(), recipients()[0].encode()])
def age_key(data: bytes) -> None:
    """Text of identities and recipients."""
    text = data.decode("utf-8", "replace")
    attempt(age.recipient_of, text)
    if age.is_recipient(text):
        attempt(age.Encryptor, [text])
        age.fingerprint(text)


# --- MP4


def plaintext(stills: int = 0) -> bytes:
    """A closed segment's plaintext without its padding, so that a mutation hits something."""
    carried = sum((mp4.still(5, b"\xff\xd8jpeg") for _ in range(stills)), ())
    data = media_init() + media_fragment(0, 0, 0, carried) + mp4.TRAILER
    return b"".join(data[box.start : box.end] for box in boxes.boxes(data) if box.kind != b"free") + mp4.TRAILER


@target(lambda: [plaintext(), plaintext(stills=2), mp4.TRAILER])
def mp4_boxes(data: bytes) -> None:
    """Boxes, tracks, samples and stills: all that is told lies inside the bytes."""
    for fragment in attempt(lambda: list(boxes.fragments(data))) or ():
        assert 0 <= fragment.start < fragment.end <= len(data)
        for run in fragment.runs:
            assert all(0 <= at <= at + size <= len(data) for at, size, _ in run.samples)
    for still in attempt(lambda: list(boxes.stills(data))) or ():
        assert 0 <= still.start <= still.end <= len(data)
    for entry in (attempt(boxes.sample_entries, data) or {}).values():
        attempt(boxes.picture_size, entry)
    whole = whole_boxes(data)
    assert bytes(whole) == data[: len(whole)]


@target(lambda: [CUT.join([plaintext(), plaintext(1)]), CUT.join([plaintext(), media_init()])])
def join(data: bytes) -> None:
    """Segments of two parts made into one film: it can be read back."""
    parts = data.split(CUT, 1)
    joiner = attempt(Joiner, parts)
    if joiner is None:
        return
    film = joiner.header
    for number, part in enumerate(parts, 1):
        film += b"".join(attempt(lambda part=part, n=number: list(joiner.part(PartSource(n, [part])))) or ())
        if len(joiner.placed) < number:
            return
    list(boxes.fragments(film))
    boxes.sample_entries(film)


def _annex_b(count: int) -> bytes:
    start = b"\0\0\0\1"
    config = media().video
    units = [b"\x09\xf0", config.sps, config.pps]
    for picture in media().pictures[:count]:
        joined = b"".join(picture.data)
        while joined:
            (size,) = struct.unpack(">I", joined[:4])
            units.append(joined[4 : 4 + size])
            joined = joined[4 + size :]
    return b"".join(start + unit for unit in units)


@target(lambda: [_annex_b(1), _annex_b(2), b"\0\0\1\x67\x42\0\x1e\xff\0\0\1\x68\xce\0\0\1\x06\x05\0\0\1\x65\x88"])
def h264_unit(data: bytes) -> None:
    """An access unit, stored and read back."""
    unit = attempt(mp4.access_unit, data)
    if unit is None:
        return
    stored = b"".join(unit.data)
    assert len(stored) <= 2 * len(data) + 4
    if unit.sps is not None and unit.pps is not None:
        init = attempt(mp4.init, mp4.VideoConfig(unit.sps, unit.pps, 320, 240), None, 4096)
        assert init is None or boxes.picture_size(boxes.sample_entries(init)[b"vide"]) == (320, 240)
    pieces = mp4.fragment(1, mp4.Run(0, [mp4.Sample(unit.data, 1, unit.idr)]), None, 0, 4096)
    whole = b"".join(pieces)
    (fragment,) = boxes.fragments(whole)
    ((at, size, _),) = fragment.runs[0].samples
    assert whole[at : at + size] == stored


@target(lambda: [media().streaminfo, media().streaminfo[:-1]])
def flac_config(data: bytes) -> None:
    """STREAMINFO of an encoder."""
    init = attempt(mp4.init, None, data, 0)
    assert init is None or data in boxes.sample_entries(init)[b"soun"]


# --- certificates


def _chain() -> list[x509.Certificate]:
    return AGENCY.session(DEVICE, "1" * 32, OWN)


def _certificates() -> list[x509.Certificate]:
    return [*_chain(), AGENCY.root, AGENCY.signer]


def _judge(certificate: x509.Certificate) -> None:
    for look in (pki.role_and_id, pki.agency_of, pki.hosts_of, pki.boot_id, pki.public_key):
        attempt(look, certificate)
    for role in pki.Role:
        attempt(pki.validate_chain, certificate, [certificate, *_CHAIN], [AGENCY.root], role=role, at=None)
    attempt(pki.validate_chain, certificate, [certificate], [certificate], role=pki.Role.ROOT, at=_AT)
    attempt(pki.validate_chain, _CHAIN[0], [certificate, *_CHAIN[1:]], [AGENCY.root], role=pki.Role.SESSION, at=_AT)


_CHAIN = _chain()
_AT = AGENCY.root.not_valid_before_utc


@target(
    lambda: [
        *(one.public_bytes(serialization.Encoding.DER) for one in _certificates()),
        pki.to_pem(AGENCY.signer, AGENCY.issuing),
    ]
)
def certificate(data: bytes) -> None:
    """Certificates in PEM or DER."""
    for one in attempt(pki.parse_certificates, data) or ():
        _judge(one)


@target(lambda: [one.tbs_certificate_bytes for one in _certificates()])
def certificate_content(data: bytes) -> None:
    """What a hostile issuing key, or a camera's own, certifies: the signature holds, the content is anything."""
    for signer in ("issuing", f"evidence {DEVICE}", "root"):
        if (one := attempt(pki.parse_certificate, certified(data, AGENCY.key(signer)))) is not None:
            _judge(one)


def _request() -> x509.CertificateSigningRequest:
    return pki.make_request(pki.Role.OFFICE, "OFFICE-1", key("fuzz"), ["office.example", "::1"])


@target(lambda: [_request().public_bytes(serialization.Encoding.PEM), b"-----BEGIN CERTIFICATE REQUEST-----\n"])
def request(data: bytes) -> None:
    """Certificate requests in PEM."""
    for one in attempt(pki.parse_requests, data) or ():
        attempt(pki.hosts_of, one)


@target(lambda: [_request().tbs_certrequest_bytes])
def request_content(data: bytes) -> None:
    """A request that its own key signed, with any content."""
    text = base64.encodebytes(certified(data, key("fuzz")))
    request(b"-----BEGIN CERTIFICATE REQUEST-----\n" + text + b"-----END CERTIFICATE REQUEST-----\n")


# --- the office's log

_LOG = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_ORIGIN = "bodycam/AGENCY-1/OFFICE-1"


def _tree(size: int) -> merkle.Tree:
    return merkle.Tree(merkle.leaf_hash(bytes([n])) for n in range(size))


def _proof(index: int, size: int) -> bytes:
    tree = _tree(size)
    note = Checkpoint(_ORIGIN, size, tree.root()).sign(_LOG)
    return Proof(index, tuple(tree.inclusion(index)), bytes([index]), note).to_text()


@target(lambda: [_proof(2, 7), _proof(0, 1), Checkpoint(_ORIGIN, 3, _tree(3).root()).sign(_LOG)])
def log_proof(data: bytes) -> None:
    """Offline proofs, checkpoints and signed notes."""
    attempt(Checkpoint.read, data, _ORIGIN, _LOG.public_key())
    if (proof := attempt(Proof.read, data)) is not None:
        attempt(proof.verify, _ORIGIN, _LOG.public_key())
        assert Proof.read(proof.to_text()) == proof


@target(lambda: [f"{_ORIGIN}\n7\n{base64.b64encode(_tree(7).root()).decode()}\n".encode()])
def log_checkpoint(data: bytes) -> None:
    """A checkpoint whose signature holds, over any text."""
    with contextlib.suppress(UnicodeDecodeError):
        attempt(Checkpoint.read, sign_note(data.decode(), _ORIGIN, _LOG), _ORIGIN, _LOG.public_key())


@target(lambda: [verifier_key(_ORIGIN, _LOG.public_key()).encode()])
def log_key(data: bytes) -> None:
    """The log's key, as people copy it."""
    attempt(read_verifier_key, data.decode("utf-8", "replace"))


@target(lambda: [struct.pack(">QQ", 3, 7) + b"".join(_tree(7).consistency(3)), struct.pack(">QQ", 2**62, 2**63)])
def merkle_path(data: bytes) -> None:
    """Paths of any length in trees of any size."""
    numbers, path = data[:16].ljust(16, b"\0"), data[16:]
    first, second = struct.unpack(">QQ", numbers)
    cuts = range(0, len(path) + merkle.HASH, merkle.HASH)
    hashes = [path[start:stop] for start, stop in pairwise(cuts)]
    root = hashlib.sha256(path).digest()
    attempt(merkle.verify_inclusion, root, first, second, hashes, root)
    attempt(merkle.verify_consistency, first, root, second, root, hashes)
    tree = _tree(7)
    attempt(tree.inclusion, first, second % 16)
    attempt(tree.consistency, first % 16, second % 16)
    attempt(tree.root, second % 16)
