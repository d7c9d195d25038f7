"""The agency takes certificates back: one list for each issuer, beside the issuer's certificate, with everything ever.

A list is public. It goes to the office by `--install`, from there into each export, and to a verifier by `--crl`.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from evidence import pki, revocation
from evidence.certificate import PROFILES
from evidence.errors import EvidenceError
from evidence.pki import Role
from evidence.revocation import REASONS, Entry, RevocationList
from provisioning.errors import ProvisioningError
from provisioning.key_files import Say
from runtime.keys import load_certificates, load_key, replace_file

LISTS = ("issuing.crl", "root.crl")
"""Names of the lists, in the agency's `certs/`, in answers and in the office's `certs/`."""


def revoke(
    agency: Path, what: str, reason: str, since: datetime | None, now: datetime, out: Path | None, say: Say
) -> None:
    """Take back every certificate of one key. `what`: `<role>/<ID>`, or the file that the agency keeps in `issued/`.

    `since`: when the key was lost, if that is known; `out`: a folder that gets a copy of the list.
    """
    if since is not None and since > now:
        raise ProvisioningError(os.EX_USAGE, f"--since {since:%Y-%m-%dT%H:%M:%SZ} is still to come")
    certificates = _find(agency, what)
    role, name = pki.role_and_id(certificates[0])
    (issuer,) = load_certificates(agency / "certs" / f"{PROFILES[role].issuer}.pem")
    path = agency / "certs" / f"{PROFILES[role].issuer}.crl"
    former = read_list(path, issuer)
    entries = dict(former.entries) if former else {}
    for certificate in certificates:
        entries[certificate.serial_number] = _entry(
            certificate, entries.get(certificate.serial_number), reason, since, now
        )
    number = (former.number or 0) + 1 if former else 1
    key = load_key(agency / "keys" / f"{PROFILES[role].issuer}.key.pem")
    made = revocation.make_list(issuer, key, entries.values(), number, now).public_bytes(serialization.Encoding.PEM)
    replace_file(path, made)
    if out is not None:
        replace_file(out / path.name, made)
    since_when = entries[certificates[0].serial_number].since
    say(f"revoked {role}/{name}, key {pki.key_id(pki.public_key(certificates[0]))[:16]}, since {since_when:%Y-%m-%d}")
    say(f"list {number}, {len(entries)} certificates: {path}")


def is_revoked(agency: Path, certificate: x509.Certificate) -> bool:
    """Tell whether the agency has taken back a certificate that its issuing key made."""
    (issuing,) = load_certificates(agency / "certs" / "issuing.pem")
    return certificate.serial_number in revoked_by(agency, issuing)


def revoked_by(agency: Path, issuing: x509.Certificate) -> Container[int]:
    """Serial numbers of the certificates that the issuing key has taken back."""
    found = read_list(agency / "certs" / "issuing.crl", issuing)
    return found.entries if found else ()


def copy_lists(source: Path, out: Path) -> None:
    """Put the agency's lists, such as there are, into an answer."""
    for name in LISTS:
        if (source / name).exists():
            replace_file(out / name, (source / name).read_bytes())


def check_lists(answer: Path, folder: Path, issuers: Iterable[x509.Certificate]) -> dict[Path, bytes]:
    """Take the lists of `answer` for `folder`: those that one of the issuers signed and that are no step back."""
    files: dict[Path, bytes] = {}
    known = list(issuers)
    for path in [answer / name for name in LISTS if (answer / name).exists()]:
        found = _parse(path)
        if not any(map(found.is_by, known)):
            raise ProvisioningError(os.EX_DATAERR, f"{path}: no list of this agency")
        there = folder / path.name
        former = revocation.parse_lists(there.read_bytes())[0] if there.exists() else None
        if former is None or former.age <= found.age:
            files[there] = path.read_bytes()
    return files


def read_list(path: Path, issuer: x509.Certificate) -> RevocationList | None:
    """Read the list at `path`, if there is one, by `issuer`; by another it is refused."""
    if not path.exists():
        return None
    found = _parse(path)
    if not found.is_by(issuer):
        raise ProvisioningError(os.EX_DATAERR, f"{path}: was not signed by {'/'.join(pki.role_and_id(issuer))}")
    return found


def _parse(path: Path) -> RevocationList:
    try:
        (found,) = revocation.parse_lists(path.read_bytes())
    except (EvidenceError, ValueError) as error:
        raise ProvisioningError(os.EX_DATAERR, f"{path}: cannot be read as one revocation list ({error})") from error
    return found


def _entry(
    certificate: x509.Certificate, former: Entry | None, reason: str, since: datetime | None, now: datetime
) -> Entry:
    """What was told before stays, but that the key was lost earlier than thought may be learnt later."""
    if former is not None:
        lost = min((one for one in (former.invalid_from, since) if one is not None), default=None)
        return Entry(certificate.serial_number, former.at, REASONS[reason], lost)
    return Entry(certificate.serial_number, now, REASONS[reason], since)


def _find(agency: Path, what: str) -> list[x509.Certificate]:
    """The certificates of one key, all that it ever had."""
    if Path(what).exists():
        return load_certificates(Path(what))
    role, name = pki.parse_common_name(what)
    if role is Role.ISSUING:
        return load_certificates(agency / "certs" / "issuing.pem")
    paths = sorted((agency / "issued").glob(f"{role}-{name}-{'[0-9a-f]' * 16}.pem"))
    if not paths:
        raise ProvisioningError(os.EX_NOINPUT, f"{agency}: has given no certificate to {what}")
    if len(paths) > 1:
        told = "\n  ".join(str(path) for path in paths)
        raise ProvisioningError(os.EX_USAGE, f"{what} has had several keys; name one of these files instead:\n  {told}")
    return load_certificates(paths[0])
