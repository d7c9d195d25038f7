"""Client of the office: uploads, receipts, time anchors; what it signed is verified before anything rests on it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from cryptography import x509

from evidence import jose, pki, shape
from evidence.documents import Configuration, Order, Receipt, TimeAnchor
from evidence.errors import EvidenceError
from evidence.pki import Role
from evidence.revoked import Revoked
from evidence.standing import Standing
from syncd.errors import AwayError, DockError, RefusedError
from syncd.link import Link, Patience
from syncd.shares import Share, Shares
from syncd.tus import Uploads

_NOT_FOUND = 404
_PEM = "application/x-pem-file"
_STANDING: dict[str, shape.Check] = {"device": shape.identifier, "standing": shape.one_of(*Standing)}
_D = TypeVar("_D", Receipt, TimeAnchor, Configuration, Order)


class Signers:
    """The office's keys for documents, each with a chain to the agency's root."""

    def __init__(self, certificates: Iterable[x509.Certificate], roots: Sequence[x509.Certificate]) -> None:
        """`certificates`: the signers' and those above them, in any order. Raises `EvidenceError`."""
        pool = list(certificates)
        leaves = [one for one in pool if pki.role_and_id(one)[0] is Role.SIGNER]
        chains = [pki.validate_chain(leaf, pool, roots, role=Role.SIGNER, at=None) for leaf in leaves]
        if not chains:
            raise EvidenceError("certificate-role", "no signer certificate of the office is given")
        self._chains = {pki.key_id(pki.public_key(chain.leaf)): chain for chain in chains}

    def receipt(self, text: bytes) -> Receipt:
        """Verify a receipt; its signer must have been valid when it says it was made. Raises `EvidenceError`."""
        return self._read(Receipt, text, lambda receipt: receipt.received)

    def anchor(self, text: bytes) -> TimeAnchor:
        """Verify a time anchor. As `receipt`."""
        return self._read(TimeAnchor, text, lambda anchor: anchor.utc)

    def configuration(self, text: bytes) -> Configuration:
        """Verify a configuration. As `receipt`."""
        return self._read(Configuration, text, lambda configuration: configuration.issued)

    def order(self, text: bytes) -> Order:
        """Verify an order. As `receipt`."""
        return self._read(Order, text, lambda order: order.issued)

    def _read(self, kind: type[_D], text: bytes, utc: Callable[[_D], str]) -> _D:
        chain = self._chains.get(jose.parse(text, kind.TYP).kid)
        if chain is None:
            raise EvidenceError("signer-unknown", "signed by a key that is not the office's; fetch its new certificate")
        document = kind.read(text, pki.public_key(chain.leaf))
        if not chain.covers(utc(document)):
            raise EvidenceError("chain-dates", f"the signer's certificate was not valid at {utc(document)}")
        return document


class Office:
    """The office, for one thread. Raises `AwayError`, `RefusedError` and `DockError`."""

    def __init__(
        self,
        address: tuple[str, int],
        context: ssl.SSLContext,
        signers: Signers,
        patience: Patience | None = None,
        share: Share | None = None,
        revoked: Callable[[], Revoked] | None = None,
    ) -> None:
        self._link = Link("office", Role.OFFICE, address, context, patience, revoked)
        self._signers = signers
        self.share = share or Shares().join()  # of the line to the office: segments wait for their turn
        self.uploads = Uploads(self._link)
        self.quarantine = Uploads(self._link, "/v1/quarantine/uploads")
        self.papers = OfficePapers(self._link, signers)

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._link.close()

    def cut(self, reason: Callable[[], Exception]) -> None:
        """See `Link.cut`; waiting for a turn ends, too."""
        self._link.cut(reason)
        self.share.cut(reason)

    def receipt(self, device: str, recording: str, segment: int, sha256: str, size: int) -> bytes:
        """Fetch the receipt for exactly these bytes, verified. Raises `DockError` receipt-missing, receipt-wrong."""
        try:
            text = self._link.request("GET", f"/v1/receipts/{device}/{recording}/{segment}").body
        except RefusedError as refusal:
            if refusal.status == _NOT_FOUND:
                raise DockError("receipt-missing", "the office took every byte and has no receipt for them") from None
            raise
        return check_receipt(self._signers, text, (device, recording, segment, sha256, size))

    def anchor(self, device: str, nonce: str) -> bytes:
        """Fetch a time anchor for a camera's nonce, verified. Raises `DockError` anchor-wrong."""
        asked = jose.dump_json({"device": device, "nonce": nonce})
        text = self._link.request("POST", "/v1/anchors", {"Content-Type": "application/json"}, asked).body.strip()
        try:
            anchor = self._signers.anchor(text)
        except EvidenceError as error:
            raise DockError("anchor-wrong", error.message) from error
        if (anchor.device, anchor.nonce) != (device, nonce):
            raise DockError("anchor-wrong", "the time anchor is for another camera or another docking")
        return text


class OfficePapers:
    """What the office has for cameras besides receipts and time, over a link that others use in turn."""

    def __init__(self, link: Link, signers: Signers) -> None:
        self._link = link
        self._signers = signers

    def revocations(self) -> bytes:
        """The agency's lists with their issuers, PEM; empty if there are none. Not verified."""
        return self._link.request("GET", "/v1/revocations").body

    def standing(self, link: x509.Certificate) -> Standing:
        """How the camera with this link certificate stands."""
        answer = self._link.request("POST", "/v1/standings", {"Content-Type": _PEM}, pki.to_pem(link))
        try:
            value = shape.require("standing", jose.parse_json(answer.body), _STANDING)
        except EvidenceError as error:
            raise AwayError("office", "protocol", error.message) from error
        return Standing(value["standing"])

    def configuration(self, device: str) -> bytes | None:
        """The camera's latest configuration, verified; None: there is none. Raises `DockError` configuration-wrong."""
        try:
            text = self._link.request("GET", f"/v1/configurations/{device}").body.strip()
            if self._signers.configuration(text).device == device:
                return text
        except RefusedError as refusal:
            if refusal.status == _NOT_FOUND:
                return None
            raise
        except EvidenceError as error:
            raise DockError("configuration-wrong", error.message) from error
        raise DockError("configuration-wrong", "the office's configuration is for another camera")

    def renewal(self, request: bytes) -> bytes:
        """The link certificate that lies ready for whoever made this request, PEM; the camera verifies it."""
        return self._link.request("POST", "/v1/renewals", {"Content-Type": _PEM}, request).body

    def open_quarantine(self, device: str, standing: Standing, proof: jose.Json) -> None:
        """Let a camera hand in to quarantine."""
        body = jose.dump_json({"standing": standing.value, "proof": proof})
        self._link.request("POST", f"/v1/quarantine/{device}", {"Content-Type": "application/json"}, body)


def check_receipt(signers: Signers, text: bytes, expected: tuple[str, str, int, str, int]) -> bytes:
    """Return the receipt if it is for `expected`: device, recording, segment, SHA-256, size. Raises `DockError`."""
    text = text.strip()
    try:
        receipt = signers.receipt(text)
    except EvidenceError as error:
        raise DockError("receipt-wrong", error.message) from error
    if (receipt.device, receipt.recording, receipt.segment, receipt.sha256, receipt.size) != expected:
        raise DockError("receipt-wrong", "the receipt is for another segment or for other bytes")
    return text
