"""A device's side of enrolment: make keys and a request; install what agency and office answer.

A private key is made in the folder where it is used and never leaves it. What leaves is `request.pem`, one certificate
signing request for each key. Every step may be repeated: what is there is kept, what is missing is made.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from evidence import age, pki
from evidence.documents import Configuration
from evidence.errors import EvidenceError
from evidence.pki import Role
from provisioning.errors import ProvisioningError
from provisioning.evidence_key import EvidenceKey
from provisioning.key_files import Say, make_key
from provisioning.revocation import check_lists
from runtime.keys import CredentialError, create_secret, load_certificates, load_key, private_pem, replace_file
from runtime.token import TokenConfig

REQUEST = "request.pem"
ROOT = "root.pem"
CONFIGURATION = "config.jws"
RECOVERY_RECIPIENT = "recovery.recipient"
OFFICE_RECIPIENT = "office.recipient"
OFFICE_ROLES = (Role.OFFICE, Role.SIGNER, Role.STAMP)
DOCK_ROLES = (Role.DOCK,)
DESK_ROLES = (Role.DESK,)
CAMERA_ROLES = (Role.EVIDENCE, Role.CAMERA)


@dataclass(frozen=True, slots=True)
class Device:
    """A device's folder; `roles` are those of its certified keys. `token`: where a camera's evidence key is."""

    folder: Path
    name: str
    roles: tuple[Role, ...]
    token: TokenConfig | None = None

    def key(self, role: Role) -> Path:
        """Where the private key of `role` is."""
        return self.folder / "keys" / f"{role}.key.pem"

    def certificate(self, role: Role) -> Path:
        """Where the certificate of `role` is, with those above it."""
        return self.folder / "certs" / f"{role}.pem"

    @property
    def evidence_key(self) -> EvidenceKey:
        """Its evidence key; cameras only."""
        return EvidenceKey(self.folder, self.token)

    @property
    def root(self) -> Path:
        """Where the agency's root is."""
        return self.folder / "certs" / ROOT


def office(folder: Path, name: str) -> Device:
    """Describe an office: TLS link, signature on documents, time stamps on its log."""
    return Device(folder, name, OFFICE_ROLES)


def dock(folder: Path, name: str) -> Device:
    """Describe a dock: TLS link."""
    return Device(folder, name, DOCK_ROLES)


def desk(folder: Path, name: str) -> Device:
    """Describe a desk of the office: TLS link to its broker."""
    return Device(folder, name, DESK_ROLES)


def camera(folder: Path, name: str, token: TokenConfig | None = None) -> Device:
    """Describe a camera: evidence key, TLS link."""
    return Device(folder, name, CAMERA_ROLES, token)


def make_request(device: Device, hosts: Iterable[str], say: Say, *, new_evidence_key: bool = False) -> Path:
    """Make what keys are missing and write the request for all of them; return its path.

    `new_evidence_key`: ask for a certificate for another key than the one that is certified.
    """
    _refuse_other_name(device)
    requests = b""
    for role in device.roles:
        is_evidence = role is Role.EVIDENCE
        key = device.evidence_key.make(say, new=new_evidence_key) if is_evidence else make_key(device.key(role), say)
        request = pki.make_request(role, device.name, key, hosts if role is Role.OFFICE else ())
        requests += request.public_bytes(serialization.Encoding.PEM)
    path = device.folder / REQUEST
    replace_file(path, requests)
    say(f"request: {path}")
    return path


def make_log_key(folder: Path, say: Say) -> None:
    """Make the Ed25519 key of the office's log, if it is not there."""
    path = folder / "keys" / "log.key.pem"
    made = create_secret(path, private_pem(ed25519.Ed25519PrivateKey.generate()))
    say(f"key: {path}" if made else f"key already there: {path}")


def make_age_identity(folder: Path, name: str, say: Say) -> None:
    """Make the age identity `keys/<name>.age`, if it is not there, and write its public `<name>.recipient`."""
    path = folder / "keys" / f"{name}.age"
    identity = age.generate_identity()
    text = f"# public key: {age.recipient_of(identity)}\n{identity}\n"
    made = create_secret(path, text.encode("ascii"))
    say(f"age identity: {path}" if made else f"age identity already there: {path}")
    found = next(line for line in path.read_text(encoding="ascii").splitlines() if line.startswith("AGE-"))
    replace_file(folder / f"{name}.recipient", f"{age.recipient_of(found)}\n".encode("ascii"))


def install(device: Device, answer: Path, now: datetime, say: Say) -> None:
    """Check what `answer`, a folder from the agency or the office, holds for this device, and take it over."""
    _refuse_other_name(device)
    files = (
        _check_certificates(device, answer, now)
        | _check_recipient(device, answer)
        | _check_configuration(device, answer, now)
    )
    files |= _check_lists(device, answer, files)
    if not files:
        wanted = ", ".join(f"{role}.pem" for role in device.roles)
        raise ProvisioningError(os.EX_NOINPUT, f"{answer}: nothing for {device.name} here; expected {wanted}")
    for path, data in files.items():
        there = path.exists() and path.read_bytes() == data
        if not there:
            replace_file(path, data)
        say(f"already there: {path}" if there else f"installed: {path}")
    if device.certificate(Role.EVIDENCE) in files:
        device.evidence_key.settle(say)


