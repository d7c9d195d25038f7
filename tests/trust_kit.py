"""An agency as `bodycam provision` makes it, its office as a process, a dock in this one, cameras with real papers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from evidence import jose, pki, records
from evidence.pki import Role
from firmware import identity as identities
from firmware.dock_port import DockPort
from firmware.identity import Session
from firmware.papers import Papers
from provisioning.main import main as provision
from runtime import tls
from runtime.keys import load_certificates, load_key
from runtime.revoked_file import RevokedFile
from syncd.bay import Bay, HandIns
from syncd.camera import Camera
from syncd.events import Events
from syncd.handin import Dock
from syncd.office import Office, Signers
from syncd.retries import Retries
from syncd.returns import Lists
from syncd.spool import Spool
from tests.agency import BOOT, Holder
from tests.dock_camera import FIT, DockedCamera
from tests.dock_site import PATIENCE, Told
from tests.office_kit import OfficeKit, free_port


def days(count: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=count)


class Provisioned:
    """Folders that the real commands fill."""

    def __init__(self, tmp: Path) -> None:
        self.tmp = tmp
        self.agency, self.office = tmp / "agency", tmp / "office"
        self.run("agency", "--dir", self.agency, "--name", "承德县综合行政执法局", now=days(-400))
        self.run("office", "OFFICE-1", "--dir", self.office, "--agency", self.agency, now=days(-100))

    def run(self, *arguments: str | Path, now: datetime | None = None) -> None:
        assert provision([str(one) for one in arguments], now) == 0

    def dock(self, name: str = "DOCK-1") -> Path:
        folder = self.tmp / name
        self.run("dock", name, "--dir", folder, "--agency", self.agency)
        return folder

    def camera(self, name: str, *, certified: float = 0) -> Path:
        """A camera whose link certificate was made so many days from now, and is valid for 30."""
        folder, when = self.tmp / name, days(certified)
        self.run(
            "camera", name, "--dir", folder, "--agency", self.agency, "--office", self.office, "--officer", "000042",
            now=when,
        )  # fmt: skip
        return folder

    def exchange_keys(self, name: str) -> Path:
        """Other keys for a camera, certified; their folder."""
        anew, out = self.tmp / f"{name}-anew", self.tmp / f"{name}-answer"
        self.run("camera", name, "--dir", anew, "--request")
        self.run("agency", "sign", anew / "request.pem", "--agency", self.agency, "--out", out, "--replace")
        self.run("camera", name, "--dir", anew, "--install", out)
        return anew

    def configure(self, name: str, *settings: str) -> None:
        self.run("configure", name, "--office", self.office, "--out", self.tmp / "answer", *settings)

    def revoke(self, what: str) -> None:
        """Take it back, and give the office the list."""
        out = self.tmp / "lists"
        self.run("revoke", what, "--agency", self.agency, "--reason", "key-compromise", "--out", out)
        self.run("office", "OFFICE-1", "--dir", self.office, "--install", out)

    def start_office(self) -> OfficeKit:
        """The office's process over this agency, with its register."""
        office = OfficeKit.__new__(OfficeKit)
        office.folder, office.data = self.office, self.office / "data"
        office.roots, office.log = self.office / "certs/root.pem", self.office / "office.log"
        office.config, office.broker_port = self.office / "office.toml", free_port()
        office._log_from, office.port, office.process = 0, 0, None
        office.config.write_text(
            'data = "data"\nroots = "certs/root.pem"\ncertificate = "certs/office.pem"\nkey = "keys/office.key.pem"\n'
            'signer_certificate = "certs/signer.pem"\nsigner_key = "keys/signer.key.pem"\n'
            'log_key = "keys/log.key.pem"\ncameras = "cameras"\n'
            f"port = 0\nbroker_port = {office.broker_port}\n"
        )
        office.start()
        return office


