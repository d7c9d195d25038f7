"""Certificates beside the evidence are anybody's: a thousand that look like the office's change no verdict."""

from __future__ import annotations

import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from evidence import pki
from evidence.report import Report
from tests.evidence_keys import AGENCY, FIRST, LAST
from tests.pictures import camera, verify


def likeness(of: x509.Certificate, by: x509.Certificate, serial: int) -> x509.Certificate:
    """A certificate that differs from a true one in its serial number, and in that its issuer never signed it."""
    builder = x509.CertificateBuilder(by.subject, of.subject, of.public_key(), serial, FIRST, LAST)
    for extension in of.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(AGENCY.key("stranger"), hashes.SHA256())


def judged(count: int) -> Report:
    """A good folder with so many likenesses of the signer and of the key above it, before the true ones."""
    made = camera("H")
    pairs = ((AGENCY.signer, AGENCY.issuing), (AGENCY.issuing, AGENCY.root))
    certificates = [likeness(of, by, 1 + number) for of, by in pairs for number in range(count)]
    return verify({**made.files, "certs/a.pem": pki.to_pem(*certificates)})


def test_likenesses_do_not_keep_the_true_chain_from_being_found() -> None:
    found = judged(300)
    assert (found.ok, len(found.receipts)) == (True, 1)


def test_each_of_them_is_tried_once() -> None:
    def seconds(count: int) -> float:
        began = time.process_time()
        assert judged(count).ok
        return time.process_time() - began

    seconds(1)
    assert seconds(100) < 3 * seconds(50)
