"""How a camera stands with its agency when it is put into a bay (docs/spec/dock.md §5). Pure."""

from __future__ import annotations

import enum
from datetime import datetime

from cryptography import x509

from evidence.revoked import Revoked


class Standing(enum.StrEnum):
    """Anything but `good`: it hands in to quarantine, and gets nothing back."""

    GOOD = "good"
    EXPIRED = "expired"  # its link certificate has run out
    REVOKED = "revoked"  # its link certificate was taken back, or a key behind a boot of its journal
    LOST = "lost"  # the office says so
    UNASSIGNED = "unassigned"  # nobody's, as the office says, or not in its register


def of_link(certificate: x509.Certificate, revoked: Revoked, now: datetime) -> Standing:
    """What the link certificate alone says."""
    if revoked.entry(certificate) is not None:
        return Standing.REVOKED
    if now > certificate.not_valid_after_utc:
        return Standing.EXPIRED
    return Standing.GOOD
