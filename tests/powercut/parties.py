"""Who takes part, made once for a process: agency, camera, dock, office, their keys and certificates."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence import age, pki, shape
from evidence.documents import Configuration
from evidence.pki import Role
from firmware.identity import Identity
from office.config import OfficeConfig
from runtime.keys import private_pem
from tests.agency import Agency, Holder
from tests.camera_rig import DEVICE, STARTED_MS, Owner
from tests.powercut.reading import Key

OFFICE, DOCK = "OFFICE-1", "DOCK-1"


@dataclass(frozen=True)
class Parties:
    """`folder` holds the office's credentials."""

    owner: Owner
    key: Key  # the office's age identity, as the judges hold it
    signer: Holder
    camera: Holder
    dock: Holder
    office: Holder
    folder: Path
    log_key: Path

    def office_config(self, data: Path) -> OfficeConfig:
        names = ("office.pem", "office.key.pem", "signer.pem", "signer.key.pem")
        certificate, key, signer, signer_key = (self.folder / name for name in names)
        return OfficeConfig(data, self.folder / "roots.pem", certificate, key, signer, signer_key, self.log_key)

    def identity(self, release_after_seconds: int) -> Identity:
        """The camera's, as provisioning leaves it."""
        issued = shape.utc_text(STARTED_MS)
        recipient = age.recipient_of(self.owner.identity)
        configuration = Configuration(
            OFFICE, DEVICE, "agency", issued, "unit", "000042", "name", None, (recipient,),
            release_after_seconds=release_after_seconds,
        )  # fmt: skip
        roots = (self.owner.agency.root.certificate,)
        chain = pki.validate_chain(self.signer.certificate, self.signer.above, roots, role=Role.SIGNER, at=None)
        return Identity(Path(), configuration, "", roots, {pki.key_id(pki.public_key(chain.leaf)): chain})

    def signer_pem(self) -> bytes:
        return pki.to_pem(self.signer.certificate, *self.signer.above)


@functools.cache
def parties() -> Parties:
    agency = Agency()
    owner = Owner(agency)
    folder = Path(tempfile.mkdtemp(prefix="powercut-parties-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    signer, office = agency.issue(Role.SIGNER, OFFICE), agency.issue(Role.OFFICE, OFFICE)
    signer.write(folder, "signer")
    office.write(folder, "office")
    (folder / "roots.pem").write_bytes(pki.to_pem(agency.root.certificate))
    log_key = folder / "log.key.pem"
    log_key.write_bytes(private_pem(Ed25519PrivateKey.generate()))
    camera, dock = agency.issue(Role.CAMERA, DEVICE), agency.issue(Role.DOCK, DOCK)
    return Parties(owner, Key(owner.identity), signer, camera, dock, office, folder, log_key)
