"""The office's side of a camera's enrolment: the configuration it signs."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from evidence import age, pki
from evidence.documents import Configuration
from evidence.errors import EvidenceError
from evidence.pki import Role
from provisioning.device import CONFIGURATION, OFFICE_RECIPIENT, RECOVERY_RECIPIENT, Say
from provisioning.errors import ProvisioningError
from runtime.keys import load_certificates, load_key, replace_file


@dataclass(frozen=True, slots=True)
class Assignment:
    """Whose camera it is, and what the office sets otherwise than by default (fields of `Configuration`)."""

    officer_number: str
    officer_name: str
    unit: str
    settings: dict[str, Any]


def configure(office: Path, device: str, assignment: Assignment, out: Path, now: datetime, say: Say) -> None:
    """Sign the configuration of the camera `device`; write it and the signer's certificate into the folder `out`."""
    signer, *above = load_certificates(office / "certs" / f"{Role.SIGNER}.pem")
    _, office_id = pki.role_and_id(signer)
    configuration = Configuration(
        office=office_id,
        device=device,
        agency=pki.agency_of(signer),
        issued=now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z",
        unit=assignment.unit,
        officer_number=assignment.officer_number,
        officer_name=assignment.officer_name,
        activity=None,
        recipients=(_recipient(office / OFFICE_RECIPIENT), _recipient(office / RECOVERY_RECIPIENT)),
        **assignment.settings,
    )
    key = load_key(office / "keys" / f"{Role.SIGNER}.key.pem")
    text = configuration.sign(key, pki.key_id(key.public_key()))
    try:
        Configuration.read(text, key.public_key())  # refuse here what the camera would refuse
    except EvidenceError as error:
        raise ProvisioningError(os.EX_USAGE, f"this configuration is not allowed: {error.message}") from error
    replace_file(out / f"{Role.SIGNER}.pem", pki.to_pem(signer, *above))
    replace_file(out / CONFIGURATION, text.encode("ascii") + b"\n")
    say(f"configuration of {device}: {out / CONFIGURATION}")


def _recipient(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise ProvisioningError(os.EX_NOINPUT, f"{path}: cannot be read; set the office up first") from error
    age.fingerprint(text)
    return text
