"""keyd as a process of its own, and good requests to it that a test may spoil."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from evidence import age, jose, pki
from evidence.note import read_verifier_key
from office import approval, keyd, keyd_link
from office.catalogue import utc
from office.keyd_judge import Approver, Judge
from office.log import Log, load_key
from office.roster import fingerprint
from tests.footage import Camera
from tests.office_kit import ROOT, OfficeKit, wait_for
from tests.people_kit import Town

PASSPHRASE = "正确 的 马 电池 订书钉 六个词"  # noqa: S105 - of tests
OFFICE_LOG = "bodycam/AGENCY-1/OFFICE-1"


def statement(now: datetime, **changed: Any) -> approval.Statement:
    """An approval of leaf 0, reviewed in leaf 1, from now on for an hour."""
    members: dict[str, Any] = {
        "origin": OFFICE_LOG, "request": 0, "review": 1, "device": "BWC-0001", "recording": "", "purpose": "case",
        "case": "17号", "reason": "核对现场取证", "secrecy": "open", "requester": "zhang", "reviewer": "wang",
        "viewers": ["zhang"], "approver": "li", "at": utc(now), "until": utc(now + timedelta(hours=1)),
    }  # fmt: skip
    return approval.Statement(**{**members, **changed})


@dataclass
class Request:
    """What a request to keyd is made of; `log` gets the leaves."""

    log: Log
    camera: Camera
    key: tuple[str, int]
    approvals: list[tuple[approval.Statement, ec.EllipticCurvePrivateKey]]
    now: datetime
    viewer: str = "zhang"
    registration: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)  # members to put in the place of good ones

    def build(self) -> bytes:
        """Enter the registration, and put the request together."""
        signed = [
            approval.sign(replace(said, recording=said.recording or self.key[0]), key, pki.key_id(key.public_key()))
            for said, key in self.approvals
        ]
        while self.log.size < 2:
            self.log.append({"act": "view-asked"})
        first = self.approvals[0][0] if self.approvals else statement(self.now)
        leaf = {
            "act": "view-registered", "by": "qian", "at": utc(self.now), "request": first.request,
            "approvals": [approval.sha256(one) for one in signed], "device": first.device, "recording": self.key[0],
            "viewers": first.viewers, "from": utc(self.now), "until": utc(self.now + timedelta(hours=1)),
            **self.registration,
        }  # fmt: skip
        proof = self.log.proof(self.log.append(leaf)).to_text().decode()
        good = {
            "viewer": self.viewer, "segment": self.key[1], "header": header_of(self.camera.segments[self.key]),
            "approvals": signed, "proof": proof, **camera_word(self.camera, self.key),
        }  # fmt: skip
        return jose.dump_json({**good, **self.asked})


def header_of(file: bytes) -> str:
    header = age.parse_header(file)
    return jose.b64(header.raw + header.nonce)


def camera_word(camera: Camera, key: tuple[str, int]) -> dict[str, str]:
    """The opening and the record of a segment, as the camera wrote them."""
    for file in camera.journal:
        opening, *lines = file.splitlines()
        for line in lines:
            record = jose.parse_json(jose.payload_of(line))
            if record["kind"] == "segment" and (record["body"]["recording"], record["body"]["segment"]) == key:
                return {"opening": opening.decode(), "line": line.decode()}
    raise KeyError(key)


def roster_of(keys: dict[str, ec.EllipticCurvePrivateKey]) -> dict[str, Approver]:
    found = [Approver(account, pki.key_id(key.public_key()), key.public_key()) for account, key in keys.items()]
    return {approver.kid: approver for approver in found}


class KeydKit:
    """An office's folders with keyd's beside them, and the process."""

    def __init__(self, office: OfficeKit, identity: str | None = None) -> None:
        self.office = office
        self.identity = identity or age.generate_identity()
        self.folder = office.folder / "keyd"
        self.socket = office.folder / "keyd.sock"
        with office.config.open("a") as config:
            config.write(
                f"\n[keyd]\nfolder = {json.dumps(str(self.folder))}\nsocket = {json.dumps(str(self.socket))}\n"
            )
        self.process: subprocess.Popen[bytes] | None = None
        self.output = office.folder / "keyd.log"

    @property
    def recipient(self) -> str:
        return age.recipient_of(self.identity)

    def open_log(self) -> Log:
        """The office's log, while no process has it."""
        return Log(self.office.data / "log", OFFICE_LOG, load_key(self.office.folder / "log.key.pem"))

    def judge(self) -> Judge:
        origin, key = read_verifier_key((self.folder / keyd.LOG_KEY).read_text())
        return Judge(origin, key, [self.office.agency.root.certificate])

    def call(self, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = self.office.command("keyd", *arguments)
        return subprocess.run(
            command, input=said, capture_output=True, text=True, check=False, env=environ, timeout=60
        )  # fmt: skip

    def prepare(self) -> None:
        """Seal the identity."""
        plain = self.office.folder / "office.age"
        plain.write_text(f"{self.identity}\n")
        done = self.call("prepare", "--identity", str(plain), "--work", "10", said=f"{PASSPHRASE}\n")
        assert done.returncode == 0, done.stderr
        plain.unlink()

    def enrol(self, town: Town, account: str) -> None:
        """Let somebody's confirmed key into the roster."""
        row = next(row for row in town.people.approver_keys()[::-1] if row["account"] == account)
        card = self.office.folder / "card.json"
        proofs = {name: town.log.proof(row[leaf]).to_text().decode() for name, leaf in
                  (("entered", "leaf_index"), ("confirmed", "confirmed"))}  # fmt: skip
        card.write_text(json.dumps(proofs))
        done = self.call("enrol", "--card", str(card), "--fingerprint", fingerprint(row["kid"]))
        assert done.returncode == 0, done.stderr

    @contextlib.contextmanager
    def running(self) -> Iterator[KeydKit]:
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def start(self, passphrase: str = PASSPHRASE) -> None:
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "BODYCAM_LOG": "json"}
        start = self.output.stat().st_size if self.output.exists() else 0
        with self.output.open("ab") as log:
            self.process = subprocess.Popen(
                self.office.command("keyd"), stdin=subprocess.PIPE, stderr=log, env=environ
            )  # fmt: skip
        assert self.process.stdin is not None
        self.process.stdin.write(f"{passphrase}\n".encode())
        self.process.stdin.close()
        wait_for(lambda: self._ready(start))

    def _ready(self, start: int) -> bool:
        assert self.process is not None
        said = self.output.read_bytes()[start:]
        assert self.process.poll() is None, said
        return b'"ready"' in said

    def stop(self, *, kill: bool = False) -> int:
        assert self.process is not None
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        return self.process.wait(10)

    def ask(self, request: bytes) -> dict[str, Any]:
        """As the office's web process asks."""
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(self.socket))
            link.sendall(keyd_link.LENGTH.pack(len(request)) + request)
            return dict(json.loads(keyd_link.receive(link, keyd_link.ANSWER_LIMIT)))

    def given(self) -> list[dict[str, Any]]:
        path = self.folder / keyd.GIVEN
        return [json.loads(line) for line in path.read_text().splitlines()]


def new_keyd(folder: Path) -> tuple[KeydKit, Camera]:
    """A prepared keyd, and a camera whose footage it opens."""
    kit = KeydKit(OfficeKit(folder))
    kit.prepare()
    return kit, Camera(kit.office.agency, [kit.recipient])


def present() -> datetime:
    return datetime.now(UTC)
