"""An office's log for tests: the key that signs it, what an export carries of it, and authorities that stamp it."""

from __future__ import annotations

import functools
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from evidence import jose, merkle, office_log, records, shape
from evidence.checkpoint import Checkpoint, Proof
from evidence.documents import LogKey, Receipt
from evidence.note import verifier_key
from tests import stamp_maker
from tests.agency import Holder
from tests.evidence_builder import Camera
from tests.evidence_keys import AGENCY

ORIGIN = "bodycam/AGENCY-1/OFFICE-1"
LOG_KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"bodycam vectors log").digest())
OWN = Holder(AGENCY.stamp, AGENCY.key("stamp"))
"""The authority of the agency itself."""


class OfficeLogCopy:
    """What an export of `made` carries of the office's log: leaves are added, then `publish` writes the files."""

    def __init__(self, made: Camera) -> None:
        self.made = made
        self.leaves: list[tuple[str, bytes]] = []  # where the proof goes, and the entry

    def head(self, **changed: Any) -> None:
        """The camera's newest record, held by the office three seconds after it was made."""
        last = self.made.records[-1]
        at = shape.utc_text(self.made.utc_ms + 3_000)
        leaf = office_log.head_leaf(self.made.device, (last.seq, last.sha256), at, 500, "DOCK-1")
        self.leaves.append((office_log.head_path(last.seq), jose.dump_json({**leaf, **changed})))

    def ingest(self, segment: int, **changed: Any) -> None:
        """A segment whose receipt names this leaf."""
        text = self.made.files[records.receipt_path(self.made.recording, segment)]
        told = jose.parse_json(jose.parse(text, Receipt.TYP).payload)
        leaf = {name: told[name] for name in told if name not in ("v", "office", "leaf_index")}
        entry = {"act": "ingest", "dock": None, **leaf, **changed}
        self.leaves.append((office_log.ingest_path(self.made.recording, segment), jose.dump_json(entry)))

    def publish(self, *, key: Ed25519PrivateKey = LOG_KEY, certify: Ed25519PrivateKey = LOG_KEY) -> bytes:
        """Write key, checkpoint and proofs; the checkpoint's note."""
        tree = merkle.Tree(merkle.leaf_hash(entry) for _, entry in self.leaves)
        note = Checkpoint(ORIGIN, tree.size, tree.root()).sign(key)
        files = {office_log.checkpoint_path(tree.size): note}
        for index, (path, entry) in enumerate(self.leaves):
            files[path] = Proof(index, tuple(tree.inclusion(index)), entry, note).to_text()
        told = LogKey("OFFICE-1", verifier_key(ORIGIN, certify.public_key()), shape.utc_text(self.made.utc_ms))
        signed = told.sign(AGENCY.key("signer"), AGENCY.kid("signer"), deterministic=True)
        self.made.files |= {**files, office_log.KEY: signed.encode()}
        return note

    def stamp(self, note: bytes, after_ms: int, by: Holder = OWN) -> None:
        """A stamp over the checkpoint, so long after the camera's present time."""
        at = datetime.fromtimestamp((self.made.utc_ms + after_ms) / 1000, UTC)
        token = stamp_maker.stamp(note, by.certificate, by.key, at, error_ms=0)
        self.made.files[office_log.stamp_path(len(self.leaves))] = token


@functools.cache
def bought(_which: str = "one") -> tuple[x509.Certificate, Holder]:
    """The root and the certificate of an authority that one buys: RSA, and nothing that agencies know of."""
    now = datetime.now(UTC)
    top, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("Some Root", "Time Stamps")]

    def builder(name: x509.Name, public: rsa.RSAPublicKey) -> x509.CertificateBuilder:
        return x509.CertificateBuilder(
            names[0], name, public, x509.random_serial_number(), now - timedelta(days=1), now + timedelta(days=9)
        )

    root = builder(names[0], top.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    leaf = builder(names[1], key.public_key()).add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True
    )
    signed = [one.sign(top, hashes.SHA256()) for one in (root, leaf)]
    return signed[0], Holder(signed[1], key)  # type: ignore[arg-type]
