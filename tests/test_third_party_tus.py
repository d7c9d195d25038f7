"""tus with programs that we did not write: the dock into @tus/server; tuspy, aiotus and tus-js-client into the office.

The first and the last come from npm: `npm install --prefix FOLDER @tus/server @tus/file-store tus-js-client`, and
BODYCAM_NODE_MODULES=FOLDER/node_modules. Who is not installed is skipped.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evidence import age, pki, records
from evidence.documents import Receipt
from evidence.pki import Role
from runtime import tls
from syncd.errors import AwayError
from syncd.link import BLOCK, Link
from syncd.tus import Uploads
from tests.agency import Agency, Holder, new_key
from tests.builders import present_agency
from tests.dock_site import MIB, Site, ciphertext
from tests.footage import Camera
from tests.office_kit import Client, OfficeKit, free_port, running

pytestmark = pytest.mark.net

_ROOT = Path(__file__).parent
_NOT_HERE = "{} is not installed: pip install 'bodycam[interop]'"
_MODULES = Path(os.environ.get("BODYCAM_NODE_MODULES", _ROOT.parent / "node_modules"))


def node(package: str, folder: Path, script: str) -> list[str]:
    """How to run one of our scripts over a package of npm, or the test is skipped."""
    program = shutil.which("node")
    if program is None or not (_MODULES / package / "package.json").exists():
        pytest.skip(f"{package} of npm is not installed (see this module's docstring)")
    shutil.copy(_ROOT / script, folder / script)
    (folder / "node_modules").symlink_to(_MODULES.resolve())
    return [program, str(folder / script)]


# --- the dock, unchanged, into @tus/server


class TusServer:
    """@tus/server over a folder, with the certificate of an office."""

    def __init__(self, folder: Path, agency: Agency) -> None:
        self.files = folder / "files"
        self.files.mkdir(parents=True)
        self.port = free_port()
        chain, key = agency.issue(Role.OFFICE, "OFFICE-1").write(folder, "office")
        roots = folder / "roots.pem"
        roots.write_bytes(pki.to_pem(agency.root.certificate))
        script = node("@tus/server", folder, "tus_server.mjs")
        self._command = [*script, *map(str, (self.files, chain, key, roots, self.port))]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[TusServer, Agency]]:
    agency = present_agency()
    server = TusServer(tmp_path / "node", agency)
    server.start()
    yield server, agency
    server.kill()


def test_the_docks_client_uploads_to_tus_server_and_goes_on_after_a_kill(
    tmp_path: Path, server: tuple[TusServer, Agency]
) -> None:
    node_server, agency = server
    dock, roots = agency.issue(Role.DOCK, "DOCK-1").write(tmp_path, "dock"), tmp_path / "node" / "roots.pem"
    uploads = Uploads(Link("office", Role.OFFICE, ("127.0.0.1", node_server.port), tls.client_context(*dock, roots)))
    data = os.urandom(3 * BLOCK + 17)
    path = uploads.create({"kind": "segment", "device": "BWC-0001", "segment": "0"}, len(data))
    assert uploads.offset(path) == 0
    assert uploads.append(path, 0, data[:BLOCK]) == BLOCK
    node_server.kill()
    with pytest.raises(AwayError):
        uploads.append(path, BLOCK, data[BLOCK : 2 * BLOCK])
    node_server.start()
    offset = uploads.offset(path)
    while offset < len(data):
        offset = uploads.append(path, offset, data[offset : offset + BLOCK])
    assert (node_server.files / path.rpartition("/")[2]).read_bytes() == data


def test_a_dock_hands_in_to_tus_server_and_the_camera_gives_nothing_up(
    tmp_path: Path, server: tuple[TusServer, Agency]
) -> None:
    node_server, agency = server
    (tmp_path / "site").mkdir()
    site = Site(tmp_path / "site", agency, agency.issue(Role.SIGNER, "OFFICE-1"))
    try:
        site.office.stop()
        site.office._port = node_server.port
        site.start_dock()
        (key,) = site.record(3 * MIB)
        data = ciphertext(site, key)
        journal = site.camera.folder.disk.read(records.journal_path(0))
        site.bay.work()
        assert (node_server.files / f"segment_BWC-0001_{key[0]}_{key[1]}").read_bytes() == data
        assert (node_server.files / "journal_BWC-0001_0").read_bytes() == journal
        assert site.told.faults()[0] == "receipt-missing"
        assert site.camera.given == []
        assert key in site.camera.folder.sizes
    finally:
        site.close()


# --- their clients into the office


class Door:
    """A running office whose certificate names its address, as clients of the web want it, and a dock's credentials."""

    def __init__(self, folder: Path) -> None:
        self.office = OfficeKit(folder)
        agency, key = self.office.agency, new_key()
        certificate = pki.make_certificate(
            Role.OFFICE, "OFFICE-1", key.public_key(), agency.issuing.certificate, agency.issuing.key,
            agency.first, agency.last, hosts=["127.0.0.1"],
        )  # fmt: skip
        Holder(certificate, key, [agency.issuing.certificate]).write(folder, "office")
        self.client: Client = self.office.client()
        self._devices = iter(range(1, 1000))

    @property
    def endpoint(self) -> str:
        return f"https://127.0.0.1:{self.office.port}/v1/uploads"

    def segment(self) -> tuple[dict[str, str], bytes]:
        """A new segment of a new camera, whose journal is handed in: what to say of it, and its bytes."""
        device = f"BWC-{next(self._devices):04}"
        camera = Camera(self.office.agency, [age.recipient_of(age.generate_identity())], device)
        recording = camera.start()
        data = camera.noise(recording, 0, 3 * MIB + 17)
        self.client.hand_in_journal(device, camera.journal)
        return {"kind": "segment", "device": device, "recording": recording, "segment": "0"}, data

    def holds(self, told: dict[str, str], data: bytes) -> bool:
        """Whether the archive has it, and signed for it."""
        key = told["recording"], int(told["segment"])
        text = self.client.request("GET", "/v1/receipts/{device}/{recording}/{segment}".format(**told)).body
        receipt = Receipt.read(text, self.office.signer.key.public_key())
        stored = self.office.data / "store" / told["device"] / records.segment_path(*key)
        return stored.read_bytes() == data and receipt.size == len(data)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    door = Door(tmp_path_factory.mktemp("office"))
    with running(door.office):
        yield door


