"""Who signs a boot: the session key, and what stands behind it (specification §2 and §3.3).

An evidence key certifies the session key: the boot is signed. A camera that has lost its evidence key lets its link key
vouch for the session key instead: such a boot proves nothing in court and stays `unsigned`, but nobody without a key of
this camera, no dock and no thief of its journal, can go on with its chain. An evidence key that answers late, since a
token is slow or comes back, certifies the same session in a record of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import certificate, jose, pki, shape
from evidence.errors import EvidenceError
from evidence.revoked import Revoked

VOUCHER_TYP = "bodycam-voucher"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Session:
    """One boot's signing key. `chain` is None when no evidence key certified it: its records are `unsigned`."""

    boot: str
    kid: str
    key: ec.EllipticCurvePublicKey
    chain: pki.Chain | None
    key_store: str  # "extractable", "token", "none"; how the evidence key was kept
    voucher: pki.Chain | None = None  # of the camera's link key, for want of the evidence key

    @property
    def signed(self) -> bool:
        """Whether a certified evidence key stands behind this boot."""
        return self.chain is not None

    @property
    def vouched(self) -> bool:
        """Whether the camera's link key stands behind it, for want of the evidence key."""
        return self.voucher is not None

    @property
    def stranger(self) -> bool:
        """Whether no key of this camera stands behind this boot: anybody may have made it."""
        return not self.signed and not self.vouched


def open_session(body: Mapping[str, Any], device: str, boot: str, roots: Sequence[x509.Certificate] | None) -> Session:
    """The session of a `boot` or `summary` body. Dates are not judged here: trust and time are told apart.

    `roots` is None for a camera that reads its own journal: it looks for torn lines, not for forgers.
    """
    try:
        key = certificate.require_p256(serialization.load_der_public_key(jose.unb64(body["session_key"].encode())))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise EvidenceError("session-key", "the session key cannot be read") from error
    key_store = body.get("key_store", "none")
    if roots is None:
        return Session(boot, pki.key_id(key), key, None, "none")
    if not body["chain"]:
        voucher = None if body.get("voucher") is None else _check_voucher(body, device, boot, roots)
        return Session(boot, pki.key_id(key), key, None, "none", voucher)
    return Session(boot, pki.key_id(key), key, _check_chain(body, key, device, boot, roots), key_store)


def certify(
    session: Session, body: Mapping[str, Any], device: str, roots: Sequence[x509.Certificate] | None
) -> Session:
    """The session once its `certified` record stands in the journal: signed, and so is all that its key signed before.

    The certificate is about key and boot, not about time: whoever has the session key had it since the boot began.
    """
    if session.signed:
        raise EvidenceError("chain-broken", "the session was certified before")
    if roots is None:
        return session
    chain = _check_chain(body, session.key, device, session.boot, roots)
    return replace(session, chain=chain, key_store=body["key_store"], voucher=None)


def _check_chain(
    body: Mapping[str, Any], key: ec.EllipticCurvePublicKey, device: str, boot: str, roots: Sequence[x509.Certificate]
) -> pki.Chain:
    leaf, *above = [pki.parse_certificate(jose.unb64(text.encode())) for text in body["chain"]]
    chain = pki.validate_chain(leaf, above, roots, role=pki.Role.SESSION, at=None)
    if chain.id != device or pki.boot_id(leaf) != boot:
        raise EvidenceError("foreign", "the session certificate is for another camera or another boot")
    if pki.key_id(pki.public_key(leaf)) != pki.key_id(key):
        raise EvidenceError("session-key", "the session key is not the one that its certificate names")
    return chain


def accepting(revoked: Revoked) -> Callable[[Session], None]:
    """For `JournalReader.feed`: refuses ("certificate-revoked") a boot behind which a key stands that was taken back.

    What such a boot tells that nobody held before proves nothing any more (specification §2): a thief of the key can
    tell it as well. The answer for each boot is kept; lists change seldom, so take another one for each look.
    """
    good: set[tuple[str, bool]] = set()  # a session that is certified late has other keys behind it

    def accept(session: Session) -> None:
        if (session.kid, session.signed) in good:
            return
        chain = session.chain or session.voucher
        for one in chain.certificates[:-1] if chain else ():
            if revoked.entry(one) is not None:
                message = f"the {'evidence' if session.chain else 'link'} key behind boot {session.boot} was taken back"
                raise EvidenceError("certificate-revoked", message)
        good.add((session.kid, session.signed))

    return accept


def make_voucher(
    key: ec.EllipticCurvePrivateKey, chain: Sequence[x509.Certificate], device: str, boot: str, session_key: str
) -> jose.Json:
    """The `voucher` member of an opening: `key` is the camera's link key, `chain` its certificates, leaf first."""
    payload = jose.dump_json({"v": _VERSION, "device": device, "boot": boot, "session_key": session_key})
    ders = [jose.b64(each.public_bytes(serialization.Encoding.DER)) for each in chain]
    return {"chain": ders, "jws": jose.sign(payload, key, VOUCHER_TYP, pki.key_id(key.public_key()))}


def _check_voucher(body: Mapping[str, Any], device: str, boot: str, roots: Sequence[x509.Certificate]) -> pki.Chain:
    voucher = body["voucher"]
    if not voucher["chain"]:
        raise EvidenceError("shape", "a voucher brings the certificate of the link key that signed it")
    leaf, *above = [pki.parse_certificate(jose.unb64(text.encode())) for text in voucher["chain"]]
    chain = pki.validate_chain(leaf, above, roots, role=pki.Role.CAMERA, at=None)
    jws = jose.parse(voucher["jws"], VOUCHER_TYP)
    jws.verify(pki.public_key(leaf))
    told = shape.require("voucher", jose.parse_json(jws.payload), _VOUCHER)
    if chain.id != device or (told["device"], told["boot"], told["session_key"]) != (device, boot, body["session_key"]):
        raise EvidenceError("foreign", "the voucher is for another camera, boot or session key")
    return chain


_VOUCHER: Mapping[str, shape.Check] = {
    "v": shape.number(_VERSION, _VERSION),
    "device": shape.identifier,
    "boot": shape.BOOT,
    "session_key": shape.long_text,
}