def _check_certificates(device: Device, answer: Path, now: datetime) -> dict[Path, bytes]:
    present = [role for role in device.roles if (answer / f"{role}.pem").exists()]
    if not present:
        return {}
    root = load_certificates(answer / ROOT)
    if device.root.exists() and load_certificates(device.root) != root:
        raise ProvisioningError(os.EX_NOPERM, f"{answer}: not of the agency whose root is in {device.root}")
    files = {device.root: pki.to_pem(*root)}
    for role in present:
        leaf, *above = load_certificates(answer / f"{role}.pem")
        chain = pki.validate_chain(leaf, above, root, role=role, at=now)
        if chain.id != device.name or not _holds(device, role, pki.public_key(leaf)):
            raise ProvisioningError(
                os.EX_DATAERR, f"{answer}/{role}.pem: certifies another key than {device.key(role)} of {device.name}"
            )
        files[device.certificate(role)] = pki.to_pem(*chain.certificates[:-1])
    return files


def _holds(device: Device, role: Role, public: ec.EllipticCurvePublicKey) -> bool:
    if role is Role.EVIDENCE:
        return device.evidence_key.holds(public)
    return load_key(device.key(role)).public_key() == public


def _check_configuration(device: Device, answer: Path, now: datetime) -> dict[Path, bytes]:
    source = answer / CONFIGURATION
    if Role.EVIDENCE not in device.roles or not source.exists():
        return {}
    leaf, *above = load_certificates(answer / f"{Role.SIGNER}.pem")
    root = load_certificates(device.root if device.root.exists() else answer / ROOT)
    chain = pki.validate_chain(leaf, above, root, role=Role.SIGNER, at=now)
    configuration = Configuration.read(source.read_text(encoding="utf-8").strip(), pki.public_key(leaf))
    if (configuration.device, configuration.office) != (device.name, chain.id):
        raise ProvisioningError(
            os.EX_DATAERR,
            f"{source}: is {configuration.office}'s for {configuration.device}, signed by {chain.id}; "
            f"expected one for {device.name}",
        )
    _refuse_older(device, configuration, source)
    return {
        device.certificate(Role.SIGNER): pki.to_pem(*chain.certificates[:-1]),
        device.folder / CONFIGURATION: source.read_bytes(),
    }


def _refuse_older(device: Device, configuration: Configuration, source: Path) -> None:
    """An old configuration, played back, would encrypt to keys that were given up."""
    path, certificate = device.folder / CONFIGURATION, device.certificate(Role.SIGNER)
    if not (path.exists() and certificate.exists()):
        return
    try:
        signer = pki.public_key(load_certificates(certificate)[0])
        there = Configuration.read(path.read_text(encoding="utf-8").strip(), signer)
    except (EvidenceError, CredentialError, ValueError):
        return  # what is there counts for nothing
    if configuration.issued < there.issued:  # texts of one form: they sort by time
        raise ProvisioningError(
            os.EX_DATAERR, f"{source}: was issued {configuration.issued}, before the one installed ({there.issued})"
        )


def _check_lists(device: Device, answer: Path, files: Mapping[Path, bytes]) -> dict[Path, bytes]:
    """An office keeps the agency's lists beside its signer's certificate, and puts them into each export."""
    if Role.SIGNER not in device.roles:
        return {}
    issuers: list[x509.Certificate] = []
    for path in (device.root, device.certificate(Role.SIGNER)):
        data = files.get(path) or (path.read_bytes() if path.exists() else b"")
        issuers += pki.parse_certificates(data) if data else []
    return check_lists(answer, device.root.parent, issuers)


def _check_recipient(device: Device, answer: Path) -> dict[Path, bytes]:
    source = answer / RECOVERY_RECIPIENT
    if Role.SIGNER not in device.roles or not source.exists():
        return {}
    return {device.folder / RECOVERY_RECIPIENT: f"{read_recipient(source)}\n".encode("ascii")}


def read_recipient(path: Path) -> str:
    """Read a public age recipient from its file. Raises `ProvisioningError`, `EvidenceError`."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise ProvisioningError(os.EX_NOINPUT, f"{path}: cannot be read as an age recipient: {error}") from error
    age.fingerprint(text)
    return text


def _refuse_other_name(device: Device) -> None:
    """One folder, one device: under another id or kind its keys would speak for two."""
    request = device.folder / REQUEST
    found = {pki.role_and_id(item) for item in pki.parse_requests(request.read_bytes())} if request.exists() else set()
    certificates = [path for path in map(device.certificate, device.roles) if path.exists()]
    found |= {pki.role_and_id(load_certificates(path)[0]) for path in certificates}
    for role, name in sorted(found):
        if role not in device.roles or name != device.name:
            raise ProvisioningError(
                os.EX_DATAERR, f"{device.folder}: belongs to {role}/{name}; give {device.name} a folder of its own"
            )
