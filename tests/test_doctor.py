"""The doctors: each thing that can be wrong has its line, and a bundle holds no secret."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import ssl
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from evidence import pki
from evidence.pki import Role
from hw_sim import world as worlds
from hw_sim.demo import stage as stages
from hw_sim.demo.stage import Stage
from runtime import bundle, checks, doctor, tls
from runtime.doctor import Check, Level, bad, each, well
from runtime.keys import load_key
from syncd import doctor as dock_doctor
from syncd import status
from syncd.status import BayStatus, DockStatus, boot_now
from tests.agency import NOW, Agency, Holder
from tests.builders import CameraFolder
from tests.mosquitto import Broker

DAY = timedelta(days=1)
Run = Iterator[Check]


def codes(found: Iterator[Check]) -> dict[str, Level]:
    listed = list(found)
    for check in listed:
        line = check.line()
        assert line.startswith(check.level.value)
        assert line.index(check.zh) < line.index("|") < line.rindex(f"[{check.code}]")
        assert "\n" not in line
        assert check.level is Level.WELL or check.does is not None, "what to do is missing"
    return {check.code: check.level for check in listed}


# --- certificates


@pytest.fixture(scope="module")
def agency() -> Agency:
    return Agency()


@pytest.fixture(scope="module")
def other() -> Agency:
    return Agency("别处执法局")


def examined(tmp: Path, agency: Agency, holder: Holder, days: float) -> dict[str, Level]:
    chain, key = holder.write(tmp, "dock")
    key.chmod(0o600)
    (tmp / "roots.pem").write_bytes(pki.to_pem(agency.root.certificate))
    return codes(checks.certificate(chain, key, tmp / "roots.pem", Role.DOCK, NOW + days * DAY))


@pytest.mark.parametrize(
    ("days", "code", "level"),
    [
        (1, "certificate", Level.WELL),
        (364, "certificate-ending", Level.MIND),
        (366, "certificate-ended", Level.BAD),
        (-1, "certificate-early", Level.BAD),
    ],
)
def test_dates_of_a_certificate(tmp_path: Path, agency: Agency, days: float, code: str, level: Level) -> None:
    assert examined(tmp_path, agency, agency.issue(Role.DOCK, "DOCK-1"), days) == {code: level}


def test_a_certificate_of_30_days_is_not_ending_from_its_first_day(tmp_path: Path) -> None:
    agency = Agency()
    agency.last = agency.first + 30 * DAY
    holder = agency.issue(Role.DOCK, "DOCK-1")
    assert examined(tmp_path, agency, holder, 1) == {"certificate": Level.WELL}
    assert examined(tmp_path, agency, holder, 21) == {"certificate-ending": Level.MIND}


def test_a_certificate_of_somebody_else(tmp_path: Path, agency: Agency, other: Agency) -> None:
    assert examined(tmp_path, agency, other.issue(Role.DOCK, "DOCK-1"), 1) == {"certificate-agency": Level.BAD}
    assert examined(tmp_path, agency, agency.issue(Role.CAMERA, "BWC-0001"), 1) == {"certificate-role": Level.BAD}
    holder = agency.issue(Role.DOCK, "DOCK-1")
    mixed = Holder(holder.certificate, agency.issue(Role.DOCK, "DOCK-2").key, holder.above)
    assert examined(tmp_path, agency, mixed, 1)["certificate-key"] is Level.BAD


def test_a_key_that_others_can_read_or_that_is_none(tmp_path: Path, agency: Agency) -> None:
    chain, key = agency.issue(Role.DOCK, "DOCK-1").write(tmp_path, "dock")
    (tmp_path / "roots.pem").write_bytes(pki.to_pem(agency.root.certificate))
    key.chmod(0o644)
    found = codes(checks.certificate(chain, key, tmp_path / "roots.pem", Role.DOCK, NOW))
    assert found["key-readable"] is Level.MIND
    key.write_text("no key")
    assert codes(checks.certificate(chain, key, tmp_path / "roots.pem", Role.DOCK, NOW)) == {"credential": Level.BAD}


# --- the machine


def test_clock_and_time_zone() -> None:
    assert codes(checks.clock(1.2, 0.1)) == {"clock": Level.WELL}
    assert codes(checks.clock(-20.0, 0.1)) == {"clock-off": Level.MIND}
    assert codes(checks.clock(8 * 3600.0, 0.1)) == {"clock-off": Level.BAD}
    assert codes(checks.time_zone(timedelta(hours=8))) == {"time-zone": Level.WELL}
    assert codes(checks.time_zone(timedelta())) == {"time-zone": Level.MIND}


def test_disk(tmp_path: Path) -> None:
    assert codes(checks.disk(tmp_path, 1)) == {"disk": Level.WELL}
    assert codes(checks.disk(tmp_path, 2**60)) == {"disk-full": Level.BAD}
    assert codes(checks.disk(tmp_path / "none")) == {"disk": Level.BAD}
    assert codes(checks.disk(Path("/proc/self"))) == {"disk-read-only": Level.BAD}
    assert list(tmp_path.iterdir()) == []


def test_libraries() -> None:
    assert codes(checks.libraries(["json"], "dock")) == {"libraries": Level.WELL}
    (found,) = checks.libraries(["json", "no_such_library"], "dock")
    assert (found.code, found.level) == ("library-missing", Level.BAD)
    assert "no_such_library" in found.zh
    assert "scripts/setup dock" in found.line()


def test_a_check_that_fails_itself_does_not_end_the_others() -> None:
    def faint() -> Run:
        yield well("first", "一", "one")
        raise RuntimeError("two")

    def last() -> Run:
        yield bad("last", "三", "three", "做", "do")

    found = codes(each(partial(faint), partial(last)))
    assert found == {"first": Level.WELL, "doctor-error": Level.BAD, "last": Level.BAD}


# --- the others


@pytest.fixture
def present(tmp_path: Path) -> Iterator[tuple[Agency, Broker]]:
    from tests.builders import present_agency  # noqa: PLC0415 - dates of now

    agency = present_agency()
    broker = Broker(tmp_path / "broker", agency)
    broker.start()
    yield agency, broker
    broker.kill()


def context(tmp: Path, holder: Holder, root: Agency) -> ssl.SSLContext:
    chain, key = holder.write(tmp, "client")
    (tmp / "roots.pem").write_bytes(pki.to_pem(root.root.certificate))
    return tls.client_context(chain, key, tmp / "roots.pem")


@pytest.mark.net
def test_a_real_broker_and_who_it_takes(tmp_path: Path, present: tuple[Agency, Broker], other: Agency) -> None:
    agency, broker = present

    def asked(trust: Agency, holder: Holder) -> dict[str, Level]:
        return codes(checks.broker(broker.address, context(tmp_path, holder, trust), "dock/DOCK-1/doctor"))

    ours = agency.issue(Role.DOCK, "DOCK-1")
    assert asked(agency, ours) == {"broker": Level.WELL}
    assert asked(other, ours) == {"broker-foreign": Level.BAD}
    assert asked(agency, other.issue(Role.DOCK, "DOCK-1")) == {"broker-ours-foreign": Level.BAD}
    first, last = agency.first, agency.last
    agency.first, agency.last = first - 40 * DAY, first - 10 * DAY
    ended = agency.issue(Role.DOCK, "DOCK-1")
    agency.first, agency.last = first, last
    assert asked(agency, ended) == {"broker-ours-ended": Level.BAD}
    assert codes(checks.office(broker.address, context(tmp_path, ours, agency))) == {"office-silent": Level.BAD}
    broker.kill()
    assert asked(agency, ours) == {"broker-away": Level.BAD}


@pytest.mark.net
def test_another_role_where_the_office_must_be(tmp_path: Path) -> None:
    from tests.builders import present_agency  # noqa: PLC0415 - dates of now

    agency = present_agency()
    broker = Broker(tmp_path / "broker", agency, Role.DOCK)
    broker.start()
    try:
        ours = context(tmp_path, agency.issue(Role.DOCK, "DOCK-1"), agency)
        assert codes(checks.broker(broker.address, ours, "x")) == {"broker-role": Level.BAD}
    finally:
        broker.kill()


# --- whole programs


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    world = stages.make_world("drawn", "silence", muted=False, snr_db=None, ppm=0.0, card_bytes=None)
    built = stages.build(tmp_path_factory.mktemp("doctor") / "stage", world)
    worlds.power_on(built.world)
    return built


def test_a_dock_that_nobody_started(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    assert dock_doctor.main(["--config", str(stage.dock / "dock.toml")]) == doctor.WRONG
    said = capsys.readouterr().out
    for code in ("libraries", "certificate", "signers", "time-zone", "office-away", "broker-away", "dock-stopped"):
        assert f"[{code}]" in said
    assert "doctor-error" not in said
    assert not (stage.dock / "spool").exists(), "the doctor makes no folders"


def test_what_a_running_dock_says_of_its_bays(stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = (stage.dock / "dock.toml").read_text().replace('"spool"', f'"{tmp_path}"')
    (stage.dock / "other.toml").write_text(settings.replace('"certs', f'"{stage.dock}/certs'))
    bays = (BayStatus("1", "fault", "red", "BWC-0007", code="hash-mismatch"), BayStatus("2"))
    status.write(tmp_path, DockStatus("DOCK-1", 0, boot_now(), bays=bays, broker_trouble="mqtt-away: gone"))
    dock_doctor.main(["--config", str(stage.dock / "other.toml")])
    said = capsys.readouterr().out
    assert "BWC-0007" in said
    assert "[hash-mismatch]" in said
    assert "[messages]" in said
    assert "dock-stopped" not in said


def test_a_configuration_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dock.toml").write_text("spool = 3")
    pack = tmp_path / "b.tar.gz"
    assert dock_doctor.main(["--config", str(tmp_path / "dock.toml"), "--bundle", str(pack)]) == doctor.WRONG
    assert "[configuration]" in capsys.readouterr().out
    assert "doctor.txt" in {Path(name).name for name in contents(pack)}


def test_a_camera_on_a_machine_without_one(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    from firmware import doctor as camera_doctor  # noqa: PLC0415 - imports the drivers' libraries

    assert camera_doctor.main(["--config", str(stage.camera / "camera.toml")]) == doctor.WRONG
    said = capsys.readouterr().out
    for code in ("certificate", "assigned", "disk", "microphone-missing", "gauge-silent", "held", "dock-link"):
        assert f"[{code}]" in said
    assert "doctor-error" not in said


def test_a_camera_that_is_nobodys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from firmware import doctor as camera_doctor  # noqa: PLC0415 - imports the drivers' libraries

    world = stages.make_world("drawn", "silence", muted=False, snr_db=None, ppm=0.0, card_bytes=None)
    camera = stages.build(tmp_path / "stage", world, {"unit": "稽查一队"}).camera
    camera_doctor.main(["--config", str(camera / "camera.toml")])
    said = capsys.readouterr().out
    assert "[unassigned]" in said
    assert "[assigned]" not in said


def test_a_token_that_does_not_answer_and_its_pin(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from firmware import doctor as camera_doctor  # noqa: PLC0415 - imports the drivers' libraries

    (tmp_path / "pin").write_text("314159\n")
    (tmp_path / "app.log").write_text("login with 314159 failed\n")
    token = f'[token]\nmodule = "/none.so"\nlabel = "t"\nkey = "k"\npin_file = "{tmp_path}/pin"\n'
    (tmp_path / "camera.toml").write_text(f'credentials = "{stage.camera}"\n{token}')
    pack = tmp_path / "b.tar.gz"
    options = ["--config", str(tmp_path / "camera.toml"), "--bundle", str(pack), "--log", str(tmp_path / "app.log")]
    assert camera_doctor.main(options) == doctor.WRONG
    assert "[evidence-key]" in next(line for line in capsys.readouterr().out.splitlines() if "/none.so" in line)
    assert b"314159" not in b"".join(contents(pack).values())


def test_a_camera_with_a_worn_card_footage_and_no_assignment(
    tmp_path: Path, agency: Agency, capsys: pytest.CaptureFixture[str]
) -> None:
    from firmware import doctor as camera_doctor  # noqa: PLC0415 - imports the drivers' libraries

    folder = CameraFolder(tmp_path / "data", agency)
    recording = folder.begin_recording()
    folder.segment(recording, 100)
    folder.line("fault", {"where": "lens", "what": "unplugged"})
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "life_time").write_text("0x09 0x0a\n")
    (tmp_path / "camera.toml").write_text(f'[board]\ncard = "{tmp_path}/card"\n[battery]\nbus = "/dev/none"\n')
    pack = tmp_path / "b.tar.gz"
    assert camera_doctor.main(["--config", str(tmp_path / "camera.toml"), "--bundle", str(pack)]) == doctor.WRONG
    said = capsys.readouterr().out
    for code in ("enrolment", "card-worn", "held", "gauge-silent", "dock-link-missing", "credential"):
        assert f"[{code}]" in said, said
    found = contents(pack)
    facts = {fact["kind"]: fact for fact in map(json.loads, found["bodycam/journal.jsonl"].splitlines())}
    assert facts["fault"]["body"] == {"where": "lens", "what": "unplugged"}
    assert "body" not in facts["recording_started"], "only of kinds that name nobody"
    assert f"segments/{recording}/00000.mp4.age".encode() in found["bodycam/segments.txt"]


# --- bundles


def contents(pack: Path) -> dict[str, bytes]:
    with tarfile.open(pack) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def forms(key: Path) -> Iterator[bytes]:
    """Every form in which a key might be found in a file."""
    data = key.read_bytes()
    yield from (line for line in data.splitlines() if b"-----" not in line and b"#" not in line)
    with contextlib.suppress(Exception):
        private = load_key(key)
        scalar = private.private_numbers().private_value
        raw = scalar.to_bytes(32, "big")
        der = private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        yield from (raw, der, raw.hex().encode(), raw.hex().upper().encode(), str(scalar).encode())
        yield from (base64.b64encode(raw), base64.urlsafe_b64encode(raw).rstrip(b"="), base64.b64encode(der))


@pytest.mark.parametrize("program", ["dock", "camera"])
def test_no_key_and_no_footage_gets_into_a_bundle(stage: Stage, tmp_path: Path, program: str) -> None:
    from firmware import doctor as camera_doctor  # noqa: PLC0415 - imports the drivers' libraries

    folder = stage.dock if program == "dock" else stage.camera
    main = dock_doctor.main if program == "dock" else camera_doctor.main
    keys = list((folder / "keys").iterdir())
    secrets = [form for key in keys for form in forms(key)]
    assert len(secrets) > 8
    # The worst that could be: somebody's log holds each of them, and keys and footage are given for logs.
    text = [form for form in secrets if form.isascii() and b"\n" not in form]
    (tmp_path / "app.log").write_bytes(b"".join(b"at 10:00 key=" + one + b" end\n" for one in text))
    footage = tmp_path / "00000.mp4.age"
    footage.write_bytes(b"age-encryption.org/v1\n" + os.urandom(5000))
    logs = [tmp_path / "app.log", footage, *keys]
    pack = tmp_path / "b.tar.gz"
    arguments = ["--config", str(folder / f"{program}.toml"), "--bundle", str(pack)]
    main([*arguments, *[word for log in logs for word in ("--log", str(log))]])
    assert pack.stat().st_mode & 0o077 == 0
    found = contents(pack)
    assert {Path(name).name for name in found} >= {"doctor.txt", "configuration.json", "versions.txt", "journal.txt"}
    assert b"at 10:00 key=<left out> end" in found["bodycam/logs/1-app.log"]
    whole = b"\n".join(found.values())
    assert [form for form in secrets if form in whole] == []
    assert b"PRIVATE KEY" not in whole
    assert b"age-encryption.org" not in whole
    assert b"cryptography==" in found["bodycam/versions.txt"]
    assert main(arguments) == bundle.BundleError.exit_status, "an older bundle is not written over"


def test_what_a_configuration_may_hold_in_secret_stays_behind() -> None:
    plain = bundle.described(
        BayStatus("1", camera="BWC-0001")  # any dataclass
    )
    assert b"BWC-0001" in plain
    assert bundle.scrubbed(b"at http://keeper:letmein@10.0.0.1/x") == b"at http://<left out>@10.0.0.1/x"
    key = b"-----BEGIN PRIVATE KEY-----\nMIGH\n"
    assert bundle.scrubbed(b"a\n" + key) == b"a\n<left out>"
    assert bundle.scrubbed(b"AGE-SECRET-KEY-1QQQ\n") == b"<left out>\n"
    assert bundle.scrubbed(b"\xff\xfe") == b"<left out: not text>"
