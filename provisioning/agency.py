"""The agency's authority: root and issuing key, the recovery identity, and signing of requests.

Its folder belongs on a machine without a network. Certificates that it gave out stay in `issued/`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from evidence import pki
from evidence.pki import Role
from provisioning.device import (
    CAMERA_ROLES,
    DESK_ROLES,
    DOCK_ROLES,
    OFFICE_ROLES,
    RECOVERY_RECIPIENT,
    ROOT,
    make_age_identity,
    read_recipient,
)
from provisioning.errors import ProvisioningError
from provisioning.key_files import Say, make_key
from provisioning.revocation import copy_lists, is_revoked
from runtime.keys import load_certificates, load_key, replace_file

_BACKDATE = timedelta(hours=1)  # for devices whose clock is a little behind
_DAY = timedelta(days=1)
_TERMS = {
    Role.ROOT: 20 * 365 * _DAY,
    Role.ISSUING: 10 * 365 * _DAY,
    Role.EVIDENCE: 5 * 365 * _DAY,
    Role.SIGNER: 5 * 365 * _DAY,
    Role.STAMP: 5 * 365 * _DAY,
    Role.OFFICE: 365 * _DAY,
    Role.DOCK: 365 * _DAY,
    Role.DESK: 365 * _DAY,
    Role.CAMERA: 30 * _DAY,
}
_KINDS = (OFFICE_ROLES, DOCK_ROLES, DESK_ROLES, CAMERA_ROLES)


def create(folder: Path, name: str | None, now: datetime, say: Say) -> None:
    """Make the agency `name` in `folder`, or what is missing of it."""
    root_path, issuing_path = folder / "certs" / ROOT, folder / "certs" / "issuing.pem"
    if not root_path.exists() and not name:
        raise ProvisioningError(os.EX_USAGE, "a new agency needs its name: --name 承德县综合行政执法局")
    root_key = make_key(folder / "keys" / "root.key.pem", say)
    if not root_path.exists():
        identifier = "AGENCY-" + pki.key_id(root_key.public_key())[:8].upper()
        root = pki.make_root(root_key, identifier, name or "", now - _BACKDATE, now + _TERMS[Role.ROOT])
        replace_file(root_path, pki.to_pem(root))
    (root,) = load_certificates(root_path)
    if name and name != pki.agency_of(root):
        raise ProvisioningError(os.EX_DATAERR, f"{folder}: is the agency {pki.agency_of(root)}, not {name}")
    issuing_key = make_key(folder / "keys" / "issuing.key.pem", say)
    if not issuing_path.exists():
        issuing = pki.make_certificate(
            Role.ISSUING,
            pki.role_and_id(root)[1],
            issuing_key.public_key(),
            root,
            root_key,
            now - _BACKDATE,
            now + _TERMS[Role.ISSUING],
        )
        replace_file(issuing_path, pki.to_pem(issuing))
    make_age_identity(folder, "recovery", say)
    say(f"agency {pki.agency_of(root)}, root {pki.thumbprint(root)}: {root_path}")


def sign(folder: Path, request: Path, out: Path, now: datetime, say: Say, *, replace: bool = False) -> None:
    """Certify every key in the file `request`; write certificates, root and recovery recipient into the folder `out`.

    A key that has a certificate with more than half of its term to go gets the same again. Another key for a role
    and id than the one certified last is refused unless `replace`: two devices under one name could speak for each
    other.
    """
    requests = pki.parse_requests(_read(request))
    roles = {pki.role_and_id(item)[0] for item in requests}
    if not any(roles <= set(kind) for kind in _KINDS):  # or a dock could slip a signer's request in among its own
        asked = ", ".join(sorted(roles))
        raise ProvisioningError(
            os.EX_NOPERM, f"{request}: asks for role {asked}: not given on request, or not to one device"
        )
    for item in requests:
        role, name = pki.role_and_id(item)
        if not replace:
            _refuse_second_key(folder, request, role, name, item)
    (issuing,) = load_certificates(folder / "certs" / "issuing.pem")
    for item in requests:
        role, name = pki.role_and_id(item)
        certificate = _certify(folder, issuing, item, now)
        replace_file(out / f"{role}.pem", pki.to_pem(certificate, issuing))
        say(f"certified {role}/{name} until {certificate.not_valid_after_utc:%Y-%m-%d}")
    replace_file(out / ROOT, _read(folder / "certs" / ROOT))
    copy_lists(folder / "certs", out)
    replace_file(out / RECOVERY_RECIPIENT, f"{read_recipient(folder / RECOVERY_RECIPIENT)}\n".encode("ascii"))


def _certify(
    folder: Path, issuing: x509.Certificate, request: x509.CertificateSigningRequest, now: datetime
) -> x509.Certificate:
    role, name = pki.role_and_id(request)
    # Only an office is found by host name: a dock with the office's would pass for it with programs that go by names.
    key, hosts = pki.public_key(request), pki.hosts_of(request) if role is Role.OFFICE else []
    former: list[x509.Certificate] = []
    path = folder / "issued" / f"{role}-{name}-{pki.key_id(key)[:16]}.pem"
    if path.exists():
        former = load_certificates(path)
        found = former[0]
        if is_revoked(folder, found):
            raise ProvisioningError(os.EX_NOPERM, f"the key of {role}/{name} was revoked: it needs another one")
        if found.not_valid_after_utc - now > _TERMS[role] / 2 and pki.hosts_of(found) == hosts:
            return found
    issuing_key = load_key(folder / "keys" / "issuing.key.pem")
    certificate = pki.make_certificate(
        role, name, key, issuing, issuing_key, now - _BACKDATE, now + _TERMS[role], hosts=hosts
    )
    replace_file(path, pki.to_pem(certificate, *former))  # all of them: a revocation is of the key
    return certificate


def _refuse_second_key(
    folder: Path, request: Path, role: Role, name: str, item: x509.CertificateSigningRequest
) -> None:
    issued = {path: load_certificates(path)[0] for path in _issued(folder, role, name)}
    latest = max((found.not_valid_before_utc for found in issued.values()), default=None)
    current = {path: found for path, found in issued.items() if found.not_valid_before_utc == latest}
    if current and pki.public_key(item) not in map(pki.public_key, current.values()):
        raise ProvisioningError(
            os.EX_DATAERR,
            f"{request}: {role}/{name} has another key already ({min(current)}); give the device another id, "
            "or --replace if its keys were lost or are exchanged",
        )


def _issued(folder: Path, role: Role, name: str) -> Iterable[Path]:
    return sorted((folder / "issued").glob(f"{role}-{name}-{'[0-9a-f]' * 16}.pem"))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ProvisioningError(os.EX_NOINPUT, f"{path}: cannot be read: {error.strerror}") from error