class _Keys:
    """What `CameraFolder` asks of an agency, out of a provisioned camera's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def issue(self, role: Role, name: str) -> Holder:
        issued = Role.EVIDENCE if role is Role.SESSION else role
        leaf, *above = load_certificates(self._folder / "certs" / f"{issued}.pem")
        assert pki.role_and_id(leaf) == (issued, name)
        if role is not Role.SESSION:
            return Holder(leaf, load_key(self._folder / "keys" / f"{role}.key.pem"), above)
        evidence = load_key(self._folder / "keys/evidence.key.pem")
        session = identities.new_session()
        made = pki.make_session_certificate(leaf, evidence, session.key.public_key(), BOOT)
        return Holder(made, session.key, [leaf, *above])


class PaperedCamera(DockedCamera):
    """A docked camera with the folder that it was provisioned with, and the product's own `Papers`."""

    def __init__(self, folder: Path, name: str, tmp: Path | None = None) -> None:
        self.provisioned = folder
        self.identity = identities.load(folder)
        signer = load_certificates(folder / "certs/signer.pem")[0]
        agency: Any = _Keys(folder)
        agency.root = Holder(load_certificates(folder / "certs/root.pem")[0], None)  # type: ignore[arg-type]
        super().__init__(tmp or folder / "card", agency, signer, name)
        certs, keys = folder / "certs", folder / "keys"
        context = tls.server_context(
            certs / "camera.pem", keys / "camera.key.pem", certs / "root.pem", check_dates=False
        )
        holder = self.folder.session
        self.fit = dict(FIT)
        self.configured = 0
        self.revoked = RevokedFile(certs / "revoked.pem", self.identity.roots)
        self.papers = Papers(
            self.identity, Session(BOOT, holder.key), lambda: self.chain, self.revoked, context, self._configured,
            lambda: self.fit,
        )  # fmt: skip
        self.chain = self._opening()
        self.port = DockPort(self, self.folder.disk, context, ("127.0.0.1", 0), self.papers)
        self.port.start()

    def boot_with(self, keys: Path) -> None:
        """From now on it proves itself by a session that the keys in this folder certify."""
        holder = _Keys(keys).issue(Role.SESSION, self.folder.device)
        certificates = [holder.certificate, *holder.above]
        self.papers._session = Session(BOOT, holder.key)
        self.chain = tuple(jose.b64(one.public_bytes(Encoding.DER)) for one in certificates)

    def _configured(self) -> None:
        self.configured += 1

    def _opening(self) -> tuple[str, ...]:
        first = self.folder.disk.read(records.journal_path(0)).splitlines()[0]
        return tuple(jose.parse_json(jose.parse(first, records.TYP).payload)["body"]["chain"])

    def record(self, *sizes: int) -> list[tuple[str, int]]:
        recording = self.folder.begin_recording()
        return [self.folder.segment(recording, size) for size in sizes]


class TrustDock:
    """A dock over a provisioned folder; `bay(camera)` is one place."""

    def __init__(self, folder: Path, name: str, signers: Path, port: Callable[[], int]) -> None:
        certs, keys = folder / "certs", folder / "keys"
        roots = load_certificates(certs / "root.pem")
        pair = certs / "dock.pem", keys / "dock.key.pem", certs / "root.pem"
        self.context = tls.client_context(*pair)
        self.to_camera = tls.client_context(*pair, check_dates=False)
        self.signers = Signers(load_certificates(signers), roots)
        self.told = Told()
        self.stopping = threading.Event()
        self.spool = Spool(folder / "spool", 1 << 30)
        self.lists = Lists(folder / "spool/revoked.pem", roots)
        events = Events(self.told, name)  # type: ignore[arg-type]
        dock = Dock(
            self.spool, roots, self.signers, signers.read_bytes(), events, Retries(0.001, 0.001), self.stopping,
            name=name, lists=self.lists,
        )  # fmt: skip
        self.handins = HandIns(dock)
        self._port = port

    def office(self) -> Office:
        return Office(("127.0.0.1", self._port()), self.context, self.signers, PATIENCE, revoked=self.lists.now)

    def bay(self, camera: DockedCamera) -> Bay:
        return Bay(self.handins, Camera(camera.port.address, self.to_camera, PATIENCE), self.office(), "1")
