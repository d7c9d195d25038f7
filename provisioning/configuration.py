"""The office's side of a camera's enrolment: the configuration it signs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from evidence import pki
from evidence.documents import NOBODY, Configuration
from evidence.errors import EvidenceError
from evidence.pki import Role
from provisioning.device import CONFIGURATION, OFFICE_RECIPIENT, RECOVERY_RECIPIENT, read_recipient
from provisioning.errors import ProvisioningError
from provisioning.key_files import Say
from runtime.keys import load_certificates, load_key, replace_file


def configure(
    office: Path, device: str, changes: Mapping[str, Any], out: Path, now: datetime, say: Say, *, former: Path | None
) -> None:
    """Sign the configuration of the camera `device`; write it and the signer's certificate into the folder `out`.

    The office's register gets a copy: that is what its docks bring the camera.
    `changes` are fields of `Configuration`; the others stay as in the file `former`, signed by the same key, or else
    as by default. With no change at all, `former` itself is passed on.
    """
    signer, *above = load_certificates(office / "certs" / f"{Role.SIGNER}.pem")
    before = _read_former(former, signer)
    configuration = replace(
        before or _NOBODYS,
        office=pki.role_and_id(signer)[1],
        device=device,
        agency=pki.agency_of(signer),
        recipients=(read_recipient(office / OFFICE_RECIPIENT), read_recipient(office / RECOVERY_RECIPIENT)),
        **changes,
    )
    replace_file(out / f"{Role.SIGNER}.pem", pki.to_pem(signer, *above))
    register = office / REGISTER / device / CONFIGURATION
    if former and configuration == before:
        _write(former.read_bytes(), out / CONFIGURATION, register)
        return
    configuration = replace(configuration, issued=_utc_text(now))
    key = load_key(office / "keys" / f"{Role.SIGNER}.key.pem")
    text = configuration.sign(key, pki.key_id(key.public_key()))
    try:
        Configuration.read(text, key.public_key())  # refuse here what the camera would refuse
    except EvidenceError as error:
        raise ProvisioningError(os.EX_USAGE, f"this configuration is not allowed: {error.message}") from error
    _write(text.encode("ascii") + b"\n", out / CONFIGURATION, register)
    say(f"configured {device}: officer {configuration.officer_number} {configuration.officer_name}")


REGISTER = "cameras"
"""The office's register of cameras, in its folder (office.toml: `cameras`)."""


def _write(data: bytes, *paths: Path) -> None:
    for path in paths:
        replace_file(path, data)


_NOBODYS = Configuration(
    office="",
    device="",
    agency="",
    issued="",
    unit="",
    officer_number=NOBODY,
    officer_name="",
    activity=None,
    recipients=(),
)


def _read_former(path: Path | None, signer: x509.Certificate) -> Configuration | None:
    """What `signer` signed before; what another key signed, or what is damaged, is not taken over."""
    if path is None or not path.exists():
        return None
    with contextlib.suppress(EvidenceError):
        return Configuration.read(path.read_bytes().strip(), pki.public_key(signer))
    return None


def _utc_text(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
