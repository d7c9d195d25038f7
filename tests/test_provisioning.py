from __future__ import annotations

import errno
import itertools
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from pytest_mock import MockerFixture

from evidence import age, pki
from evidence.documents import Configuration
from evidence.pki import Role
from provisioning.main import main
from runtime.keys import load_certificates, load_key
from tests.agency import NOW, new_key

NAME = "承德县综合行政执法局"
OFFICER = ("--officer", "000123", "--officer-name", "张三", "--unit", "执法大队")
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in an empty folder at `NOW`; check its exit status; return what it said."""
    monkeypatch.chdir(tmp_path)

    def call(line: str, *more: str, status: int = 0, after: timedelta = timedelta()) -> str:
        found = main([*line.split(), *more], NOW + after)
        output = capsys.readouterr()
        assert found == status, output.err
        if status:
            assert output.err
            assert "Traceback" not in output.err
        return output.err if status else output.out

    return call


@pytest.fixture
def agency(run: Run) -> Run:
    run("agency --dir AGENCY --name", NAME)
    run("office OFFICE-1 --agency AGENCY --dir OFFICE --host office.example")
    return run


CAMERA = "camera BWC-0001 --agency AGENCY --office OFFICE --dir CAMERA"


def contents(*folders: str) -> dict[str, bytes]:
    files = (path for folder in folders for path in Path(folder).rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files if path.name != "request.pem"}


def configuration(folder: str = "CAMERA") -> Configuration:
    (signer, *_) = load_certificates(Path(folder) / "certs/signer.pem")
    return Configuration.read((Path(folder) / "config.jws").read_bytes().strip(), pki.public_key(signer))


def test_everything_is_laid_out_and_openssl_accepts_each_chain(agency: Run) -> None:
    agency(CAMERA, *OFFICER)
    agency("dock DOCK-1 --agency AGENCY --dir DOCK")
    expected = {
        "AGENCY/certs": {"root.pem", "issuing.pem"},
        "AGENCY/keys": {"root.key.pem", "issuing.key.pem", "recovery.age"},
        "OFFICE/certs": {"root.pem", "office.pem", "signer.pem", "stamp.pem"},
        "OFFICE/keys": {"office.key.pem", "signer.key.pem", "stamp.key.pem", "log.key.pem", "office.age"},
        "DOCK/certs": {"root.pem", "dock.pem"},
        "DOCK/keys": {"dock.key.pem"},
        "CAMERA/certs": {"root.pem", "evidence.pem", "camera.pem", "signer.pem"},
        "CAMERA/keys": {"evidence.key.pem", "camera.key.pem"},
    }
    at = str(int(NOW.timestamp()))
    for folder, names in expected.items():
        assert {path.name for path in Path(folder).iterdir()} == names
        for path in Path(folder).iterdir():
            if folder.endswith("keys"):
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
                assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            else:
                root = path.parent / "root.pem"
                command = [
                    "openssl",
                    "verify",
                    "-x509_strict",
                    "-attime",
                    at,
                    "-CAfile",
                    root,
                    "-untrusted",
                    path,
                    path,
                ]
                done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stdout + done.stderr


def test_certificates_tell_role_id_agency_and_term(agency: Run) -> None:
    agency(CAMERA)
    agency("dock DOCK-1 --agency AGENCY --dir DOCK")
    days = {Role.EVIDENCE: 1825, Role.CAMERA: 30, Role.DOCK: 365, Role.OFFICE: 365, Role.SIGNER: 1825}
    paths = ["CAMERA/certs/evidence", "CAMERA/certs/camera", "DOCK/certs/dock", "OFFICE/certs/office"]
    for path in map(Path, [*paths, "OFFICE/certs/signer"]):
        leaf, *above = load_certificates(path.with_suffix(".pem"))
        role, _ = pki.role_and_id(leaf)
        chain = pki.validate_chain(leaf, above, load_certificates(path.parent / "root.pem"), role=role, at=NOW)
        assert role == path.name
        assert pki.agency_of(leaf) == NAME
        assert chain.not_after - NOW == timedelta(days=days[role])
        assert load_key(path.parent.parent / "keys" / f"{role}.key.pem").public_key() == pki.public_key(leaf)
    (office, *_) = load_certificates(Path("OFFICE/certs/office.pem"))
    assert pki.hosts_of(office) == ["localhost", "127.0.0.1", "::1", "office.example"]


def test_office_signs_the_configuration(agency: Run) -> None:
    agency(CAMERA, *OFFICER, "--segment-seconds", "30")
    recipients = [Path(name).read_text().strip() for name in ("OFFICE/office.recipient", "AGENCY/recovery.recipient")]
    assert configuration() == Configuration(
        office="OFFICE-1",
        device="BWC-0001",
        agency=NAME,
        issued="2026-05-01T12:00:00.000Z",
        unit="执法大队",
        officer_number="000123",
        officer_name="张三",
        activity=None,
        recipients=(recipients[0], recipients[1]),
        segment_seconds=30,
    )


@pytest.mark.usefixtures("agency")
def test_identities_work_with_the_age_program() -> None:
    for identity, name in (
        ("OFFICE/keys/office.age", "OFFICE/office"),
        ("AGENCY/keys/recovery.age", "OFFICE/recovery"),
    ):
        recipient = Path(f"{name}.recipient").read_text().strip()
        assert age.fingerprint(recipient)
        sealed = subprocess.run(["age", "-r", recipient], input=b"evidence", capture_output=True, check=True).stdout
        opened = subprocess.run(["age", "-d", "-i", identity], input=sealed, capture_output=True, check=True).stdout
        assert opened == b"evidence"


@pytest.mark.usefixtures("agency")
def test_log_key_is_ed25519() -> None:
    key = serialization.load_pem_private_key(Path("OFFICE/keys/log.key.pem").read_bytes(), None)
    assert isinstance(key, ed25519.Ed25519PrivateKey)


def test_across_machines_only_request_and_public_answers_travel(agency: Run) -> None:
    """Agency, office and camera are never there together; files are carried from one to the other."""
    hidden = Path("elsewhere")
    hidden.mkdir()
    shutil.move("AGENCY", hidden)
    shutil.move("OFFICE", hidden)
    agency("camera BWC-0001 --dir CAMERA --request")
    request = Path("CAMERA/request.pem").read_bytes()
    shutil.move("CAMERA", hidden)
    Path("carried.pem").write_bytes(request)
    agency("agency sign carried.pem --agency elsewhere/AGENCY --out ANSWER")
    agency("configure BWC-0001 --office elsewhere/OFFICE --out ANSWER", *OFFICER)
    assert {path.name for path in Path("ANSWER").iterdir()} == {
        "camera.pem",
        "evidence.pem",
        "root.pem",
        "recovery.recipient",
        "signer.pem",
        "config.jws",
    }
    for data in [request, *contents("ANSWER").values()]:
        assert b"PRIVATE" not in data
        assert b"AGE-SECRET" not in data
    shutil.move(hidden / "CAMERA", ".")
    agency("camera BWC-0001 --dir CAMERA --install ANSWER")
    assert configuration().officer_name == "张三"


def test_no_private_key_leaves_the_folder_where_it_was_made(agency: Run) -> None:
    agency(CAMERA)
    folders = ["AGENCY", "OFFICE", "CAMERA"]
    for home in folders:
        elsewhere = b"".join(contents(*(folder for folder in folders if folder != home)).values())
        for path in Path(home, "keys").iterdir():
            secret_lines = [line for line in path.read_bytes().splitlines() if not line.startswith((b"-", b"#"))]
            assert secret_lines
            assert not any(line in elsewhere for line in secret_lines), path


def test_running_again_changes_nothing_and_says_so(agency: Run) -> None:
    agency(CAMERA, *OFFICER)
    before = contents("AGENCY", "OFFICE", "CAMERA")
    later = timedelta(days=1)
    said = agency("agency --dir AGENCY", after=later)
    said += agency("office OFFICE-1 --agency AGENCY --dir OFFICE --host office.example", after=later)
    said += agency(CAMERA, after=later)
    assert contents("AGENCY", "OFFICE", "CAMERA") == before
    for name in ("root.key.pem", "signer.key.pem", "log.key.pem", "office.age", "evidence.key.pem", "config.jws"):
        assert any("already there" in line and name in line for line in said.splitlines()), name


def test_settings_change_one_at_a_time(agency: Run) -> None:
    agency(CAMERA, *OFFICER)
    before = configuration()
    agency(CAMERA, "--unit", "城关中队", "--pre-event-sound", after=timedelta(days=1))
    expected = replace(before, unit="城关中队", pre_event_sound=True, issued="2026-05-02T12:00:00.000Z")
    assert configuration() == expected


def test_link_certificate_is_renewed_in_the_second_half_of_its_term(agency: Run) -> None:
    agency(CAMERA)
    before = contents("CAMERA")
    agency(CAMERA, after=timedelta(days=14))
    assert contents("CAMERA") == before
    agency(CAMERA, after=timedelta(days=16))
    changed = {path for path, data in contents("CAMERA").items() if data != before[path]}
    assert changed == {"CAMERA/certs/camera.pem"}


def test_interrupted_at_each_sync_it_completes_on_the_next_run(agency: Run, mocker: MockerFixture) -> None:
    """The disk fails at the first, second, … sync of an enrolment: no key is lost or made twice, nothing is torn."""
    real = os.fsync
    for position in itertools.count(1):
        calls = itertools.count(1)

        def fail(fd: int, position: int = position, calls: itertools.count[int] = calls) -> None:
            if next(calls) == position:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            real(fd)

        for folder in ("CAMERA", "AGENCY/issued"):
            shutil.rmtree(folder, ignore_errors=True)
        patched = mocker.patch("os.fsync", autospec=True, side_effect=fail)
        status = main([*CAMERA.split(), *OFFICER], NOW)
        if status == os.EX_OK:
            break
        assert status == os.EX_IOERR
        mocker.stop(patched)
        keys = contents("CAMERA/keys")
        assert not list(Path("CAMERA").rglob(".*"))
        agency(CAMERA, *OFFICER)
        assert configuration().officer_number == "000123"
        assert contents("CAMERA/keys").items() >= keys.items()
    assert position > 20


def test_half_made_agency_is_completed(run: Run) -> None:
    run("agency --dir AGENCY --name", NAME)
    whole = contents("AGENCY")
    for lost in ("certs/issuing.pem", "keys/issuing.key.pem", "keys/recovery.age", "recovery.recipient"):
        Path("AGENCY", lost).unlink()
    Path("AGENCY/certs/issuing.pem").unlink(missing_ok=True)
    run("agency --dir AGENCY")
    made = contents("AGENCY")
    assert made.keys() == whole.keys()
    assert {path for path in whole if made[path] == whole[path]} == {
        "AGENCY/keys/root.key.pem",
        "AGENCY/certs/root.pem",
    }


# --- what is refused --------------------------------------------------------------------------------------------------


def test_second_key_for_one_id_is_refused(agency: Run) -> None:
    agency(CAMERA)
    agency("camera BWC-0001 --dir TWIN --request")
    line = "agency sign TWIN/request.pem --agency AGENCY --out ANSWER"
    assert "another key already" in agency(line, status=os.EX_DATAERR)
    assert not Path("ANSWER").exists()
    agency(line, "--replace")


@pytest.mark.parametrize("role", [Role.ROOT, Role.ISSUING, Role.SESSION])
def test_authority_is_not_given_on_request(agency: Run, role: Role) -> None:
    request = pki.make_request(role, "BWC-0001", new_key())
    Path("r.pem").write_bytes(request.public_bytes(serialization.Encoding.PEM))
    assert "not given on request" in agency("agency sign r.pem --agency AGENCY --out A", status=os.EX_NOPERM)


def test_answers_for_others_are_refused(agency: Run) -> None:
    agency(CAMERA)
    agency("camera BWC-0002 --dir SECOND --request")
    agency("agency sign SECOND/request.pem --agency AGENCY --out ANSWER")
    assert "another key" in agency("camera BWC-0001 --dir CAMERA --install ANSWER", status=os.EX_DATAERR)
    agency("configure BWC-0002 --office OFFICE --out CONFIGURED")
    said = agency("camera BWC-0001 --dir CAMERA --install CONFIGURED", status=os.EX_DATAERR)
    assert "expected one for BWC-0001" in said
    assert "nothing for BWC-0001" in agency("camera BWC-0001 --dir CAMERA --install DOCK", status=os.EX_NOINPUT)


def test_keys_of_one_device_get_no_second_id(agency: Run) -> None:
    agency(CAMERA)
    Path("CAMERA/request.pem").unlink()
    said = agency("camera BWC-0002 --dir CAMERA --request", status=os.EX_DATAERR)
    assert "belongs to camera/BWC-0001" in said
    agency("dock DOCK-2 --dir DOCK --request")
    agency("agency sign DOCK/request.pem --agency AGENCY --out ANSWER")
    Path("DOCK/request.pem").unlink()
    assert "another key" in agency("dock DOCK-1 --dir DOCK --install ANSWER", status=os.EX_DATAERR)


def test_foreign_agency_is_refused(agency: Run) -> None:
    agency(CAMERA)
    before = contents("CAMERA")
    agency("agency --dir FOREIGN --name", NAME)
    agency("agency sign CAMERA/request.pem --agency FOREIGN --out ANSWER")
    assert "not of the agency" in agency("camera BWC-0001 --dir CAMERA --install ANSWER", status=os.EX_NOPERM)
    agency("office OFFICE-1 --agency FOREIGN --dir OTHER")
    agency("configure BWC-0001 --office OTHER --out CONFIGURED")
    agency("camera BWC-0001 --dir CAMERA --install CONFIGURED", status=os.EX_DATAERR)
    assert contents("CAMERA") == before


def test_altered_configuration_is_refused(agency: Run) -> None:
    agency(CAMERA)
    agency("configure BWC-0001 --office OFFICE --out ANSWER")
    path = Path("ANSWER/config.jws")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    before = contents("CAMERA")
    agency("camera BWC-0001 --dir CAMERA --install ANSWER", status=os.EX_DATAERR)
    assert contents("CAMERA") == before


def test_refused_settings_leave_nothing_half_made(agency: Run) -> None:
    before = contents("AGENCY", "OFFICE")
    agency(CAMERA, "--segment-seconds", "900", status=os.EX_USAGE)
    assert not Path("CAMERA").exists()
    assert contents("AGENCY", "OFFICE") == before


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("", os.EX_USAGE, "required"),
        ("camera bwc-1 --dir X --request", os.EX_USAGE, "A-Z"),
        ("camera BWC-1 --dir X", os.EX_USAGE, "required"),
        ("camera BWC-1 --dir X --agency AGENCY", os.EX_USAGE, "--office"),
        ("camera BWC-1 --dir X --agency AGENCY --office OFFICE --segment-seconds 900", os.EX_USAGE, "segment_seconds"),
        ("camera BWC-1 --dir X --agency NONE --office OFFICE", os.EX_NOINPUT, "NONE/certs/issuing.pem"),
        ("camera BWC-1 --dir X --agency AGENCY --office NONE", os.EX_NOINPUT, "NONE/certs/signer.pem"),
        ("dock OFFICE-1 --dir OFFICE --request", os.EX_DATAERR, "belongs to office/OFFICE-1"),
        ("office OFFICE-2 --dir OFFICE --request", os.EX_DATAERR, "belongs to office/OFFICE-1"),
        ("office OFFICE-2 --dir X --request --host bücher", os.EX_DATAERR, "bücher"),
        ("agency", os.EX_USAGE, "--dir"),
        ("agency --dir X", os.EX_USAGE, "--name"),
        ("agency --dir AGENCY --name Other", os.EX_DATAERR, NAME),
        ("agency sign none.pem --agency AGENCY --out X", os.EX_NOINPUT, "none.pem"),
        ("agency sign OFFICE/certs/root.pem --agency AGENCY --out X", os.EX_DATAERR, "no certificate request"),
        ("dock DOCK-1 --dir OFFICE/request.pem/X --request", os.EX_CANTCREAT, "OFFICE/request.pem"),
    ],
)
def test_mistakes_end_with_a_line_and_a_documented_status(agency: Run, line: str, status: int, said: str) -> None:
    assert said in agency(line, status=status)
    page = Path(__file__).parent.parent.joinpath("docs/exit-status.md").read_text(encoding="utf-8")
    assert f"| {status} |" in page
