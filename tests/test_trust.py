"""Dock, office and camera under trust: what comes back, who hands in to quarantine, who gets nothing."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evidence import jose, pki, records
from evidence.documents import Configuration
from evidence.standing import Standing
from evidence.verify import Verifier
from office.register import Register
from runtime.folder import DiskFolder
from runtime.keys import load_certificates
from runtime.outbox import Event
from syncd.camera import Camera
from syncd.errors import AwayError
from syncd.gate import Light
from tests.dock_camera import DockedCamera
from tests.dock_site import PATIENCE
from tests.office_kit import Client, OfficeKit, wait_for
from tests.trust_kit import PaperedCamera, Provisioned, TrustDock

pytestmark = pytest.mark.net


class Site:
    def __init__(self, tmp: Path) -> None:
        self.agency = Provisioned(tmp)
        self.office: OfficeKit = self.agency.start_office()
        self._stack = contextlib.ExitStack()
        self.docks = 0

    def dock(self) -> TrustDock:
        self.docks += 1
        name = f"DOCK-{self.docks}"
        return TrustDock(
            self.agency.dock(name), name, self.agency.office / "certs/signer.pem", lambda: self.office.port
        )

    def camera(self, name: str, *, certified: float = 0) -> PaperedCamera:
        return self.place(PaperedCamera(self.agency.camera(name, certified=certified), name))

    def place(self, camera: PaperedCamera) -> PaperedCamera:
        self._stack.callback(camera.port.stop)
        return camera

    def mark(self, name: str, standing: Standing) -> None:
        """As `bodycam office camera` does."""
        roots = load_certificates(self.office.roots)
        signer = load_certificates(self.agency.office / "certs/signer.pem")[0]
        Register(self.agency.office / "cameras", "OFFICE-1", signer, roots).mark(name, standing)

    def stored(self, device: str) -> list[str]:
        return _segments(self.office.data / "store" / device)

    def quarantined(self, device: str) -> list[str]:
        return _segments(self.office.data / "quarantine/cameras/store" / device)

    def close(self) -> None:
        self._stack.close()
        self.office.stop()


def _segments(folder: Path) -> list[str]:
    return sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("segments/*/*.age"))


def on_card(camera: DockedCamera) -> list[str]:
    read = camera.folder.disk.read
    return sorted(hashlib.sha256(read(records.segment_path(*key))).hexdigest() for key in camera.folder.sizes)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("trust"))
    yield site
    site.close()


def visit(dock: TrustDock, camera: DockedCamera, looks: int = 4) -> TrustDock:
    bay = dock.bay(camera)
    for _ in range(looks):
        bay.work()
        time.sleep(0.002)
    dock.last = bay.offer  # type: ignore[attr-defined]
    bay.close()
    return dock


def offer(dock: TrustDock) -> tuple[str, list[str]]:
    found = dock.last  # type: ignore[attr-defined]
    return str(found.light), [reason.code for reason in found.reasons]


# --- what comes back --------------------------------------------------------------------------------------------------


def test_a_camera_that_is_emptied_charged_on_time_and_checked_is_offered(site: Site) -> None:
    camera = site.camera("BWC-0001")
    camera.record(1000, 2000)
    dock = visit(site.dock(), camera)
    assert offer(dock) == ("green", [])
    assert len(site.stored("BWC-0001")) == 2
    assert on_card(camera) == []
    assert camera.anchors
    camera.fit |= {"battery_minutes": 100, "wrong": None}
    assert offer(visit(dock, camera)) == ("amber", ["unchecked", "charging"])


def test_no_camera_is_offered_before_it_was_judged(site: Site) -> None:
    camera, dock = site.camera("BWC-0004"), site.dock()
    camera.record(1000)
    camera.fit["wrong"] = ["card_worn"]
    publish, offered = dock.told.publish_many, []

    def look(events: list[Event]) -> None:
        publish(events)
        if dock.told.states()[-1:] == ["done"]:  # the board shows what it is told
            offered.append(dock.handins.objections("BWC-0004"))

    dock.told.publish_many = look  # type: ignore[method-assign]
    visit(dock, camera)
    assert offered[0] == ["handing-in", "unknown"], "the lamp was green for a moment"
    assert offer(dock) == ("red", ["self-check"])


def test_a_new_assignment_comes_with_the_next_docking_and_an_old_one_does_not(site: Site) -> None:
    camera = site.camera("BWC-0002")
    camera.record(1000)
    before = camera.identity.configuration_text
    site.agency.configure("BWC-0002", "--officer", "000077", "--planned-shift-minutes", "600")
    dock = visit(site.dock(), camera)
    assert camera.configured == 1
    assert offer(dock) == ("amber", ["configuration"])
    signer = pki.public_key(load_certificates(camera.provisioned / "certs/signer.pem")[0])
    now = Configuration.read((camera.provisioned / "config.jws").read_bytes().strip(), signer)
    assert (now.officer_number, now.planned_shift_minutes) == ("000077", 600)
    (site.agency.office / "cameras/BWC-0002/config.jws").write_text(before)  # a playback at the office
    dock = visit(site.dock(), camera)
    assert "camera-refused" in dock.told.faults()
    assert camera.configured == 1
    camera.port.stop()
    again = site.place(PaperedCamera(camera.provisioned, "BWC-0002", camera.provisioned / "next"))
    assert again.identity.configuration.officer_number == "000077"


def test_a_link_certificate_is_renewed_from_what_the_agency_signed_ahead(site: Site) -> None:
    camera = site.camera("BWC-0003", certified=-20)
    agency = site.agency
    agency.run("agency", "renew", "--agency", agency.agency, "--out", agency.office / "cameras", "--days", "60")
    former = load_certificates(camera.provisioned / "certs/camera.pem")[0]
    dock = visit(site.dock(), camera)
    renewed = load_certificates(camera.provisioned / "certs/camera.pem")[0]
    assert renewed.not_valid_after_utc > former.not_valid_after_utc
    assert pki.public_key(renewed) == pki.public_key(former)
    with contextlib.closing(Camera(camera.port.address, dock.to_camera, PATIENCE)) as again:
        assert again.certificate() == renewed
    assert offer(dock)[0] == "green"
    # A revocation is of the key: what lies ready for it is worth nothing.
    agency.revoke("camera/BWC-0003")
    refused = visit(site.dock(), camera)
    assert offer(refused) == ("red", ["standing-revoked"])


# --- quarantine -------------------------------------------------------------------------------------------------------


def stand(site: Site, name: str, how: Standing) -> PaperedCamera:
    camera = site.camera(name, certified=-40 if how is Standing.EXPIRED else 0)
    if how is Standing.REVOKED:
        site.agency.revoke(f"camera/{name}")
    elif how is not Standing.EXPIRED:
        site.mark(name, how)
    return camera


@pytest.mark.parametrize("how", [Standing.EXPIRED, Standing.REVOKED, Standing.LOST, Standing.UNASSIGNED])
def test_footage_is_not_stranded_by_paperwork_and_nothing_comes_back(site: Site, how: Standing) -> None:
    name = f"BWC-1{list(Standing).index(how):03}"
    camera = stand(site, name, how)
    camera.record(1000, 2 << 20)
    head, files = camera.folder.head, {p: p.read_bytes() for p in camera.provisioned.glob("certs/*")}
    site.agency.configure(name, "--officer", "000099")
    dock = visit(site.dock(), camera)
    assert dock.told.faults() == ["camera-quarantine"]
    assert offer(dock) == ("red", [f"standing-{how}"])
    assert site.quarantined(name) == on_card(camera)
    assert len(on_card(camera)) == 2
    assert site.stored(name) == []
    # Nothing came back: no receipt, no time, no paper; nothing of it is in the dock's copies or events.
    assert camera.folder.head == head
    assert {p: p.read_bytes() for p in camera.provisioned.glob("certs/*")} == files
    assert (camera.given, camera.anchors, camera.configured) == ([], [], 0)
    assert dock.spool.device(name).journal_files() == []
    assert dock.told.lines() == []
    roots = load_certificates(camera.provisioned / "certs/root.pem")
    report = Verifier(DiskFolder(site.office.data / "quarantine/cameras/store" / name), roots).run()
    assert report.findings == []


def test_once_it_stands_well_again_it_hands_in_as_ever(site: Site) -> None:
    camera = stand(site, "BWC-0020", Standing.LOST)
    camera.record(1000)
    dock = visit(site.dock(), camera)
    assert site.stored("BWC-0020") == []
    assert site.office.call("camera", "BWC-0020", "good").returncode == 0
    assert offer(visit(dock, camera)) == ("green", [])
    assert len(site.stored("BWC-0020")) == 1
    assert on_card(camera) == []


def test_a_copied_card_does_not_go_on_with_the_true_cameras_chain(site: Site) -> None:
    """A thief has all keys of the camera. Its link key was taken back and the camera got another."""
    camera = site.camera("BWC-0021")
    camera.record(1000)
    visit(site.dock(), camera)
    held = (site.office.data / "store/BWC-0021/journal/00000000.jws").read_bytes()
    site.agency.revoke("camera/BWC-0021")
    clone = site.place(PaperedCamera(shutil.copytree(camera.provisioned, site.agency.tmp / "clone"), "BWC-0021",
                                     site.agency.tmp / "clone-card"))  # fmt: skip
    clone.record(1000)
    visit(site.dock(), clone)
    assert len(site.quarantined("BWC-0021")) == 1
    assert (site.office.data / "store/BWC-0021/journal/00000000.jws").read_bytes() == held


def test_who_cannot_prove_the_evidence_key_hands_in_nothing(site: Site) -> None:
    camera = stand(site, "BWC-0022", Standing.EXPIRED)
    camera.record(1000)
    other = site.camera("BWC-0023")
    for session, chain in ((other.folder.session.key, camera.chain), (other.folder.session.key, other.chain)):
        camera.papers._session, camera.chain = type(camera.papers._session)("9f" * 16, session), chain
        dock = visit(site.dock(), camera)
        assert "camera-unproven" in dock.told.faults()
    site.agency.revoke("evidence/BWC-0020")
    revoked = site.place(PaperedCamera(site.agency.tmp / "BWC-0020", "BWC-0020", site.agency.tmp / "later"))
    revoked.record(1000)
    site.mark("BWC-0020", Standing.LOST)
    dock = visit(site.dock(), revoked)
    assert "camera-unproven" in dock.told.faults()
    assert site.quarantined("BWC-0022") == []
    assert len(on_card(revoked)) == 1


def test_the_office_itself_lets_no_dock_do_otherwise(site: Site) -> None:
    """A dock that does not know how a camera stands, or lies."""
    camera = stand(site, "BWC-0024", Standing.LOST)
    camera.record(1000)
    site.dock()
    folder = site.agency.tmp / f"DOCK-{site.docks}"
    client = Client(site.office, folder / "certs/dock.pem", folder / "keys/dock.key.pem")
    refused = client.create(None, kind="journal", device="BWC-0024", file="0")
    assert (refused.status, refused.code) == (409, "quarantine")
    proof = camera.papers.answer("DOCK-OTHER", "0" * 32)
    for body, code in ((b"{}", "shape"), (_opening(proof), "foreign")):
        answer = client.request("POST", "/v1/quarantine/BWC-0024", {}, body)
        assert (answer.status, answer.code) == (422, code)
    assert client.request("POST", "/v1/renewals", {}, camera.papers.request()).code == "renewal-refused"
    for path in ("/v1/revocations", "/v1/configurations/BWC-0024"):
        assert Client(site.office, *_link(camera)).request("GET", path).code == "role"


def _opening(proof: dict[str, object]) -> bytes:
    return jose.dump_json({"standing": "lost", "proof": proof})


def _link(camera: PaperedCamera) -> tuple[Path, Path]:
    return camera.provisioned / "certs/camera.pem", camera.provisioned / "keys/camera.key.pem"


# --- evidence keys that were taken back ---------------------------------------------------------------------------


def test_what_a_key_tells_after_it_was_taken_back_joins_no_chain(site: Site) -> None:
    name = "BWC-0025"
    camera = site.camera(name)
    camera.record(1000)
    assert offer(visit(site.dock(), camera)) == ("green", [])
    held = (site.office.data / f"store/{name}/journal/00000000.jws").read_bytes()
    site.agency.revoke(f"evidence/{name}")
    camera.record(1000)
    dock = visit(site.dock(), camera)
    assert offer(dock) == ("red", ["standing-revoked"])
    # The boot that is there now is of the same key: it cannot prove even to quarantine who it is.
    assert {"certificate-revoked", "camera-quarantine", "camera-unproven"} == set(dock.told.faults())
    assert dock.spool.device(name).journal(0) == held, "of what is held elsewhere a dock may have a copy"
    assert (site.office.data / f"store/{name}/journal/00000000.jws").read_bytes() == held
    assert len(on_card(camera)) == len(site.stored(name)) == 1


def test_a_camera_with_new_keys_hands_what_the_old_ones_told_in_to_quarantine(site: Site) -> None:
    name = "BWC-0026"
    camera = site.camera(name)
    camera.record(1000)
    site.agency.revoke(f"evidence/{name}")
    camera.boot_with(site.agency.exchange_keys(name))
    dock = visit(site.dock(), camera)
    assert offer(dock) == ("red", ["standing-revoked"])
    assert set(dock.told.faults()) == {"certificate-revoked", "camera-quarantine"}
    assert site.stored(name) == []
    assert site.quarantined(name) == on_card(camera)
    assert (camera.given, camera.anchors) == ([], [])
    report = Verifier(DiskFolder(site.office.data / "quarantine/cameras/store" / name),
                      load_certificates(camera.provisioned / "certs/root.pem")).run()  # fmt: skip
    assert report.findings == []


def test_a_dock_without_lists_is_refused_by_the_office_and_takes_it_to_quarantine(site: Site) -> None:
    name = "BWC-0027"
    camera = site.camera(name)
    camera.record(1000)
    dock = site.dock()
    site.agency.revoke(f"evidence/{name}")
    dock.lists.refresh = lambda office: None  # type: ignore[method-assign]  # noqa: ARG005 - it has not heard of it yet
    visit(dock, camera)
    refusals = [one["detail"].split(":")[0] for one in dock.told.handin() if one.get("code") == "office-refused"]
    assert refusals[0] == "409 quarantine-boot"
    assert set(refusals[1:]) == {"422 certificate-revoked"}, "nor does it prove anything there"
    assert offer(dock) == ("red", ["standing-revoked"])
    assert site.stored(name) == []
    assert (camera.given, camera.anchors) == ([], [])


# --- docks ------------------------------------------------------------------------------------------------------------


def test_a_stolen_dock_is_refused_by_cameras_and_office_once_they_know(site: Site) -> None:
    camera, stolen = site.camera("BWC-0030"), site.dock()
    camera.record(1000)
    visit(stolen, camera)
    site.agency.revoke(f"dock/DOCK-{site.docks}")
    camera.record(1000)
    visit(site.dock(), camera)  # brings the list
    assert camera.revoked.now.bundle
    camera.record(1000)
    left, read = on_card(camera), []
    camera.state = lambda: read.append(1)  # type: ignore[assignment, method-assign, return-value]
    dock = visit(stolen, camera)
    assert read == []
    assert on_card(camera) == left
    del camera.state
    assert offer(dock) == (Light.DARK, [])
    with pytest.raises(AwayError, match="office-lost"):
        dock.office().papers.revocations()
    own = site.agency.tmp / f"DOCK-{site.docks - 1}"
    wait_for(lambda: not _speaks(site, own))
    wait_for(lambda: _speaks(site, site.agency.tmp / f"DOCK-{site.docks}"))


def _speaks(site: Site, folder: Path) -> bool:
    """Whether the broker takes a message of that dock."""
    line = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(site.office.broker_port), "--insecure", "-q", "1", "-V", "5"]
    line += ["--cafile", str(site.office.roots), "--cert", str(folder / "certs/dock.pem")]
    line += ["--key", str(folder / "keys/dock.key.pem"), "-t", f"bodycam/v1/dock/{folder.name}/x", "-m", "x"]
    return subprocess.run(line, capture_output=True, check=False, timeout=20).returncode == 0