def test_tuspy_uploads_and_goes_on(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    tuspy: Any = pytest.importorskip("tusclient.client", reason=_NOT_HERE.format("tuspy"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(door.office.roots))
    told, data = door.segment()
    client = tuspy.TusClient(door.endpoint, client_cert=(str(door.client.chain), str(door.client.key)))
    first = client.uploader(file_stream=io.BytesIO(data), chunk_size=MIB, metadata=told)
    first.upload_chunk()
    second = client.uploader(file_stream=io.BytesIO(data), chunk_size=MIB, url=first.url)
    assert second.offset == MIB
    second.upload()
    assert door.holds(told, data)


def test_aiotus_uploads(door: Door) -> None:
    aiotus: Any = pytest.importorskip("aiotus", reason=_NOT_HERE.format("aiotus"))
    told, data = door.segment()
    context = tls.client_context(door.client.chain, door.client.key, door.office.roots)
    config = aiotus.RetryConfiguration(retry_attempts=1, ssl=context)
    metadata = {name: value.encode() for name, value in told.items()}
    done = aiotus.upload(door.endpoint, io.BytesIO(data), metadata, config=config, chunksize=MIB)
    assert asyncio.run(done) is not None
    assert door.holds(told, data)


def test_tus_js_client_uploads_and_goes_on(door: Door, tmp_path: Path) -> None:
    command = node("tus-js-client", tmp_path, "tus_client.mjs")
    told, data = door.segment()
    (tmp_path / "segment").write_bytes(data)
    arguments = [door.endpoint, tmp_path / "segment", json.dumps(told), door.client.chain, door.client.key]
    done = subprocess.run(
        [*command, *map(str, (*arguments, door.office.roots))], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert door.holds(told, data)
