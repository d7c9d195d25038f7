"""A camera proves that it has its evidence key (docs/spec/dock.md §5): for hand-in to quarantine.

A link certificate may have run out or been taken back; a camera signs its journal with another key. Its session
key, which the evidence key certified at this boot, signs the dock's nonce and the dock's id: no answer serves twice,
and none at another dock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import jose, pki, shape
from evidence.errors import EvidenceError
from evidence.pki import Role
from evidence.revocation import Entry
from evidence.revoked import Revoked

TYP = "bodycam-challenge"
_VERSION = 1
_ANSWER: Mapping[str, shape.Check] = {"chain": shape.list_of(shape.long_text, 1, 8), "jws": shape.long_text}
_SIGNED: Mapping[str, shape.Check] = {
    "v": shape.number(_VERSION, _VERSION),
    "device": shape.identifier,
    "dock": shape.identifier,
    "nonce": shape.hexadecimal(32),
}


def answer(session: ec.EllipticCurvePrivateKey, chain: Sequence[str], device: str, dock: str, nonce: str) -> jose.Json:
    """Sign a dock's nonce. `chain`: base64url DER of session, evidence and issuing, as the journal's opening has it."""
    payload = jose.dump_json({"v": _VERSION, "device": device, "dock": dock, "nonce": nonce})
    return {"chain": list(chain), "jws": jose.sign(payload, session, TYP, pki.key_id(session.public_key()))}


def check(
    value: Any, roots: Sequence[x509.Certificate], revoked: Revoked, device: str, dock: str, nonce: str | None
) -> None:
    """Refuse an answer that is not this camera's to this dock. `nonce` None: the dock has compared it.

    Raises `EvidenceError`: foreign; certificate-revoked if the evidence key itself was taken back, which proves nothing
    any more; what a chain and a JWS raise.
    """
    told = shape.require("challenge", value, _ANSWER)
    leaf, *above = [pki.parse_certificate(jose.unb64(text.encode())) for text in told["chain"]]
    chain = pki.validate_chain(leaf, above, roots, role=Role.SESSION, at=None)
    jws = jose.parse(told["jws"], TYP)
    jws.verify(pki.public_key(leaf))
    signed = shape.require("challenge", jose.parse_json(jws.payload), _SIGNED)
    if (chain.id, signed["device"], signed["dock"]) != (device, device, dock) or nonce not in {None, signed["nonce"]}:
        raise EvidenceError("foreign", "the answer is another camera's, or to another dock's challenge")
    for certificate in chain.certificates[1:-1]:
        entry: Entry | None = revoked.entry(certificate)
        if entry is not None:
            raise EvidenceError(
                "certificate-revoked", f"the evidence key of {device} was taken back: it proves nothing"
            )
